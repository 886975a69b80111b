"""Energy from power samples, and how far the board's own energy counter agrees with it (pure)."""

from __future__ import annotations

from collections.abc import Iterable

MAX_GAP_US = 5_000_000
"""Samples further apart are not joined: nothing is known of the time between them."""

BLOCK_US = 60_000_000
"""Over so long a counter and an integral are compared: the sensor steps every 20 to 100 ms."""

MAX_MW = 10_000_000
"""No board draws 10 kW: what lies above is no power."""


class PowerIntegral:
    """Energy of a sampled power by the trapezoid rule; milliwatts times microseconds are nanojoules.

    `covered_us` is the time that `energy_uj` covers, gaps left out; `newest_us` is 0 before the first sample.
    """

    def __init__(self) -> None:
        self.covered_us = 0
        self.newest_us = 0
        self._power_mw = 0
        self._half_nj = 0

    @property
    def energy_uj(self) -> int:
        """Energy since the first sample, rounded down."""
        return self._half_nj // 2000

    def take(self, samples: Iterable[tuple[int, int]]) -> None:
        """Add (Unix microseconds, milliwatts), oldest first; what is not newer or no power is left out."""
        for at_us, power_mw in samples:
            if at_us <= self.newest_us or not 0 <= power_mw <= MAX_MW:
                continue
            span_us = at_us - self.newest_us
            if self.newest_us and span_us <= MAX_GAP_US:
                self._half_nj += (self._power_mw + power_mw) * span_us
                self.covered_us += span_us
            self.newest_us = at_us
            self._power_mw = power_mw

    def rewind(self, now_us: int) -> None:
        """Begin anew after the wall clock was set back, which would make every sample look old."""
        if self.newest_us > now_us + MAX_GAP_US:
            self.newest_us = 0


class CrossCheck:
    """Mean power by the energy counter over mean power by integration, one block after the other.

    `ratio` is that of the last whole block: 1.0 when they agree, None before the first block.
    A restart of the counter begins a new block.
    """

    def __init__(self) -> None:
        self.ratio: float | None = None
        self._start: tuple[int, int, int, int] | None = None
        self._counter_uj = 0

    def take(self, at_us: int, counter_uj: int, integral: PowerIntegral) -> None:
        """Compare at a moment of a clock that never steps."""
        here = (at_us, counter_uj, integral.covered_us, integral.energy_uj)
        restarted = counter_uj < self._counter_uj
        self._counter_uj = counter_uj
        if self._start is None or restarted:
            self._start = here
            return
        span_us, moved_uj, covered_us, drawn_uj = (
            new - old for new, old in zip(here, self._start, strict=True)
        )
        if span_us < BLOCK_US:
            return
        if drawn_uj > 0 and covered_us * 2 > span_us:
            self.ratio = (moved_uj / span_us) / (drawn_uj / covered_us)
        self._start = here
