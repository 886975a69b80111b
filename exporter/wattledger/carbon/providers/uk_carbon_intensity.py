"""The Carbon Intensity API of Great Britain: half-hours, national and by region, forecast for two days."""

from __future__ import annotations

import re
from typing import Literal, TypeVar

import msgspec

from ...errors import SettingsError
from ...settings import IntensitySettings
from ..live.fetch import FetchError, Get, Request
from ..series import Series
from .answers import ask, instant_ns, stamp
from .facts import UK_CARBON_INTENSITY as FACTS
from .parts import Part
from .samples import MINUTE_NS, Sample, points_of

T = TypeVar("T")

_SERVICE = "uk-carbon-intensity"
_HALF_HOUR_NS = 30 * MINUTE_NS
_REGION = re.compile(r"GB-(1[0-7]|[1-9])")
_OUTWARD = re.compile(r"[A-Z]{1,2}[0-9][A-Z0-9]?")


class _Intensity(msgspec.Struct):
    forecast: float | None = None
    actual: float | None = None


class _Period(msgspec.Struct):
    from_: str = msgspec.field(name="from")
    to: str
    intensity: _Intensity


class _National(msgspec.Struct):
    data: list[_Period]


class _Region(msgspec.Struct):
    data: list[_Period]
    regionid: int | None = None
    postcode: str | None = None


class _Regional(msgspec.Struct):
    data: _Region


class UkCarbonIntensity:
    """Provider `uk-carbon-intensity`: direct emissions of what is consumed, imports and losses included.

    A half-hour has its actual value where there is one, else its forecast, marked as estimated; regions
    have forecasts only. The present and what follows is required, the past day is left out where it fails.
    """

    name: Literal["uk-carbon-intensity"] = "uk-carbon-intensity"
    min_refresh_ns = FACTS.min_refresh_ns

    def __init__(self, settings: IntensitySettings) -> None:
        self._zone = settings.grid_zone.upper()
        region = _REGION.fullmatch(self._zone)
        self._region = int(region[1]) if region else None
        self._postcode = self._zone if _OUTWARD.fullmatch(self._zone) else None
        if self._zone != "GB" and self._region is None and self._postcode is None:
            raise SettingsError(f"grid_zone {settings.grid_zone!r}: {FACTS.zones}")
        self._url = (settings.url or FACTS.url).rstrip("/")
        self._past = Part("uk-carbon-intensity past day")

    def fetch(self, get: Get, now_ns: int) -> Series:
        moment = stamp(now_ns // _HALF_HOUR_NS * _HALF_HOUR_NS)
        samples = self._samples(get, f"{moment}/fw48h")
        samples += self._past.ask(lambda: self._samples(get, f"{moment}/pt24h"), now_ns)
        return Series(
            points=points_of(samples, now_ns, service=_SERVICE),
            provider=self.name,
            grid_zone=self._zone,
            basis="direct",
            flow="consumption",
            licence=FACTS.licence,
            fetched_ns=now_ns,
        )

    def _samples(self, get: Get, span: str) -> list[Sample]:
        return [_sample(period) for period in self._periods(get, span)]

    def _periods(self, get: Get, span: str) -> list[_Period]:
        if self._region is not None:
            region = self._ask(get, f"regional/intensity/{span}/regionid/{self._region}", _Regional).data
            if region.regionid not in {None, self._region}:
                raise FetchError("bad_data", f"{_SERVICE}: answered for another region than {self._region}")
            return region.data
        if self._postcode is not None:
            region = self._ask(get, f"regional/intensity/{span}/postcode/{self._postcode}", _Regional).data
            if region.postcode is not None and region.postcode.upper() != self._postcode:
                raise FetchError("bad_data", f"{_SERVICE}: answered for another postcode than {self._zone}")
            return region.data
        return self._ask(get, f"intensity/{span}", _National).data

    def _ask(self, get: Get, path: str, shape: type[T]) -> T:
        request = Request(url=f"{self._url}/{path}")
        return ask(get, request, shape, service=_SERVICE, zones=FACTS.zones, keyed=False)


def _sample(period: _Period) -> Sample:
    start_ns = instant_ns(period.from_, service=_SERVICE)
    end_ns = instant_ns(period.to, service=_SERVICE)
    if not 0 < end_ns - start_ns <= 2 * _HALF_HOUR_NS:
        raise FetchError("bad_data", f"{_SERVICE}: a half-hour of the answer is none")
    actual = period.intensity.actual
    if actual is not None:
        return Sample(start_ns, end_ns, actual)
    return Sample(start_ns, end_ns, period.intensity.forecast, True)
