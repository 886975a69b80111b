"""From samples to points: order, overlaps, doubles and what is no value."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger.carbon.live.fetch import FetchError
from wattledger.carbon.providers.samples import Sample, points_of, step_ns
from wattledger.carbon.series import Point


def reason_of(samples, now_ns=100, **more):
    with pytest.raises(FetchError) as caught:
        points_of(samples, now_ns, service="a", **more)
    return caught.value.reason


def test_points_come_in_order_whatever_order_the_samples_have():
    """Newest first is as good."""
    points = points_of([Sample(20, 30, 2.0), Sample(10, 20, 1.0)], 100, service="a")
    assert points == (Point(10, 20, 1.0), Point(20, 30, 2.0))


def test_a_point_ends_where_the_next_begins():
    """Not before, where there is a gap."""
    samples = [Sample(10, 40, 1.0), Sample(20, 30, 2.0), Sample(50, 60, 3.0)]
    points = points_of(samples, 100, service="a")
    assert [(point.start_ns, point.end_ns) for point in points] == [(10, 20), (20, 30), (50, 60)]


@pytest.mark.parametrize(
    ("first", "second", "value"),
    [(False, False, 2.0), (False, True, 1.0), (True, False, 2.0), (True, True, 2.0)],
)
def test_of_two_for_one_start_the_measured_one_holds_else_the_later(first, second, value):
    """So a forecast never replaces a measurement."""
    samples = [Sample(10, 20, 1.0, first), Sample(10, 20, 2.0, second)]
    assert [point.value for point in points_of(samples, 100, service="a")] == [value]


@pytest.mark.parametrize("value", [None, -0.1, 5000.1, math.nan, math.inf])
def test_what_is_no_intensity_is_no_point(value):
    """Never a zero in its place."""
    assert points_of([Sample(10, 20, value), Sample(20, 30, 7.0)], 100, service="a") == (Point(20, 30, 7.0),)
    assert reason_of([Sample(10, 20, value)]) == "no_data"


def test_a_true_zero_is_a_value():
    """Direct emissions of a grid of wind and water."""
    assert points_of([Sample(10, 20, 0.0)], 100, service="a") == (Point(10, 20, 0.0),)


def test_percentiles_end_at_a_hundred():
    """100 is one, 100.5 is none."""
    assert points_of([Sample(10, 20, 100.0)], 100, service="a", unit="percentile")
    assert reason_of([Sample(10, 20, 100.5)], unit="percentile") == "no_data"


def test_the_next_step_may_be_the_first_but_not_the_one_after_it():
    """A forecast of tens that begins at 110 is fine at 100, one that begins at 111 is not."""
    assert points_of([Sample(110, 120, 1.0)], 100, service="a")
    assert reason_of([Sample(111, 121, 1.0)]) == "bad_data"


@given(
    st.lists(
        st.builds(
            lambda start, length, value, estimated: Sample(start, start + length, value, estimated),
            st.integers(0, 200),
            st.integers(1, 50),
            st.none() | st.floats(-10, 6000, allow_nan=False),
            st.booleans(),
        )
    )
)
def test_points_never_overlap_and_never_hold_what_no_sample_said(samples):
    """For any samples at all."""
    said = {(sample.start_ns, sample.value) for sample in samples}
    if not any(sample.value is not None and 0 <= sample.value <= 5000 for sample in samples):
        assert reason_of(samples, 1000) == "no_data"
        return
    points = points_of(samples, 1000, service="a")
    assert all((point.start_ns, point.value) in said for point in points)
    assert all(point.start_ns < point.end_ns for point in points)
    assert all(before.end_ns <= after.start_ns for before, after in pairwise(points))


def test_the_usual_step():
    """What most neighbours have; the shorter of two that are as frequent, an hour at most."""
    assert step_ns([0, 10, 20, 50], 99) == 10
    assert step_ns([0, 10, 30], 99) == 10
    assert step_ns([5], 99) == 99
    assert step_ns([5, 5], 99) == 99
    assert step_ns([0, 7200 * 10**9], 99) == 3600 * 10**9
