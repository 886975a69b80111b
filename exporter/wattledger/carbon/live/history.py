"""Series laid over one another: the newest word on every moment (pure)."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise
from operator import attrgetter

from msgspec.structs import replace

from ...model import S_NS
from ..series import Point, Series

KEPT_NS = 7 * 86400 * S_NS
"""How far back the course reaches, for ranking."""
POINT_LIMIT = 20_000
"""Two weeks at one point a minute; a longer series is no answer to what was asked."""
_MAX_G_PER_KWH = 5000.0

_end = attrgetter("end_ns")


def fault_of(series: Series) -> str:
    """What makes a series useless: empty, too long, out of order or out of range; "" for a good one."""
    points = series.points
    top = 100.0 if series.unit == "percentile" else _MAX_G_PER_KWH
    if not points:
        return "no values"
    if len(points) > POINT_LIMIT:
        return f"more than {POINT_LIMIT} values"
    if not all(math.isfinite(point.value) and 0.0 <= point.value <= top for point in points):
        return f"values beyond 0 to {top:g}"
    if not all(0 <= point.start_ns < point.end_ns < 1 << 63 for point in points):
        return "values that hold for no time"
    if any(before.end_ns > after.start_ns for before, after in pairwise(points)):
        return "values that overlap"
    return ""


def overlay(old: Series | None, new: Series, now_ns: int) -> Series:
    """`new`, and of `old` what lies between a week ago and now where `new` says nothing.

    A forecast that has become past stays an estimate. `old` is left out where it is of another kind.
    """
    if old is None or _kind(old) != _kind(new):
        return new
    kept: list[Point] = []
    for point in old.points:
        start_ns, end_ns = max(point.start_ns, now_ns - KEPT_NS), min(point.end_ns, now_ns)
        if start_ns < end_ns:
            estimated = point.estimated or point.start_ns > old.fetched_ns
            kept += _uncovered(Point(start_ns, end_ns, point.value, estimated), new.points)
    room = POINT_LIMIT - len(new.points)
    if not kept or room <= 0:
        return new
    return replace(new, points=tuple(sorted((*kept[-room:], *new.points), key=attrgetter("start_ns"))))


def between(series: Series, start_ns: int, end_ns: int) -> Series | None:
    """The points that reach into a span; None when there are none."""
    points = series.points
    first = bisect_right(points, start_ns, key=_end)
    last = first
    while last < len(points) and points[last].start_ns < end_ns:
        last += 1
    return replace(series, points=points[first:last]) if first < last else None


def _uncovered(point: Point, cover: tuple[Point, ...]) -> list[Point]:
    """The parts of a point outside of all the others."""
    parts: list[Point] = []
    from_ns = point.start_ns
    for other in cover[bisect_right(cover, point.start_ns, key=_end) :]:
        if other.start_ns >= point.end_ns:
            break
        if other.start_ns > from_ns:
            parts.append(replace(point, start_ns=from_ns, end_ns=other.start_ns))
        from_ns = other.end_ns
    if from_ns < point.end_ns:
        parts.append(replace(point, start_ns=from_ns))
    return parts


def _kind(series: Series) -> tuple[str, ...]:
    return (series.provider, series.grid_zone, series.basis, series.kind, series.flow, series.unit)
