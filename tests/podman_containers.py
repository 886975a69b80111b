"""Real podman containers of one static program, in storage of their own.

    with Podman() as podman:
        container = podman.run("while :; do :; done", "--cpus=0.25")
        container.id, container.cpu_s

Mark such a test with `@needs_podman`: it is skipped, with the reason, where containers cannot be run.
Nothing of the user's podman is touched: storage, locks and state lie in a temporary folder, and every
container is removed on exit.
The parent of their cgroups is everybody's; whoever leaves it last removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from wattledger.hostfs import HostFS
from wattledger.workloads.hierarchy import find_hierarchy

IMAGE = "localhost/wattledger-test:1"
APPLETS = ("sh", "sleep", "true")
CGROUP_PARENT = "libpod_parent"
"""Where podman puts its containers by itself when it drives cgroupfs."""
RUNTIMES = ("runc", "crun")
USERS = Path(tempfile.gettempdir(), "wattledger-test-podman.lock")
"""Locked, together with others, by everybody who has containers."""
TIMEOUT_S = 120.0

CONFIGURATION = """\
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
runtime = "{runtime}"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
log_driver = "none"
netns = "none"
"""


def missing_podman() -> str:
    """Why no container can be run here, or ""."""
    if os.geteuid() != 0:
        return "only root can run podman with cgroups of its own"
    if shutil.which("podman") is None:
        return "no podman on PATH (apt-get install podman)"
    if not any(map(shutil.which, RUNTIMES)):
        return "no runc or crun on PATH (apt-get install runc)"
    if not _static(shutil.which("busybox")):
        return "no static busybox on PATH (apt-get install busybox-static)"
    hierarchy = find_hierarchy(HostFS())
    if hierarchy is None:
        return "no cgroup hierarchy is mounted"
    if not os.access(hierarchy.root, os.W_OK):
        return f"no cgroup can be made under {hierarchy.root}"
    return ""


def _static(program: str | None) -> bool:
    return program is not None and b"/ld-" not in Path(program).read_bytes()[:4096]


needs_podman = pytest.mark.skipif(bool(missing_podman()), reason=missing_podman())


class Container(NamedTuple):
    """A running container: its full id, and the host's id of its first process."""

    id: str
    pid: int

    @property
    def cpu_s(self) -> float:
        """CPU time of its first process, of one thread, as the scheduler counts it apart from any cgroup."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0]) / 1e9


class Podman:
    """`podman` with storage of its own and an image with a shell in it."""

    def __enter__(self) -> Podman:
        self._users = USERS.open("a")
        fcntl.flock(self._users, fcntl.LOCK_SH)
        self._folder = Path(tempfile.mkdtemp(prefix="podman-"))  # podman takes no path beyond 50 characters
        root = self._folder / "rootfs"
        for name in ("bin", "proc", "sys", "dev", "etc", "tmp"):
            (root / name).mkdir(parents=True)
        shutil.copy(shutil.which("busybox") or "", root / "bin/busybox")
        for name in APPLETS:
            (root / "bin" / name).symlink_to("busybox")
        runtime = next(name for name in RUNTIMES if shutil.which(name))
        (self._folder / "containers.conf").write_text(CONFIGURATION.format(runtime=runtime))
        archive = self._folder / "rootfs.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(root, arcname=".")
        self._podman("import", "--quiet", str(archive), IMAGE)
        return self

    def __exit__(self, *_: object) -> None:
        self._podman("rm", "--all", "--force", "--time=0")
        _remove_folder(self._folder)
        with self._users, contextlib.suppress(BlockingIOError):  # another test's containers are made there
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(_parents())

    def run(self, script: str, *options: str) -> Container:
        """Start a container that runs a shell script; `options` are podman's own."""
        ident = self._podman("run", "--detach", *options, IMAGE, "/bin/sh", "-c", script)
        pid = int(self._podman("inspect", "--format={{.State.Pid}}", ident))
        return Container(ident, pid)

    def configure_root(self) -> Path:
        """Make the storage folder a root under which `--path.rootfs` finds this podman's store."""
        folder = self._folder / "etc/containers"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "storage.conf").write_text(
            '[storage]\ndriver = "vfs"\ngraphroot = "/storage"\nrunroot = "/run"\n'
        )
        return self._folder

    def rename(self, old: str, new: str) -> None:
        """Give a container another name."""
        self._podman("rename", old, new)

    def name_of(self, container: Container) -> str:
        """The name podman shows."""
        return self._podman("inspect", "--format={{.Name}}", container.id)

    def remove(self, container: Container) -> None:
        """Kill and remove it; it and its cgroup are gone afterwards."""
        self._podman("rm", "--force", "--time=0", container.id)

    def favour(self) -> None:
        """Let the containers have the CPUs before everything else on the machine, within their quotas."""
        for parent in _parents():
            favour(parent)

    def _podman(self, *arguments: str) -> str:
        command = [
            "podman",
            f"--root={self._folder}/storage",
            f"--runroot={self._folder}/run",
            f"--tmpdir={self._folder}/tmp",
            "--storage-driver=vfs",
            *arguments,
        ]
        environment = os.environ | {"CONTAINERS_CONF": f"{self._folder}/containers.conf"}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"podman {arguments[0]} failed: {done.stderr}")
        return done.stdout.strip()


def favour(folder: Path) -> None:
    """Give a cgroup the greatest weight, where the cpu controller is on."""
    for name, most in (("cpu.shares", "262144"), ("cpu.weight", "10000")):
        if (folder / name).exists():
            (folder / name).write_text(most)


def _parents() -> list[Path]:
    """Podman's parent cgroup in every hierarchy that has one."""
    base = Path(HostFS().cgroupfs)
    folders = [base, *(folder for folder in base.iterdir() if folder.is_dir())]
    return [folder / CGROUP_PARENT for folder in folders if (folder / CGROUP_PARENT).is_dir()]


def _remove_folder(folder: Path) -> None:
    """Remove a storage folder; a conmon that is about to end may have podman look into it once more."""
    deadline = time.monotonic() + 20
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _remove(parents: list[Path]) -> None:
    """Remove the parents and the empty cgroups in them; a conmon that is about to end may hold one."""
    deadline = time.monotonic() + 5
    for parent in parents:
        folders = [*(child for child in parent.iterdir() if child.is_dir()), parent]
        for folder in folders:
            while folder.is_dir() and time.monotonic() < deadline:
                try:
                    folder.rmdir()
                except OSError:
                    time.sleep(0.05)
