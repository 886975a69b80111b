"""Intensity over time: what every source of it, live or not, comes down to (pure)."""

from __future__ import annotations

from bisect import bisect_right
from typing import Literal

import msgspec

from ..model import Basis, Flow

Unit = Literal["g/kWh", "percentile"]


class Point(msgspec.Struct, frozen=True, gc=False):
    """The intensity from `start_ns` up to but not including `end_ns` (wall time)."""

    start_ns: int
    end_ns: int
    value: float
    estimated: bool = False


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Points in order of time, without overlap, gaps allowed, and where they come from.

    `unit` is `percentile` for a steering signal that is no intensity at all (0 best, 100 worst).
    `generated_ns` is when the source made it, as far as it says, and `fetched_ns` when it was fetched, by
    this host's clock. Points that begin after `fetched_ns` are a forecast.
    """

    points: tuple[Point, ...]
    provider: str
    grid_zone: str = ""
    basis: Basis = "lifecycle"
    kind: Literal["average", "marginal"] = "average"
    flow: Flow = ""
    unit: Unit = "g/kWh"
    licence: str = ""
    generated_ns: int = 0
    fetched_ns: int = 0

    def at(self, wall_ns: int) -> Point | None:
        """The point that covers a moment, None in a gap and beyond the ends."""
        index = bisect_right(self.points, wall_ns, key=_start) - 1
        if index < 0 or wall_ns >= self.points[index].end_ns:
            return None
        return self.points[index]

    def before(self, wall_ns: int) -> Point | None:
        """The newest point that began at or before a moment, covering it or not."""
        index = bisect_right(self.points, wall_ns, key=_start) - 1
        return self.points[index] if index >= 0 else None


def _start(point: Point) -> int:
    return point.start_ns
