"""Grid intensity by the time of the week."""

from __future__ import annotations

from dataclasses import replace

from ...model import Intensity
from ..intensity import mean_over
from ..series import Point, Series
from .weekly import Weekly

_MOST_POINTS = 10_000
"""Bounds the answer to an absurd span; a year of hourly steps is 8,760."""


class Scheduled:
    """An IntensitySource whose value follows a weekly schedule; everything else is that of `like`."""

    def __init__(self, weekly: Weekly, like: Intensity) -> None:
        self._weekly = weekly
        self._by_value = {value: replace(like, grams_per_kwh=value) for value in weekly.values}
        self._like = like

    def at(self, wall_ns: int) -> Intensity:
        return self._by_value[self._weekly.at(wall_ns)]

    def over(self, start_ns: int, end_ns: int) -> Intensity:
        return mean_over(self.at, self._weekly.next_step, start_ns, end_ns)

    def series(self, start_ns: int, end_ns: int) -> Series | None:
        """The steps of a span as points. A schedule is as sure of tomorrow as of now: none is a forecast."""
        points: list[Point] = []
        while start_ns < end_ns and len(points) < _MOST_POINTS:
            edge_ns = min(self._weekly.next_step(start_ns), end_ns)
            points.append(Point(start_ns, edge_ns, self._weekly.at(start_ns)))
            start_ns = edge_ns
        like = self._like
        return Series(
            points=tuple(points),
            provider=like.provider,
            grid_zone=like.grid_zone,
            basis=like.basis,
            kind=like.kind,
            flow=like.flow,
            licence=like.licence,
            fetched_ns=end_ns,
        )
