"""Green, amber or red: where the present stands among the days around it (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...model import S_NS, SignalState
from ..series import Point

HOUR_NS = 3600 * S_NS
LEAST_COURSE_NS = 6 * HOUR_NS
DWELL_NS = 15 * 60 * S_NS
FLAT_RATIO = 0.02
MIDDLE = 0.5

_ENTER_GREEN, _LEAVE_GREEN = 0.33, 0.40
_LEAVE_RED, _ENTER_RED = 0.60, 0.67


def rank(points: Iterable[Point], value: float, start_ns: int, end_ns: int) -> float | None:
    """The share of the time of a span, 0 to 1, in which the course was below a value.

    Of the time at exactly the value, half counts. A course that is flat has no low and no high, so there the
    answer is the middle: flat is what spreads by less than 2 % of its mean from its 5th to its 95th
    percentile, the value included. None where less than 6 hours of the span are known.
    """
    weights = _weights(points, start_ns, end_ns)
    known_ns = sum(weight_ns for _, weight_ns in weights)
    if known_ns < LEAST_COURSE_NS:
        return None
    mean = sum(height * weight_ns for height, weight_ns in weights) / known_ns
    low, high = _percentile(weights, known_ns, 0.05), _percentile(weights, known_ns, 0.95)
    if max(high, value) - min(low, value) < FLAT_RATIO * mean or max(high, value) == min(low, value):
        return MIDDLE
    below_ns = sum(weight_ns for height, weight_ns in weights if height < value)
    equal_ns = sum(weight_ns for height, weight_ns in weights if height == value)
    return (below_ns + equal_ns / 2) / known_ns


def _weights(points: Iterable[Point], start_ns: int, end_ns: int) -> list[tuple[float, int]]:
    """Value and nanoseconds within the span of each point that has a part in it, lowest value first."""
    cut = ((one.value, min(one.end_ns, end_ns) - max(one.start_ns, start_ns)) for one in points)
    return sorted((value, weight_ns) for value, weight_ns in cut if weight_ns > 0)


def _percentile(weights: Sequence[tuple[float, int]], known_ns: int, share: float) -> float:
    """The least value that is not exceeded for this share of the time."""
    passed_ns = 0
    for value, weight_ns in weights:
        passed_ns += weight_ns
        if passed_ns >= share * known_ns:
            return value
    return weights[-1][0]


class Ranker:
    """Turns ranks into a state that does not flicker.

    Green is entered at a rank of 0.33 and left above 0.40, red entered at 0.67 and left below 0.60, and a
    state holds for 15 minutes at least. Without a rank the state is unknown at once; it is known again as
    soon as there is a rank, and then goes on from the state before. One that has just been made (a restart)
    takes the state of its first rank.
    """

    def __init__(self) -> None:
        self._state: SignalState | None = None
        self._since_ns = 0

    def settle(self, now_ns: int, rank: float | None) -> SignalState:
        """The state at a moment of wall time, given the rank of the present, None for not known."""
        if rank is None:
            return "unknown"
        wanted = self._wanted(rank)
        dwells = self._state is not None and 0 <= now_ns - self._since_ns < DWELL_NS
        if self._state is None or (wanted != self._state and not dwells):
            self._state, self._since_ns = wanted, now_ns
        return self._state

    def _wanted(self, rank: float) -> SignalState:
        if rank <= (_LEAVE_GREEN if self._state == "green" else _ENTER_GREEN):
            return "green"
        if rank >= (_LEAVE_RED if self._state == "red" else _ENTER_RED):
            return "red"
        return "amber"
