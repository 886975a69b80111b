"""What the grid will do, from the course of one source (pure)."""

from __future__ import annotations

from ...model import Intensity, Outlook, Window
from ..series import Point, Series
from .ranking import HOUR_NS, Ranker, rank
from .windows import Course, held

HORIZON_HOURS = (1, 3, 6, 12, 24)
WINDOW_HOURS = (1, 2, 4, 8)
AHEAD_NS = 24 * HOUR_NS
BEHIND_NS = 168 * HOUR_NS
CURRENT_NS = HOUR_NS
"""How long the last known value stands for the present, where a source or its forecast is late."""


def outlook(series: Series | None, now_ns: int, ranker: Ranker) -> Outlook | None:
    """The next hours, the best windows and the state of now; None where there is no course in time.

    `series` should reach from `now_ns - BEHIND_NS` to `now_ns + AHEAD_NS` as far as that is known, and
    `ranker` is the same one every time: it remembers the state. A window lies within the next 24 hours; it is
    left out where none of its duration is known, or where the same time from now on is not known. The state
    is unknown where there is no value for now, nor one that ended less than an hour ago.
    A course that holds for all times, as a schedule does, is made now.
    Of percentiles there are no means, and the windows hold means of percentiles (`unit` says so).
    """
    if series is None or not series.points:
        return None
    points = held(series.points, now_ns, CURRENT_NS)
    course = Course([point for point in points if point.end_ns > now_ns])
    now = _present(series, now_ns)
    means = {hours: course.mean(now_ns, now_ns + hours * HOUR_NS) for hours in HORIZON_HOURS}
    windows = [_window(course, hours * HOUR_NS, now_ns) for hours in WINDOW_HOURS]
    return Outlook(
        source=_source(series, now or series.before(now_ns) or series.points[0]),
        generated_ns=min(now_ns, series.generated_ns or series.fetched_ns),
        means={hours: mean for hours, mean in means.items() if mean is not None and series.unit == "g/kWh"},
        windows=tuple(window for window in windows if window is not None),
        state=ranker.settle(now_ns, _rank(series, now, now_ns)),
        unit=series.unit,
    )


def _present(series: Series, now_ns: int) -> Point | None:
    """The point that stands for now."""
    point = series.before(now_ns)
    return point if point is not None and now_ns < point.end_ns + CURRENT_NS else None


def _window(course: Course, duration_ns: int, now_ns: int) -> Window | None:
    best = course.best(duration_ns, now_ns, now_ns + AHEAD_NS - duration_ns)
    at_once = course.mean(now_ns, now_ns + duration_ns)
    if best is None or at_once is None:
        return None
    return Window(
        duration_ns=duration_ns,
        start_ns=best.start_ns,
        grams_per_kwh=best.mean,
        now_grams_per_kwh=at_once,
    )


def _rank(series: Series, now: Point | None, now_ns: int) -> float | None:
    if now is None:
        return None
    if series.unit == "percentile":
        return now.value / 100
    return rank(series.points, now.value, now_ns - BEHIND_NS, now_ns + AHEAD_NS)


def _source(series: Series, point: Point) -> Intensity:
    """The provenance of the series with the value of a point of it."""
    return Intensity(
        grams_per_kwh=point.value,
        provider=series.provider,
        grid_zone=series.grid_zone,
        basis=series.basis,
        kind=series.kind,
        estimated=point.estimated or point.start_ns > series.fetched_ns,
        updated_ns=point.start_ns,
        flow=series.flow,
        licence=series.licence,
    )
