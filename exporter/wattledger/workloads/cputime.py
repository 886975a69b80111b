"""CPU time of single processes."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..hostfs import HostFS, read_bytes

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PF_KTHREAD = 0x00200000  # include/linux/sched.h


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """What /proc/PID/stat says; `start` is field 22, in clock ticks since boot."""

    comm: str
    kernel_thread: bool
    cpu_ns: int
    start: int

    @property
    def started_ns(self) -> int:
        """When the process started, in boot time."""
        return self.start * _TICK_NS


def parse_stat(data: bytes) -> ProcessStat:
    """Parse /proc/PID/stat; raises ValueError.

    The command name is whatever lies between the first "(" and the last ")", any bytes at all;
    what is not UTF-8 becomes U+FFFD.
    """
    opening = data.index(b"(")
    closing = data.rindex(b")")
    fields = data[closing + 2 :].split()
    try:
        return ProcessStat(
            comm=data[opening + 1 : closing].decode("utf-8", "replace"),
            kernel_thread=bool(int(fields[6]) & _PF_KTHREAD),
            cpu_ns=(int(fields[11]) + int(fields[12])) * _TICK_NS,
            start=int(fields[19]),
        )
    except IndexError:
        raise ValueError(data) from None


class ProcessTimes:
    """Reads the CPU time of processes, by their CPU clock where that is possible.

    The clock (CPUCLOCK_SCHED of a pid, see clock_getcpuclockid(3)) counts the whole thread group,
    exited threads included, in nanoseconds, needs neither a descriptor nor a privilege, and costs a
    twentieth of reading `stat`. It takes pids of the agent's own pid namespace, so it is used
    only if `procfs` shows that one.
    """

    def __init__(self, hostfs: HostFS) -> None:
        self._procfs = hostfs.procfs
        self.by_clock = shows_own_pids(hostfs)

    def cpu_ns(self, pid: int) -> int | None:
        """CPU time the process used since its start, None if it is gone."""
        if self.by_clock:
            try:
                return time.clock_gettime_ns(clock_id(pid))
            except OSError:
                return None
        stat = self.stat(pid)
        return None if stat is None else stat.cpu_ns

    def each_cpu_ns(self, pids: Collection[int]) -> Sequence[int | None]:
        """What `cpu_ns` gives for each of these processes, a few times faster while all of them live."""
        if self.by_clock:
            try:
                return list(map(time.clock_gettime_ns, map(clock_id, pids)))
            except OSError:
                pass  # one is gone
        return [self.cpu_ns(pid) for pid in pids]

    def stat(self, pid: int | str) -> ProcessStat | None:
        """The process's `stat`, None if it is gone, hidden or unreadable."""
        try:
            return parse_stat(read_bytes(f"{self._procfs}/{pid}/stat", 4096))
        except (OSError, ValueError):
            return None

    def membership(self, pid: int | str) -> str:
        """The text of the process's `cgroup` file, "" if it is gone or hidden."""
        try:
            return os.fsdecode(read_bytes(f"{self._procfs}/{pid}/cgroup"))
        except OSError:
            return ""


def clock_id(pid: int) -> int:
    """The id of a process's CPU clock: MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED)."""
    return ((~pid) << 3) | 2


def shows_own_pids(hostfs: HostFS) -> bool:
    """True if `procfs` numbers processes as this process's own pid namespace does."""
    try:
        return os.readlink(f"{hostfs.procfs}/self") == str(os.getpid())
    except OSError:
        return False
