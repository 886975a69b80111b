"""Grid carbon intensity, asked for a moment or an interval: the seam for every provider."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from ..model import Intensity
from .series import Series


class IntensitySource(Protocol):
    """What the grid emits per kilowatt hour.

    No method ever blocks, raises or answers zero for want of data: a source without a
    current value answers its fallback, marked as such. All times are CLOCK_REALTIME.
    """

    def at(self, wall_ns: int) -> Intensity:
        """The intensity that holds at a moment, with its provenance."""

    def over(self, start_ns: int, end_ns: int) -> Intensity:
        """The mean over an interval, weighted by time and exact at every step; provenance as of its end.

        An interval that is empty or runs backwards (the wall clock was set) has the value at its end.
        """

    def series(self, start_ns: int, end_ns: int) -> Series | None:
        """What is known and forecast of a span, for the outlook; None where there is no course in time."""


@dataclass(frozen=True, slots=True)
class Static:
    """One intensity for all times."""

    intensity: Intensity

    def at(self, wall_ns: int) -> Intensity:  # noqa: ARG002 - the protocol's parameter
        return self.intensity

    def over(self, start_ns: int, end_ns: int) -> Intensity:  # noqa: ARG002 - the protocol's parameters
        return self.intensity

    def series(self, start_ns: int, end_ns: int) -> Series | None:  # noqa: ARG002 - the protocol's parameters
        return None


def world_average() -> Intensity:
    """Mean of the world's electricity generation, 473 gCO2e/kWh, lifecycle, 2024; always a fallback.

    Source: Ember, yearly electricity data, world row of 2024 (472.94), CC BY 4.0.
    """
    return Intensity(
        grams_per_kwh=473.0,
        provider="default",
        grid_zone="WORLD",
        fallback=True,
        flow="production",
        licence="CC BY 4.0, Ember",
    )


def mean_over(
    at: Callable[[int], Intensity], next_step: Callable[[int], int], start_ns: int, end_ns: int
) -> Intensity:
    """The time-weighted mean of a step function, with the provenance of its last moment.

    `next_step` gives the first time after a moment at which the value may change. Both are asked
    for moments within the interval only.
    """
    if end_ns <= start_ns:
        return at(end_ns)
    last = at(start_ns)
    edge_ns = next_step(start_ns)
    if edge_ns >= end_ns:
        return last
    weighted, from_ns = 0.0, start_ns
    while True:
        to_ns = min(edge_ns, end_ns)
        weighted += last.grams_per_kwh * (to_ns - from_ns)
        if to_ns >= end_ns:
            return replace(last, grams_per_kwh=weighted / (end_ns - start_ns))
        last, from_ns, edge_ns = at(to_ns), to_ns, next_step(to_ns)
