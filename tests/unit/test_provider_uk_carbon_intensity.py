"""The Carbon Intensity API of Great Britain: half-hours, actual and forecast, national and regional."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.carbon_services import NOW_NS, UkCarbonIntensityService, ns
from wattledger.carbon.live.fetch import FetchError
from wattledger.carbon.live.http import HttpGet
from wattledger.carbon.providers.registry import build_provider
from wattledger.carbon.series import Point
from wattledger.errors import SettingsError
from wattledger.settings import IntensitySettings

HALF_HOUR_NS = 1800 * 10**9


@pytest.fixture
def service():
    with UkCarbonIntensityService(NOW_NS) as running:
        yield running


def provider(service, zone="GB"):
    configured = IntensitySettings(provider="uk-carbon-intensity", grid_zone=zone, url=service.url)
    return build_provider(configured, lambda: "")


def test_a_half_hour_has_its_actual_value_else_its_forecast(service):
    """200 g were; 210 g are forecast for the half-hour that runs, and estimated."""
    series = provider(service).fetch(HttpGet(), NOW_NS)
    assert series.at(NOW_NS - HALF_HOUR_NS) == Point(
        ns("2026-11-20T11:30:00Z"), ns("2026-11-20T12:00:00Z"), 200.0, estimated=False
    )
    assert series.at(NOW_NS) == Point(
        ns("2026-11-20T12:00:00Z"), ns("2026-11-20T12:30:00Z"), 210.0, estimated=True
    )
    assert (series.basis, series.flow, series.kind) == ("direct", "consumption", "average")
    assert series.licence.startswith("CC BY 4.0")


def test_a_day_back_and_two_ahead_without_overlap(service):
    """The two answers share half-hours; each is there once."""
    points = provider(service).fetch(HttpGet(), NOW_NS).points
    assert points[0].start_ns == ns("2026-11-19T11:30:00Z")
    assert points[-1].end_ns == ns("2026-11-22T12:00:00Z")
    assert all(before.end_ns == after.start_ns for before, after in pairwise(points))
    assert len(points) == 145


@pytest.mark.parametrize(
    ("zone", "grams", "path"),
    [
        ("GB-7", 107.0, "/regional/intensity/2026-11-20T12:00Z/fw48h/regionid/7"),
        ("GB-17", 117.0, "/regional/intensity/2026-11-20T12:00Z/fw48h/regionid/17"),
        ("OX1", 112.0, "/regional/intensity/2026-11-20T12:00Z/fw48h/postcode/OX1"),
        ("sw1a", 113.0, "/regional/intensity/2026-11-20T12:00Z/fw48h/postcode/SW1A"),
    ],
)
def test_regions_by_number_or_postcode(service, zone, grams, path):
    """All of a region is forecast, so all of it is estimated."""
    series = provider(service, zone).fetch(HttpGet(), NOW_NS)
    assert service.paths()[0] == path
    assert {point.value for point in series.points} == {grams}
    assert all(point.estimated for point in series.points)
    assert series.grid_zone == zone.upper()


@pytest.mark.parametrize(("zone", "field", "value"), [("GB-7", "regionid", 8), ("OX1", "postcode", "OX2")])
def test_another_region_is_refused(service, zone, field, value):
    """The answer names its region."""

    def other(path, payload):
        payload["data"][field] = value
        return payload

    service.change = other
    with pytest.raises(FetchError) as caught:
        provider(service, zone).fetch(HttpGet(), NOW_NS)
    assert caught.value.reason == "bad_data"


@pytest.mark.parametrize("zone", ["DE", "GB-0", "GB-18", "GB-", "OX1 2JD", "GB-7/../.."])
def test_a_zone_elsewhere_is_refused_at_once(service, zone):
    """The message says how zones are written; nothing is asked."""
    with pytest.raises(SettingsError, match=r"carbon\.intensity\.grid_zone.*GB-1 to GB-17"):
        provider(service, zone)
    assert service.asked == []


def test_without_the_past_day_the_rest_is_there(service):
    """The present and the forecast are enough."""

    def empty(path, payload):
        return {"data": []} if "pt24h" in path else payload

    service.change = empty
    assert len(provider(service).fetch(HttpGet(), NOW_NS).points) == 97


def test_a_half_hour_that_ends_before_it_begins_is_bad_data(service):
    """Or lasts a day."""

    def turned(path, payload):
        payload["data"][0]["to"] = "2026-11-01T00:00Z"
        return payload

    service.change = turned
    with pytest.raises(FetchError) as caught:
        provider(service).fetch(HttpGet(), NOW_NS)
    assert caught.value.reason == "bad_data"


def test_the_night_when_clocks_change_has_all_its_half_hours():
    """Times are UTC throughout: no half-hour is missing or doubled on 2026-10-25."""
    now_ns = ns("2026-10-25T01:10:00Z")
    with UkCarbonIntensityService(now_ns) as service:
        points = provider(service).fetch(HttpGet(), now_ns).points
    assert all(before.end_ns == after.start_ns for before, after in pairwise(points))
