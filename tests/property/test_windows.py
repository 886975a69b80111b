"""The fast answers about a course are those of trying everything."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from wattledger.carbon.ahead.windows import Best, Course
from wattledger.carbon.series import Point

# Times count from zero, so that every moment can be tried; None is a gap.
VALUES = st.one_of(
    st.none(),
    st.sampled_from([0.0, 0.1, 0.3, 100.0]),
    st.floats(min_value=0, max_value=5000, allow_nan=False),
)
PIECES = st.lists(st.tuples(st.integers(min_value=1, max_value=6), VALUES), max_size=8)


def moments(pieces: list[tuple[int, float | None]]) -> list[float | None]:
    """The value at every moment."""
    return [value for length, value in pieces for _ in range(length)]


def points_of(pieces: list[tuple[int, float | None]]) -> list[Point]:
    points, at = [], 0
    for length, value in pieces:
        if value is not None:
            points.append(Point(at, at + length, value))
        at += length
    return points


def mean_of(values: list[float | None], start: int, end: int) -> Fraction | None:
    """The exact mean by adding up every moment."""
    if not 0 <= start < end <= len(values) or None in values[start:end]:
        return None
    return sum((Fraction(value) for value in values[start:end] if value is not None), Fraction(0)) / (
        end - start
    )


@given(pieces=PIECES, start=st.integers(-2, 50), length=st.integers(-2, 50))
def test_a_mean_is_exact(pieces: list[tuple[int, float | None]], start: int, length: int) -> None:
    """The float nearest to the true mean, and none where a moment is missing."""
    exact = mean_of(moments(pieces), start, start + length)
    assert Course(points_of(pieces)).mean(start, start + length) == (None if exact is None else float(exact))


@given(
    pieces=PIECES,
    duration=st.integers(min_value=1, max_value=20),
    earliest=st.integers(-2, 30),
    room=st.integers(-1, 40),
)
def test_the_best_window_is_the_best_of_all(
    pieces: list[tuple[int, float | None]], duration: int, earliest: int, room: int
) -> None:
    """No start at any moment has a lower mean, and none that is earlier has the same."""
    values = moments(pieces)
    tried = [
        (mean, start)
        for start in range(earliest, earliest + room + 1)
        if (mean := mean_of(values, start, start + duration)) is not None
    ]
    expected = None
    if tried:
        mean, start = min(tried)
        expected = Best(start, float(mean))
    assert Course(points_of(pieces)).best(duration, earliest, earliest + room) == expected


@given(pieces=PIECES, duration=st.integers(min_value=1, max_value=5), split=st.integers(2, 7))
def test_no_start_between_two_moments_is_better(
    pieces: list[tuple[int, float | None]], duration: int, split: int
) -> None:
    """Cutting time finer, so that a window may start between the steps, finds nothing lower."""
    coarse = Course(points_of(pieces)).best(duration, 0, 50)
    finer = Course(points_of([(length * split, value) for length, value in pieces]))
    fine = finer.best(duration * split, 0, 50 * split)
    if coarse is None:
        assert fine is None
    else:
        assert fine == Best(coarse.start_ns * split, coarse.mean)
