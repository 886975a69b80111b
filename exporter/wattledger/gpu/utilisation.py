"""Busy time of processes on a board, from the driver's utilisation samples (pure).

The driver keeps the last ten seconds in a ring of 72 samples, each with the one process that was active, and
answers with the mean of each process over the samples newer than a time stamp. So the busy time of a process
is its mean times that window, and the windows must join without overlap.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

RING_US = 10_000_000
"""What the driver's ring holds (`NV2080_CTRL_PERF_GPUMON_SAMPLE_COUNT_PERFMON_UTIL`: it wraps after 10 s)."""

AHEAD_US = 2_000_000
PID_LIMIT = 1 << 22
"""PID_MAX_LIMIT of 64-bit Linux (`include/linux/threads.h`)."""

REMEMBERED_US = 60_000_000
"""For so long is the busy time of a process told that is no longer seen."""


class Sample(NamedTuple):
    """Mean use of one process over a window: percent of the multiprocessors, encoder and decoder."""

    pid: int
    at_us: int
    sm: int
    encoder: int
    decoder: int


def is_pid(pid: int) -> bool:
    """Whether a number can be a process: neither 0 nor 0xFFFFFFFF nor a size in bytes."""
    return 0 < pid <= PID_LIMIT


def plausible(samples: Iterable[Sample], since_us: int, now_us: int) -> list[Sample]:
    """The samples without the garbage that drivers leave in the array they fill.

    A process that has ended meanwhile stays: its work was real.
    """
    return [
        sample
        for sample in samples
        if is_pid(sample.pid)
        and max(sample.sm, sample.encoder, sample.decoder) <= 100
        and since_us < sample.at_us <= now_us + AHEAD_US
    ]


class BusyTime:
    """Busy microseconds of each process on one board, cumulative.

    Where nobody used the multiprocessors in a window, those who used the encoder or decoder count.
    """

    def __init__(self, since_us: int) -> None:
        """Begin at a moment (Unix microseconds), which may lie in the past as far as the ring goes."""
        self.busy_us: dict[int, int] = {}
        self._since_us = since_us
        self._seen_us: dict[int, int] = {}

    def since_us(self, now_us: int) -> int:
        """The time stamp to ask from: the newest sample seen, within the ring, not after a clock set back."""
        if self._since_us > now_us + AHEAD_US:
            self._since_us = now_us
        self._since_us = max(self._since_us, now_us - RING_US)
        return self._since_us

    def take(self, samples: Iterable[Sample], now_us: int) -> None:
        """Add the answer to the last `since_us`; an empty one means that nobody worked."""
        since_us = self.since_us(now_us)
        good = plausible(samples, since_us, now_us)
        if not good:
            self._since_us = max(since_us, now_us - 1_000_000)
            return
        newest_us = max(sample.at_us for sample in good)
        window_us = newest_us - since_us
        computing = any(sample.sm for sample in good)
        for sample in good:
            used = sample.sm if computing else max(sample.encoder, sample.decoder)
            if used:
                self.add(sample.pid, used * window_us // 100, now_us)
        self._since_us = newest_us

    def add(self, pid: int, busy_us: int, now_us: int) -> None:
        """Add work known from elsewhere."""
        self._seen_us[pid] = now_us
        self.busy_us[pid] = self.busy_us.get(pid, 0) + busy_us

    def forget(self, living: Collection[int], now_us: int) -> None:
        """Drop processes that ended and whose work everybody has read by now."""
        for pid, seen_us in list(self._seen_us.items()):
            if pid not in living and now_us - seen_us > REMEMBERED_US:
                del self._seen_us[pid]
                self.busy_us.pop(pid, None)


def difference(earlier: dict[int, int], later: dict[int, int]) -> dict[int, int]:
    """What each process did between two cumulative accounts; one that was forgotten meanwhile starts at 0."""
    done: dict[int, int] = {}
    for pid, busy_us in later.items():
        before_us = earlier.get(pid, 0)
        worked_us = busy_us - before_us if busy_us >= before_us else busy_us
        if worked_us > 0:
            done[pid] = worked_us
    return done
