"""Budgets: periods tile time, every gram is in exactly one of them, and none is ever taken back."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wattledger.carbon.budgets.book import Budgets
from wattledger.carbon.budgets.period import period_at
from wattledger.carbon.budgets.tally import SLOTS_KEPT, SMALL_STEP_NS
from wattledger.model import Workload
from wattledger.settings import BudgetSettings

S = 1_000_000_000
HOUR = 3600 * S
DAY = 24 * HOUR

# Midnight that is skipped (Sao Paulo, Beirut, Cairo, Havana, Azores), that comes twice (Azores, Havana), or
# again after the day began (St. John's); a day left out (Apia); odd offsets and half-hour changes.
ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/Sao_Paulo",
        "America/Havana",
        "America/St_Johns",
        "America/Toronto",
        "Asia/Beirut",
        "Africa/Cairo",
        "Africa/Casablanca",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Asia/Gaza",
        "Atlantic/Azores",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Pacific/Chatham",
        "Antarctica/Troll",
    ]
)
PERIODS = st.sampled_from(["day", "week", "month", "quarter", "year"])
MOMENTS = st.integers(0, int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) * S)


@given(period=PERIODS, timezone=ZONES, wall_ns=MOMENTS)
def test_periods_tile_time(period, timezone, wall_ns):
    """A moment lies in its period, whose every moment has the same one; neighbours touch."""
    start_ns, end_ns = period_at(period, timezone, wall_ns)
    assert start_ns <= wall_ns < end_ns
    for inside_ns in (start_ns, (start_ns + end_ns) // 2, end_ns - 1):
        assert period_at(period, timezone, inside_ns) == (start_ns, end_ns)
    assert period_at(period, timezone, end_ns)[0] == end_ns
    assert period_at(period, timezone, start_ns - 1)[1] == start_ns


@given(period=PERIODS, timezone=ZONES, wall_ns=MOMENTS)
def test_a_period_begins_with_the_first_moment_of_its_first_day(period, timezone, wall_ns):
    """By the local calendar: nothing just before the start lies in the period, and the start does."""
    start_ns, end_ns = period_at(period, timezone, wall_ns)
    zone = ZoneInfo(timezone)
    before, first = (
        datetime.fromtimestamp(moment, zone).date() for moment in (start_ns // S - 1, start_ns // S)
    )
    assert before < first
    assert {
        "day": True,
        "week": first.weekday() == 0,
        "month": first.day == 1,
        "quarter": first.day == 1 and first.month in (1, 4, 7, 10),
        "year": (first.month, first.day) == (1, 1),
    }[period] or timezone == "Pacific/Apia"
    hours = (end_ns - start_ns) / HOUR
    days = {"day": (1, 1), "week": (6, 7), "month": (28, 31), "quarter": (89, 92), "year": (364, 366)}[period]
    assert days[0] * 24 - 3 <= hours <= days[1] * 24 + 3


@given(timezone=ZONES, day=st.dates(date(1970, 1, 2), date(2099, 12, 30)))
def test_larger_periods_are_made_of_whole_days(timezone, day):
    noon_ns = int(datetime.combine(day, datetime.min.time(), ZoneInfo(timezone)).timestamp() + 43200) * S
    for period in ("week", "month", "quarter", "year"):
        start_ns, end_ns = period_at(period, timezone, noon_ns)
        assert period_at("day", timezone, start_ns)[0] == start_ns
        assert period_at("day", timezone, end_ns - 1)[1] == end_ns


@pytest.mark.parametrize("timezone", ["Europe/Berlin", "America/Sao_Paulo", "Africa/Cairo", "Pacific/Apia"])
def test_the_days_of_twenty_years_follow_each_other(timezone):
    """One after the other from 2005 to 2025, each as long as the calendar and the clocks make it."""
    wall_ns = int(datetime(2005, 1, 1, 12, tzinfo=UTC).timestamp()) * S
    _, wall_ns = period_at("day", timezone, wall_ns)
    count = 0
    while wall_ns < datetime(2025, 1, 1, 12, tzinfo=UTC).timestamp() * S:
        start_ns, end_ns = period_at("day", timezone, wall_ns)
        assert start_ns == wall_ns
        assert (end_ns - start_ns) / HOUR in (23, 24, 25)
        wall_ns = end_ns
        count += 1
    days = (datetime(2025, 1, 1, tzinfo=UTC) - datetime(2005, 1, 1, tzinfo=UTC)) // timedelta(days=1)
    assert count == days  # Apia too: it left out a date by moving its offset by a whole day


ML = Workload(kind="container", id="a", pod_namespace="ml")
WEB = Workload(kind="container", id="b", pod_namespace="web")
SETTINGS = [
    BudgetSettings(name="node", limit_g=1.0, period="day", timezone="Africa/Cairo"),
    BudgetSettings(
        name="ml", limit_g=1.0, period="day", timezone="Asia/Kathmandu", select={"pod_namespace": ("ml",)}
    ),
    BudgetSettings(name="all", limit_g=1.0, period="week", select={"pod_namespace": ("*",)}, scope="total"),
]
TICKS = st.lists(
    st.tuples(
        st.integers(1, 40) | st.integers(1, 30 * 3600),  # seconds
        st.integers(0, 1000),  # grams of ml
        st.integers(0, 1000),  # grams of web
        st.booleans(),  # ml is shown
        st.booleans(),  # a restart follows
    ),
    min_size=1,
    max_size=20,
)
STEPS = st.lists(
    st.tuples(
        st.integers(-3 * 86400, 3 * 86400) | st.integers(-900, 900), st.integers(0, 1000), st.booleans()
    ),
    min_size=1,
    max_size=30,
)
START = int(datetime(2024, 4, 20, tzinfo=UTC).timestamp()) * S  # the clocks of Cairo change on the 26th


def again(budgets, settings=SETTINGS):
    """The next process, from what MessagePack carried over."""
    after = Budgets(settings, hold_ns=10 * S)
    after.load(msgspec.msgpack.decode(msgspec.msgpack.encode(budgets.dump())))
    return after


@given(ticks=TICKS)
def test_every_period_gets_the_integral_over_its_time(ticks):
    """Power that is even within a tick, over boundaries and restarts: as if it had been summed by hand."""
    budgets, at_ns = Budgets(SETTINGS, hold_ns=10 * S), START
    drawn = []
    for seconds, ml, web, shown, restarts in ticks:
        rows = [(1, ML, True, float(ml), 1.0), (2, WEB, shown, float(web), 0.0)]
        budgets.charge(at_ns, at_ns + seconds * S, float(ml + web), 2.0, rows)
        drawn.append((at_ns, at_ns + seconds * S, ml, web))
        at_ns += seconds * S
        if restarts:
            budgets = again(budgets)
    budgets.charge(at_ns, at_ns + 11 * S, 0.0, 0.0, [])  # what is held counts after the hold
    for row in budgets.rows(at_ns + 11 * S)[:2]:
        expected = 0.0
        for from_ns, to_ns, ml, web in drawn:
            inside_ns = max(0, min(to_ns, row.end_ns) - max(from_ns, row.start_ns))
            expected += (ml + web if row.name == "node" else ml) * inside_ns / (to_ns - from_ns)
        assert row.consumed_g == pytest.approx(expected, abs=1e-6)
    # What was held is spread over the time it was held for, so only all weeks together tell.
    weeks = budgets.dump()["all"]["slots"]
    total = sum(ml + 1.0 + web for _, _, ml, web in drawn)
    assert sum(grams for *_, grams in weeks) == pytest.approx(total, abs=1e-6)


@given(steps=STEPS)
def test_a_wandering_clock_loses_and_takes_back_nothing(steps):
    """The clock is set by up to three days between ticks of 5 s, with restarts in between.

    All periods together hold what was booked, and a period's consumption never goes down.
    """
    budgets, wall_ns, booked = Budgets(SETTINGS[:1]), START, 0
    seen: dict[int, float] = {}
    for step_s, grams, restarts in steps:
        wall_ns += step_s * S + 5 * S
        budgets.charge(wall_ns - 5 * S, wall_ns, float(grams))
        booked += grams
        if restarts:
            budgets = again(budgets, SETTINGS[:1])
        (row,) = budgets.rows(wall_ns)
        assert row.start_ns - SMALL_STEP_NS <= wall_ns < row.end_ns
        assert row.consumed_g >= seen.get(row.start_ns, 0.0)
        seen[row.start_ns] = row.consumed_g
        (slots,) = (entry["slots"] for entry in budgets.dump().values())
        assume(len(slots) < SLOTS_KEPT)
        assert sum(held for *_, held in slots) == pytest.approx(booked, abs=1e-6)
        for start_ns, _, held in slots:
            assert held >= seen.get(start_ns, 0.0)
