"""What `--since` and `--until` mean, and which hours a report is made of."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from wattledger.errors import SettingsError
from wattledger.model import S_NS
from wattledger.report.span import HOUR_NS, span

NOW = int(datetime(2026, 3, 30, 10, 20, tzinfo=UTC).timestamp()) * S_NS
"""A Monday; the clocks of Berlin went forward on Sunday."""


def shown(since, until=None, timezone="UTC"):
    """Start and end in UTC, to the minute."""
    found = span(since, until, timezone, NOW)
    return [f"{datetime.fromtimestamp(at // S_NS, UTC):%m-%d %H:%M}" for at in (found.start_ns, found.end_ns)]


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("day", ["03-30 00:00", "03-30 11:00"]),
        ("week", ["03-30 00:00", "03-30 11:00"]),
        ("month", ["03-01 00:00", "03-30 11:00"]),
        ("quarter", ["01-01 00:00", "03-30 11:00"]),
        ("last-day", ["03-29 00:00", "03-30 00:00"]),
        ("last-week", ["03-23 00:00", "03-30 00:00"]),
        ("last-month", ["02-01 00:00", "03-01 00:00"]),
        ("last-quarter", ["10-01 00:00", "01-01 00:00"]),
        ("7d", ["03-23 11:00", "03-30 11:00"]),
        ("36h", ["03-28 23:00", "03-30 11:00"]),
        ("2w", ["03-16 11:00", "03-30 11:00"]),
        ("2026-03-01", ["03-01 00:00", "03-30 11:00"]),
        ("2026-03-01T12:00", ["03-01 12:00", "03-30 11:00"]),
        ("2026-03-01T12:00+02:00", ["03-01 10:00", "03-30 11:00"]),
        ("2026-03-01T12:00:00Z", ["03-01 12:00", "03-30 11:00"]),
    ],
)
def test_words_ages_and_dates(since, expected):
    """Now is 10:20, and its hour is part of what still runs."""
    assert shown(since) == expected


def test_dates_are_those_of_the_time_zone():
    """The last Sunday in March has 23 hours in Berlin."""
    assert shown("2026-03-29", "2026-03-30", "Europe/Berlin") == ["03-28 23:00", "03-29 22:00"]
    assert shown("last-day", None, "Europe/Berlin") == ["03-28 23:00", "03-29 22:00"]


def test_times_without_an_offset_are_those_of_the_time_zone_too():
    """The clocks of Berlin go back at 03:00 on 2025-10-26: 02:00 comes twice, and the first is meant."""
    assert shown("2026-03-29T12:00", "2026-03-29T14:00", "Europe/Berlin") == ["03-29 10:00", "03-29 12:00"]
    assert shown("2025-10-26T02:00", "2025-10-26T03:00", "Europe/Berlin") == ["10-26 00:00", "10-26 02:00"]
    assert shown("2026-03-29T12:00Z", "2026-03-29T14:00Z", "Europe/Berlin") == ["03-29 12:00", "03-29 14:00"]


def test_the_end_may_be_given():
    assert shown("last-month", "2026-02-10") == ["02-01 00:00", "02-10 00:00"]
    assert shown("month", "7d") == ["03-01 00:00", "03-23 11:00"]


def test_neighbouring_months_share_no_hour_where_midnight_is_no_full_hour():
    """In Kolkata a month begins at 18:30 UTC: the hour it begins in belongs to the month before."""
    january = span("2026-01-01", "2026-02-01", "Asia/Kolkata", NOW)
    february = span("2026-02-01", "2026-03-01", "Asia/Kolkata", NOW)
    assert january.end_ns == february.start_ns
    assert january.start_ns % HOUR_NS == 0


@pytest.mark.parametrize(
    "text", ["", "7", "7x", "yesterday", "2026-13-01", "2026-02-30", "last-7d", "0001-01-01"]
)
def test_what_is_no_time_is_refused_with_what_is_accepted(text):
    with pytest.raises(SettingsError, match=r"--since: .* is no time; give a date"):
        span(text, None, "UTC", NOW)


def test_a_period_has_to_have_begun_and_to_end_after_that():
    with pytest.raises(SettingsError, match="not in the past yet"):
        span("2026-03-31", None, "UTC", NOW)
    with pytest.raises(SettingsError, match="--until: '2026-03-01' is not after --since '2026-03-01'"):
        span("2026-03-01", "2026-03-01", "UTC", NOW)
