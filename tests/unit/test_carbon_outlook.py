"""What the grid will do: means, best windows, and a state that does not flicker."""

from __future__ import annotations

import pytest

from tests.carbon_courses import HOUR_NS, MIDNIGHT_NS, course_of, hourly
from wattledger.carbon.ahead.outlook import outlook
from wattledger.carbon.ahead.ranking import Ranker, rank
from wattledger.carbon.series import Point

MINUTE_NS = HOUR_NS // 60
DAY = [*range(100, 124)]  # 100 at midnight, one more every hour


def at(hours: float) -> int:
    return MIDNIGHT_NS + round(hours * HOUR_NS)


def test_means_are_of_the_next_hours() -> None:
    """From now, not from the full hour: at 0:30 the next three are half of 100, 101, 102 and half of 103."""
    told = outlook(course_of(DAY), at(0.5), Ranker())
    assert told is not None
    assert told.means == {1: 100.5, 3: 101.5, 6: 103.0, 12: 106.0}


def test_a_horizon_that_ends_with_the_forecast_is_told() -> None:
    """At midnight all 24 hours are known."""
    told = outlook(course_of(DAY), at(0), Ranker())
    assert told is not None
    assert told.means[24] == 111.5


def test_windows_are_the_best_against_starting_now() -> None:
    """Falling from 200 to 100 at noon and back at 18:00."""
    told = outlook(course_of([200] * 12 + [100] * 6 + [200] * 6), at(0), Ranker())
    assert told is not None
    assert {window.now_grams_per_kwh for window in told.windows} == {200.0}
    assert [(window.duration_ns, window.start_ns, window.grams_per_kwh) for window in told.windows] == [
        (1 * HOUR_NS, at(12), 100.0),
        (2 * HOUR_NS, at(12), 100.0),
        (4 * HOUR_NS, at(12), 100.0),
        (8 * HOUR_NS, at(10), 125.0),
    ]
    assert told.windows[0].savings_ratio == 0.5


def test_windows_end_within_a_day() -> None:
    """The valley that begins in 23 hours has room for one hour and not for more."""
    told = outlook(course_of([200] * 23 + [100] * 9), at(0), Ranker())
    assert told is not None
    assert [(window.start_ns, window.grams_per_kwh) for window in told.windows] == [
        (at(23), 100.0),
        (at(22), 150.0),
        (at(20), 175.0),
        (at(16), 187.5),
    ]


def test_a_window_needs_the_present_to_compare_with() -> None:
    """With a gap in two hours' time only the shorter ones are told."""
    told = outlook(course_of([200, 200, None, *([100] * 21)]), at(0), Ranker())
    assert told is not None
    assert [window.duration_ns // HOUR_NS for window in told.windows] == [1, 2]
    assert told.windows[1].start_ns == at(3)


def test_no_course_no_outlook() -> None:
    """A source that never changes has nothing to wait for."""
    assert outlook(None, at(0), Ranker()) is None
    assert outlook(course_of([]), at(0), Ranker()) is None


def test_the_source_is_told_with_its_value_of_now() -> None:
    """A point that began after the series was fetched is a forecast."""
    series = course_of(DAY, kind="marginal", basis="direct", flow="consumption", generated_ns=at(-1))
    told = outlook(series, at(2.5), Ranker())
    assert told is not None
    source = told.source
    assert (source.grams_per_kwh, source.estimated) == (102.0, True)
    assert (source.kind, source.basis, source.flow) == ("marginal", "direct", "consumption")
    assert told.generated_ns == at(-1)
    always = outlook(course_of(DAY, fetched_ns=at(24)), at(0.5), Ranker())
    assert always is not None
    assert always.generated_ns == at(0.5)
    first = outlook(course_of(DAY), at(0.5), Ranker())
    assert first is not None
    assert not first.source.estimated
    assert first.generated_ns == MIDNIGHT_NS


@pytest.mark.parametrize(
    ("hour", "state"), [(0, "green"), (7, "green"), (12, "amber"), (17, "red"), (23, "red")]
)
def test_the_state_is_the_rank_of_now(hour: int, state: str) -> None:
    """A third of the hours is green and a third red, whatever their grams."""
    told = outlook(course_of(DAY), at(hour + 0.5), Ranker())
    assert told is not None
    assert told.state == state


def test_only_the_past_week_and_the_coming_day_count() -> None:
    """200 is the most of the days around it; all the time before and after them was at 900."""
    near = [*([100.0] * 168), 200.0, *([100.0] * 23)]
    told = outlook(course_of([*([900.0] * 400), *near, *([900.0] * 400)], at(-568)), at(0), Ranker())
    assert told is not None
    assert told.state == "red"


def test_history_alone_gives_a_state() -> None:
    """No forecast, so no means and no windows, but how now compares with the past."""
    told = outlook(course_of([*([200.0] * 12), 100.0], at(-12)), at(0.5), Ranker())
    assert told is not None
    assert (told.means, told.windows, told.state) == ({}, (), "green")


def test_the_last_value_stands_for_the_present_for_an_hour() -> None:
    """A source that is a little late has a state; one that has fallen silent has none."""
    series = course_of([*([200.0] * 12), 100.0], at(-13))
    for minutes, state in ((0, "green"), (59, "green"), (60, "unknown")):
        told = outlook(series, at(0) + minutes * MINUTE_NS, Ranker())
        assert told is not None
        assert told.state == state


def test_without_a_value_for_now_the_state_is_unknown() -> None:
    """Before the first point too."""
    told = outlook(course_of(DAY), at(-2), Ranker())
    assert told is not None
    assert told.state == "unknown"


def test_percentiles_are_ranks_already() -> None:
    """The present alone is enough; there are no grams to tell."""
    for value, state in ((33.0, "green"), (50.0, "amber"), (67.0, "red")):
        told = outlook(course_of([value], unit="percentile"), at(0.5), Ranker())
        assert told is not None
        assert (told.state, told.unit, told.means) == (state, "percentile", {})


def test_percentiles_rank_windows() -> None:
    """Which window is best can be told, and what it is best by."""
    told = outlook(course_of([80.0] * 12 + [20.0] * 12, unit="percentile"), at(0), Ranker())
    assert told is not None
    assert (told.windows[0].start_ns, told.windows[0].grams_per_kwh) == (at(12), 20.0)
    assert (told.unit, told.means) == ("percentile", {})


def test_a_rank_is_a_share_of_time() -> None:
    """Three hours at 100 and one at 300, then six at 200: 200 is above 30 % and equal to 60 % of the time."""
    points = (Point(at(0), at(3), 100.0), Point(at(3), at(4), 300.0), Point(at(4), at(10), 200.0))
    assert rank(points, 200.0, at(0), at(10)) == pytest.approx(0.6)
    assert rank(points, 50.0, at(0), at(10)) == 0.0
    assert rank(points, 400.0, at(0), at(10)) == 1.0


def test_six_hours_are_the_least_to_rank_among() -> None:
    """Gaps and what is outside of the span do not count."""
    assert rank(hourly([1, 2, 3, 4, 5, 6]), 3.5, at(0), at(24)) == 0.5
    assert rank(hourly([1, 2, 3, 4, 5, 6]), 3.5, at(0.1), at(24)) is None
    assert rank(hourly([1, 2, 3, None, 5, 6]), 3.5, at(0), at(24)) is None
    assert rank((), 3.5, at(0), at(24)) is None


def test_a_flat_grid_is_neither_good_nor_bad() -> None:
    """24 to 24.4 spread by less than 2 %; a minute of 90 in a day does not change that, but 90 now does."""
    flat = hourly([24.0, 24.4] * 12)
    assert rank(flat, 24.0, at(0), at(24)) == 0.5
    spike = (*flat, Point(at(24), at(24) + MINUTE_NS, 90.0))
    assert rank(spike, 24.0, at(0), at(25)) == 0.5
    assert rank(spike, 90.0, at(0), at(25)) == pytest.approx(1.0, abs=1e-3)
    assert rank(hourly([0.0] * 24), 0.0, at(0), at(24)) == 0.5
    assert rank(hourly([24.0, 24.6] * 12), 24.0, at(0), at(24)) == 0.25


def played(*ranks: float | None, minutes: int = 20) -> list[str]:
    """The states of ranks that come one after the other."""
    ranker = Ranker()
    return [ranker.settle(MIDNIGHT_NS + i * minutes * MINUTE_NS, value) for i, value in enumerate(ranks)]


def test_a_state_is_left_later_than_it_is_entered() -> None:
    """Green from 33 to above 40, red from 67 to below 60."""
    assert played(0.34, 0.33, 0.40, 0.41, 0.40) == ["amber", "green", "green", "amber", "amber"]
    assert played(0.66, 0.67, 0.60, 0.59, 0.60) == ["amber", "red", "red", "amber", "amber"]
    assert played(0.1, 0.9, 0.1) == ["green", "red", "green"]


def test_a_state_holds_for_a_quarter_of_an_hour() -> None:
    """Asked every five minutes, it answers at the third time."""
    states = played(0.1, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1, minutes=5)
    assert states == ["green", "green", "green", "red", "red", "red", "green"]


def test_unknown_comes_and_goes_at_once() -> None:
    """And what was before goes on: green at 36 is still green after it, amber where it never was green."""
    assert played(0.1, None, 0.36) == ["green", "unknown", "green"]
    assert played(None, 0.36) == ["unknown", "amber"]
    assert played(0.1, None, 0.9, minutes=1) == ["green", "unknown", "green"]


def test_a_clock_that_was_set_back_holds_no_state() -> None:
    """Else a step of a day would freeze it for a day."""
    ranker = Ranker()
    ranker.settle(MIDNIGHT_NS, 0.1)
    assert ranker.settle(MIDNIGHT_NS - 24 * HOUR_NS, 0.9) == "red"
