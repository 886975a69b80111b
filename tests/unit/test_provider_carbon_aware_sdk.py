"""The Carbon Aware SDK's Web API: past and forecast, and what it may be used for."""

from __future__ import annotations

import pytest

from tests.carbon_services import NOW_NS, CarbonAwareSdkService, ns
from wattledger.carbon.live.fetch import FetchError
from wattledger.carbon.live.http import HttpGet
from wattledger.carbon.providers.registry import build_provider
from wattledger.carbon.series import Point
from wattledger.settings import IntensitySettings

MINUTE_NS = 60 * 10**9


@pytest.fixture
def service():
    with CarbonAwareSdkService(NOW_NS) as running:
        yield running


def provider(service, **settings):
    settings = {"grid_zone": "eastus"} | settings
    configured = IntensitySettings(provider="carbon-aware-sdk", url=service.url, **settings)
    return build_provider(configured, lambda: "")


def test_a_day_back_and_a_day_ahead(service):
    """545.5 g up to now, 500.25 g from the next step; fractions of seconds and offsets are read."""
    series = provider(service).fetch(HttpGet(), NOW_NS)
    assert series.at(NOW_NS - 1).value == 545.5
    assert series.at(NOW_NS + 5 * MINUTE_NS) == Point(
        ns("2026-11-20T12:15:00Z"), ns("2026-11-20T12:20:00Z"), 500.25, estimated=True
    )
    assert len(series.points) == 576


def test_without_a_stated_basis_it_only_steers(service):
    """Its source may be WattTime; stating a basis says that it is an average."""
    assert provider(service).fetch(HttpGet(), NOW_NS).kind == "marginal"
    series = provider(service, basis="lifecycle", flow="consumption").fetch(HttpGet(), NOW_NS)
    assert (series.kind, series.basis, series.flow) == ("average", "lifecycle", "consumption")


def test_a_source_without_forecast(service):
    """501 for the forecast leaves the past."""
    service.has_forecast = False
    series = provider(service).fetch(HttpGet(), NOW_NS)
    assert {point.value for point in series.points} == {545.5}


def test_a_source_without_a_past(service):
    """204 for the emissions leaves the forecast."""
    service.has_emissions = False
    series = provider(service).fetch(HttpGet(), NOW_NS)
    assert {point.value for point in series.points} == {500.25}


def test_a_source_with_neither(service):
    """No data, in as many words."""
    service.has_emissions = service.has_forecast = False
    with pytest.raises(FetchError) as caught:
        provider(service).fetch(HttpGet(), NOW_NS)
    assert caught.value.reason == "no_data"


@pytest.mark.parametrize(
    ("duration", "minutes"),
    [("01:00:00", 60), ("1.00:00:00", 1440), ("00:30:00.5", 30), ("00:00:00", 5), ("soon", 5), (None, 5)],
)
def test_durations(service, duration, minutes):
    """As .NET writes a TimeSpan; where that says nothing, a lone value holds for five minutes."""
    service.has_forecast = False
    row = {"location": "X", "time": "2026-11-20T12:00:00.5092741+00:00", "rating": 70, "duration": duration}
    service.change = lambda path, payload: [row]
    (point,) = provider(service).fetch(HttpGet(), NOW_NS).points
    assert point.end_ns - point.start_ns == minutes * MINUTE_NS
    assert point.value == 70.0


@pytest.mark.parametrize(
    ("duration", "minutes"), [(30, 30), (0.5, 0.5), (0, 5), (-5, 5), (1441, 5), (None, 5)]
)
def test_durations_of_a_forecast(service, duration, minutes):
    """In minutes; where they make no sense, a lone value holds for five."""
    service.has_emissions = False

    def lone(path, payload):
        point = {"timestamp": "2026-11-20T12:00:00Z", "value": 70, "duration": duration}
        return [payload[0] | {"forecastData": [point]}]

    service.change = lone
    (point,) = provider(service).fetch(HttpGet(), NOW_NS).points
    assert point.end_ns - point.start_ns == minutes * MINUTE_NS


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/emissions/bylocation", "answered for several locations at once"),
        ("/emissions/forecasts/current", "answered for another location than eastus"),
    ],
)
def test_rows_of_another_location_are_refused(service, path, words):
    """One was asked for; in the past as in the forecast, such an answer makes all of it doubtful."""

    def mixed(asked, payload):
        if asked == path:
            payload[0]["location"] = "SOMEWHERE_ELSE"
        return payload

    service.change = mixed
    with pytest.raises(FetchError, match=words) as caught:
        provider(service).fetch(HttpGet(), NOW_NS)
    assert caught.value.reason == "bad_data"
