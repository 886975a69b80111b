"""Energy-Charts of Fraunhofer ISE: European countries in quarter-hours, measured and forecast."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal

import msgspec

from ...errors import SettingsError
from ...model import S_NS
from ...settings import IntensitySettings
from ..live.fetch import FetchError, Get, Request
from ..series import Series
from .answers import LATEST_NS, ask
from .facts import ENERGY_CHARTS as FACTS
from .samples import DAY_NS, MINUTE_NS, Sample, points_of, step_ns

_SERVICE = "energy-charts"
_COUNTRY = re.compile(r"[A-Za-z]{2,3}")


class _Answer(msgspec.Struct):
    unix_seconds: list[int]
    co2eq: list[float | None]
    co2eq_forecast: list[float | None] | None = None


class EnergyCharts:
    """Provider `energy-charts`: yesterday, today and what is forecast of tomorrow.

    A step has its measured value where there is one, else its forecast, marked as estimated. The answer
    names no country, so that it cannot be compared with the one asked for.
    """

    name: Literal["energy-charts"] = "energy-charts"
    min_refresh_ns = FACTS.min_refresh_ns

    def __init__(self, settings: IntensitySettings) -> None:
        if not _COUNTRY.fullmatch(settings.grid_zone):
            raise SettingsError(f"grid_zone {settings.grid_zone!r}: {FACTS.zones}")
        self._zone = settings.grid_zone
        self._url = (settings.url or FACTS.url).rstrip("/")

    def fetch(self, get: Get, now_ns: int) -> Series:
        request = Request(
            url=f"{self._url}/co2eq",
            query={
                "country": self._zone.lower(),
                "start": _day(now_ns - DAY_NS),
                "end": _day(now_ns + DAY_NS),
            },
        )
        answer = ask(get, request, _Answer, service=_SERVICE, zones=FACTS.zones, keyed=False)
        return Series(
            points=points_of(_samples(answer), now_ns, service=_SERVICE),
            provider=self.name,
            grid_zone=self._zone,
            basis="lifecycle",
            licence=FACTS.licence,
            fetched_ns=now_ns,
        )


def _samples(answer: _Answer) -> list[Sample]:
    starts_s = answer.unix_seconds
    forecasts = answer.co2eq_forecast
    if forecasts is None:
        forecasts = [None] * len(starts_s)
    if not len(starts_s) == len(answer.co2eq) == len(forecasts):
        raise FetchError("bad_data", f"{_SERVICE}: the answer's lists differ in length")
    starts_ns = [start_s * S_NS for start_s in starts_s]
    if not all(0 <= start_ns < LATEST_NS for start_ns in starts_ns):
        raise FetchError("bad_data", f"{_SERVICE}: a time in the answer is not in seconds since 1970")
    length_ns = step_ns(starts_ns, 15 * MINUTE_NS)
    return [
        Sample(start_ns, start_ns + length_ns, forecast if value is None else value, value is None)
        for start_ns, value, forecast in zip(starts_ns, answer.co2eq, forecasts, strict=True)
    ]


def _day(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns // S_NS, UTC).strftime("%Y-%m-%d")
