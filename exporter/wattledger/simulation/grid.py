"""A simulated grid: an intensity with a past, a present and a forecast, and the truth behind its grams."""

from __future__ import annotations

from dataclasses import replace

from ..carbon.intensity import mean_over
from ..carbon.series import Point, Series
from ..clock import Clock
from ..model import S_NS, Intensity
from . import weather
from .weather import STEP_NS, Mix

PROVIDER = "simulated"
PAST_STEPS, AHEAD_STEPS = 7 * weather.STEPS_PER_DAY, 2 * weather.STEPS_PER_DAY
MAX_AGE_NS = 6 * 3600 * S_NS
KEPT = 20_000
"""Half hours remembered, more than a year."""


class SimulatedGrid:
    """An IntensitySource that is always up to date; for any thread.

    The same mix and seed give the same course at the same time, on every machine. The forecast reaches two
    days ahead, is made anew every half hour, and is wrong by more the further ahead it looks.
    """

    def __init__(self, mix: Mix, clock: Clock, seed: int = 1) -> None:
        self.mix = mix
        self._clock = clock
        self._seed = seed
        self._values: dict[int, float] = {}
        self._template = Intensity(
            grams_per_kwh=0.0,
            provider=PROVIDER,
            grid_zone=mix.zone,
            flow="consumption",
            max_age_ns=MAX_AGE_NS,
        )
        self._newest: tuple[int, Intensity] = (-1, self._template)
        self._series: tuple[tuple[int, int, int], Series] | None = None

    def at(self, wall_ns: int) -> Intensity:
        """What holds in the half hour of a moment, as published at its start."""
        step = wall_ns // STEP_NS
        newest, intensity = self._newest
        if newest != step:
            intensity = replace(self._template, grams_per_kwh=self._value(step), updated_ns=step * STEP_NS)
            self._newest = (step, intensity)
        return intensity

    def over(self, start_ns: int, end_ns: int) -> Intensity:
        """The mean over an interval, exact at every half hour."""
        return mean_over(self.at, _next_step, start_ns, end_ns)

    def series(self, start_ns: int, end_ns: int) -> Series | None:
        """The past week and the forecast of two days, as far as the span reaches."""
        now = self._clock.wall_ns() // STEP_NS
        first = max(start_ns // STEP_NS, now - PAST_STEPS)
        last = min(-(-end_ns // STEP_NS), now + 1 + AHEAD_STEPS)
        key = (now, first, last)
        if self._series is None or self._series[0] != key:
            self._series = (key, self._make_series(now, first, last))
        return self._series[1]

    def integral(self, start_ns: int, end_ns: int, watts: float) -> float:
        """The true grams of a constant power between two moments of wall time, without PUE."""
        gram_ns = 0.0
        for step in range(start_ns // STEP_NS, -(-end_ns // STEP_NS)):
            length_ns = min(end_ns, (step + 1) * STEP_NS) - max(start_ns, step * STEP_NS)
            gram_ns += self._value(step) * length_ns
        return watts / 1000 * gram_ns / (3600 * S_NS)

    def _value(self, step: int) -> float:
        value = self._values.get(step)
        if value is None:
            if len(self._values) >= KEPT:
                self._values = {}
            value = self._values[step] = weather.grams_per_kwh(self.mix, self._seed, step)
        return value

    def _make_series(self, now: int, first: int, last: int) -> Series:
        known = [
            Point(i * STEP_NS, (i + 1) * STEP_NS, self._value(i)) for i in range(first, min(now + 1, last))
        ]
        told = [
            Point(i * STEP_NS, (i + 1) * STEP_NS, weather.forecast(self.mix, self._seed, i, now), True)
            for i in range(max(now + 1, first), last)
        ]
        return Series(
            points=(*known, *told),
            provider=PROVIDER,
            grid_zone=self.mix.zone,
            flow="consumption",
            generated_ns=now * STEP_NS,
            fetched_ns=now * STEP_NS,
        )


def _next_step(wall_ns: int) -> int:
    return (wall_ns // STEP_NS + 1) * STEP_NS
