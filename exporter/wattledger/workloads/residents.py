"""Who lives in the root cgroup: kernel threads, and on some hosts everybody else."""

from __future__ import annotations

import os

from ..hostfs import HostFS, read_whole
from .cputime import ProcessTimes
from .namespace import CgroupNamespace

_REFRESH_NS = 30_000_000_000
_READ_LIMIT = 1 << 20


class Residents:
    """Tells the kernel's share of what the root cgroup used beyond its children.

    The list of processes in `/` is renewed every 30 s: from the root's `cgroup.procs` where the agent
    shares the host's pid namespace, else from the `cgroup` file of each process.
    """

    def __init__(self, hostfs: HostFS, namespace: CgroupNamespace | None, times: ProcessTimes) -> None:
        self._procfs = hostfs.procfs
        self._namespace = namespace
        self._times = times
        self._refreshed_ns: int | None = None
        self._at_root: dict[int, bool] = {}
        self._users: set[int] = set()
        self._threads: dict[int, int] = {}

    @property
    def has_users(self) -> bool:
        """True if other than kernel threads live in `/`."""
        return bool(self._users)

    def kernel_ns(self, now_ns: int) -> int:
        """CPU time of the kernel threads in `/` since the previous call; 0 while nobody else lives there."""
        if self._refreshed_ns is None or now_ns - self._refreshed_ns >= _REFRESH_NS:
            self._refreshed_ns = now_ns
            self._refresh()
        if not self._users:
            self._threads = dict.fromkeys(self._threads, -1)
            return 0
        used_ns = 0
        ended: list[int] = []
        after = self._times.each_cpu_ns(self._threads)
        for (pid, before_ns), after_ns in zip(self._threads.items(), after, strict=True):
            if after_ns is None or after_ns < before_ns:
                ended.append(pid)  # whoever has this pid now is looked at on the next refresh
                continue
            if before_ns >= 0:
                used_ns += after_ns - before_ns
            self._threads[pid] = after_ns
        for pid in ended:
            del self._threads[pid]
        return used_ns

    def _refresh(self) -> None:
        present = self._pids()
        for pid in self._users - present:
            self._users.discard(pid)
        for pid in self._threads.keys() - present:
            del self._threads[pid]
        for pid in present - self._users - self._threads.keys():
            stat = self._times.stat(pid)
            if stat is None:
                continue
            if stat.kernel_thread:
                self._threads[pid] = -1
            else:
                self._users.add(pid)

    def _pids(self) -> set[int]:
        if self._namespace is not None and self._times.by_clock:
            try:
                listing = read_whole(f"{self._namespace.hierarchy.root}/cgroup.procs", _READ_LIMIT)
            except OSError:
                return set()
            # Processes outside the reader's pid namespace show up as 0.
            return {int(pid) for pid in listing.split() if pid != b"0"}
        try:
            pids = {int(name) for name in os.listdir(self._procfs) if name.isdecimal()}
        except OSError:
            return set()
        if self._namespace is None:
            return pids
        known = self._at_root
        # A pid is looked at again on the first refresh after it was found: processes move after fork.
        self._at_root = {pid: known.get(pid, False) for pid in pids}
        for pid in pids:
            if pid not in known or known[pid]:
                path = self._namespace.path_of(self._times.membership(pid))
                self._at_root[pid] = path == "/"
        return {pid for pid, at_root in self._at_root.items() if at_root}
