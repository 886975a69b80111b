"""A minimal Debian with systemd as its first process, in namespaces of its own.

    with Machine(folder) as machine:
        machine.run("dpkg", "--install", "/srv/package.deb")
        machine.boot()
        machine.run("systemctl", "start", "wattledger")

It shares the kernel and nothing else: it has its own network, sees the devices of no host, and may not change
the kernel's settings. The root is made by mmdebstrap once and kept under `.cache`.
Mark such a test with `@needs_machine`: it is skipped, with the reason, where no such machine can be had.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.agent_process import REPOSITORY

SUITE = "bookworm"
PACKAGES = ("adduser", "procps", "python3", "systemd")
CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("blkio", "cpu", "cpuacct", "devices", "memory", "pids")
"""Where systemd makes cgroups on a host with v1."""
TIMEOUT_S = 120.0
BUILD_TIMEOUT_S = 600.0

PREPARE = """
set -e
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
for folder in run tmp dev; do mount -t tmpfs tmpfs "$root/$folder"; done
for device in null zero full random urandom; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s pts/ptmx "$root/dev/ptmx"
"""

MOUNT_CGROUPS = """
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup "$root/sys/fs/cgroup"
else
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/systemd" "$root/sys/fs/cgroup/unified"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
    mount -t cgroup2 cgroup "$root/sys/fs/cgroup/unified"
fi
mount --make-rshared "$root"  # or credentials of services, mounted apart, would not arrive
"""

ENVIRONMENT = "HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8"
INSIDE = f'exec env -i container=test {ENVIRONMENT} chroot "$root" '


def missing_machine() -> str:
    """Why no machine can be had here, or ""."""
    if os.geteuid() != 0:
        return "only root can start a systemd of its own"
    for program in ("mmdebstrap", "unshare", "nsenter", "dpkg-deb"):
        if shutil.which(program) is None:
            return f"no {program} on PATH"
    if not _hierarchies():
        return "systemd needs cgroup v2, or a v1 hierarchy called systemd beside it"
    if not all(os.access(folder, os.W_OK) for folder in _hierarchies()):
        return "no cgroups can be made"
    done = subprocess.run(["unshare", "--pid", "--mount", "--net", "--cgroup", "--fork", "true"], check=False)
    return "" if done.returncode == 0 else "no namespaces can be made"


def _hierarchies() -> list[Path]:
    """Our own cgroup in each hierarchy; below it is the root of what the machine sees."""
    if (CGROUPS / "cgroup.controllers").exists():
        names = {"": "."}
    elif (CGROUPS / "systemd/cgroup.procs").exists() and (CGROUPS / "unified/cgroup.procs").exists():
        names = {"": "unified", "name=systemd": "systemd"}
        names |= {name: name for name in CONTROLLERS if (CGROUPS / name / "cgroup.procs").exists()}
    else:
        return []
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    return [CGROUPS / names[name] / path.lstrip("/") for _, name, path in lines if name in names]


needs_machine = pytest.mark.skipif(bool(missing_machine()), reason=missing_machine())


def debian_root() -> Path:
    """The archive of a minimal Debian; skips the test where none can be made, as without a network."""
    wanted = hashlib.sha256(repr((SUITE, PACKAGES, platform.machine())).encode()).hexdigest()[:12]
    archive = REPOSITORY / f".cache/debian-{SUITE}-{wanted}.tar"
    if archive.exists():
        return archive
    archive.parent.mkdir(exist_ok=True)
    fresh = archive.with_name(f"fresh-{os.getpid()}.tar")
    command = [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        SUITE,
        str(fresh),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BUILD_TIMEOUT_S)
        if done.returncode:
            pytest.skip(f"no Debian could be fetched: {done.stderr.strip()[-300:]}")
        fresh.replace(archive)
    finally:
        fresh.unlink(missing_ok=True)
    return archive


class Machine:
    """The root under `root`; commands run in it whether or not it was booted."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self._log = folder / "boot.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._cgroups = [each / f"wattledger-test-{os.getpid()}" for each in _hierarchies()]
        self.root.mkdir()
        subprocess.run(["tar", "-xpf", debian_root(), "-C", self.root], check=True)
        shutil.rmtree(self.root / "dev")
        (self.root / "dev").mkdir()

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program in the machine; raises AssertionError with what it says if it fails, by default."""
        done = subprocess.run(
            [*self._enter(), *command], capture_output=True, text=True, check=False, timeout=TIMEOUT_S
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}{self._journal()}"
        return done

    def shell(self, script: str, *, check: bool = True) -> str:
        """What a shell script in the machine writes."""
        return self.run("sh", "-ec", script, check=check).stdout

    def boot(self) -> None:
        """Start systemd and wait until it has started everything."""
        for cgroup in self._cgroups:
            cgroup.mkdir()
        joined = "".join(f"echo $$ > {cgroup}/cgroup.procs\n" for cgroup in self._cgroups)
        spaces = "--pid --mount --ipc --uts --cgroup --net --fork --kill-child"
        inner = PREPARE + MOUNT_CGROUPS + INSIDE + "/lib/systemd/systemd --system --log-target=journal"
        script = f"set -e\n{joined}exec unshare {spaces} sh -ec '{inner}'"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--bounding-set=-sys_module,-sys_time,-sys_rawio,-syslog", "sh", "-c", script],
                env={"root": str(self.root), "PATH": os.environ["PATH"]},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + TIMEOUT_S
        state = ""
        while state not in ("running", "degraded"):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, f"{state}: {self._log.read_text()}"
            time.sleep(0.1)
            with contextlib.suppress(FileNotFoundError, IndexError):
                state = self.run("systemctl", "is-system-running", check=False).stdout.strip()

    def stop(self) -> None:
        """End everything in the machine; what is on its disk stays."""
        if self._process is None:
            return
        with contextlib.suppress(FileNotFoundError, IndexError, ProcessLookupError):
            os.kill(self._first(), 9)
        self._process.wait(30)
        self._process = None
        for cgroup in self._cgroups:
            for folder, _, _ in os.walk(cgroup, topdown=False):
                _remove_cgroup(Path(folder))

    def _first(self) -> int:
        """The host's id of the machine's first process."""
        assert self._process is not None
        pid = self._process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def _enter(self) -> list[str]:
        plain = ["env", "-i", *ENVIRONMENT.split()]
        if self._process is not None:
            pid = self._first()
            return ["nsenter", f"--target={pid}", "--all", f"--root=/proc/{pid}/root", "--wd=/", *plain]
        script = f'root=$1; shift\n{PREPARE}{INSIDE}"$@"'
        return ["unshare", "--pid", "--mount", "--net", "--fork", "sh", "-c", script, "sh", str(self.root)]

    def _journal(self) -> str:
        if self._process is None:
            return ""
        command = [*self._enter(), "journalctl", "--no-pager", "--lines=60", "--output=cat"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _remove_cgroup(folder: Path) -> None:
    for _ in range(100):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:  # its last process is still being reaped
            time.sleep(0.05)
        else:
            return
