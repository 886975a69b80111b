"""Calendar periods: exact to the second wherever the clocks of the zone go."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from wattledger.carbon.budgets.period import period_at
from wattledger.errors import SettingsError

HOUR = 3600 * 1_000_000_000
DAY = 24 * HOUR


def at(text, timezone="UTC", fold=0):
    """The moment that a local time stands for, in nanoseconds."""
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone), fold=fold)
    return round(local.timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("day", "2026-11-21", "2026-11-22"),
        ("week", "2026-11-16", "2026-11-23"),
        ("month", "2026-11-01", "2026-12-01"),
        ("quarter", "2026-10-01", "2027-01-01"),
        ("year", "2026-01-01", "2027-01-01"),
    ],
)
def test_the_period_that_a_moment_lies_in(period, start, end):
    """A Saturday in November, in UTC."""
    assert period_at(period, "UTC", at("2026-11-21T03:11:48")) == (at(start), at(end))


@pytest.mark.parametrize("period", ["day", "week", "month", "quarter", "year"])
def test_the_start_belongs_to_the_period_and_the_end_to_the_next(period):
    start, end = period_at(period, "Europe/Berlin", at("2026-11-21T03:11:48"))
    assert period_at(period, "Europe/Berlin", start) == (start, end)
    assert period_at(period, "Europe/Berlin", end - 1) == (start, end)
    assert period_at(period, "Europe/Berlin", end)[0] == end
    assert period_at(period, "Europe/Berlin", start - 1)[1] == start


def test_weeks_are_those_of_iso_8601_and_go_over_the_year():
    """2027-01-01 is the Friday of week 53 of 2026."""
    assert period_at("week", "UTC", at("2027-01-01")) == (at("2026-12-28"), at("2027-01-04"))


def test_a_leap_year_has_its_day():
    assert period_at("month", "UTC", at("2028-02-29")) == (at("2028-02-01"), at("2028-03-01"))
    assert period_at("day", "UTC", at("2028-02-29")) == (at("2028-02-29"), at("2028-03-01"))
    start, end = period_at("year", "UTC", at("2028-02-29"))
    assert end - start == 366 * DAY
    start, end = period_at("quarter", "UTC", at("2028-02-29"))
    assert end - start == 91 * DAY
    start, end = period_at("month", "UTC", at("2100-02-28"))
    assert end - start == 28 * DAY


@pytest.mark.parametrize(
    ("timezone", "noon", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T12:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00", 25),
        ("America/New_York", "2026-03-08T12:00", 23),
        ("America/New_York", "2026-11-01T12:00", 25),
        ("Australia/Lord_Howe", "2026-10-04T12:00", 23.5),
        ("Australia/Lord_Howe", "2026-04-05T12:00", 24.5),
        ("America/Sao_Paulo", "2018-11-04T12:00", 23),
        ("America/Sao_Paulo", "2018-02-17T12:00", 25),
        ("Asia/Beirut", "2022-03-27T12:00", 23),
        ("Asia/Beirut", "2022-10-29T12:00", 25),
        ("Africa/Cairo", "2024-04-26T12:00", 23),
        ("Africa/Cairo", "2024-10-31T12:00", 25),
        ("Atlantic/Azores", "2026-03-29T12:00", 23),
        ("Atlantic/Azores", "2026-10-25T12:00", 25),
        ("Asia/Kolkata", "2026-03-29T12:00", 24),
        ("Asia/Kathmandu", "2026-10-25T12:00", 24),
    ],
)
def test_a_day_is_as_long_as_the_clocks_make_it(timezone, noon, hours):
    start, end = period_at("day", timezone, at(noon, timezone))
    assert end - start == hours * HOUR


def test_a_month_with_a_change_is_an_hour_longer_or_shorter():
    start, end = period_at("month", "Europe/Berlin", at("2026-03-10"))
    assert end - start == 31 * DAY - HOUR
    start, end = period_at("month", "Europe/Berlin", at("2026-10-10"))
    assert end - start == 31 * DAY + HOUR


def test_where_midnight_does_not_exist_the_day_begins_with_the_change():
    """In Beirut 2022-03-27 began at 01:00, which is 22:00 UTC the day before."""
    start, _ = period_at("day", "Asia/Beirut", at("2022-03-27T12:00", "Asia/Beirut"))
    assert start == at("2022-03-26T22:00")
    assert period_at("day", "Asia/Beirut", start - 1)[1] == start


def test_a_change_that_skips_midnight_from_before_it():
    """In Toronto the clocks went from 23:30 to 00:30 on 1919-03-30; 23:30 EST is 04:30 UTC."""
    start, _ = period_at("day", "America/Toronto", at("1919-03-31T12:00", "America/Toronto"))
    assert start == at("1919-03-31T04:30")


def test_where_midnight_comes_twice_the_day_begins_with_the_first():
    """On the Azores 2026-10-25 has 00:00 to 01:00 twice, first at UTC+0."""
    start, _ = period_at("day", "Atlantic/Azores", at("2026-10-25T12:00", "Atlantic/Azores"))
    assert start == at("2026-10-25T00:00")
    again = at("2026-10-25T00:30", "Atlantic/Azores", fold=1)
    assert again == at("2026-10-25T01:30")
    assert period_at("day", "Atlantic/Azores", again)[0] == start


def test_the_hour_before_midnight_that_comes_again_does_not_reopen_the_day_before():
    """In St. John's the clocks went from 00:01 to 23:01: that minute began the day, and it stays begun."""
    first, again = at("2006-10-29T02:00"), at("2006-10-29T03:00")  # both 23:30 on the 28th there
    begin = at("2006-10-29T02:30")
    assert period_at("day", "America/St_Johns", first)[1] == begin
    assert period_at("day", "America/St_Johns", again)[0] == begin


def test_a_day_that_was_left_out_is_no_period():
    """Samoa had no 2011-12-30: the 29th is followed by the 31st."""
    start, end = period_at("day", "Pacific/Apia", at("2011-12-29T12:00", "Pacific/Apia"))
    assert end - start == DAY
    following = period_at("day", "Pacific/Apia", end)
    assert following == (end, end + DAY)
    assert end == at("2011-12-31T00:00", "Pacific/Apia")


def test_offsets_of_half_and_quarter_hours():
    """Midnight of Kolkata is 18:30 UTC, that of Kathmandu 18:15."""
    assert period_at("day", "Asia/Kolkata", at("2026-11-21"))[0] == at("2026-11-20T18:30")
    assert period_at("month", "Asia/Kathmandu", at("2026-11-21"))[0] == at("2026-10-31T18:15")


@pytest.mark.parametrize(
    "name", ["Europe/Atlantis", "Europe", "", "../etc/passwd", "/etc/localtime", "CE\0T"]
)
def test_a_zone_that_does_not_exist_is_refused_with_what_is_accepted(name):
    with pytest.raises(SettingsError, match="Europe/Berlin or UTC"):
        period_at("day", name, 0)
