"""WattTime: tokens, units, the forecast of subscribers and the percentile of everybody else."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.carbon_services import DAY, NOW_NS, WattTimeService, ns
from wattledger.carbon.live.fetch import FetchError
from wattledger.carbon.live.http import HttpGet
from wattledger.carbon.providers.registry import build_provider
from wattledger.settings import IntensitySettings

PASSWORD = "wt-password-8810"
MINUTE_NS = 60 * 10**9


@pytest.fixture
def service():
    with WattTimeService(NOW_NS, PASSWORD) as running:
        yield running


def provider(service, key=lambda: PASSWORD, **settings):
    settings = {"grid_zone": "CAISO_NORTH", "username": "ledger", "key_file": "/k"} | settings
    return build_provider(IntensitySettings(provider="watttime", url=service.url, **settings), key)


def reason_of(made, now_ns=NOW_NS):
    with pytest.raises(FetchError) as caught:
        made.fetch(HttpGet(), now_ns)
    return caught.value.reason


def test_pounds_per_megawatt_hour_become_grams_per_kilowatt_hour(service):
    """2000 lb/MWh in the past day, 1000 in this hour, 500 after it; a lb/MWh is 0.45359237 g/kWh."""
    series = provider(service).fetch(HttpGet(), NOW_NS)
    assert series.at(NOW_NS - 1).value == pytest.approx(907.18474, abs=1e-9)
    assert series.at(NOW_NS).value == pytest.approx(453.59237, abs=1e-9)
    assert series.at(NOW_NS + 60 * MINUTE_NS).value == pytest.approx(226.796185, abs=1e-9)
    assert (series.kind, series.basis, series.flow, series.unit) == ("marginal", "direct", "", "g/kWh")
    assert series.generated_ns == NOW_NS


def test_steps_of_five_minutes_over_a_day_each_way(service):
    """288 steps back and 288 ahead, without gap or overlap; those ahead are estimated."""
    points = provider(service).fetch(HttpGet(), NOW_NS).points
    assert len(points) == 576
    assert all(before.end_ns == after.start_ns for before, after in pairwise(points))
    assert {point.end_ns - point.start_ns for point in points} == {5 * MINUTE_NS}
    assert [point.estimated for point in points] == [False] * 288 + [True] * 288


def test_the_free_plan_gives_the_percentile(service):
    """37 stays 37, with its own unit; the forecast is asked for once a day only."""
    service.subscribed = ()
    made = provider(service)
    for minutes in (0, 5, 10):
        series = made.fetch(HttpGet(), NOW_NS + minutes * MINUTE_NS)
        assert [point.value for point in series.points] == [37.0]
        assert (series.unit, series.kind) == ("percentile", "marginal")
    assert service.paths().count("/v3/forecast") == 1
    service.subscribed = ("CAISO_NORTH",)
    service.now += DAY
    assert made.fetch(HttpGet(), NOW_NS + 24 * 60 * MINUTE_NS).unit == "g/kWh"


def test_a_percentile_of_more_than_a_hundred_is_none(service):
    """Whatever it is, it is no percentile."""
    service.subscribed = ()

    def beyond(path, payload):
        if path == "/v3/signal-index":
            payload["data"][0]["value"] = 101
        return payload

    service.change = beyond
    assert reason_of(provider(service)) == "no_data"


@pytest.mark.parametrize("units", ["percentile", "kgs_co2_per_mwh", "lbs_health_damage_per_mwh"])
def test_other_units_are_refused(service, units):
    """A percentile where pounds are due would be priced a hundred times too low."""

    def other(path, payload):
        if path == "/v3/forecast":
            payload["meta"]["units"] = units
        return payload

    service.change = other
    assert reason_of(provider(service)) == "wrong_units"


@pytest.mark.parametrize(("field", "value"), [("region", "PJM_DC"), ("signal_type", "co2_aoer")])
def test_another_region_or_signal_is_refused(service, field, value):
    """The envelope is compared with the question."""

    def other(path, payload):
        if "meta" in payload:
            payload["meta"][field] = value
        return payload

    service.change = other
    assert reason_of(provider(service)) == "bad_data"


def test_a_token_is_kept_for_25_minutes(service):
    """One login for fetches at 0, 10 and 24 minutes, another at 25."""
    made = provider(service)
    for minutes, logins in ((0, 1), (10, 1), (24, 1), (25, 2)):
        made.fetch(HttpGet(), NOW_NS + minutes * MINUTE_NS)
        assert service.paths().count("/login") == logins


def test_a_token_that_is_refused_is_renewed_once(service):
    """The service forgets its tokens; the next fetch works."""
    made = provider(service)
    made.fetch(HttpGet(), NOW_NS)
    service.tokens.clear()
    assert made.fetch(HttpGet(), NOW_NS + MINUTE_NS).points
    assert service.paths().count("/login") == 2


def test_a_clock_that_was_set_back_does_not_keep_a_token(service):
    """Its age cannot be told any more."""
    made = provider(service)
    made.fetch(HttpGet(), NOW_NS)
    made.fetch(HttpGet(), NOW_NS - MINUTE_NS)
    assert service.paths().count("/login") == 2


def test_a_new_password_logs_in_anew(service):
    """Also while the old token would hold."""
    passwords = ["wrong-password", PASSWORD, PASSWORD]
    made = provider(service, key=lambda: passwords[0])
    assert reason_of(made) == "unauthorized"
    del passwords[0]
    assert made.fetch(HttpGet(), NOW_NS).points
    passwords[0] = "rotated-and-wrong"
    assert reason_of(made) == "unauthorized"


def test_without_history_the_forecast_is_enough(service):
    """It begins now."""

    def none(path, payload):
        return payload | {"data": []} if path == "/v3/historical" else payload

    service.change = none
    series = provider(service).fetch(HttpGet(), NOW_NS)
    assert series.points[0].start_ns == NOW_NS == ns("2026-11-20T12:10:00Z")


def test_the_repr_of_nothing_holds_a_secret(service):
    """Neither the password nor the token."""
    made = provider(service)
    made.fetch(HttpGet(), NOW_NS)
    assert PASSWORD not in repr(made)
