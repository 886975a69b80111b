"""Energi Data Service: both Danish price areas in steps of five minutes, measured and forecast."""

from __future__ import annotations

from typing import Literal

import msgspec

from ...errors import SettingsError
from ...settings import IntensitySettings
from ..live.fetch import FetchError, Get, Request
from ..series import Series
from .answers import ask, instant_ns
from .facts import ENERGI_DATA_SERVICE as FACTS
from .parts import Part
from .samples import MINUTE_NS, Sample, points_of

_SERVICE = "energi-data-service"
_STEP_NS = 5 * MINUTE_NS
_MEASURED_ROWS = 288
"""A day."""
_FORECAST_ROWS = 600
"""Fifty hours, newest first: the forecast runs to the end of tomorrow at most."""


class _Record(msgspec.Struct):
    minutes_utc: str = msgspec.field(name="Minutes5UTC")
    area: str = msgspec.field(name="PriceArea")
    emission: float | None = msgspec.field(name="CO2Emission", default=None)


class _Answer(msgspec.Struct):
    records: list[_Record]


class EnergiDataService:
    """Provider `energi-data-service`: direct emissions of what is consumed in DK1 or DK2.

    The data set CO2Emis (measured) is required, CO2EmisProg (forecast) is left out where it fails.
    """

    name: Literal["energi-data-service"] = "energi-data-service"
    min_refresh_ns = FACTS.min_refresh_ns

    def __init__(self, settings: IntensitySettings) -> None:
        self._zone = settings.grid_zone
        self._area = settings.grid_zone.upper().removeprefix("DK-")
        if self._area not in {"DK1", "DK2"}:
            raise SettingsError(f"grid_zone {settings.grid_zone!r}: {FACTS.zones}")
        self._url = (settings.url or FACTS.url).rstrip("/")
        self._forecast = Part("energi-data-service forecast")

    def fetch(self, get: Get, now_ns: int) -> Series:
        samples = self._samples(get, "CO2Emis", _MEASURED_ROWS, estimated=False)
        samples += self._forecast.ask(
            lambda: self._samples(get, "CO2EmisProg", _FORECAST_ROWS, estimated=True), now_ns
        )
        return Series(
            points=points_of(samples, now_ns, service=_SERVICE),
            provider=self.name,
            grid_zone=self._zone,
            basis="direct",
            flow="consumption",
            licence=FACTS.licence,
            fetched_ns=now_ns,
        )

    def _samples(self, get: Get, dataset: str, rows: int, *, estimated: bool) -> list[Sample]:
        """One data set; its times have no offset, since the field's name says that they are UTC."""
        request = Request(
            url=f"{self._url}/dataset/{dataset}",
            query={
                "filter": f'{{"PriceArea":["{self._area}"]}}',
                "sort": "Minutes5UTC desc",
                "limit": str(rows),
            },
        )
        answer = ask(get, request, _Answer, service=_SERVICE, zones=FACTS.zones, keyed=False)
        samples = []
        for record in answer.records:
            if record.area != self._area:
                raise FetchError("bad_data", f"{_SERVICE}: answered for another area than {self._area}")
            start_ns = instant_ns(record.minutes_utc, service=_SERVICE, zone_given=False)
            samples.append(Sample(start_ns, start_ns + _STEP_NS, record.emission, estimated))
        return samples
