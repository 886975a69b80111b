"""Power over time as cumulative energy in integer microjoules, with nothing lost to rounding (pure)."""

from __future__ import annotations

_UNITS_PER_UJ = 2_000_000_000  # one unit is half a microwatt nanosecond


class PowerIntegral:
    """Energy of a power known at both ends of each interval.

    What is less than a microjoule is carried to the next interval, so `energy_uj` is the exact integral
    rounded down, however many intervals it was made of.
    """

    __slots__ = ("_rest", "energy_uj")

    def __init__(self) -> None:
        self.energy_uj = 0
        self._rest = 0

    def accrue(self, start_uw: int, end_uw: int, duration_ns: int) -> None:
        """Add an interval over which the power went from `start_uw` to `end_uw` in a straight line."""
        energy_uj, self._rest = divmod(self._rest + (start_uw + end_uw) * duration_ns, _UNITS_PER_UJ)
        self.energy_uj += energy_uj


class SampledPower:
    """Energy of a power that is sampled now and then, by the trapezoid rule.

    Two samples further apart than `max_gap_ns` are not joined: nothing is known of the time between,
    `energy_uj` stays as it is and `gaps` counts it. Time is whatever clock the caller uses throughout.
    """

    __slots__ = ("_at_ns", "_integral", "_max_gap_ns", "_power_uw", "gaps")

    def __init__(self, max_gap_ns: int) -> None:
        self.gaps = 0
        self._max_gap_ns = max_gap_ns
        self._integral = PowerIntegral()
        self._at_ns: int | None = None
        self._power_uw = 0

    @property
    def energy_uj(self) -> int:
        """Energy since the first sample, gaps left out."""
        return self._integral.energy_uj

    def sample(self, at_ns: int, power_uw: int) -> None:
        """Take a sample; one that is not later than the previous one replaces it."""
        if self._at_ns is not None:
            duration_ns = at_ns - self._at_ns
            if duration_ns > self._max_gap_ns:
                self.gaps += 1
            elif duration_ns > 0:
                self._integral.accrue(self._power_uw, power_uw, duration_ns)
        self._at_ns = at_ns
        self._power_uw = power_uw
