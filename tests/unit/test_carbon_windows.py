"""Means over spans of a course, and the best span of a duration."""

from __future__ import annotations

import pytest

from tests.carbon_courses import HOUR_NS, MIDNIGHT_NS, hourly
from wattledger.carbon.ahead.windows import Best, Course
from wattledger.carbon.series import Point

HALF_NS = HOUR_NS // 2


def at(hours: float) -> int:
    """A time of the day."""
    return MIDNIGHT_NS + round(hours * HOUR_NS)


def test_a_mean_is_weighted_by_time_and_cuts_its_edges() -> None:
    """Half an hour at 100 and an hour and a half at 300 and 200: (50 + 300 + 100) / 2."""
    course = Course(hourly([100, 300, 200]))
    assert course.mean(at(0.5), at(2.5)) == 225.0
    assert course.mean(at(1), at(2)) == 300.0
    assert course.mean(at(1.25), at(1.5)) == 300.0


def test_the_mean_of_equal_values_is_that_value() -> None:
    """To the last bit, however the span is cut: 0.1 is not a whole number of anything."""
    course = Course(hourly([0.1] * 24))
    assert course.mean(at(0) + 1, at(24) - 7) == 0.1


def test_what_is_not_known_throughout_has_no_mean() -> None:
    """A gap, the time before the first and after the last point, an empty span, one that runs backwards."""
    course = Course(hourly([100, None, 200]))
    assert course.mean(at(0), at(1)) == 100.0
    assert course.mean(at(0.5), at(2.5)) is None
    assert course.mean(at(1.2), at(1.4)) is None
    assert course.mean(at(-1), at(0.5)) is None
    assert course.mean(at(2.5), at(3.5)) is None
    assert course.mean(at(0.5), at(0.5)) is None
    assert course.mean(at(0.8), at(0.2)) is None
    assert Course(()).mean(at(0), at(1)) is None


def test_a_course_is_known_until_its_next_gap() -> None:
    """From any moment within a stretch to the stretch's end."""
    course = Course(hourly([100, 100, None, 200]))
    assert course.known_until(at(0.5)) == at(2)
    assert course.known_until(at(2)) is None
    assert course.known_until(at(3)) == at(4)
    assert course.known_until(at(4)) is None
    assert course.end_ns == at(4)
    assert Course(()).end_ns == 0


def test_the_best_window_begins_at_a_step_down() -> None:
    """Two hours over 300, 100, 100, 300."""
    assert Course(hourly([300, 100, 100, 300])).best(2 * HOUR_NS, at(0), at(2)) == Best(at(1), 100.0)


def test_the_best_window_may_end_at_a_step_up() -> None:
    """90 minutes over 200, 100, 300: the valley at the end and half an hour of the slope before it."""
    best = Course(hourly([200, 100, 300])).best(3 * HALF_NS, at(0), at(1.5))
    assert best == Best(at(0.5), pytest.approx(400 / 3))


def test_among_equal_windows_the_earliest_is_taken() -> None:
    """On a flat course now, however odd its value; of two equal valleys the first."""
    assert Course(hourly([0.1] * 24)).best(HOUR_NS, at(0.3), at(20)) == Best(at(0.3), 0.1)
    assert Course(hourly([3, 0.1, 3, 0.1, 3])).best(HOUR_NS, at(0), at(4)) == Best(at(1), 0.1)


def test_a_window_spans_no_gap() -> None:
    """The low hours on both sides of the gap do not make two hours."""
    course = Course(hourly([300, 100, None, 100, 300, 250]))
    assert course.best(2 * HOUR_NS, at(0), at(4)) == Best(at(0), 200.0)
    assert course.best(3 * HOUR_NS, at(0), at(3)) == Best(at(3), pytest.approx(650 / 3))
    assert course.best(4 * HOUR_NS, at(0), at(2)) is None


def test_a_window_starts_in_time() -> None:
    """Neither before the earliest nor after the latest start; with no time between them exactly then."""
    course = Course(hourly([100, 300, 200, 50]))
    assert course.best(HOUR_NS, at(1), at(2)) == Best(at(2), 200.0)
    assert course.best(HOUR_NS, at(1.5), at(1.5)) == Best(at(1.5), 250.0)
    assert course.best(HOUR_NS, at(2), at(1)) is None


def test_points_that_hold_for_no_time_are_no_trouble() -> None:
    """They are passed over, and make no gap."""
    points = (Point(at(0), at(1), 1.0), Point(at(1), at(1), 9.0), Point(at(1), at(2), 3.0))
    assert Course(points).mean(at(0), at(2)) == 2.0


def test_a_window_needs_a_duration() -> None:
    """Zero would divide by itself."""
    with pytest.raises(ValueError, match="duration"):
        Course(hourly([1])).best(0, at(0), at(1))
