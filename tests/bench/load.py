"""Real processes in real cgroups, as many as a benchmark asks for.

Each container is a shell that works a little on every pulse and, usually, nine processes that sleep. Every
container is thus active in every tick, which is the worst case for the agent. They lie side by side as
Docker's do, or by twos in pods as on a Kubernetes node, which adds a cgroup and a workload per pod.
Needs root, a writable cgroup hierarchy and `busybox`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

CGROUPS = Path("/sys/fs/cgroup")
PREFIX = "wattledger-bench-"
PER_CONTAINER = 10
SPIN = 100  # rounds of an empty shell loop on each pulse
START_TIMEOUT_S = 120.0

WORKER = """\
for folder in {folders}; do echo $$ > $folder/cgroup.procs; done
n={sleepers}
while [ $n -gt 0 ]; do "$0" sleep 7200 > /dev/null 2>&1 & n=$((n-1)); done
echo ready
while read -r x; do {work}i=0; while [ $i -lt {spin} ]; do i=$((i+1)); done; done
kill -9 0
"""


class NoLoadError(Exception):
    """This machine cannot carry the load; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A cgroup hierarchy with CPU times: its root, and the `--path.cgroupfs` that shows it to the agent."""

    version: str
    root: Path
    cgroupfs: Path


def hierarchies() -> list[Hierarchy]:
    """Those the agent can read here, v2 first."""
    found = [
        Hierarchy("v2", root, root)
        for root in (CGROUPS, CGROUPS / "unified")
        if (root / "cgroup.controllers").exists()
    ]
    found += [
        Hierarchy("v1", root, CGROUPS)
        for root in (CGROUPS / "cpu,cpuacct", CGROUPS / "cpuacct")
        if (root / "cpuacct.usage").exists()
    ]
    return found[:2]


class Load:
    """`processes` processes in `containers` containers, alive within the `with` block.

    They end by themselves when this process does, whatever ends it: each container's shell reads from a
    pipe of ours and kills its own process group at the end of it.
    """

    def __init__(self, processes: int, containers: int, *, pods: bool = False) -> None:
        busybox = shutil.which("busybox")
        if busybox is None:
            raise NoLoadError("busybox is missing; `apt-get install busybox-static`")
        if os.geteuid() != 0:
            raise NoLoadError("cgroups can be made by root only")
        self._busybox = busybox
        self._roots = [one.root / f"{PREFIX}{os.getpid()}" for one in hierarchies()]
        if not self._roots:
            raise NoLoadError(f"no cgroup hierarchy with CPU times under {CGROUPS}")
        self._sizes = _spread(processes, containers)
        self._pods = pods
        self._leaders: list[int] = []
        self._pulses: list[int] = []
        self._folders: list[Path] = []

    def __enter__(self) -> Load:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def cgroups(self, hierarchy: Hierarchy) -> list[Path]:
        """Every cgroup that was made in this hierarchy."""
        return [folder for folder in self._folders if folder.is_relative_to(hierarchy.root)]

    def pulse(self) -> None:
        """Let every container work a little; one of them starts a process, too."""
        for fd in self._pulses:
            with contextlib.suppress(BlockingIOError):
                os.write(fd, b"\n")

    def _start(self) -> None:
        for root in self._roots:
            self._make(root)
        ready, told = os.pipe()
        try:
            for number, size in enumerate(self._sizes):
                self._start_container(number, size, told)
            os.close(told)
            told = -1
            self._wait_ready(ready)
        finally:
            os.close(ready)
            if told >= 0:
                os.close(told)

    def _start_container(self, number: int, size: int, told: int) -> None:
        folders = [str(self._make(root / self._path(number))) for root in self._roots]
        pulses, pulse = os.pipe()
        os.set_blocking(pulse, False)
        work = '"$0" true; ' if number == 0 else ""
        script = WORKER.format(folders=" ".join(folders), sleepers=size - 1, work=work, spin=SPIN)
        try:
            leader = os.posix_spawn(
                self._busybox,
                [self._busybox, "sh", "-c", script, self._busybox],
                {},
                file_actions=[(os.POSIX_SPAWN_DUP2, pulses, 0), (os.POSIX_SPAWN_DUP2, told, 1)],
                setpgroup=0,
            )
        finally:
            os.close(pulses)
        self._leaders.append(leader)
        self._pulses.append(pulse)

    def _wait_ready(self, ready: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        left = len(self._leaders) * len(b"ready\n")
        while left > 0:
            waited, _, _ = select.select([ready], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(ready, 65536) if waited else b""
            if not data:
                raise NoLoadError(f"{left // 6} containers did not come up")
            left -= len(data)

    def _path(self, number: int) -> str:
        """Where a container's cgroup lies, as its runtime names it."""
        if not self._pods:
            return f"system.slice/docker-{number:064x}.scope"
        pod = f"kubepods-burstable-pod{number // 2:08x}_0000_4000_8000_000000000000.slice"
        return f"kubepods.slice/kubepods-burstable.slice/{pod}/cri-containerd-{number:064x}.scope"

    def _make(self, folder: Path) -> Path:
        """Make a cgroup with all above it, and remember what was made."""
        if not folder.exists():
            self._make(folder.parent)
            folder.mkdir()
            self._folders.append(folder)
        return folder

    def _end(self) -> None:
        for fd in self._pulses:
            os.close(fd)
        for leader in self._leaders:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(leader, signal.SIGKILL)
        for leader in self._leaders:
            os.waitpid(leader, 0)
        self._pulses, self._leaders = [], []
        for folder in reversed(self._folders):
            _remove(folder)
        self._folders = []


def _spread(processes: int, containers: int) -> list[int]:
    each, rest = divmod(processes, containers)
    return [each + (number < rest) for number in range(containers)]


def _remove(folder: Path) -> None:
    """Remove an emptied cgroup; its last processes may take a moment to be reaped."""
    for _ in range(500):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            time.sleep(0.01)
        else:
            return
    raise OSError(errno.EBUSY, f"{folder} still holds processes")
