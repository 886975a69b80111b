"""How long a series is believed, and what an interval costs across its steps."""

from __future__ import annotations

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger.carbon.intensity import Static
from wattledger.carbon.known import NEVER_NS, intensity_of, known_at, mean_known, next_change
from wattledger.carbon.offline.scheduled import Scheduled
from wattledger.carbon.offline.weekly import Weekly
from wattledger.carbon.series import Point, Series
from wattledger.model import Intensity
from wattledger.settings import WeeklyRule

SPARE = Static(Intensity(grams_per_kwh=500.0, provider="static", grid_zone="DE"))


def series(*points: tuple[int, int, float], fetched_ns: int = 1000) -> Series:
    return Series(points=tuple(Point(*one) for one in points), provider="file", fetched_ns=fetched_ns)


HOURS = series((0, 10, 100.0), (10, 20, 200.0), (30, 40, 300.0))


@pytest.mark.parametrize(
    ("moment", "value"), [(-1, None), (0, 100.0), (9, 100.0), (10, 200.0), (25, 200.0), (30, 300.0)]
)
def test_the_newest_value_holds_through_a_gap(moment: int, value: float | None) -> None:
    """Before the first point nothing is known."""
    point = known_at(HOURS, moment, 1000, 1000)
    assert (point and point.value) == value


def test_beyond_the_data_it_holds_for_its_maximum_age() -> None:
    """The last point ends at 40; at 45 its age is 5, at 46 it is too old."""
    assert known_at(HOURS, 45, 1000, 5) == HOURS.points[-1]
    assert known_at(HOURS, 46, 1000, 5) is None


def test_a_forecast_is_believed_for_the_maximum_age_after_its_source_was_seen() -> None:
    """Seen last at 2: at 7 the point that covers it still holds, at 8 it does not, however long it is."""
    assert known_at(HOURS, 7, 2, 5) == HOURS.points[0]
    assert known_at(HOURS, 8, 2, 5) is None
    assert known_at(HOURS, 35, 2, 5) is None


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=6),
    st.integers(-5, 90),
    st.integers(-5, 90),
    st.integers(0, 30),
)
def test_nothing_changes_before_the_next_change(
    spans: list[tuple[int, int]], moment: int, fresh: int, age: int
) -> None:
    """And where there is no next change, nothing ever does."""
    points, at = [], 0
    for gap, length in spans:
        points.append((at + gap, at + gap + length, float(len(points))))
        at += gap + length
    course = series(*points)
    now = known_at(course, moment, fresh, age)
    edge = next_change(course, moment, fresh, age)
    assert edge > moment
    for later in range(moment, min(edge, 200)):
        assert known_at(course, later, fresh, age) == now
    if edge == NEVER_NS:
        assert known_at(course, 10_000, fresh, age) == now


def test_a_point_that_began_after_the_fetch_is_a_forecast() -> None:
    """So is one that its source calls an estimate."""
    course = series((0, 10, 1.0), (10, 20, 2.0), fetched_ns=5)
    past, future = (intensity_of(course, point, 5, 100) for point in course.points)
    assert (past.estimated, future.estimated) == (False, True)
    marked = Series(points=(Point(0, 10, 1.0, True),), provider="file", fetched_ns=5)
    assert intensity_of(marked, marked.points[0], 5, 100).estimated


def test_the_age_that_is_shown_is_the_one_that_counts() -> None:
    """From when the source was seen, or from the point's end if that is earlier."""
    assert intensity_of(HOURS, HOURS.points[0], 1000, 5).updated_ns == 10
    assert intensity_of(HOURS, HOURS.points[0], 7, 5).updated_ns == 7
    assert intensity_of(HOURS, HOURS.points[0], 7, 5).max_age_ns == 5


def mean(start: int, end: int, fresh: int = 1000, age: int = 5) -> Intensity:
    return mean_known(HOURS, start, end, fresh_ns=fresh, max_age_ns=age, fallback=SPARE)


def test_an_interval_within_a_point_costs_that_point() -> None:
    """The common case."""
    assert mean(2, 7) == intensity_of(HOURS, HOURS.points[0], 1000, 5)


def test_an_interval_over_a_step_is_weighted_by_time() -> None:
    """Three quarters at 100 and a quarter at 200: 125, and the provenance is the second's."""
    found = mean(4, 12)
    assert found.grams_per_kwh == 125.0
    assert found.updated_ns == 20


def test_an_interval_that_runs_out_of_data_ends_on_the_fallback() -> None:
    """300 until 45, then the fallback's 500: from 41 to 51 it is (5 * 300 + 5 * 500) / 10."""
    found = mean(41, 51)
    assert found.grams_per_kwh == pytest.approx((5 * 300 + 5 * 500) / 10)
    assert (found.fallback, found.provider) == (True, "static")


def test_the_steps_of_the_fallback_count_too() -> None:
    """A schedule with 100 before 01:00 and 300 from there, asked for 00:30 to 01:30."""
    weekly = Weekly((WeeklyRule(frozenset(range(7)), 0, 60, 100.0),), 300.0, UTC)
    spare = Scheduled(weekly, Intensity(grams_per_kwh=0.0, provider="schedule"))
    half_hour_ns = 1800 * 10**9
    found = mean_known(HOURS, half_hour_ns, 3 * half_hour_ns, fresh_ns=1000, max_age_ns=5, fallback=spare)
    assert (found.grams_per_kwh, found.fallback) == (200.0, True)


def test_an_empty_or_backward_interval_has_the_value_at_its_end() -> None:
    """The wall clock may be set back."""
    assert mean(15, 15).grams_per_kwh == 200.0
    assert mean(15, 5).grams_per_kwh == 100.0


def test_without_a_series_there_is_the_fallback() -> None:
    """Marked, whatever it says of itself."""
    found = mean_known(None, 0, 10, fresh_ns=0, max_age_ns=5, fallback=SPARE)
    assert (found.grams_per_kwh, found.fallback) == (500.0, True)


@given(st.integers(-5, 60), st.integers(1, 40), st.integers(0, 60), st.integers(0, 12))
def test_the_mean_is_the_sum_over_moments(start: int, length: int, fresh: int, age: int) -> None:
    """Nanosecond by nanosecond."""
    total = 0.0
    for moment in range(start, start + length):
        point = known_at(HOURS, moment, fresh, age)
        total += point.value if point else 500.0
    assert mean(start, start + length, fresh, age).grams_per_kwh == pytest.approx(total / length)
