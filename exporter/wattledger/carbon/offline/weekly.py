"""Values by the time of the week in a zone's own time, as a step function of absolute time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from ...errors import SettingsError
from ...model import S_NS
from ...settings import WeeklyRule

DAY_MINUTES = 1440
WEEK_MINUTES = 7 * DAY_MINUTES
WEEK_S = 60 * WEEK_MINUTES
NEVER_NS = 1 << 63

_PROBE_S = 3600
"""How far apart the UTC offset is looked up: no zone changes it and back within an hour."""

_FIRST_WEEK = -64_000
_LAST_WEEK = 64_000
"""About the years 750 to 3190: beyond them a clock is broken, and the nearest week answers."""


@dataclass(frozen=True, slots=True)
class _Steps:
    """The steps of two weeks of absolute time, answering for moments in the first of them.

    `starts_ns` begins with the week's own start; neighbouring values differ.
    """

    from_ns: int
    to_ns: int
    starts_ns: tuple[int, ...]
    values: tuple[float, ...]


class Weekly:
    """A number that depends on what a clock in `zone` shows: the last rule that covers it, else `default`.

    A rule holds whenever the clock reads a time within it: not at all on the day that skips its hour, twice
    on the day that has its hour twice. Outside all rules and without default, the first rule's value holds
    (`gap` tells whether there is such a time); there must be a rule or a default.

    It is a `Ratio`. The steps of the current week are kept, so a lookup is a bisection. Threads may share it.
    """

    def __init__(self, rules: Sequence[WeeklyRule], default: float | None, zone: tzinfo) -> None:
        self._zone = zone
        self._starts, self._values = _week(rules, default)
        self._steps: _Steps | None = None

    @property
    def values(self) -> frozenset[float]:
        """Every value it can have."""
        return frozenset(self._values)

    def at(self, wall_ns: int) -> float:
        """The value at a moment."""
        steps = self._around(wall_ns)
        return steps.values[max(0, bisect_right(steps.starts_ns, wall_ns) - 1)]

    def next_step(self, wall_ns: int) -> int:
        """The first moment after `wall_ns` at which the value changes; NEVER_NS where it never does.

        Where a zone leaves out whole days the answer may be early by a week, never late.
        """
        if len(self._values) == 1:
            return NEVER_NS
        steps = self._around(wall_ns)
        index = bisect_right(steps.starts_ns, wall_ns)
        if index < len(steps.starts_ns):
            return steps.starts_ns[index]
        return steps.to_ns if wall_ns < steps.to_ns else NEVER_NS

    def _around(self, wall_ns: int) -> _Steps:
        steps = self._steps
        if steps is None or not steps.from_ns <= wall_ns < steps.to_ns - WEEK_S * S_NS:
            week = min(max(wall_ns // (WEEK_S * S_NS), _FIRST_WEEK), _LAST_WEEK)
            steps = self._expand(week * WEEK_S, (week + 2) * WEEK_S)
            self._steps = steps
        return steps

    def _expand(self, from_s: int, to_s: int) -> _Steps:
        starts: list[int] = []
        values: list[float] = []
        for moment_s, value in self._pieces(from_s, to_s):
            if not values or values[-1] != value:
                starts.append(moment_s * S_NS)
                values.append(value)
        return _Steps(from_s * S_NS, to_s * S_NS, tuple(starts), tuple(values))

    def _pieces(self, from_s: int, to_s: int) -> Iterator[tuple[int, float]]:
        """Moments in order of time from which a value holds, beginning with `from_s`."""
        for start_s, end_s, offset_s in self._offsets(from_s, to_s):
            moment_s = start_s
            while moment_s < end_s:
                second = _second_of_week(moment_s + offset_s)
                index = bisect_right(self._starts, second) - 1
                yield moment_s, self._values[index]
                after = self._starts[index + 1] if index + 1 < len(self._starts) else WEEK_S
                moment_s += after - second

    def _offsets(self, from_s: int, to_s: int) -> Iterator[tuple[int, int, int]]:
        """Stretches of absolute time with one UTC offset each: start, end, offset, in seconds."""
        start_s, offset_s = from_s, self._offset(from_s)
        for probe_s in range(from_s + _PROBE_S, to_s + 1, _PROBE_S):
            if self._offset(probe_s) != offset_s:
                low_s, high_s = probe_s - _PROBE_S, probe_s
                while high_s - low_s > 1:
                    middle_s = (low_s + high_s) // 2
                    if self._offset(middle_s) == offset_s:
                        low_s = middle_s
                    else:
                        high_s = middle_s
                yield start_s, high_s, offset_s
                start_s, offset_s = high_s, self._offset(high_s)
        yield start_s, to_s, offset_s

    def _offset(self, moment_s: int) -> int:
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=moment_s)
        offset = at.astimezone(self._zone).utcoffset()
        return round(offset.total_seconds()) if offset else 0


def gap(rules: Sequence[WeeklyRule]) -> tuple[int, int] | None:
    """The first weekday (0 is Monday) and minute of the day that no rule covers, None when all are."""
    for minute, covered in sorted(_cover(rules, None).items()):
        if covered is None and minute < WEEK_MINUTES:
            return divmod(minute, DAY_MINUTES)
    return None


def time_zone(name: str, key: str = "timezone") -> tzinfo:
    """The zone of an IANA name such as `Europe/Berlin`.

    Raises SettingsError, which begins with `key`, for a name that is none; where the system has no database
    of time zones, it says how to get one.
    """
    if name.strip().upper() in ("UTC", "Z", "ETC/UTC"):
        return UTC
    try:
        return ZoneInfo(name.strip())
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    if not available_timezones():
        raise SettingsError(
            f"{key}: {name!r} cannot be looked up, this system has no time zone database;"
            " install the package tzdata (of the distribution, or pip install tzdata), or use UTC"
        )
    raise SettingsError(
        f"{key}: {name!r} is no time zone; accepted are IANA names such as UTC or Europe/Berlin"
    )


def _week(rules: Sequence[WeeklyRule], default: float | None) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The local week as steps: seconds since Monday 00:00, the first 0, and the values from there."""
    fill = default if default is not None else rules[0].value
    starts: list[int] = []
    values: list[float] = []
    for minute, covered in sorted(_cover(rules, default).items()):
        value = fill if covered is None else covered
        if minute < WEEK_MINUTES and (not values or values[-1] != value):
            starts.append(60 * minute)
            values.append(value)
    return tuple(starts), tuple(values)


def _cover(rules: Sequence[WeeklyRule], default: float | None) -> dict[int, float | None]:
    """At each minute of the week where a rule begins or ends, the value of the last rule that covers it."""
    spans = [
        (day * DAY_MINUTES + rule.start_minute, day * DAY_MINUTES + rule.end_minute, rule.value)
        for rule in rules
        for day in rule.days
    ]
    edges = {0, *(edge for start, end, _ in spans for edge in (start, end))}
    cover: dict[int, float | None] = {}
    for edge in edges:
        covering = [value for start, end, value in spans if start <= edge < end]
        cover[edge] = covering[-1] if covering else default
    return cover


def _second_of_week(local_s: int) -> int:
    """Seconds since Monday 00:00 of a local time that is given as seconds since 1970-01-01, a Thursday."""
    return (local_s + 3 * 86400) % WEEK_S
