"""Means over any span of a course in time, and the best span of a duration (pure)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from ..series import Point


@dataclass(frozen=True, slots=True)
class Best:
    """The span of a duration with the lowest mean: from `start_ns` on, `mean` in the unit of the course."""

    start_ns: int
    mean: float


def held(points: Sequence[Point], now_ns: int, longest_ns: int) -> list[Point]:
    """The points, where the last one before `now_ns` holds until the next one begins, as prices do.

    That is so for a gap around now of at most `longest_ns`, such as between the newest measured step and a
    forecast from the next step on. All other gaps stay.
    """
    kept = list(points)
    index = bisect_right(kept, now_ns, key=lambda point: point.start_ns) - 1
    if 0 <= index < len(kept) - 1:
        last, next_ns = kept[index], kept[index + 1].start_ns
        if last.end_ns <= now_ns < next_ns <= last.end_ns + longest_ns:
            kept[index] = msgspec.structs.replace(last, end_ns=next_ns)
    return kept


class Course:
    """A step function of wall time with gaps, summed up once so that every question is answered fast.

    Sums are whole numbers (a float is a whole number of some power of two), so equal means are equal to the
    last bit and a tie is a tie. A mean is correctly rounded. Of percentiles it is the mean of percentiles,
    which ranks spans but is no percentile of anything.
    """

    def __init__(self, points: Sequence[Point]) -> None:
        """`points` in order of time and without overlap, as a Series has them."""
        kept = [point for point in points if point.end_ns > point.start_ns]
        ratios = [point.value.as_integer_ratio() for point in kept]
        self._scale = max((denominator for _, denominator in ratios), default=1)
        self._heights = [numerator * (self._scale // denominator) for numerator, denominator in ratios]
        self._starts = [point.start_ns for point in kept]
        self._ends = [point.end_ns for point in kept]
        self._sums = [0]
        for height, point in zip(self._heights, kept, strict=True):
            self._sums.append(self._sums[-1] + height * (point.end_ns - point.start_ns))
        self._known_until = list(self._ends)
        for index in range(len(kept) - 2, -1, -1):
            if self._ends[index] == self._starts[index + 1]:
                self._known_until[index] = self._known_until[index + 1]

    @property
    def end_ns(self) -> int:
        """The end of the last point, 0 where there is none."""
        return self._ends[-1] if self._ends else 0

    def known_until(self, at_ns: int) -> int | None:
        """The end of the gapless stretch that a moment lies in, None in a gap and beyond the ends."""
        index = bisect_right(self._starts, at_ns) - 1
        if index < 0 or at_ns >= self._ends[index]:
            return None
        return self._known_until[index]

    def mean(self, start_ns: int, end_ns: int) -> float | None:
        """The mean over a span, weighted by time; None where the span is empty or not known throughout."""
        until_ns = self.known_until(start_ns)
        if until_ns is None or not start_ns < end_ns <= until_ns:
            return None
        return (self._sum(end_ns) - self._sum(start_ns)) / (self._scale * (end_ns - start_ns))

    def best(self, duration_ns: int, earliest_ns: int, latest_ns: int) -> Best | None:
        """The span of a duration with the lowest mean that starts from `earliest_ns` to `latest_ns`.

        Among equals the earliest. None where no such span is known throughout.
        Between the moments at which either end of the span meets a step, the sum is a straight line of the
        start, so the lowest is at one of them or at the earliest or latest start.
        """
        if duration_ns <= 0:
            raise ValueError("a span needs a duration")
        least: tuple[int, int] | None = None
        for start_ns in self._candidates(duration_ns, earliest_ns, latest_ns):
            until_ns = self.known_until(start_ns)
            if until_ns is None or start_ns + duration_ns > until_ns:
                continue
            total = self._sum(start_ns + duration_ns) - self._sum(start_ns)
            if least is None or total < least[0]:
                least = (total, start_ns)
        return Best(least[1], least[0] / (self._scale * duration_ns)) if least else None

    def _candidates(self, duration_ns: int, earliest_ns: int, latest_ns: int) -> Iterable[int]:
        if latest_ns < earliest_ns:
            return ()
        found = {earliest_ns, latest_ns}
        for edges in (self._starts, self._ends):
            found.update(edge for edge in edges if earliest_ns < edge < latest_ns)
            found.update(edge - duration_ns for edge in edges if earliest_ns < edge - duration_ns < latest_ns)
        return sorted(found)

    def _sum(self, at_ns: int) -> int:
        """Height times time of all that is known before a moment."""
        index = bisect_right(self._starts, at_ns) - 1
        if index < 0:
            return 0
        return self._sums[index] + self._heights[index] * (
            min(at_ns, self._ends[index]) - self._starts[index]
        )
