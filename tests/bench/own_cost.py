"""What a running process has used so far, as the kernel counts it."""

from __future__ import annotations

import re
import time
from pathlib import Path


def cpu_ns(pid: int) -> int:
    """CPU time of the process and its threads in nanoseconds (CPUCLOCK_SCHED of the pid)."""
    return time.clock_gettime_ns(((~pid) << 3) | 2)


def rss_mib(pid: int | str = "self") -> float:
    """Resident memory in MiB, shared pages of files included."""
    match = re.search(r"^VmRSS:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    if match is None:
        raise ProcessLookupError(pid)
    return int(match[1]) / 1024
