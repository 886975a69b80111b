"""Energy-Charts, eCO2mix and Energi Data Service: what is asked and what comes of it."""

from __future__ import annotations

import json

import pytest

from tests.carbon_services import (
    NOW_NS,
    Eco2mixService,
    EnergiDataServiceService,
    EnergyChartsService,
    ns,
)
from wattledger.carbon.live.fetch import FetchError
from wattledger.carbon.live.http import HttpGet
from wattledger.carbon.providers.registry import build_provider
from wattledger.carbon.series import Point
from wattledger.errors import SettingsError
from wattledger.settings import IntensitySettings

MINUTE_NS = 60 * 10**9


def provider(name, service, zone):
    return build_provider(IntensitySettings(provider=name, grid_zone=zone, url=service.url), lambda: "")


def reason_of(made):
    with pytest.raises(FetchError) as caught:
        made.fetch(HttpGet(), NOW_NS)
    return caught.value.reason


@pytest.fixture
def charts():
    with EnergyChartsService(NOW_NS) as running:
        yield running


def test_energy_charts_measured_then_forecast(charts):
    """300.5 g measured to 12:00, 310.5 forecast from then to midnight; the nulls after it are no points."""
    series = provider("energy-charts", charts, "DE").fetch(HttpGet(), NOW_NS)
    assert series.at(ns("2026-11-20T11:59:00Z")).value == 300.5
    assert series.at(NOW_NS) == Point(
        ns("2026-11-20T12:00:00Z"), ns("2026-11-20T12:15:00Z"), 310.5, estimated=True
    )
    assert series.points[0].start_ns == ns("2026-11-19T00:00:00Z")
    assert series.points[-1].end_ns == ns("2026-11-21T00:00:00Z")
    assert len(series.points) == 192
    assert (series.basis, series.flow, series.grid_zone) == ("lifecycle", "", "DE")


def test_energy_charts_is_asked_for_yesterday_to_tomorrow(charts):
    """The country in lower case."""
    provider("energy-charts", charts, "DE").fetch(HttpGet(), NOW_NS)
    assert charts.asked[0].query == {"country": "de", "start": "2026-11-19", "end": "2026-11-21"}


def test_energy_charts_in_hours(charts):
    """The length of a step is the distance of most neighbours; a missing step is a gap, not a long one."""

    def hourly(path, payload):
        start = ns("2026-11-20T08:00:00Z") // 10**9
        hours = [0, 1, 2, 4, 5]
        return {"unix_seconds": [start + 3600 * hour for hour in hours], "co2eq": [100.0 + h for h in hours]}

    charts.change = hourly
    series = provider("energy-charts", charts, "FR").fetch(HttpGet(), NOW_NS)
    assert {point.end_ns - point.start_ns for point in series.points} == {60 * MINUTE_NS}
    assert series.at(ns("2026-11-20T11:30:00Z")) is None
    assert series.at(NOW_NS).value == 104.0


@pytest.mark.parametrize("which", ["unix_seconds", "co2eq", "co2eq_forecast"])
def test_energy_charts_lists_of_different_length(charts, which):
    """Values would move to other hours."""

    def cut(path, payload):
        payload[which] = payload[which][:-3]
        return payload

    charts.change = cut
    assert reason_of(provider("energy-charts", charts, "DE")) == "bad_data"


@pytest.mark.parametrize("seconds", [-900, 1795176000000])
def test_energy_charts_times_that_are_no_seconds(charts, seconds):
    """Milliseconds, or a time before 1970."""
    charts.change = lambda path, payload: {"unix_seconds": [seconds], "co2eq": [1.0]}
    assert reason_of(provider("energy-charts", charts, "DE")) == "bad_data"


@pytest.fixture
def eco2mix():
    with Eco2mixService(NOW_NS) as running:
        yield running


def test_eco2mix_gives_what_is_known(eco2mix):
    """A hundred quarter-hours up to 11:00, direct and of production; nothing ahead."""
    series = provider("eco2mix", eco2mix, "FR").fetch(HttpGet(), NOW_NS)
    assert len(series.points) == 100
    assert series.points[-1] == Point(
        ns("2026-11-20T11:00:00Z"), ns("2026-11-20T11:15:00Z"), 21.0, estimated=False
    )
    assert (series.basis, series.flow, series.grid_zone) == ("direct", "production", "FR")
    assert series.at(NOW_NS) is None


def test_eco2mix_nulls_are_gaps(eco2mix):
    """Should the service give them after all."""

    def nulls(path, payload):
        for record in payload["results"][:4]:
            record["taux_co2"] = None
        return payload

    eco2mix.change = nulls
    series = provider("eco2mix", eco2mix, "FR").fetch(HttpGet(), NOW_NS)
    assert series.points[-1].start_ns == ns("2026-11-20T10:00:00Z")


def test_eco2mix_times_with_the_offset_of_paris(eco2mix):
    """The same moments, whatever offset they are written with."""

    def paris(path, payload):
        rows = [("2026-10-25T02:45:00+02:00", 1), ("2026-10-25T02:00:00+01:00", 2)]
        return {"results": [{"date_heure": at, "taux_co2": value} for at, value in rows]}

    eco2mix.change = paris
    series = provider("eco2mix", eco2mix, "FR").fetch(HttpGet(), NOW_NS)
    assert [point.start_ns for point in series.points] == [
        ns("2026-10-25T00:45:00Z"),
        ns("2026-10-25T01:00:00Z"),
    ]


@pytest.fixture
def denmark():
    with EnergiDataServiceService(NOW_NS) as running:
        yield running


@pytest.mark.parametrize("zone", ["DK1", "DK-DK2"])
def test_energi_data_service_measured_then_forecast(denmark, zone):
    """80 g measured to 12:00, 90 forecast from then to the end of tomorrow."""
    series = provider("energi-data-service", denmark, zone).fetch(HttpGet(), NOW_NS)
    assert series.at(ns("2026-11-20T11:59:00Z")).value == 80.0
    assert series.at(NOW_NS) == Point(
        ns("2026-11-20T12:10:00Z"), ns("2026-11-20T12:15:00Z"), 90.0, estimated=True
    )
    assert series.points[-1].end_ns == ns("2026-11-22T00:00:00Z")
    assert (series.basis, series.flow, series.grid_zone) == ("direct", "consumption", zone)
    assert [json.loads(asked.query["filter"]) for asked in denmark.asked] == [
        {"PriceArea": [zone[-3:]]},
        {"PriceArea": [zone[-3:]]},
    ]


def test_energi_data_service_measured_beats_forecast(denmark):
    """Both data sets hold this morning."""
    series = provider("energi-data-service", denmark, "DK1").fetch(HttpGet(), NOW_NS)
    morning = series.at(ns("2026-11-20T06:00:00Z"))
    assert (morning.value, morning.estimated) == (80.0, False)


def test_energi_data_service_without_forecast(denmark):
    """The measured values are enough."""

    def none(path, payload):
        return payload | {"records": []} if path.endswith("Prog") else payload

    denmark.change = none
    series = provider("energi-data-service", denmark, "DK1").fetch(HttpGet(), NOW_NS)
    assert {point.value for point in series.points} == {80.0}


@pytest.mark.parametrize(
    ("name", "zone", "hint"),
    [
        ("energy-charts", "Germany", "DE, FR or AT"),
        ("eco2mix", "DE", "the only zone is FR"),
        ("energi-data-service", "DK3", "DK1 and DK2"),
    ],
)
def test_a_zone_elsewhere_is_refused_at_once(charts, name, zone, hint):
    """With the path of the setting and the zones there are."""
    with pytest.raises(SettingsError, match=rf"carbon\.intensity\.grid_zone.*{hint}"):
        provider(name, charts, zone)
