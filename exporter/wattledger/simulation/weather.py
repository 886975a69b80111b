"""What a made-up grid emits per kilowatt hour, half hour by half hour (pure).

A power system covers its demand with what runs around the clock, the sun and the wind, and burns fuel for
the rest. So intensity follows the day, dips at noon where there is sun, moves over days with the wind, and is
lower at weekends. Nothing here stands for a real place.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from math import cos, pi, sqrt

from ..model import S_NS

STEP_NS = 1800 * S_NS
LOWEST_G, HIGHEST_G = 20.0, 900.0
FIRM_G, SUN_G, WIND_G = 18.0, 48.0, 11.0
"""Lifecycle g/kWh: IPCC AR5 WG3 annex III medians, for `FIRM_G` between nuclear (12) and hydro (24)."""
LEAST_BURNT = 0.02
STEPS_PER_DAY, STEPS_PER_HOUR = 48, 2
EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday
RUN_STEPS = 12
"""A weather forecast is computed four times a day; what it gets wrong stays wrong until the next run."""
LARGEST_ERROR_AT_A_DAY = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """A power system; `firm`, `sun` (a clear noon) and `wind` (a gale) are shares of its mean demand.

    `fuel_g` is what the rest emits per kWh, `noon_hour` the UTC hour at which the sun is highest.
    """

    zone: str
    firm: float
    sun: float
    wind: float
    fuel_g: float
    noon_hour: float = 12.0


def grams_per_kwh(mix: Mix, seed: int, step: int) -> float:
    """The intensity of a half hour, counted since the epoch; to a tenth of a gram, 20 to 900."""
    key = f"{mix.zone} {seed}"
    day, half_hour = divmod(step, STEPS_PER_DAY)
    hour = (half_hour + 0.5) / STEPS_PER_HOUR
    demand = _demand(hour, weekend=(day + EPOCH_WEEKDAY) % 7 >= 5)
    demand *= 1.0 + 0.02 * (2.0 * smooth(f"{key} demand", step, 3) - 1.0)
    clouds = smooth(f"{key} clouds", step, 10)
    sun = mix.sun * _height(hour - mix.noon_hour) * (1.0 - 0.6 * clouds)
    gusts, front = smooth(f"{key} gusts", step, 12), smooth(f"{key} front", step, 84)
    wind = mix.wind * (0.3 * gusts + 0.7 * front) ** 1.5
    offered = mix.firm + sun + wind
    burnt = max(LEAST_BURNT * demand, demand - offered)
    clean_g = (mix.firm * FIRM_G + sun * SUN_G + wind * WIND_G) / offered
    grams = (burnt * mix.fuel_g + (demand - burnt) * clean_g) / demand
    return _bounded(grams)


def forecast(mix: Mix, seed: int, step: int, made: int) -> float:
    """What was said at half hour `made` of a later one: off by up to 15 % a day ahead, 21 % at two.

    The error grows with the square root of the horizon, as that of weather forecasts does in its first days.
    """
    run = made // RUN_STEPS
    largest = LARGEST_ERROR_AT_A_DAY * sqrt(max(0, step - made) / STEPS_PER_DAY)
    error = 2.0 * smooth(f"{mix.zone} {seed} run {run}", step, 8) - 1.0
    return _bounded(grams_per_kwh(mix, seed, step) * (1.0 + largest * error))


def chance(key: str) -> float:
    """A number from 0 up to 1 that only depends on the key, on every machine."""
    return int.from_bytes(blake2b(key.encode(), digest_size=6).digest(), "big") / (1 << 48)


def smooth(key: str, step: int, length: int) -> float:
    """A course from 0 to 1 that turns every `length` steps, at random by its key."""
    knot, within = divmod(step, length)
    before, after = chance(f"{key} {knot}"), chance(f"{key} {knot + 1}")
    return before + (after - before) * (0.5 - 0.5 * cos(pi * within / length))


def _demand(hour: float, *, weekend: bool) -> float:
    """Demand over its mean: least at 03:00, with a shoulder in the morning and its peak in the evening."""
    course = 1.0 - 0.15 * cos((hour - 3.0) * (2.0 * pi / 24.0)) - 0.07 * cos((hour - 1.5) * (4.0 * pi / 24.0))
    return course * (0.88 if weekend else 1.0)


def _height(from_noon: float) -> float:
    """How high the sun stands, 0 to 1, up from about 6:30 to 17:30."""
    return max(0.0, cos(from_noon * (2.0 * pi / 24.0)) - 0.13) / 0.87


def _bounded(grams: float) -> float:
    return round(min(HIGHEST_G, max(LOWEST_G, grams)), 1)
