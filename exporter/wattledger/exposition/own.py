"""What the agent says about itself beyond a snapshot: its build and the standard process metrics."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Mapping

from .. import __version__
from ..hostfs import read_bytes

_PROC = "/proc"  # the agent's own, wherever the host's is
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def build_labels(revision: str = "") -> Mapping[str, str]:
    """The labels of `build_info`; `revision` is the source revision where the package knows it."""
    return {"version": __version__, "revision": revision, "python_version": platform.python_version()}


class OwnProcess:
    """The standard process metrics of this process.

    The agent holds a descriptor per cgroup, so where the kernel counts them they are not listed.
    """

    def __init__(self) -> None:
        self._booted_s = _boot_time_s()

    def values(self) -> Mapping[str, float]:
        """Each metric's value by sample name; what /proc does not tell is missing."""
        values: dict[str, float] = {}
        try:
            # proc_pid_stat(5), from field 3 on: 14 utime, 15 stime, 22 starttime, 23 vsize, 24 rss.
            fields = read_bytes(f"{_PROC}/self/stat").rpartition(b")")[2].split()
            values["process_cpu_seconds_total"] = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
            values["process_virtual_memory_bytes"] = int(fields[20])
            values["process_resident_memory_bytes"] = int(fields[21]) * _PAGE_BYTES
            if self._booted_s is not None:
                values["process_start_time_seconds"] = self._booted_s + int(fields[19]) / _TICKS_PER_S
            values["process_open_fds"] = _open_fds()
        except (OSError, IndexError, ValueError):
            pass  # each is only information
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if limit != resource.RLIM_INFINITY:
            values["process_max_fds"] = limit
        return values


def _open_fds() -> int:
    """Since Linux 6.2 the size of the folder is their number (proc_readfd_count in fs/proc/fd.c)."""
    folder = f"{_PROC}/self/fd"
    return os.stat(folder).st_size or len(os.listdir(folder)) - 1


def _boot_time_s() -> int | None:
    try:
        stat = read_bytes(f"{_PROC}/stat", 1 << 20)
        return int(stat[stat.index(b"\nbtime ") + 7 :].split(None, 1)[0])
    except (OSError, IndexError, ValueError):
        return None
