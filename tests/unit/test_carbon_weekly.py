"""Weekly schedules in a zone's own time, across changes of the clock."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger.carbon.offline.scheduled import Scheduled
from wattledger.carbon.offline.weekly import NEVER_NS, Weekly, gap, time_zone
from wattledger.carbon.pricing import Ratio
from wattledger.errors import SettingsError
from wattledger.model import Intensity
from wattledger.settings import WeeklyRule

BERLIN = ZoneInfo("Europe/Berlin")
ALL_DAYS = frozenset(range(7))
HOUR_NS = 3600 * 10**9
NIGHT = WeeklyRule(ALL_DAYS, 120, 180, 100.0)
"""02:00 to 03:00: the hour that Berlin skips in March and has twice in October."""


def utc(text: str) -> int:
    """Wall time of `2026-03-29 01:00` UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def steps(weekly: Weekly, start: str, end: str) -> list[tuple[str, float]]:
    """Each step within a span of UTC time, with the value from there."""
    found, moment_ns = [], utc(start)
    while (moment_ns := weekly.next_step(moment_ns)) < utc(end):
        at = datetime.fromtimestamp(moment_ns / 1e9, UTC)
        found.append((f"{at:%d %H:%M}", weekly.at(moment_ns)))
    return found


def test_an_ordinary_night_in_winter() -> None:
    """02:00 to 03:00 in Berlin is 01:00 to 02:00 UTC."""
    weekly = Weekly((NIGHT,), 300.0, BERLIN)
    assert steps(weekly, "2026-01-14 00:00", "2026-01-15 00:00") == [("14 01:00", 100.0), ("14 02:00", 300.0)]
    assert weekly.at(utc("2026-01-14 00:59")) == 300.0
    assert weekly.at(utc("2026-01-14 01:00")) == 100.0


def test_the_hour_that_is_skipped_holds_nothing() -> None:
    """On 2026-03-29 Berlin goes from 02:00 to 03:00: no step at all that day, the next one in summer time."""
    weekly = Weekly((NIGHT,), 300.0, BERLIN)
    assert steps(weekly, "2026-03-28 12:00", "2026-03-30 12:00") == [("30 00:00", 100.0), ("30 01:00", 300.0)]


def test_a_rule_around_the_skipped_hour_is_an_hour_shorter() -> None:
    """01:00 to 04:00 lasts from 00:00 to 02:00 UTC."""
    weekly = Weekly((WeeklyRule(ALL_DAYS, 60, 240, 100.0),), 300.0, BERLIN)
    assert steps(weekly, "2026-03-28 12:00", "2026-03-29 12:00") == [("29 00:00", 100.0), ("29 02:00", 300.0)]


def test_a_rule_that_begins_within_the_skipped_hour_begins_after_it() -> None:
    """02:30 to 05:00 begins when the clock says 03:00, at 01:00 UTC."""
    weekly = Weekly((WeeklyRule(ALL_DAYS, 150, 300, 100.0),), 300.0, BERLIN)
    assert steps(weekly, "2026-03-28 12:00", "2026-03-29 12:00") == [("29 01:00", 100.0), ("29 03:00", 300.0)]


def test_the_hour_that_comes_twice_holds_twice() -> None:
    """On 2026-10-25 02:00 to 03:00 is 00:00 to 02:00 UTC, without a step between."""
    weekly = Weekly((NIGHT,), 300.0, BERLIN)
    assert steps(weekly, "2026-10-24 12:00", "2026-10-25 12:00") == [("25 00:00", 100.0), ("25 02:00", 300.0)]


def test_half_of_the_hour_that_comes_twice_holds_two_times_apart() -> None:
    """02:00 to 02:30 is half an hour from 00:00 UTC and another from 01:00 UTC."""
    weekly = Weekly((WeeklyRule(ALL_DAYS, 120, 150, 100.0),), 300.0, BERLIN)
    assert steps(weekly, "2026-10-24 12:00", "2026-10-25 12:00") == [
        ("25 00:00", 100.0),
        ("25 00:30", 300.0),
        ("25 01:00", 100.0),
        ("25 01:30", 300.0),
    ]


def test_a_clock_that_changes_by_half_an_hour() -> None:
    """Lord Howe Island goes back from 02:00 to 01:30 on 2026-04-05, at 15:00 UTC the day before."""
    weekly = Weekly((WeeklyRule(ALL_DAYS, 90, 120, 100.0),), 300.0, ZoneInfo("Australia/Lord_Howe"))
    assert steps(weekly, "2026-04-04 12:00", "2026-04-05 00:00") == [("04 14:30", 100.0), ("04 15:30", 300.0)]


def test_later_rules_win() -> None:
    """All of Monday, except noon, except the first half hour of it."""
    monday = frozenset({0})
    rules = (
        WeeklyRule(monday, 0, 1440, 1.0),
        WeeklyRule(monday, 720, 780, 2.0),
        WeeklyRule(monday, 720, 750, 3.0),
    )
    weekly = Weekly(rules, 0.0, UTC)
    assert steps(weekly, "2026-01-04 12:00", "2026-01-06 12:00") == [
        ("05 00:00", 1.0),
        ("05 12:00", 3.0),
        ("05 12:30", 2.0),
        ("05 13:00", 1.0),
        ("06 00:00", 0.0),
    ]


def test_midnight_between_two_days_of_a_rule_is_no_step() -> None:
    """A value that goes on does not step."""
    weekly = Weekly((WeeklyRule(frozenset({5, 6}), 0, 1440, 100.0),), 300.0, UTC)
    assert steps(weekly, "2026-01-01 00:00", "2026-01-08 00:00") == [("03 00:00", 100.0), ("05 00:00", 300.0)]


def test_one_value_never_steps() -> None:
    """Neither without rules nor with rules that all say the same."""
    assert Weekly((), 1.5, BERLIN).next_step(utc("2026-01-01 00:00")) == NEVER_NS
    assert Weekly((NIGHT,), 100.0, BERLIN).next_step(utc("2026-01-01 00:00")) == NEVER_NS


def test_it_is_a_ratio_for_pue() -> None:
    """What pricing asks for."""
    pue: Ratio = Weekly((WeeklyRule(ALL_DAYS, 720, 1080, 1.4),), 1.2, UTC)
    assert (pue.at(utc("2026-01-01 11:59")), pue.at(utc("2026-01-01 12:00"))) == (1.2, 1.4)


@pytest.mark.parametrize("wall_ns", [-(1 << 63), -1, 0, 1, (1 << 63) - 1, 1 << 64])
def test_a_broken_clock_still_has_a_value(wall_ns: int) -> None:
    """And the next step is later than the moment, so nobody walks in circles."""
    weekly = Weekly((NIGHT,), 300.0, BERLIN)
    assert weekly.at(wall_ns) in {100.0, 300.0}
    assert weekly.next_step(wall_ns) > wall_ns


ZONES = [
    BERLIN,
    ZoneInfo("America/St_Johns"),
    ZoneInfo("Australia/Lord_Howe"),
    UTC,
    timezone(timedelta(hours=-11)),
]
RULES = st.lists(
    st.tuples(
        st.frozensets(st.integers(0, 6), min_size=1),
        st.integers(0, 1438),
        st.integers(1, 1440),
        st.sampled_from([1.0, 2.0, 3.0]),
    )
    .filter(lambda rule: rule[1] < rule[2])
    .map(lambda rule: WeeklyRule(*rule)),
    max_size=4,
)


def by_the_clock(rules: list[WeeklyRule], zone: tzinfo, wall_ns: int) -> float:
    """What the definition says: read the clock on the wall, take the last rule that covers it."""
    local = datetime.fromtimestamp(wall_ns // 10**9, zone)
    minute = local.hour * 60 + local.minute
    for rule in reversed(rules):
        if local.weekday() in rule.days and rule.start_minute <= minute < rule.end_minute:
            return rule.value
    return 0.0


@given(
    RULES,
    st.sampled_from(ZONES),
    st.sampled_from(
        ["2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01", "2026-07-01"]
    ),
    st.integers(-48 * 3600, 48 * 3600),
)
def test_it_is_what_the_clock_on_the_wall_says(
    rules: list[WeeklyRule], zone: tzinfo, day: str, after_s: int
) -> None:
    """At any second around changes of the clock; and just before the next step nothing has changed yet."""
    weekly = Weekly(rules, 0.0, zone)
    moment_ns = utc(f"{day} 00:00") + after_s * 10**9
    assert weekly.at(moment_ns) == by_the_clock(rules, zone, moment_ns)
    edge_ns = weekly.next_step(moment_ns)
    if edge_ns == NEVER_NS:
        assert {by_the_clock(rules, zone, moment_ns + hour * HOUR_NS) for hour in range(200)} == {
            weekly.at(moment_ns)
        }
        return
    assert weekly.at(edge_ns - 1) == weekly.at(moment_ns) == by_the_clock(rules, zone, edge_ns - 10**9)
    assert weekly.at(edge_ns) == by_the_clock(rules, zone, edge_ns) != weekly.at(moment_ns)


def test_the_mean_over_the_long_day_counts_the_hour_twice() -> None:
    """25 hours, two of them at 100, the rest at 300: (2 * 100 + 23 * 300) / 25 = 284."""
    source = Scheduled(Weekly((NIGHT,), 300.0, BERLIN), Intensity(grams_per_kwh=0.0, provider="schedule"))
    day = source.over(utc("2026-10-24 22:00"), utc("2026-10-25 23:00"))
    assert day.grams_per_kwh == pytest.approx(284.0, rel=1e-12)
    assert day.provider == "schedule"


def test_a_schedule_is_a_source_with_its_provenance() -> None:
    """At a moment, over an interval within one step, and one that runs backwards."""
    like = Intensity(grams_per_kwh=0.0, provider="schedule", grid_zone="DE", basis="direct")
    source = Scheduled(Weekly((NIGHT,), 300.0, BERLIN), like)
    noon = utc("2026-01-14 11:00")
    assert source.at(noon) == Intensity(
        grams_per_kwh=300.0, provider="schedule", grid_zone="DE", basis="direct"
    )
    assert source.over(noon, noon + 5 * 10**9) is source.at(noon)
    assert source.over(noon + 1, noon) is source.at(noon)


def test_the_outlook_sees_the_steps_as_points() -> None:
    """Contiguous over the span that was asked for, none of them a forecast."""
    source = Scheduled(Weekly((NIGHT,), 300.0, BERLIN), Intensity(grams_per_kwh=0.0, provider="schedule"))
    start, end = utc("2026-01-14 00:00"), utc("2026-01-14 12:00")
    series = source.series(start, end)
    assert series is not None
    assert [(point.start_ns - start, point.value) for point in series.points] == [
        (0, 300.0),
        (HOUR_NS, 100.0),
        (2 * HOUR_NS, 300.0),
    ]
    assert series.points[-1].end_ns == end
    assert all(point.start_ns <= series.fetched_ns and not point.estimated for point in series.points)


def test_the_first_gap_of_a_schedule_is_found() -> None:
    """The day (0 is Monday) and minute; None when the week is covered."""
    working_hours = WeeklyRule(frozenset(range(5)), 480, 1200, 1.0)
    assert gap(()) == (0, 0)
    assert gap((working_hours,)) == (0, 0)
    assert gap((working_hours, WeeklyRule(ALL_DAYS, 0, 480, 1.0))) == (0, 1200)
    assert gap((WeeklyRule(ALL_DAYS, 0, 1440, 1.0),)) is None
    assert gap((WeeklyRule(frozenset(range(6)), 0, 1440, 1.0),)) == (6, 0)


def test_time_zones_by_their_iana_names() -> None:
    """UTC needs no database."""
    assert time_zone("utc") is UTC
    assert time_zone(" Europe/Berlin ").key == "Europe/Berlin"


@pytest.mark.parametrize("name", ["Europe", "Mars/Olympus", "../../etc/passwd", "", "CEST+1 "])
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    """With the key, and an example."""
    with pytest.raises(SettingsError, match=r"^carbon\.timezone: .* accepted are IANA names"):
        time_zone(name, key="carbon.timezone")


def test_a_system_without_a_database_is_told_what_to_install() -> None:
    """In a process of its own, whose search path for time zones is empty."""
    program = (
        "import sys; sys.modules['tzdata'] = None\n"
        "import zoneinfo; zoneinfo.reset_tzpath(())\n"
        "from wattledger.carbon.offline.weekly import time_zone\n"
        "time_zone('Europe/Berlin', 'carbon.timezone')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "SettingsError: carbon.timezone: 'Europe/Berlin' cannot be looked up" in done.stderr
    assert "install the package tzdata" in done.stderr
