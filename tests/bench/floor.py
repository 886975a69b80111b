"""What the kernel alone takes to tell the CPU time of cgroups, which no agent can save."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

USAGE_FILES = {"v1": "cpuacct.usage", "v2": "cpu.stat"}


def measure_floor(
    folders: Sequence[Path], version: str, *, rounds: int, between: Callable[[], None]
) -> float:
    """CPU milliseconds of a `pread` of each usage file and nothing else: the median of some rounds."""
    fds = [os.open(folder / USAGE_FILES[version], os.O_RDONLY) for folder in folders]
    try:
        spent_ns = []
        for _ in range(rounds):
            between()
            began_ns = time.thread_time_ns()
            for fd in fds:
                os.pread(fd, 64, 0)
            spent_ns.append(time.thread_time_ns() - began_ns)
    finally:
        for fd in fds:
            os.close(fd)
    return statistics.median(spent_ns) / 1e6
