"""What a person means by `--since` and `--until`: a span of wall time (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import get_args

from ..carbon.budgets.period import period_at, zone
from ..errors import SettingsError
from ..model import S_NS
from ..settings import Period

HOUR_NS = 3600 * S_NS
ACCEPTED = (
    "a date (2026-01-31), a time (2026-01-31T12:00, in the time zone of the report unless it has an offset),"
    " an age (36h, 7d, 4w), or day, week, month, quarter, year, also as last-month"
)
_PERIODS: tuple[Period, ...] = get_args(Period)
_AGE = re.compile(r"([0-9]{1,6})([hdw])", re.ASCII)
_UNIT_NS = {"h": HOUR_NS, "d": 24 * HOUR_NS, "w": 7 * 24 * HOUR_NS}
_FIRST_YEAR = 1970


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The whole hours of UTC that begin inside what was asked for; `end_ns` is not part of it.

    So the spans of two months that follow each other share no hour and leave none out, in every time zone.
    """

    start_ns: int
    end_ns: int
    timezone: str


def span(since: str, until: str | None, timezone: str, now_ns: int) -> Span:
    """The span from `since` to `until`, else to the end of what `since` names, else to the running hour.

    Raises SettingsError, which names the flag and what is accepted.
    """
    start_ns, named_end_ns = _moment("--since", since, timezone, now_ns)
    end_ns = now_ns if named_end_ns is None else named_end_ns
    if until is not None:
        end_ns, _ = _moment("--until", until, timezone, now_ns)
    if start_ns >= now_ns:
        raise SettingsError(f"--since: {since[:40]!a} is not in the past yet")
    if end_ns <= start_ns:
        raise SettingsError(
            f"--until: {(until or '')[:40]!a} is not after --since {since[:40]!a}; the end is not part of"
            " the period, so that a single day is from its own date to the next one"
        )
    return Span(start_ns=_next_hour(start_ns), end_ns=_next_hour(end_ns), timezone=timezone)


def _moment(flag: str, text: str, timezone: str, now_ns: int) -> tuple[int, int | None]:
    """A moment, and where the period ends that is named with it, if a past one is."""
    text = text.strip()
    age = _AGE.fullmatch(text)
    if age:
        return now_ns - int(age[1]) * _UNIT_NS[age[2]], None
    word = text.removeprefix("last-")
    for period in _PERIODS:
        if word == period:
            start_ns, _ = period_at(period, timezone, now_ns)
            if text == word:
                return start_ns, None
            return period_at(period, timezone, start_ns - 1)[0], start_ns
    try:
        return _calendar(text, timezone), None
    except (ValueError, OverflowError):
        raise SettingsError(f"{flag}: {text[:40]!a} is no time; give {ACCEPTED}") from None


def _calendar(text: str, timezone: str) -> int:
    """Wall time of a date or a time as ISO 8601 writes it; raises ValueError or OverflowError."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=zone(timezone))
    else:
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=zone(timezone))
        return period_at("day", timezone, _ns(noon))[0]
    return _ns(moment)


def _ns(moment: datetime) -> int:
    since_epoch = moment - datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC)
    if since_epoch < timedelta(0):
        raise ValueError("before 1970")
    return since_epoch // timedelta(microseconds=1) * 1000


def _next_hour(wall_ns: int) -> int:
    return -(-wall_ns // HOUR_NS) * HOUR_NS
