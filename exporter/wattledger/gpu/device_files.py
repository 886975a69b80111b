"""Which processes have a file below /dev/dri open.

The only way to know is to read the links in /proc/PID/fd, about 2 us each, so it is rationed. A process is
looked at when it is new, again after 4, 8 and 16 s (programs open the GPU late in their start), then every
LOOK_EVERY_NS, with at most `LINKS_PER_SCAN` links read per scan; what is left waits for the next one.
A process whose number of open files did not change is taken to have the same files open, up to
`TRUSTED_LOOKS` times (Linux 6.2 and newer tell the number in one call).
"""

from __future__ import annotations

import heapq
import itertools
import os
from collections.abc import Collection, Mapping

from ..clock import Clock
from ..hostfs import HostFS, read_bytes
from ..model import S_NS

LOOK_EVERY_NS = 30 * S_NS
FIRST_AGAIN_NS = 4 * S_NS
LINKS_PER_SCAN = 500
LINKS_PER_PROCESS = 1024
"""A process with more open files than this is looked at up to here only; GPUs are opened early."""
TRUSTED_LOOKS = 20


class _Process:
    """What is known of one process: when it is due, and how long after that it will be again."""

    __slots__ = ("delay_ns", "due_ns", "links", "trusted")

    def __init__(self, delay_ns: int) -> None:
        self.delay_ns = delay_ns
        self.due_ns = 0
        self.links = -1
        self.trusted = 0


class DeviceFiles:
    """Keeps `open_files`, the descriptors below /dev/dri by process, up to date at a bounded cost."""

    def __init__(self, hostfs: HostFS, clock: Clock) -> None:
        self._procfs = hostfs.procfs
        self._clock = clock
        self._processes: dict[int, _Process] = {}
        self._due: list[tuple[int, int]] = []
        self._open: dict[int, tuple[int, ...]] = {}
        self._denied: set[int] = set()
        self._newest = b""

    @property
    def open_files(self) -> Mapping[int, tuple[int, ...]]:
        """Descriptors by process, processes in the order in which they were found."""
        return self._open

    @property
    def denied(self) -> int:
        """How many processes could not be looked into; CAP_SYS_PTRACE opens those of other users."""
        return len(self._denied)

    def start(self) -> None:
        """Look at every process once, whatever it costs, and spread their next looks over time."""
        now_ns = self._clock.boottime_ns()
        pids = sorted(self._list())
        for position, pid in enumerate(pids):
            self._processes[pid] = _Process(LOOK_EVERY_NS)
            self._look(pid)
            self._schedule(pid, now_ns + LOOK_EVERY_NS * (position + 1) // len(pids))

    def scan(self) -> Collection[int]:
        """Find new processes and look at those that are due; returns the pids that were looked at."""
        now_ns = self._clock.boottime_ns()
        self._follow(now_ns)
        looked: list[int] = []
        links = 0
        while self._due and self._due[0][0] <= now_ns and links < LINKS_PER_SCAN:
            due_ns, pid = heapq.heappop(self._due)
            process = self._processes.get(pid)
            if process is None or process.due_ns != due_ns:
                continue  # dead, or scheduled anew
            links += self._look(pid)
            looked.append(pid)
            self._schedule(pid, now_ns + process.delay_ns)
            process.delay_ns = min(2 * process.delay_ns, LOOK_EVERY_NS)
        return looked

    def recheck(self, pid: int) -> None:
        """A descriptor of the process is not what it was: look at all of them at the next scan."""
        if pid in self._processes:
            self._processes[pid].links = -1
            self._schedule(pid, 0)

    def _schedule(self, pid: int, due_ns: int) -> None:
        """Look at the process at `due_ns`, and not at the time that was set before."""
        self._processes[pid].due_ns = due_ns
        heapq.heappush(self._due, (due_ns, pid))

    def _follow(self, now_ns: int) -> None:
        """Take up new processes and drop the dead; the last field of loadavg is the newest pid."""
        try:
            newest = read_bytes(f"{self._procfs}/loadavg", 128).rsplit(None, 1)[-1]
        except (OSError, IndexError):
            newest = b""
        if newest and newest == self._newest:
            return
        self._newest = newest
        listing = self._list()
        for pid in self._processes.keys() - listing:
            del self._processes[pid]
            self._open.pop(pid, None)
            self._denied.discard(pid)
        for pid in listing - self._processes.keys():
            self._processes[pid] = _Process(FIRST_AGAIN_NS)
            self._schedule(pid, now_ns)

    def _list(self) -> set[int]:
        try:
            return set(map(int, filter(str.isdecimal, os.listdir(self._procfs))))
        except OSError:
            return set()

    def _look(self, pid: int) -> int:
        """Look at the open files of a process; returns how many links were read, at least 1."""
        process = self._processes[pid]
        folder = f"{self._procfs}/{pid}/fd"
        found: list[int] = []
        links = 0
        try:
            if process.trusted and os.stat(folder).st_size == process.links:
                process.trusted -= 1
                return 1
            with os.scandir(folder) as entries:
                for entry in itertools.islice(entries, LINKS_PER_PROCESS):
                    links += 1
                    if _leads_to_gpu(entry.path):
                        found.append(int(entry.name))
            process.trusted = TRUSTED_LOOKS if links == os.stat(folder).st_size else 0
        except PermissionError:
            self._denied.add(pid)
            self._open.pop(pid, None)
            return 1
        except (OSError, ValueError):
            found = []
        process.links = links
        self._denied.discard(pid)
        if found:
            self._open[pid] = tuple(sorted(found))
        else:
            self._open.pop(pid, None)
        return links + 1


def _leads_to_gpu(link: str) -> bool:
    try:
        return os.readlink(link).startswith("/dev/dri/")
    except OSError:
        return False
