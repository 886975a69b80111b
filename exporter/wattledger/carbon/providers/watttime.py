"""WattTime: marginal emissions of a region in steps of five minutes, a signal to steer by."""

from __future__ import annotations

from typing import Literal

import msgspec

from ...errors import SettingsError
from ...model import S_NS
from ...settings import IntensitySettings
from ..live.fetch import FetchError, Get, Request
from ..series import Series, Unit
from .answers import ask, instant_ns, stamp
from .base import Key
from .facts import WATTTIME as FACTS
from .parts import Part
from .samples import DAY_NS, MINUTE_NS, Sample, points_of

G_PER_LB = 453.59237
"""The international avoirdupois pound; a lb/MWh is a thousandth of it in g/kWh."""

_SERVICE = "watttime"
_SIGNAL = "co2_moer"
_TOKEN_NS = 25 * MINUTE_NS
"""Tokens hold for 30 minutes."""


class _Token(msgspec.Struct):
    token: str

    def __repr__(self) -> str:
        return "_Token()"


class _Point(msgspec.Struct):
    point_time: str
    value: float | None = None


class _Meta(msgspec.Struct):
    units: str
    region: str | None = None
    signal_type: str | None = None
    data_point_period_seconds: int = 300
    generated_at: str | None = None


class _Answer(msgspec.Struct):
    data: list[_Point]
    meta: _Meta


class WattTime:
    """Provider `watttime`.

    With a subscription the forecast, which begins now, and the past day. The free plan has the percentile of
    the present only (0 cleanest, 100 dirtiest), which comes as a series of that unit; what the
    plan refuses is asked for again once a day.
    """

    name: Literal["watttime"] = "watttime"
    min_refresh_ns = FACTS.min_refresh_ns

    def __init__(self, settings: IntensitySettings, key: Key) -> None:
        if not settings.username:
            raise SettingsError("username: watttime needs the account's user name")
        self._region = settings.grid_zone
        self._username = settings.username
        self._url = (settings.url or FACTS.url).rstrip("/")
        self._key = key
        self._session = ("", "")  # the password that the token was got with, and the token
        self._session_ns = 0
        self._forecast = Part("watttime forecast")
        self._history = Part("watttime history")

    def fetch(self, get: Get, now_ns: int) -> Series:
        if self._forecast.due(now_ns):
            try:
                return self._moer(get, now_ns)
            except FetchError as error:
                if error.reason != "plan":
                    raise
                self._forecast.failed(error, now_ns)
        return self._index(get, now_ns)

    def _moer(self, get: Get, now_ns: int) -> Series:
        forecast = self._ask(get, now_ns, "forecast", {"horizon_hours": "24"})
        past = {"start": stamp(now_ns - DAY_NS), "end": stamp(now_ns)}
        samples = self._history.ask(
            lambda: self._samples(self._ask(get, now_ns, "historical", past), "g/kWh"), now_ns
        )
        samples += self._samples(forecast, "g/kWh", forecast=True)
        return self._series(samples, "g/kWh", forecast.meta, now_ns)

    def _index(self, get: Get, now_ns: int) -> Series:
        index = self._ask(get, now_ns, "signal-index", {})
        return self._series(self._samples(index, "percentile"), "percentile", index.meta, now_ns)

    def _series(self, samples: list[Sample], unit: Unit, meta: _Meta, now_ns: int) -> Series:
        made = meta.generated_at
        return Series(
            points=points_of(samples, now_ns, service=_SERVICE, unit=unit),
            provider=self.name,
            grid_zone=self._region,
            basis="direct",
            kind="marginal",
            unit=unit,
            licence=FACTS.licence,
            generated_ns=instant_ns(made, service=_SERVICE) if made else 0,
            fetched_ns=now_ns,
        )

    def _ask(self, get: Get, now_ns: int, path: str, query: dict[str, str]) -> _Answer:
        """An answer of the data API; a token that is refused is renewed once."""
        query = {"region": self._region, "signal_type": _SIGNAL, **query}
        for fresh in (False, True):
            request = Request(
                url=f"{self._url}/v3/{path}",
                query=query,
                headers={"Authorization": f"Bearer {self._token(get, now_ns, fresh)}"},
            )
            try:
                return ask(get, request, _Answer, service=_SERVICE, zones=FACTS.zones, keyed=True)
            except FetchError as error:
                if error.reason != "unauthorized" or fresh:
                    raise
        raise AssertionError("the second round returns or raises")

    def _token(self, get: Get, now_ns: int, fresh: bool) -> str:
        password = self._key()
        used, token = self._session
        if token and not fresh and used == password and 0 <= now_ns - self._session_ns < _TOKEN_NS:
            return token
        request = Request(url=f"{self._url}/login", basic=(self._username, password))
        try:
            token = ask(get, request, _Token, service=_SERVICE, zones=FACTS.zones, keyed=True).token
        except FetchError as error:
            if error.reason in {"unauthorized", "plan"}:
                raise FetchError(
                    "unauthorized", f"{_SERVICE}: the login was refused; check username and password"
                ) from None
            raise
        self._session, self._session_ns = (password, token), now_ns
        return token

    def _samples(self, answer: _Answer, unit: Unit, *, forecast: bool = False) -> list[Sample]:
        meta = answer.meta
        expected = "percentile" if unit == "percentile" else "lbs_co2_per_mwh"
        if meta.units != expected:
            raise FetchError("wrong_units", f"{_SERVICE}: the answer is not in {expected}")
        if meta.region not in {None, self._region}:
            raise FetchError("bad_data", f"{_SERVICE}: answered for another region than {self._region}")
        if meta.signal_type not in {None, _SIGNAL}:
            raise FetchError("bad_data", f"{_SERVICE}: answered with another signal than {_SIGNAL}")
        if not 0 < meta.data_point_period_seconds <= 3600:
            raise FetchError("bad_data", f"{_SERVICE}: the answer's data_point_period_seconds is impossible")
        length_ns = meta.data_point_period_seconds * S_NS
        factor = 1.0 if unit == "percentile" else G_PER_LB / 1000.0
        samples = []
        for point in answer.data:
            start_ns = instant_ns(point.point_time, service=_SERVICE)
            value = None if point.value is None else point.value * factor
            samples.append(Sample(start_ns, start_ns + length_ns, value, forecast))
        return samples
