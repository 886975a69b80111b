"""Injected time: what the node's clocks say."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """The three clocks the agent needs, each in nanoseconds."""

    def boottime_ns(self) -> int:
        """CLOCK_BOOTTIME: never steps, runs on during suspend. Differences of it are intervals."""

    def monotonic_ns(self) -> int:
        """CLOCK_MONOTONIC: never steps, stands still during suspend."""

    def wall_ns(self) -> int:
        """CLOCK_REALTIME since the Unix epoch. Chooses the intensity, never measures an interval."""


def suspended_ns(clock: Clock) -> int:
    """How long the machine has slept since boot.

    The least of three looks: whoever loses the CPU between the two reads of one seems to have slept.
    """
    return min(-clock.monotonic_ns() + clock.boottime_ns() for _ in range(3))


class SystemClock:
    """The clocks of this machine."""

    def boottime_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        return time.time_ns()


@dataclass(slots=True)
class ManualClock:
    """A clock that moves only when told to; for the simulated host and for tests."""

    now_ns: int = 1_000_000_000_000
    suspended_ns: int = 0
    epoch_ns: int = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z, at now_ns == 0

    def boottime_ns(self) -> int:
        return self.now_ns

    def monotonic_ns(self) -> int:
        return self.now_ns - self.suspended_ns

    def wall_ns(self) -> int:
        return self.epoch_ns + self.now_ns

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.now_ns += round(seconds * 1e9)

    def suspend(self, seconds: float) -> None:
        """Let `seconds` pass with the machine suspended."""
        self.advance(seconds)
        self.suspended_ns += round(seconds * 1e9)
