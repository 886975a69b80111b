"""The processes that used most CPU time since the previous scan: a detail inside workloads."""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..hostfs import HostFS
from ..model import ProcessUse, Workload
from .cputime import ProcessStat, ProcessTimes
from .naming import label

_CANDIDATES_PER_PLACE = 4
_REPLACE_NS = 30_000_000_000


@dataclass(slots=True)
class _Home:
    """Where a process was seen to live; `settled` once looked at twice."""

    start: int
    path: str
    looked_ns: int
    settled: bool


class Processes:
    """Reads every process's CPU time and describes those at the top.

    `path_of` takes the text of a process's `cgroup` file, `owner_of` the path and whether it is a
    kernel thread; None from either leaves the process out.
    """

    def __init__(
        self,
        hostfs: HostFS,
        times: ProcessTimes,
        *,
        top: int,
        path_of: Callable[[str], str | None],
        owner_of: Callable[[str, bool], Workload | None],
    ) -> None:
        self._procfs = hostfs.procfs
        self._times = times
        self._limit = top * _CANDIDATES_PER_PLACE
        self._path_of = path_of
        self._owner_of = owner_of
        self._used_ns: dict[int, int] = {}
        self._forks: int | None = None
        self._homes: dict[int, _Home] = {}
        self._previous_ns: int | None = None

    def scan(self, now_ns: int, forks: int | None) -> tuple[ProcessUse, ...]:
        """Those that used CPU time since the previous scan, most first; nothing on the first scan.

        `now_ns` is boot time, `forks` the host's count of processes ever made, None if unknown:
        where none was made, none is new. A process born since the previous scan counts from its start,
        also under a pid that another one had.
        """
        if forks is None or forks != self._forks:
            self._list()
        self._forks = forks
        busy = self._read_clocks() if self._times.by_clock else self._read_each()
        previous_ns, self._previous_ns = self._previous_ns, now_ns
        if previous_ns is None:
            return ()
        uses: list[ProcessUse] = []
        homes: dict[int, _Home] = {}
        for delta_ns, pid in heapq.nlargest(self._limit, busy):
            stat = self._times.stat(pid)
            if stat is None:
                continue
            # Born since the previous scan, perhaps under the pid of another that used less.
            born = stat.started_ns > previous_ns
            home = homes[pid] = self._home(pid, stat, now_ns)
            workload = self._owner_of(home.path, stat.kernel_thread) if home.path else None
            if workload is not None:
                used_ns = self._used_ns[pid] if born else delta_ns
                uses.append(ProcessUse(pid, stat.start, label(stat.comm), workload, used_ns))
        self._homes = homes
        return tuple(uses)

    def _list(self) -> None:
        try:
            listing = set(map(int, filter(str.isdecimal, os.listdir(self._procfs))))
        except OSError:
            return
        for pid in self._used_ns.keys() - listing:
            del self._used_ns[pid]
        for pid in listing - self._used_ns.keys():
            self._used_ns[pid] = 0

    def _read_clocks(self) -> list[tuple[int, int]]:
        clocks = [((~pid) << 3) | 2 for pid in self._used_ns]  # clock_id(), inlined
        try:
            after = list(map(time.clock_gettime_ns, clocks))
        except OSError:
            return self._read_each()
        busy: list[tuple[int, int]] = []
        for (pid, before_ns), after_ns in zip(self._used_ns.items(), after, strict=True):
            if after_ns != before_ns:
                busy.append((after_ns - before_ns if after_ns > before_ns else after_ns, pid))
                self._used_ns[pid] = after_ns
        return busy

    def _read_each(self) -> list[tuple[int, int]]:
        busy: list[tuple[int, int]] = []
        for pid, before_ns in list(self._used_ns.items()):
            after_ns = self._times.cpu_ns(pid)
            if after_ns is None:
                del self._used_ns[pid]
            elif after_ns != before_ns:
                self._used_ns[pid] = after_ns
                busy.append((after_ns - before_ns if after_ns > before_ns else after_ns, pid))
        return busy

    def _home(self, pid: int, stat: ProcessStat, now_ns: int) -> _Home:
        home = self._homes.get(pid)
        known = home is not None and home.start == stat.start
        if home is not None and known and home.settled and now_ns - home.looked_ns < _REPLACE_NS:
            return home
        path = self._path_of(self._times.membership(pid)) or ""
        return _Home(stat.start, path, now_ns, known)
