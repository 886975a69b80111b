"""The one rule for how long a fetched or read series is believed (pure).

A value holds until the next one begins. The age of what is known is counted from the earlier of two
moments: when its source was last seen alive, and the end of its point. Beyond its maximum age it is not
known any more.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from datetime import UTC, datetime
from operator import attrgetter

from ..model import S_NS, Intensity
from .intensity import IntensitySource
from .series import Point, Series

NEVER_NS = 1 << 63
"""A moment after all others."""

_start = attrgetter("start_ns")


def known_at(series: Series, wall_ns: int, fresh_ns: int, max_age_ns: int) -> Point | None:
    """The point covering a moment, else the newest before it, None when that is too old or there is none.

    `fresh_ns` is when the source was last seen alive: the last successful fetch, or the last look at a file
    that was still the same. All times are wall time.
    """
    point = series.before(wall_ns)
    if point is None or wall_ns - min(fresh_ns, point.end_ns) > max_age_ns:
        return None
    return point


def why_unknown(series: Series, wall_ns: int) -> str:
    """Why `known_at` has nothing for a moment, in words."""
    newest = series.before(wall_ns)
    if newest is None:
        return f"all values lie in the future, from {stamp(series.points[0].start_ns)} on"
    return f"the newest value is too old: it held until {stamp(newest.end_ns)}"


def stamp(wall_ns: int) -> str:
    """A moment in UTC to the second, whatever a clock or a service says of it."""
    try:
        return datetime.fromtimestamp(wall_ns // S_NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{wall_ns // S_NS} s"


def next_change(series: Series, wall_ns: int, fresh_ns: int, max_age_ns: int) -> int:
    """The first moment after `wall_ns` at which `known_at` may answer something else; NEVER_NS for none."""
    points = series.points
    index = bisect_right(points, wall_ns, key=_start)
    next_start_ns = points[index].start_ns if index < len(points) else NEVER_NS
    if index == 0:
        return next_start_ns
    unknown_ns = min(fresh_ns, points[index - 1].end_ns) + max_age_ns + 1
    return min(unknown_ns, next_start_ns) if unknown_ns > wall_ns else next_start_ns


def intensity_of(series: Series, point: Point, fresh_ns: int, max_age_ns: int) -> Intensity:
    """A point with its provenance; one that began after its series was fetched is a forecast: estimated.

    `updated_ns` is the moment from which its age is counted, so that it is given up at the age `max_age_ns`.
    """
    return Intensity(
        grams_per_kwh=point.value,
        provider=series.provider,
        grid_zone=series.grid_zone,
        basis=series.basis,
        kind=series.kind,
        estimated=point.estimated or point.start_ns > series.fetched_ns,
        updated_ns=min(fresh_ns, point.end_ns),
        flow=series.flow,
        licence=series.licence,
        max_age_ns=max_age_ns,
    )


def known_or_fallback(
    series: Series | None, wall_ns: int, *, fresh_ns: int, max_age_ns: int, fallback: IntensitySource
) -> Intensity:
    """What is known at a moment, else what the fallback gives then, marked as a fallback."""
    point = known_at(series, wall_ns, fresh_ns, max_age_ns) if series else None
    if series is None or point is None:
        return replace(fallback.at(wall_ns), fallback=True)
    return intensity_of(series, point, fresh_ns, max_age_ns)


def mean_known(
    series: Series | None,
    start_ns: int,
    end_ns: int,
    *,
    fresh_ns: int,
    max_age_ns: int,
    fallback: IntensitySource,
) -> Intensity:
    """The mean over an interval of `known_or_fallback`, exact at every step, the fallback's own included.

    The provenance is that of the interval's last moment. An empty or backward interval has the value at its
    end.
    """
    if series is None:
        return replace(fallback.over(start_ns, end_ns), fallback=True)
    if end_ns <= start_ns:
        return known_or_fallback(series, end_ns, fresh_ns=fresh_ns, max_age_ns=max_age_ns, fallback=fallback)
    weighted, from_ns = 0.0, start_ns
    while True:
        to_ns = min(next_change(series, from_ns, fresh_ns, max_age_ns), end_ns)
        point = known_at(series, from_ns, fresh_ns, max_age_ns)
        if point is None:
            piece = replace(fallback.over(from_ns, to_ns), fallback=True)
        else:
            piece = intensity_of(series, point, fresh_ns, max_age_ns)
        if from_ns == start_ns and to_ns >= end_ns:
            return piece
        weighted += piece.grams_per_kwh * (to_ns - from_ns)
        if to_ns >= end_ns:
            return replace(piece, grams_per_kwh=weighted / (end_ns - start_ns))
        from_ns = to_ns
