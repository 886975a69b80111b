"""RTE eCO2mix: what a kilowatt hour generated in France emits directly, in quarter-hours."""

from __future__ import annotations

from typing import Literal

import msgspec

from ...errors import SettingsError
from ...settings import IntensitySettings
from ..live.fetch import FetchError, Get, Request
from ..series import Series
from .answers import ask, instant_ns
from .facts import ECO2MIX as FACTS
from .samples import MINUTE_NS, Sample, points_of

_SERVICE = "eco2mix"
_STEP_NS = 15 * MINUTE_NS
_ROWS = 100
"""The most that this service gives in one page: a day and an hour."""


class _Record(msgspec.Struct):
    date_heure: str | None = None
    taux_co2: float | None = None
    perimetre: str | None = None


class _Answer(msgspec.Struct):
    results: list[_Record]


class Eco2mix:
    """Provider `eco2mix`: the past day, no forecast. Neither imports nor what making the plants emitted."""

    name: Literal["eco2mix"] = "eco2mix"
    min_refresh_ns = FACTS.min_refresh_ns

    def __init__(self, settings: IntensitySettings) -> None:
        if settings.grid_zone.upper() != "FR":
            raise SettingsError(f"grid_zone {settings.grid_zone!r}: {FACTS.zones}")
        self._url = (settings.url or FACTS.url).rstrip("/")

    def fetch(self, get: Get, now_ns: int) -> Series:
        request = Request(
            url=f"{self._url}/catalog/datasets/eco2mix-national-tr/records",
            query={
                "where": "taux_co2 is not null",
                "order_by": "date_heure desc",
                "limit": str(_ROWS),
                "timezone": "UTC",
            },
        )
        answer = ask(get, request, _Answer, service=_SERVICE, zones=FACTS.zones, keyed=False)
        return Series(
            points=points_of(_samples(answer), now_ns, service=_SERVICE),
            provider=self.name,
            grid_zone="FR",
            basis="direct",
            flow="production",
            licence=FACTS.licence,
            fetched_ns=now_ns,
        )


def _samples(answer: _Answer) -> list[Sample]:
    samples = []
    for record in answer.results:
        if record.perimetre not in {None, "France"}:
            raise FetchError("bad_data", f"{_SERVICE}: answered for another perimeter than France")
        if record.date_heure is not None:
            start_ns = instant_ns(record.date_heure, service=_SERVICE)
            samples.append(Sample(start_ns, start_ns + _STEP_NS, record.taux_co2))
    return samples
