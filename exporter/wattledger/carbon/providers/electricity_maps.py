"""Electricity Maps: average intensity of some 350 zones, v4 and the older v3 of its API."""

from __future__ import annotations

import re
from typing import Literal, TypeVar

import msgspec

from ...model import Basis
from ...settings import IntensitySettings
from ..live.fetch import FetchError, Get, Request
from ..series import Series
from .answers import ask, instant_ns
from .base import Key
from .facts import ELECTRICITY_MAPS as FACTS
from .parts import Part
from .samples import HOUR_NS, MINUTE_NS, Sample, points_of

T = TypeVar("T")

_SERVICE = "electricity-maps"
_VERSION = re.compile(r"/v[34]$")
_LENGTHS_NS = {
    "5_minutes": 5 * MINUTE_NS,
    "15_minutes": 15 * MINUTE_NS,
    "30_minutes": 30 * MINUTE_NS,
    "hourly": HOUR_NS,
}


class _Row(msgspec.Struct, rename="camel"):
    datetime: str
    carbon_intensity: float | None = None
    zone: str | None = None
    emission_factor_type: str | None = None
    flow_traced: bool | None = None
    is_estimated: bool | None = None
    temporal_granularity: str | None = None
    updated_at: str | None = None


class _Rows(msgspec.Struct, rename="camel"):
    """`history`, `data` (v4) or `forecast`; what the envelope says holds for rows that say nothing."""

    zone: str | None = None
    history: list[_Row] | None = None
    data: list[_Row] | None = None
    forecast: list[_Row] | None = None
    emission_factor_type: str | None = None
    flow_traced: bool | None = None
    temporal_granularity: str | None = None

    def rows(self) -> list[_Row]:
        for found in (self.data, self.history, self.forecast):
            if found is not None:
                return found
        raise FetchError("bad_data", f"{_SERVICE}: the answer holds neither data, history nor forecast")


class _Zone(msgspec.Struct):
    access: list[str] | None = None


class ElectricityMaps:
    """Provider `electricity-maps`.

    `settings.url` is the base without the version, which is `settings.api_version`.
    `latest` is required; `history` (the past day) and `forecast` are left out where the plan lacks them.
    A refused call answers 401 whether the key is wrong or its plan is too small; `/zones` tells which.
    """

    name: Literal["electricity-maps"] = "electricity-maps"
    min_refresh_ns = FACTS.min_refresh_ns

    def __init__(self, settings: IntensitySettings, key: Key) -> None:
        self._zone = settings.grid_zone
        self._basis: Basis = settings.basis or "lifecycle"
        self._flow: Literal["consumption", "production"] = settings.flow or "consumption"
        self._v3 = settings.api_version == "v3"
        base = _VERSION.sub("", (settings.url or FACTS.url).rstrip("/"))
        self._url = f"{base}/{settings.api_version}"
        self._key = key
        self._history = Part("electricity-maps history")
        self._forecast = Part("electricity-maps forecast")

    def fetch(self, get: Get, now_ns: int) -> Series:
        key = self._key()
        try:
            latest = self._ask(get, key, "carbon-intensity/latest", _Row)
        except FetchError as error:
            if error.reason != "unauthorized":
                raise
            raise self._why_refused(get, key) from None
        samples = self._samples([latest], None)
        samples += self._history.ask(lambda: self._span(get, key, "history"), now_ns)
        samples += self._forecast.ask(lambda: self._span(get, key, "forecast"), now_ns)
        updated = latest.updated_at
        return Series(
            points=points_of(samples, now_ns, service=_SERVICE),
            provider=self.name,
            grid_zone=self._zone,
            basis=self._basis,
            flow=self._flow,
            licence=FACTS.licence,
            generated_ns=instant_ns(updated, service=_SERVICE) if updated else 0,
            fetched_ns=now_ns,
        )

    def _ask(self, get: Get, key: str, path: str, shape: type[T]) -> T:
        query = {"zone": self._zone, "emissionFactorType": self._basis}
        if self._v3:
            query["shouldUseFallbackCallerLookup"] = "false"
        else:
            query["disableCallerLookup"] = "true"
            query["flowTraced"] = "true" if self._flow == "consumption" else "false"
        request = Request(
            url=f"{self._url}/{path}",
            query={} if path == "zones" else query,
            headers={"auth-token": key},
        )
        return ask(get, request, shape, service=_SERVICE, zones=FACTS.zones, keyed=True)

    def _span(self, get: Get, key: str, temporality: str) -> list[Sample]:
        """Past or forecast; a 401 is the plan here, since `latest` has just worked with the same key."""
        try:
            answer = self._ask(get, key, f"carbon-intensity/{temporality}", _Rows)
        except FetchError as error:
            if error.reason == "unauthorized":
                raise FetchError(
                    "plan", f"{_SERVICE}: the key's plan lacks carbon-intensity/{temporality} (HTTP 401)"
                ) from None
            raise
        return self._samples(answer.rows(), answer, forecast=temporality == "forecast")

    def _why_refused(self, get: Get, key: str) -> FetchError:
        """What the 401 for `latest` means: `plan` where `/zones` knows the key, else `unauthorized`."""
        try:
            zones = self._ask(get, key, "zones", dict[str, _Zone])
        except FetchError as error:
            doubt = "" if error.reason == "unauthorized" else ", and /zones could not be asked why"
            return FetchError(
                "unauthorized", f"{_SERVICE}: the key was refused (HTTP 401){doubt}; check the key"
            )
        known = zones.get(self._zone)
        if zones and all(zone.access is None for zone in zones.values()):
            return FetchError(
                "unauthorized", f"{_SERVICE}: the key is unknown (HTTP 401, and /zones shows it no access)"
            )
        if known is None:
            lacks = f"covers no zone {self._zone} (it covers {len(zones)} zones); {FACTS.zones}"
        elif "carbon-intensity/latest" not in {path.strip("/") for path in known.access or ()}:
            lacks = f"lacks carbon-intensity/latest for {self._zone}"
        else:
            lacks = f"refuses carbon-intensity/latest for {self._zone}, though /zones lists it"
        return FetchError("plan", f"{_SERVICE}: the key is right, but its plan {lacks} (HTTP 401)")

    def _samples(self, rows: list[_Row], envelope: _Rows | None, *, forecast: bool = False) -> list[Sample]:
        if envelope is not None:
            self._check(envelope)
        for row in rows:
            self._check(row)
        usual = envelope.temporal_granularity if envelope is not None else None
        samples = []
        for row in rows:
            start_ns = instant_ns(row.datetime, service=_SERVICE)
            length_ns = _LENGTHS_NS.get(row.temporal_granularity or usual or "hourly")
            if length_ns is None:
                raise FetchError("bad_data", f"{_SERVICE}: the answer has an unknown temporalGranularity")
            estimated = forecast or bool(row.is_estimated)
            samples.append(Sample(start_ns, start_ns + length_ns, row.carbon_intensity, estimated))
        return samples

    def _check(self, said: _Row | _Rows) -> None:
        """Raises FetchError `bad_data` where an answer is for something else than was asked."""
        if said.zone is not None and said.zone != self._zone:
            raise FetchError("bad_data", f"{_SERVICE}: answered for another zone than {self._zone}")
        if said.emission_factor_type not in {None, self._basis}:
            raise FetchError("bad_data", f"{_SERVICE}: answered with other factors than {self._basis}")
        if said.flow_traced not in {None, self._flow == "consumption"}:
            raise FetchError("bad_data", f"{_SERVICE}: answered for another flow than {self._flow}")
