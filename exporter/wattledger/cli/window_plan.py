"""When to start something that can wait, and the wait itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..carbon.ahead.outlook import CURRENT_NS
from ..carbon.ahead.windows import Course, held
from ..carbon.intensity import IntensitySource
from ..carbon.series import Unit
from ..clock import Clock
from ..model import S_NS, Intensity

LOOK_S = 60.0
"""The longest sleep: forecasts change, clocks are set and machines are suspended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is wanted: a start from now to `latest_start_ns` for something that takes `duration_ns`.

    Waiting has to save at least the share `min_saving`, else it starts at once.
    """

    duration_ns: int
    latest_start_ns: int
    min_saving: float = 0.0

    @property
    def deadline_ns(self) -> int:
        return self.latest_start_ns + self.duration_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The window that was found at `made_ns`.

    `mean` and `now_mean` are in `unit`; the latter is that of starting at once, None where the forecast does
    not cover it. `known_until_ns` is how far the forecast looks, the deadline at most.
    """

    made_ns: int
    start_ns: int
    duration_ns: int
    mean: float
    now_mean: float | None
    unit: Unit
    known_until_ns: int
    deadline_ns: int
    source: Intensity

    @property
    def wait_ns(self) -> int:
        return max(0, self.start_ns - self.made_ns)

    @property
    def savings_ratio(self) -> float | None:
        """What waiting saves, 0 to 1; None where it cannot be told, as of percentiles."""
        if self.unit == "percentile" or self.now_mean is None:
            return None
        return max(0.0, 1.0 - self.mean / self.now_mean) if self.now_mean > 0 else 0.0


def plan(source: IntensitySource, wish: Wish, now_ns: int) -> Plan | None:
    """The best window from a moment on by what the source forecasts; None where it covers none."""
    series = source.series(now_ns - CURRENT_NS, wish.deadline_ns)
    if series is None:
        return None
    course = Course(held(series.points, now_ns, CURRENT_NS))
    best = course.best(wish.duration_ns, now_ns, wish.latest_start_ns)
    if best is None:
        return None
    found = Plan(
        made_ns=now_ns,
        start_ns=best.start_ns,
        duration_ns=wish.duration_ns,
        mean=best.mean,
        now_mean=course.mean(now_ns, now_ns + wish.duration_ns),
        unit=series.unit,
        known_until_ns=min(course.end_ns, wish.deadline_ns),
        deadline_ns=wish.deadline_ns,
        source=Intensity(
            grams_per_kwh=best.mean,
            provider=series.provider,
            grid_zone=series.grid_zone,
            basis=series.basis,
            kind=series.kind,
            flow=series.flow,
            licence=series.licence,
            estimated=True,
            fallback=source.at(now_ns).fallback,
            updated_ns=min(now_ns, series.generated_ns or series.fetched_ns),
        ),
    )
    saving = found.savings_ratio
    if saving is not None and found.now_mean is not None and saving < wish.min_saving:
        return replace(found, start_ns=now_ns, mean=found.now_mean)
    return found


def wait(
    held: Plan,
    ask: Callable[[int], Plan | None],
    clock: Clock,
    sleep: Callable[[float], object],
    tell: Callable[[Plan], object],
) -> Plan:
    """Sleep until the planned start by the wall clock; the plan that held at the end.

    `ask` gives the plan by the newest forecast, as seen from a moment of wall time, and is asked once a
    minute; `tell` is called with each plan that changes the start. Without a forecast the last plan holds.
    """
    while (now_ns := clock.wall_ns()) < held.start_ns:
        sleep(min(LOOK_S, (held.start_ns - now_ns) / S_NS))
        fresh = ask(clock.wall_ns())
        if fresh is None or not _is_better_founded(fresh, held):
            continue
        moved = fresh.start_ns != held.start_ns
        held = fresh
        if moved:
            tell(held)
    return held


def _is_better_founded(fresh: Plan, held: Plan) -> bool:
    """Whether a newer plan replaces one.

    One by a fallback does not replace one by the source itself, and one that no longer looks as far ahead
    does not either, unless it found something better.
    """
    if fresh.source.fallback != held.source.fallback:
        return held.source.fallback
    return fresh.known_until_ns >= held.known_until_ns or fresh.mean < held.mean
