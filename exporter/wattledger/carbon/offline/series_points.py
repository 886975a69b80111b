"""Points of the time around now from the rows of a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from operator import attrgetter
from statistics import median_low

from ...model import S_NS
from ..live.fetch import FetchError
from ..series import Point
from .series_row import Row, bad

MOST_ROWS = 100_000
"""How many rows around now are held at most: a fortnight at one row every 13 seconds."""

_HOUR_NS = 3600 * S_NS


class Around:
    """The rows of one location that touch a span, with the row before it and the one after it."""

    def __init__(self, from_ns: int, to_ns: int) -> None:
        self._from_ns = from_ns
        self._to_ns = to_ns
        self._rows: list[Row] = []
        self._before: Row | None = None
        self._after: Row | None = None

    def add(self, row: Row) -> int:
        """Take in a row, in any order; how many more are held, 0 or 1."""
        if row.start_ns < self._from_ns:
            if self._before is None or row.start_ns > self._before.start_ns:
                self._before = row
        elif row.start_ns >= self._to_ns:
            if self._after is None or row.start_ns < self._after.start_ns:
                self._after = row
        else:
            self._rows.append(row)
            return 1
        return 0

    def points(self) -> tuple[Point, ...]:
        """A row ends where it says, else where the next begins, the last after the median step (else 1 h).

        Rows without a value are gaps. Raises FetchError `bad_data` for two rows of the same time and for
        rows that overlap.
        """
        ends = [row for row in (self._before, self._after) if row is not None]
        rows = sorted((*self._rows, *ends), key=attrgetter("start_ns"))
        steps = [after.start_ns - row.start_ns for row, after in pairwise(rows)]
        step_ns = median_low(steps) if steps else _HOUR_NS
        _check_apart(rows)
        points = []
        for row, after in zip(rows, (*rows[1:], None), strict=True):
            until_ns = after.start_ns if after else row.start_ns + step_ns
            if row.value is not None:
                points.append(Point(row.start_ns, row.end_ns or until_ns, row.value, row.estimated))
        return tuple(points)


def points_around(
    rows: Iterable[Row], name: str, grid_zone: str, from_ns: int, to_ns: int
) -> tuple[str, tuple[Point, ...]]:
    """The points of a span, of the only location of the file or of the one that is called as the grid zone.

    Returns that location's name, "" where the file has none. All rows are read, so all are checked; only
    those around the span are held. Raises FetchError: what reading rows raises, `too_large` for more than
    100,000 rows within the span, `no_data` where there is none at all, `bad_data` where it is not clear which
    location is meant.
    """
    places: dict[str, Around] = {}
    wanted = grid_zone.casefold()
    held = 0
    for row in rows:
        place = places.get(row.location)
        if place is None:
            place = places[row.location] = Around(from_ns, to_ns)
            _check_bounded(len(places), name)
        if place.add(row):
            held += 1
            _check_bounded(held, name)
    if not places:
        raise FetchError("no_data", f"{name}: there is no row in it")
    location = next((place for place in places if place.casefold() == wanted), None)
    if location is None:
        if len(places) > 1:
            few = ", ".join(list(places)[:5])
            raise bad(name, f"has several locations ({few}); set grid_zone to one of them")
        location = next(iter(places))
    points = places[location].points()
    if not points:
        raise FetchError("no_data", f"{name}: there is no value around now in it")
    return location, points


def _check_bounded(rows: int, name: str) -> None:
    if rows > MOST_ROWS:
        raise FetchError("too_large", f"{name}: has more than {MOST_ROWS} rows around now; use longer steps")


def _check_apart(rows: Sequence[Row]) -> None:
    for row, after in pairwise(rows):
        if row.start_ns == after.start_ns:
            raise bad(after.where, f"begins at the same time as {row.where}")
        if row.end_ns is not None and row.end_ns > after.start_ns:
            raise bad(after.where, f"begins before {row.where} ends")
