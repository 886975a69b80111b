"""The Web API of the Carbon Aware SDK: whatever source its operator put behind it, in g/kWh."""

from __future__ import annotations

import re
from typing import Literal, TypeVar

import msgspec

from ...errors import SettingsError
from ...model import S_NS
from ...settings import IntensitySettings
from ..live.fetch import FetchError, Get, Request
from ..series import Series
from .answers import ask, instant_ns, stamp
from .facts import CARBON_AWARE_SDK as FACTS
from .facts import kind_of
from .parts import Part
from .samples import DAY_NS, MINUTE_NS, Sample, points_of, step_ns

T = TypeVar("T")

_SERVICE = "carbon-aware-sdk"
_TIMESPAN = re.compile(r"(?:(\d{1,3})\.)?(\d\d):(\d\d):(\d\d)(?:\.\d+)?")


class _Emissions(msgspec.Struct):
    time: str
    rating: float | None = None
    location: str | None = None
    duration: str | None = None


class _Point(msgspec.Struct):
    timestamp: str
    value: float | None = None
    duration: float | None = None


class _Forecast(msgspec.Struct, rename="camel"):
    forecast_data: list[_Point]
    location: str | None = None
    generated_at: str | None = None


class CarbonAwareSdk:
    """Provider `carbon-aware-sdk`: the past day and the forecast, of which one is enough.

    The SDK does not say what it counts: marginal unless `settings.basis` states one (see `kind_of`). Its
    rows name the location in its source's words, so only the forecast's own location can be compared.
    """

    name: Literal["carbon-aware-sdk"] = "carbon-aware-sdk"
    min_refresh_ns = FACTS.min_refresh_ns

    def __init__(self, settings: IntensitySettings) -> None:
        if not settings.url:
            raise SettingsError("url: carbon-aware-sdk needs the address of your instance")
        self._settings = settings
        self._location = settings.grid_zone
        self._url = settings.url.rstrip("/")
        self._forecast = Part("carbon-aware-sdk forecast")

    def fetch(self, get: Get, now_ns: int) -> Series:
        samples: list[Sample] = []
        missing: FetchError | None = None
        try:
            samples = self._emissions(get, now_ns)
        except FetchError as error:
            if error.reason != "no_data":
                raise
            missing = error
        samples += self._forecast.ask(lambda: self._forecasts(get), now_ns)
        if not samples and missing is not None:
            raise missing
        return Series(
            points=points_of(samples, now_ns, service=_SERVICE),
            provider=self.name,
            grid_zone=self._location,
            basis=self._settings.basis or "direct",
            kind=kind_of(self._settings),
            flow=self._settings.flow or "",
            licence=FACTS.licence,
            fetched_ns=now_ns,
        )

    def _emissions(self, get: Get, now_ns: int) -> list[Sample]:
        query = {"location": self._location, "time": stamp(now_ns - DAY_NS), "toTime": stamp(now_ns)}
        rows = self._ask(get, "emissions/bylocation", query, list[_Emissions])
        if len({row.location for row in rows}) > 1:
            raise FetchError("bad_data", f"{_SERVICE}: answered for several locations at once")
        starts_ns = [instant_ns(row.time, service=_SERVICE) for row in rows]
        usual_ns = step_ns(starts_ns, 5 * MINUTE_NS)
        return [
            Sample(start_ns, start_ns + (_timespan_ns(row.duration) or usual_ns), row.rating)
            for start_ns, row in zip(starts_ns, rows, strict=True)
        ]

    def _forecasts(self, get: Get) -> list[Sample]:
        answers = self._ask(get, "emissions/forecasts/current", {"location": self._location}, list[_Forecast])
        if any((answer.location or self._location).lower() != self._location.lower() for answer in answers):
            raise FetchError("bad_data", f"{_SERVICE}: answered for another location than {self._location}")
        points = [point for answer in answers for point in answer.forecast_data]
        starts_ns = [instant_ns(point.timestamp, service=_SERVICE) for point in points]
        usual_ns = step_ns(starts_ns, 5 * MINUTE_NS)
        return [
            Sample(start_ns, start_ns + (_minutes_ns(point.duration) or usual_ns), point.value, True)
            for start_ns, point in zip(starts_ns, points, strict=True)
        ]

    def _ask(self, get: Get, path: str, query: dict[str, str], shape: type[T]) -> T:
        request = Request(url=f"{self._url}/{path}", query=query)
        return ask(get, request, shape, service=_SERVICE, zones=FACTS.zones, keyed=False)


def _minutes_ns(minutes: float | None) -> int | None:
    """A forecast point's duration; None where it says none, or none that can be."""
    if minutes is None or not 0 < minutes <= 1440:
        return None
    return int(minutes * MINUTE_NS)


def _timespan_ns(text: str | None) -> int | None:
    """A .NET TimeSpan, `[days.]hh:mm:ss`; None where it is none, or zero."""
    match = _TIMESPAN.fullmatch(text or "")
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * S_NS or None
