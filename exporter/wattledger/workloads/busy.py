"""The host's busy time from /proc/stat."""

from __future__ import annotations

import os
from dataclasses import dataclass

_CHUNK = 32 * 1024  # a larger buffer would be mapped and unmapped at every read
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class HostStat:
    """Sums over all CPUs since boot.

    `busy_ns` excludes idle, iowait and steal and contains `irq_ns` (interrupts and soft interrupts).
    `forks` counts processes and threads ever made, None where the kernel does not say.
    Resolution is 10 ms and the kernel samples these at its tick.
    """

    busy_ns: int
    irq_ns: int
    cpus: int
    forks: int | None


def read_stat(procfs: str) -> HostStat:
    """Read `stat` once; raises OSError when it cannot be read or has no `cpu` line."""
    path = f"{procfs}/stat"
    data = _read_whole(path)
    head = data[: data.find(b"\n")].split()
    try:
        if head[0] != b"cpu":
            raise ValueError
        # Fields of the cpu line (proc_stat(5)): user nice system idle iowait irq softirq steal ...
        user, nice, system, _, _, irq, softirq = map(int, head[1:8])
    except (IndexError, ValueError):
        raise OSError(f"{path}: no cpu line") from None
    return HostStat(
        busy_ns=(user + nice + system + irq + softirq) * _TICK_NS,
        irq_ns=(irq + softirq) * _TICK_NS,
        cpus=max(1, data.count(b"\ncpu")),
        forks=_forks(data),
    )


def _read_whole(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = chunk = os.read(fd, _CHUNK)
        while len(chunk) == _CHUNK:
            chunk = os.read(fd, _CHUNK)
            data += chunk
        return data
    finally:
        os.close(fd)


def _forks(data: bytes) -> int | None:
    start = data.find(b"\nprocesses ")
    if start < 0:
        return None
    try:
        return int(data[start + 11 : data.find(b"\n", start + 11)])
    except ValueError:
        return None
