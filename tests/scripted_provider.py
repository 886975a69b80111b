"""A live provider that answers from a script, and the series to put into it.

Times are hours after `EPOCH_NS`, which is 2026-01-01T00:00:00Z.
"""

from __future__ import annotations

from collections.abc import Callable

from wattledger.carbon.live.fetch import Get
from wattledger.carbon.series import Point, Series

EPOCH_NS = 1_767_225_600_000_000_000
HOUR_NS = 3600 * 10**9


def hour(number: float) -> int:
    """A moment."""
    return EPOCH_NS + round(number * HOUR_NS)


def hourly(*values: float, first: float = 0, **given: object) -> Series:
    """A series of hours from `first` on."""
    points = tuple(Point(hour(first + i), hour(first + i + 1), value) for i, value in enumerate(values))
    return Series(points=points, **{"provider": "energy-charts", "grid_zone": "DE", **given})


class ScriptedProvider:
    """Gives its steps in order, the last one for ever: a series, an exception to raise, or a call to make."""

    name = "energy-charts"

    def __init__(self, *steps: Series | Exception | Callable[[], Series], min_refresh_s: float = 300) -> None:
        self.steps = list(steps)
        self.min_refresh_ns = round(min_refresh_s * 1e9)
        self.asked_ns: list[int] = []

    def fetch(self, get: Get, now_ns: int) -> Series:
        self.asked_ns.append(now_ns)
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if isinstance(step, Exception):
            raise step
        return step() if callable(step) else step
