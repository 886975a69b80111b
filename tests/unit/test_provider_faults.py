"""Every live provider against everything that can go wrong, through the real HTTP client and source.

Each fault has its reason, nothing is ever priced at zero, and the key appears nowhere.
"""

from __future__ import annotations

import base64
import logging
import random
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.carbon_services import (
    NOW_NS,
    Body,
    CarbonAwareSdkService,
    CarbonService,
    Eco2mixService,
    ElectricityMapsService,
    EnergiDataServiceService,
    EnergyChartsService,
    Status,
    UkCarbonIntensityService,
    WattTimeService,
    ns,
)
from tests.hostile_server import (
    Authority,
    HostileServer,
    answer,
    close_at_once,
    drip_body,
    drip_head,
    endless,
    needs_openssl,
    never,
    raw,
    zipped,
)
from wattledger.carbon.intensity import Static
from wattledger.carbon.live.fetch import FetchError
from wattledger.carbon.live.http import HttpGet
from wattledger.carbon.live.source import LiveSource
from wattledger.carbon.providers.registry import PROVIDERS, build_provider, kind_of
from wattledger.model import Intensity
from wattledger.settings import IntensitySettings

KEY = "KEY-that-must-not-leak-5f3a"
BASIC = base64.b64encode(f"ledger:{KEY}".encode()).decode()
FALLBACK = Intensity(grams_per_kwh=250.0, provider="static")
HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS

Place = tuple[Any, Any]
"""A container and the key of one thing in it."""


def rows_of(path: str, payload: Any) -> list[dict[str, Any]]:
    """The rows of an answer, whichever service it is from; none for a login or a list of zones."""
    if isinstance(payload, list):
        return payload[0]["forecastData"] if "forecasts" in path else payload
    if "carbonIntensity" in payload:
        return [payload]
    for name in ("data", "history", "forecast", "results", "records"):
        if name in payload:
            found = payload[name]
            return found["data"] if isinstance(found, dict) else found
    return []


TIMES = ("datetime", "point_time", "from", "to", "date_heure", "Minutes5UTC", "time", "timestamp")


def values_of(path: str, payload: Any) -> Iterator[Place]:
    if isinstance(payload, dict) and "co2eq" in payload:
        for name in ("co2eq", "co2eq_forecast"):
            yield from ((payload[name], index) for index in range(len(payload[name])))
        return
    for row in rows_of(path, payload):
        within = row.get("intensity", row)
        for name in ("carbonIntensity", "value", "forecast", "actual", "taux_co2", "CO2Emission", "rating"):
            if name in within:
                yield within, name


def times_of(path: str, payload: Any) -> Iterator[Place]:
    if isinstance(payload, dict) and "unix_seconds" in payload:
        yield from ((payload["unix_seconds"], index) for index in range(len(payload["unix_seconds"])))
        return
    for row in rows_of(path, payload):
        for name in (
            "datetime",
            "point_time",
            "from",
            "to",
            "date_heure",
            "Minutes5UTC",
            "time",
            "timestamp",
        ):
            if name in row:
                yield row, name


def set_values(value: Any) -> Callable[[str, Any], Any]:
    def change(path: str, payload: Any) -> Any:
        for container, key in values_of(path, payload):
            container[key] = value
        return payload

    return change


def scale_values(factor: float) -> Callable[[str, Any], Any]:
    def change(path: str, payload: Any) -> Any:
        for container, key in values_of(path, payload):
            if container[key] is not None:
                container[key] *= factor
        return payload

    return change


def shift_times(by: timedelta) -> Callable[[str, Any], Any]:
    def change(path: str, payload: Any) -> Any:
        for container, key in times_of(path, payload):
            old = container[key]
            if isinstance(old, int):
                container[key] = old + int(by.total_seconds())
            else:
                container[key] = (datetime.fromisoformat(old) + by).isoformat()
        return payload

    return change


def set_times(text: str) -> Callable[[str, Any], Any]:
    def change(path: str, payload: Any) -> Any:
        for container, key in times_of(path, payload):
            container[key] = text
        return payload

    return change


def gap_around_now(path: str, payload: Any) -> Any:
    """Nulls for the rows that begin within an hour of now."""
    near = {index: abs(_start_ns(row) - NOW_NS) <= HOUR_NS for index, row in _starts(path, payload)}
    if isinstance(payload, dict) and "co2eq" in payload:
        for container, key in values_of(path, payload):
            if near[key]:
                container[key] = None
        return payload
    for index, row in enumerate(rows_of(path, payload)):
        if near[index]:
            for container, key in values_of(path, [row] if isinstance(payload, list) else {"data": [row]}):
                container[key] = None
    return payload


def _starts(path: str, payload: Any) -> list[tuple[int, Any]]:
    if isinstance(payload, dict) and "unix_seconds" in payload:
        return list(enumerate(payload["unix_seconds"]))
    return [
        (index, next(row[name] for name in TIMES if name in row))
        for index, row in enumerate(rows_of(path, payload))
    ]


def _start_ns(start: Any) -> int:
    if isinstance(start, int):
        return start * 10**9
    return ns(start if start[-1] == "Z" or "+" in start else start + "Z")


def without_rows(path: str, payload: Any) -> Any:
    """The same answers with nothing in them."""
    if isinstance(payload, dict) and "unix_seconds" in payload:
        return payload | {"unix_seconds": [], "co2eq": [], "co2eq_forecast": []}
    if isinstance(payload, dict) and "carbonIntensity" in payload:
        return payload | {"carbonIntensity": None}
    if isinstance(payload, list):
        return []
    rows_of(path, payload).clear()
    return payload


def put(name: str, value: Any, within: str = "") -> Callable[[str, Any], Any]:
    """Another value for a field of the envelope, or of what it holds under `within`, or of every row."""

    def change(path: str, payload: Any) -> Any:
        if isinstance(payload, list):
            for item in payload:
                if name in item and "forecasts" in path:
                    item[name] = value
            return payload
        if within in payload and isinstance(payload[within], dict):
            payload[within][name] = value
        elif within in payload:
            for row in payload[within]:
                row[name] = value
        elif name in payload:
            payload[name] = value
        return payload

    return change


@dataclass(frozen=True)
class Subject:
    """One provider with what it needs and its service; `spared` requests go well before a fault."""

    name: str
    service: Callable[..., CarbonService]
    settings: dict[str, Any]
    elsewhere: Callable[[str, Any], Any]
    spared: int = 0
    forbidden: str = "http"
    ids: str = ""

    def configured(self, url: str) -> IntensitySettings:
        return IntensitySettings(provider=self.name, url=url, key_file="/k", **self.settings)


SUBJECTS = [
    Subject("electricity-maps", ElectricityMapsService, {"grid_zone": "DE"}, put("zone", "FR"), 0, "plan"),
    Subject(
        "electricity-maps",
        ElectricityMapsService,
        {"grid_zone": "DE", "api_version": "v3"},
        put("zone", "FR"),
        0,
        "plan",
        "electricity-maps-v3",
    ),
    Subject(
        "watttime",
        WattTimeService,
        {"grid_zone": "CAISO_NORTH", "username": "ledger"},
        put("region", "PJM_DC", "meta"),
        0,
        "unauthorized",
        "watttime-login",
    ),
    Subject(
        "watttime",
        WattTimeService,
        {"grid_zone": "CAISO_NORTH", "username": "ledger"},
        put("region", "PJM_DC", "meta"),
        1,
        "plan",
    ),
    Subject(
        "uk-carbon-intensity",
        UkCarbonIntensityService,
        {"grid_zone": "GB-7"},
        put("regionid", 8, "data"),
        ids="uk-region",
    ),
    Subject("energy-charts", EnergyChartsService, {"grid_zone": "DE"}, put("deprecated", True)),
    Subject("eco2mix", Eco2mixService, {"grid_zone": "FR"}, put("perimetre", "Bretagne", "results")),
    Subject(
        "energi-data-service",
        EnergiDataServiceService,
        {"grid_zone": "DK1"},
        put("PriceArea", "DK2", "records"),
    ),
    Subject("carbon-aware-sdk", CarbonAwareSdkService, {"grid_zone": "eastus"}, put("location", "westus")),
]
NATIONAL = Subject("uk-carbon-intensity", UkCarbonIntensityService, {"grid_zone": "GB"}, put("x", 1))
ALL = pytest.mark.parametrize(
    "subject", [*SUBJECTS, NATIONAL], ids=lambda subject: subject.ids or subject.name
)


class Watched:
    """A provider behind its live source, with every word that it lets out."""

    def __init__(self, subject: Subject, url: str, caplog: Any, **limits: Any) -> None:
        caplog.set_level(logging.DEBUG)
        self._caplog = caplog
        self._get = HttpGet(environ={}, **limits)
        settings = subject.configured(url)
        role = "signal" if kind_of(settings) == "marginal" else "intensity"
        self.provider = build_provider(settings, lambda: KEY, role)
        self.source = LiveSource(
            role,
            build_provider(settings, lambda: KEY, role),
            self._get,
            settings,
            fallback=Static(FALLBACK),
            rng=random.Random(1),
        )
        self.error: FetchError | None = None
        self.series: Any = None

    def fetch(self) -> str:
        """Fetch by the provider itself; the reason of its failure, "" for none."""
        try:
            self.series = self.provider.fetch(self._get, NOW_NS)
        except FetchError as error:
            self.error = error
        return self.error.reason if self.error else ""

    def refresh(self) -> str:
        """Refresh the source; the one reason that its health counts then, "" for none."""
        self.wait_s = self.source.refresh(NOW_NS)
        assert sum(self.source.health.errors.values()) == (0 if self.source.health.up else 1)
        return next(iter(self.source.health.errors), "")

    def grams(self) -> float:
        return self.source.at(NOW_NS).grams_per_kwh

    def words(self) -> str:
        """All that was logged, raised, shown or told."""
        error = self.error
        return "\n".join(
            [
                self._caplog.text,
                *(repr(vars(record)) for record in self._caplog.records),
                repr(self.source.health),
                repr(self.source.at(NOW_NS)),
                repr(self.source),
                repr(self.provider),
                repr(self.series),
                repr(error),
                "".join(traceback.format_exception(error)) if error else "",
            ]
        )

    def fails(self, reason: str) -> None:
        """The whole of what a fault must show."""
        assert self.fetch() == reason
        assert self.refresh() == reason
        assert self.source.at(NOW_NS).fallback
        assert self.grams() == 250.0
        self.keeps_the_secret()

    def keeps_the_secret(self) -> None:
        words = self.words()
        assert KEY not in words
        assert BASIC not in words


@pytest.fixture
def watch(caplog):
    return lambda subject, url, **limits: Watched(subject, url, caplog, **limits)


@ALL
def test_good_data(subject, watch):
    """Something above zero holds now, it is no fallback, and the points are in order, without overlap."""
    with subject.service(NOW_NS, KEY) as service:
        watched = watch(subject, service.url)
        assert (watched.fetch(), watched.refresh()) == ("", "")
    assert watched.grams() > 0
    assert watched.grams() == watched.series.before(NOW_NS).value
    assert not watched.source.at(NOW_NS).fallback
    edges = [edge for point in watched.series.points for edge in (point.start_ns, point.end_ns)]
    assert edges == sorted(edges)
    assert all(point.start_ns < point.end_ns for point in watched.series.points)
    facts = PROVIDERS[subject.name]
    assert watched.series.basis in facts.bases
    assert watched.series.licence == facts.licence
    watched.keeps_the_secret()


@needs_openssl
@ALL
def test_good_data_over_tls(subject, watch, tmp_path):
    """With the authority that signed the service's certificate."""
    authority = Authority(tmp_path)
    with subject.service(NOW_NS, KEY, context=authority.good()) as service:
        watched = watch(subject, service.url, ca_file=str(authority.ca_file))
        assert watched.refresh() == ""
    assert not watched.source.at(NOW_NS).fallback


@needs_openssl
@ALL
def test_a_certificate_that_nobody_vouches_for(subject, watch, tmp_path):
    """`tls`, and the key was not sent."""
    with subject.service(NOW_NS, KEY, context=Authority(tmp_path).self_signed()) as service:
        watch(subject, service.url).fails("tls")
    assert service.asked == []


STATUSES = {
    401: "unauthorized",
    404: "not_found",
    429: "rate_limited",
    500: "server_error",
    502: "server_error",
    503: "server_error",
    204: "no_data",
    302: "redirect",
    400: "http",
    418: "http",
}


@ALL
@pytest.mark.parametrize("status", STATUSES)
def test_a_status(subject, watch, status):
    """Each has its reason, also where the body repeats the key."""
    with subject.service(NOW_NS, KEY) as service:
        service.spared = subject.spared
        service.fault = Status(status, location="https://127.0.0.1:1/elsewhere" if status == 302 else None)
        if subject.spared:
            assert watch(subject, service.url).fetch() == STATUSES[status]
            service.asked.clear()
            watched = watch(subject, service.url)
            assert watched.refresh() == STATUSES[status]
            assert watched.grams() == 250.0
            watched.keeps_the_secret()
        else:
            watch(subject, service.url).fails(STATUSES[status])


@ALL
def test_a_403(subject, watch):
    """The plan, where there is a key to have one; a login that is forbidden is a wrong password."""
    with subject.service(NOW_NS, KEY) as service:
        service.spared = subject.spared
        service.fault = Status(403)
        watched = watch(subject, service.url)
        assert watched.fetch() == subject.forbidden
        watched.keeps_the_secret()


@ALL
def test_a_429_says_how_long(subject, watch):
    """The source leaves the service alone for at least as long."""
    with subject.service(NOW_NS, KEY) as service:
        service.spared = subject.spared
        service.fault = Status(429, retry_after="7200")
        watched = watch(subject, service.url)
        assert watched.fetch() == "rate_limited"
        assert watched.error.retry_after_s == 7200
        service.asked.clear()
        assert watched.refresh() == "rate_limited"
    assert watched.wait_s >= 7200


GARBAGE = {
    "no JSON": b"<html>maintenance</html>",
    "cut off": b'{"data":[{"point_ti',
    "empty": b"",
    "another shape": b'"text"',
    "null": b"null",
    "not UTF-8": b'{"zone":"\xff\xfe","token":"\xff","data":"\xff"}',
    "not a number": b'{"carbonIntensity":NaN}',
    "deep": b'{"x":' + b"[" * 100_000,
}


@ALL
@pytest.mark.parametrize("what", GARBAGE)
def test_a_body_that_is_not_what_was_documented(subject, watch, what):
    """`bad_data`."""
    with subject.service(NOW_NS, KEY) as service:
        service.spared = subject.spared
        service.fault = Body(GARBAGE[what])
        watched = watch(subject, service.url)
        assert watched.fetch() == "bad_data"
        service.asked.clear()
        assert watched.refresh() == "bad_data"
        assert watched.grams() == 250.0
        watched.keeps_the_secret()


def located(url: str) -> str:
    return f"{url}/{KEY}?key={KEY}"


TRANSPORT = {
    "silence": (never, "timeout"),
    "slow body": (drip_body(0.02), "timeout"),
    "slow body without a length": (drip_body(0.02, length=False), "timeout"),
    "slow head": (drip_head(0.02), "timeout"),
    "endless body": (endless, "too_large"),
    "huge body": (answer(b" " * 300_000), "too_large"),
    "bomb": (zipped(b" " * 300_000), "too_large"),
    "hang-up": (close_at_once, "connect"),
    "no HTTP": (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "connect"),
    "redirect that repeats the key": (
        answer(b"", 301, Location=located("https://elsewhere.example")),
        "redirect",
    ),
}


@ALL
@pytest.mark.parametrize("what", TRANSPORT)
def test_a_connection_that_fails(subject, watch, what):
    """Within its limits of time and size."""
    behave, reason = TRANSPORT[what]
    limits = {"total_s": 0.15} if reason == "timeout" else {}
    with HostileServer(behave) as server:
        watch(subject, server.url, max_bytes=200_000, **limits).fails(reason)


@ALL
@pytest.mark.parametrize("value", [None, -1.0, 1e9], ids=str)
def test_no_usable_value_at_all(subject, watch, value):
    """Nulls, negative or impossible: `no_data`, never a zero."""
    with subject.service(NOW_NS, KEY) as service:
        service.change = set_values(value)
        watch(subject, service.url).fails("no_data")


@ALL
def test_values_in_another_unit(subject, watch):
    """A hundred times too much is beyond any grid; words are no numbers at all."""
    with subject.service(NOW_NS, KEY) as service:
        service.change = scale_values(1000.0)
        watch(subject, service.url).fails("no_data")
        service.change = set_values("112 g")
        watch(subject, service.url).fails("bad_data")


@ALL
def test_an_answer_without_rows(subject, watch):
    """`no_data`."""
    with subject.service(NOW_NS, KEY) as service:
        service.change = without_rows
        watch(subject, service.url).fails("no_data")


@ALL
def test_a_gap_around_now(subject, watch):
    """Nulls are no points: what held before the gap holds on, and none of it is zero."""
    with subject.service(NOW_NS, KEY) as service:
        service.change = gap_around_now
        watched = watch(subject, service.url)
        assert (watched.fetch(), watched.refresh()) == ("", "")
    series = watched.series
    assert series.at(NOW_NS) is None
    assert min(point.value for point in series.points) > 0
    assert watched.grams() == series.before(NOW_NS - HOUR_NS).value > 0


@ALL
def test_stale_data(subject, watch):
    """Points four days old keep their times; the source gives the fallback."""
    with subject.service(NOW_NS, KEY) as service:
        service.change = shift_times(timedelta(days=-4))
        watched = watch(subject, service.url)
        assert watched.fetch() == ""
        assert watched.series.points[-1].end_ns < NOW_NS - DAY_NS
        assert watched.refresh() == "no_data"
    assert watched.grams() == 250.0


@ALL
@pytest.mark.parametrize("hours", [1, -1, 24], ids=str)
def test_a_service_whose_clock_is_off(subject, watch, hours):
    """Points keep the times they came with; what prices is a value of theirs or the fallback, never zero."""
    with subject.service(NOW_NS, KEY) as service:
        plain = watch(subject, service.url)
        assert plain.fetch() == ""
        service.change = shift_times(timedelta(hours=hours))
        watched = watch(subject, service.url)
        reason = watched.fetch()
        watched.refresh()
    if not reason:
        by_ns = hours * HOUR_NS
        moved = {(point.start_ns + by_ns, point.value) for point in plain.series.points}
        assert {(point.start_ns, point.value) for point in watched.series.points} <= moved
    assert reason in {"", "bad_data"}
    held = watched.series.before(NOW_NS) if watched.series else None
    assert watched.grams() == (held.value if held else 250.0)
    assert watched.grams() > 0


@ALL
def test_a_service_three_days_ahead(subject, watch):
    """All of it lies in the future: one of the clocks is wrong, and the message says which to look at."""
    with subject.service(NOW_NS, KEY) as service:
        service.change = shift_times(timedelta(days=3))
        watched = watch(subject, service.url)
        watched.fails("bad_data")
    assert "clock" in str(watched.error)


@ALL
def test_times_without_an_offset_or_none_at_all(subject, watch):
    """Whose midnight it is cannot be known; the Danish field says UTC by its name."""
    with subject.service(NOW_NS, KEY) as service:
        for text in ("2026-11-20T12:00:00", "yesterday", "9999-12-31T23:59:59+00:00"):
            if text[:3] == "202" and subject.name == "energi-data-service":
                continue
            service.change = set_times(text)
            watch(subject, service.url).fails("bad_data")


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.ids or subject.name)
def test_an_answer_for_another_zone(subject, watch):
    """`bad_data`; Energy-Charts names no country in its answer, so there is nothing to compare."""
    with subject.service(NOW_NS, KEY) as service:
        service.change = subject.elsewhere
        watched = watch(subject, service.url)
        if subject.name == "energy-charts":
            assert watched.fetch() == ""
        else:
            watched.fails("bad_data")


@ALL
def test_a_key_that_is_not_there(subject, watch):
    """Whoever needs one says so without asking anything."""
    with subject.service(NOW_NS, KEY) as service:
        settings = subject.configured(service.url)

        def missing() -> str:
            raise FetchError("no_key", "the file /k cannot be read")

        provider = build_provider(settings, missing)
        if PROVIDERS[subject.name].needs_key:
            with pytest.raises(FetchError) as caught:
                provider.fetch(HttpGet(), NOW_NS)
            assert caught.value.reason == "no_key"
            assert service.asked == []
        else:
            assert provider.fetch(HttpGet(), NOW_NS).points


def test_every_provider_is_in_the_matrix():
    """Both versions of Electricity Maps, and both halves of WattTime."""
    assert {subject.name for subject in SUBJECTS} == set(PROVIDERS)
