"""Electricity Maps, v4 and v3: what is asked, what comes of it, and what a 401 means."""

from __future__ import annotations

import logging

import pytest

from tests.carbon_services import NOW_NS, ElectricityMapsService, Status, ns
from wattledger.carbon.live.fetch import FetchError
from wattledger.carbon.live.http import HttpGet
from wattledger.carbon.providers.registry import build_provider
from wattledger.carbon.series import Point
from wattledger.settings import IntensitySettings

KEY = "em-key-27c1"
HOUR_NS = 3600 * 10**9


@pytest.fixture
def service():
    with ElectricityMapsService(NOW_NS, KEY) as running:
        yield running


def provider(service, key=KEY, **settings):
    settings = {"grid_zone": "DE", "key_file": "/run/key"} | settings
    configured = IntensitySettings(provider="electricity-maps", url=service.url, **settings)
    return build_provider(configured, lambda: key)


class Troubled(HttpGet):
    """The service is in trouble for one path."""

    def __init__(self, service, path, fault=Status(503)):  # noqa: B008 - frozen
        super().__init__()
        self._service, self._path, self._fault = service, path, fault

    def __call__(self, request):
        self._service.fault = self._fault if request.url.endswith(self._path) else None
        try:
            return super().__call__(request)
        finally:
            self._service.fault = None


def reason_of(made, now_ns=NOW_NS):
    with pytest.raises(FetchError) as caught:
        made.fetch(HttpGet(), now_ns)
    return caught.value


@pytest.mark.parametrize("version", ["v3", "v4"])
def test_the_past_day_the_present_and_a_day_of_forecast(service, version):
    """Hourly points from 13:00 yesterday to 12:00 tomorrow; 100 g plus the UTC hour."""
    series = provider(service, api_version=version).fetch(HttpGet(), NOW_NS)
    assert series.points[0].start_ns == ns("2026-11-19T13:00:00Z")
    assert series.points[-1].start_ns == ns("2026-11-21T12:00:00Z")
    assert len(series.points) == 48
    assert series.at(NOW_NS) == Point(
        ns("2026-11-20T12:00:00Z"), ns("2026-11-20T13:00:00Z"), 112.0, estimated=True
    )
    assert (series.basis, series.kind, series.flow, series.unit) == (
        "lifecycle",
        "average",
        "consumption",
        "g/kWh",
    )
    assert (series.provider, series.grid_zone, series.fetched_ns) == ("electricity-maps", "DE", NOW_NS)
    assert series.generated_ns == NOW_NS
    assert "Electricity Maps" in series.licence


def test_measured_and_estimated_hours_are_told_apart(service):
    """What the service estimates and what lies ahead is marked."""
    series = provider(service).fetch(HttpGet(), NOW_NS)
    assert not series.at(NOW_NS - HOUR_NS).estimated
    assert series.at(NOW_NS).estimated
    assert series.at(NOW_NS + HOUR_NS).estimated


def test_the_lookup_by_the_callers_address_is_switched_off(service):
    """Both versions have a word for it, and an unknown zone is not_found instead of somebody else's."""
    for version, word in (
        ("v4", ("disableCallerLookup", "true")),
        ("v3", ("shouldUseFallbackCallerLookup", "false")),
    ):
        error = reason_of(provider(service, api_version=version, grid_zone="ATLANTIS"))
        assert error.reason == "not_found"
        assert "/zones" in str(error)
        assert service.asked[-1].query[word[0]] == word[1]


def test_the_key_travels_in_its_header_only(service):
    """Neither in the path nor in the query."""
    provider(service).fetch(HttpGet(), NOW_NS)
    assert {asked.headers["auth-token"] for asked in service.asked} == {KEY}
    assert all(KEY not in asked.path + str(asked.query) for asked in service.asked)


def test_basis_and_flow_are_asked_for_and_kept(service):
    """Direct is 50 g less here, production 10 g less."""
    series = provider(service, basis="direct", flow="production").fetch(HttpGet(), NOW_NS)
    assert series.at(NOW_NS).value == 52.0
    assert (series.basis, series.flow) == ("direct", "production")


@pytest.mark.parametrize(
    "field", [("zone", "FR"), ("emissionFactorType", "direct"), ("flowTraced", False)], ids=lambda f: f[0]
)
@pytest.mark.parametrize("where", ["latest", "history"])
def test_an_answer_to_another_question_is_refused(service, field, where):
    """Zone, factors or flow other than asked for: bad data, wherever they are said."""

    def other(path, payload):
        if path.endswith(where):
            (payload if where == "latest" else payload["data"][3])[field[0]] = field[1]
        return payload

    service.change = other
    assert reason_of(provider(service)).reason == "bad_data"


def test_the_length_of_a_point_is_what_the_service_says(service):
    """`temporalGranularity` makes it five minutes or an hour; an unknown word is bad data."""
    service.plan = ["carbon-intensity/latest"]
    service.granularity = "5_minutes"
    (point,) = provider(service).fetch(HttpGet(), NOW_NS).points
    assert point.end_ns - point.start_ns == 300 * 10**9
    service.granularity = "fortnightly"
    assert reason_of(provider(service)).reason == "bad_data"


def test_a_plan_without_forecast_and_history_gives_the_present(service):
    """One point, and no error."""
    service.plan = ["carbon-intensity/latest"]
    series = provider(service).fetch(HttpGet(), NOW_NS)
    assert [point.value for point in series.points] == [112.0]


def test_what_the_plan_refuses_is_asked_for_once_a_day(service, caplog):
    """Not at the next fetch, again a day later; each change is logged once."""
    caplog.set_level(logging.INFO)
    service.plan = ["carbon-intensity/latest", "carbon-intensity/history"]
    made = provider(service)
    for hours in range(24):
        made.fetch(HttpGet(), NOW_NS + hours * HOUR_NS)
    assert service.paths().count("/v4/carbon-intensity/forecast") == 1
    assert [record.message for record in caplog.records] == ["carbon part missing"]
    service.plan.append("carbon-intensity/forecast")
    made.fetch(HttpGet(), NOW_NS + 24 * HOUR_NS)
    assert service.paths().count("/v4/carbon-intensity/forecast") == 2
    assert [record.message for record in caplog.records][1:] == ["carbon part available"]


def test_a_part_in_trouble_leaves_the_rest_and_is_asked_again(service):
    """A 503 for the history costs the past day of this fetch only."""
    made = provider(service)
    assert len(made.fetch(Troubled(service, "/history"), NOW_NS).points) == 25
    assert len(made.fetch(HttpGet(), NOW_NS).points) == 48


def test_a_part_that_is_asked_too_often_is_left_alone_for_as_long_as_the_service_says(service):
    """Retry-After of an hour: not after 59 minutes, again after 60."""
    made = provider(service)
    made.fetch(Troubled(service, "/forecast", Status(429, retry_after="3600")), NOW_NS)
    for minutes, asked in ((59, 1), (60, 2)):
        made.fetch(HttpGet(), NOW_NS + minutes * HOUR_NS // 60)
        assert service.paths().count("/v4/carbon-intensity/forecast") == asked


def test_a_wrong_key_is_unauthorized(service):
    """/zones refuses it as well."""
    error = reason_of(provider(service, key="wrong-key"))
    assert error.reason == "unauthorized"
    assert service.paths() == ["/v4/carbon-intensity/latest", "/v4/zones"]


def test_a_wrong_key_that_zones_answers_like_a_stranger_is_unauthorized(service):
    """The public list shows nobody any access."""
    service.lists_for_strangers = True
    error = reason_of(provider(service, key="wrong-key"))
    assert error.reason == "unauthorized"


def test_a_zone_outside_the_plan_is_a_plan_error(service):
    """The key is right; the message says which zone its plan lacks."""
    service.covered = ("FR",)
    error = reason_of(provider(service))
    assert error.reason == "plan"
    assert "covers no zone DE (it covers 1 zones)" in str(error)


def test_a_call_outside_the_plan_is_a_plan_error(service):
    """The message names the call."""
    service.plan = ["carbon-intensity/forecast"]
    error = reason_of(provider(service))
    assert error.reason == "plan"
    assert "lacks carbon-intensity/latest for DE" in str(error)


def test_an_empty_list_of_zones_is_a_plan_without_zones(service):
    """A valid key may see none at all."""
    service.covered = ()
    assert reason_of(provider(service)).reason == "plan"


def test_when_zones_cannot_be_asked_the_refusal_stands_with_its_doubt(service):
    """A 401 for every call, then trouble at the probe: unauthorized, and the message says so."""
    with pytest.raises(FetchError) as caught:
        provider(service, key="wrong-key").fetch(Troubled(service, "/zones"), NOW_NS)
    assert caught.value.reason == "unauthorized"
    assert "could not be asked why" in str(caught.value)


@pytest.mark.parametrize("end", ["", "/", "/v3", "/v4/"])
def test_the_version_belongs_to_its_own_setting(service, end):
    """An address with a version at its end is taken without."""
    configured = IntensitySettings(
        provider="electricity-maps",
        grid_zone="DE",
        key_file="/k",
        url=service.url + end,
        api_version="v4",
    )
    build_provider(configured, lambda: KEY).fetch(HttpGet(), NOW_NS)
    assert service.paths()[0] == "/v4/carbon-intensity/latest"


def test_the_key_is_read_anew_at_every_fetch(service):
    """A rotated key is taken up."""
    keys = iter(["old-key", KEY])
    configured = IntensitySettings(
        provider="electricity-maps", grid_zone="DE", key_file="/k", url=service.url
    )
    made = build_provider(configured, lambda: next(keys))
    assert reason_of(made).reason == "unauthorized"
    assert made.fetch(HttpGet(), NOW_NS).at(NOW_NS).value == 112.0
