"""One budget's grams by period: over boundaries, restarts and whatever the wall clock does."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from wattledger.carbon.budgets.tally import SLOTS_KEPT, Tally

S = 1_000_000_000
HOUR = 3600 * S
DAY = 24 * HOUR


def at(text, timezone="UTC"):
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone)).timestamp()) * S


def tally(period="month", timezone="UTC", begin=lambda start_ns, end_ns: 0.0):
    return Tally(period, timezone, begin)


def of(one):
    """What a tally holds, by start of the period."""
    return {start_ns: grams for start_ns, _, grams in one.dump()}


def test_intervals_within_a_period_add_up():
    one = tally()
    one.add(at("2026-11-21"), at("2026-11-21") + 5 * S, 2.0)
    one.add(at("2026-11-21") + 5 * S, at("2026-11-22"), 3.0)
    assert one.enter(at("2026-11-30")).grams == 5.0


def test_a_new_period_begins_at_nothing_even_if_nothing_is_booked():
    one = tally()
    one.add(at("2026-11-21"), at("2026-11-22"), 2.0)
    november = one.enter(at("2026-12-01") - 1)
    december = one.enter(at("2026-12-01"))
    assert (november.grams, december.grams) == (2.0, 0.0)
    assert december.start_ns == at("2026-12-01") == november.end_ns


def test_an_interval_over_a_boundary_is_split_in_proportion_of_time():
    """10 s with 10 g, of which 3 s lie in November."""
    one = tally()
    one.add(at("2026-12-01") - 3 * S, at("2026-12-01") + 7 * S, 10.0)
    assert of(one) == {at("2026-11-01"): pytest.approx(3.0), at("2026-12-01"): pytest.approx(7.0)}


def test_an_interval_that_ends_with_the_period_belongs_to_it():
    one = tally()
    one.add(at("2026-12-01") - 5 * S, at("2026-12-01"), 10.0)
    assert of(one) == {at("2026-11-01"): 10.0}
    one.add(at("2026-12-01"), at("2026-12-01") + 5 * S, 1.0)
    assert of(one) == {at("2026-11-01"): 10.0, at("2026-12-01"): 1.0}


def test_an_interval_over_several_boundaries_is_split_over_all_of_them():
    """The agent was down from noon to noon three days later, 72 h at 1 g/h."""
    one = tally("day")
    one.add(at("2026-11-18T12:00"), at("2026-11-21T12:00"), 72.0)
    days = {
        at(f"2026-11-{day}"): pytest.approx(grams) for day, grams in ((18, 12), (19, 24), (20, 24), (21, 12))
    }
    assert of(one) == days


def test_an_interval_longer_than_what_is_remembered_gives_the_current_period_its_part():
    """100 days at 24 g a day."""
    one = tally("day")
    one.add(at("2026-11-21T12:00") - 100 * DAY, at("2026-11-21T12:00"), 2400.0)
    assert one.enter(at("2026-11-21T12:00")).grams == pytest.approx(12.0)
    assert len(of(one)) == SLOTS_KEPT
    assert sum(of(one).values()) == pytest.approx(12 + 24 * (SLOTS_KEPT - 1))


def test_after_a_long_interval_the_oldest_periods_make_room_first():
    """The agent was down for 100 days; two days later the two oldest that were kept are gone."""
    one = tally("day")
    one.add(at("2026-11-21T12:00") - 100 * DAY, at("2026-11-21T12:00"), 2400.0)
    for day in ("2026-11-22", "2026-11-23"):
        one.add(at(day), at(day) + HOUR, 1.0)
    assert sorted(of(one)) == [at("2026-11-16") + day * DAY for day in range(SLOTS_KEPT)]


def test_the_hours_of_a_day_with_a_change_of_the_clocks_all_count_to_it():
    """1 g an hour in Berlin: 23 g on 2026-03-29, 25 g on 2026-10-25."""
    for date, following, grams in (("2026-03-29", "2026-03-30", 23), ("2026-10-25", "2026-10-26", 25)):
        one = tally("day", "Europe/Berlin")
        start_ns = at(date, "Europe/Berlin") - 5 * HOUR
        for hour in range(40):
            one.add(start_ns + hour * HOUR, start_ns + (hour + 1) * HOUR, 1.0)
        held = of(one)
        assert held[at(date, "Europe/Berlin")] == grams
        assert held[at(following, "Europe/Berlin")] == 40 - 5 - grams


def test_a_leap_day_counts_to_february():
    """1 g an hour through February 2028."""
    one = tally()
    for hour in range(31 * 24):
        one.add(at("2028-02-01") + hour * HOUR, at("2028-02-01") + (hour + 1) * HOUR, 1.0)
    assert of(one) == {at("2028-02-01"): 29 * 24, at("2028-03-01"): 2 * 24}


def test_a_small_step_back_over_the_start_stays_in_the_period():
    """The clock is corrected by 7 s just after midnight: nothing flaps."""
    one = tally()
    one.add(at("2026-12-01"), at("2026-12-01") + 5 * S, 4.0)
    one.add(at("2026-12-01") - 7 * S, at("2026-12-01") - 2 * S, 1.0)
    slot = one.enter(at("2026-12-01") - 2 * S)
    assert (slot.start_ns, slot.grams) == (at("2026-12-01"), 5.0)


def test_an_interval_that_runs_backwards_counts_to_the_period_of_its_end():
    one = tally()
    one.add(at("2026-11-21T12:00"), at("2026-11-21T11:00"), 4.0)
    one.add(at("2026-11-21T12:00"), at("2026-11-21T12:00"), 4.0)
    assert of(one) == {at("2026-11-01"): 8.0}


def test_a_clock_that_ran_ahead_over_a_boundary_returns_to_what_was_consumed():
    """Ten seconds in a December that was none do not take November's 500 g away."""
    one = tally()
    one.add(at("2026-11-20"), at("2026-11-21"), 500.0)
    one.add(at("2026-12-03"), at("2026-12-03") + 10 * S, 1.0)
    assert one.enter(at("2026-12-03")).grams == 1.0
    assert one.enter(at("2026-11-21")).grams == 500.0
    one.add(at("2026-11-21"), at("2026-11-22"), 20.0)
    assert of(one) == {at("2026-11-01"): 520.0, at("2026-12-01"): 1.0}


def test_a_host_without_a_clock_goes_on_once_it_knows_the_time():
    """It starts in 1970 until NTP answers; what was saved for November is still there."""
    before = tally()
    before.add(at("2026-11-20"), at("2026-11-21"), 500.0)
    after = tally()
    after.load(before.dump())
    after.add(5 * S, 10 * S, 0.5)
    assert after.enter(10 * S).grams == 0.5
    assert after.enter(at("2026-11-21")).grams == 500.0


def test_a_clock_that_wanders_does_not_grow_the_memory():
    """200 days in a row; the current one and those last used are kept."""
    one = tally("day")
    for day in range(200):
        one.add(day * DAY, day * DAY + HOUR, 1.0)
    assert list(of(one)) == [day * DAY for day in range(200 - SLOTS_KEPT, 200)]


def test_a_restart_goes_on_where_it_stopped():
    before = tally("quarter", "Asia/Kolkata")
    before.add(at("2026-11-20"), at("2026-11-21"), 500.0)
    after = tally("quarter", "Asia/Kolkata")
    after.load(before.dump())
    after.add(at("2026-11-21"), at("2026-11-22"), 20.0)
    assert after.enter(at("2026-11-22")).grams == 520.0


def test_a_restart_in_the_next_period_begins_at_nothing():
    before = tally()
    before.add(at("2026-11-20"), at("2026-11-21"), 500.0)
    after = tally()
    after.load(before.dump())
    assert after.enter(at("2026-12-02")).grams == 0.0


@pytest.mark.parametrize("order", [(500.0, 300.0), (300.0, 500.0)])
def test_of_two_figures_for_one_period_the_larger_one_holds(order):
    one = tally()
    for grams in order:
        one.load([(at("2026-11-01"), at("2026-12-01"), grams)])
    assert one.enter(at("2026-11-21")).grams == 500.0


def test_a_period_is_found_again_when_the_rules_of_its_zone_changed():
    """Saved as if the month began an hour earlier than today's rules say."""
    one = tally()
    one.load([(at("2026-11-01") - HOUR, at("2026-12-01"), 500.0)])
    slot = one.enter(at("2026-11-21"))
    assert (slot.start_ns, slot.grams) == (at("2026-11-01"), 500.0)


def test_the_history_is_asked_once_for_the_first_period_that_nothing_is_known_of():
    asked = []

    def begin(start_ns, end_ns):
        asked.append((start_ns, end_ns))
        return 70.0

    one = tally(begin=begin)
    one.add(at("2026-11-21"), at("2026-11-22"), 2.0)
    assert one.enter(at("2026-11-22")).grams == 72.0
    assert one.enter(at("2026-12-01")).grams == 0.0
    assert asked == [(at("2026-11-01"), at("2026-12-01"))]


def test_the_history_is_not_asked_where_a_dump_knows():
    one = tally(begin=lambda start_ns, end_ns: 70.0)
    one.load([(at("2026-11-01"), at("2026-12-01"), 5.0)])
    assert one.enter(at("2026-11-21")).grams == 5.0


@pytest.mark.parametrize("grams", [0.0, -3.0, float("nan"), float("-inf")])
def test_only_grams_above_zero_count(grams):
    one = tally()
    one.add(at("2026-11-20"), at("2026-11-21"), 2.0)
    one.add(at("2026-11-21"), at("2026-11-22"), grams)
    assert one.enter(at("2026-11-22")).grams == 2.0


def test_a_history_that_makes_no_sense_counts_as_nothing():
    for grams in (-1.0, float("nan")):
        assert tally(begin=lambda start_ns, end_ns, grams=grams: grams).enter(0).grams == 0.0
