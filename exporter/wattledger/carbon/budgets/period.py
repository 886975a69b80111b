"""Calendar periods in a time zone, exact to the second over every change of its clocks (pure)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from ...errors import SettingsError
from ...model import S_NS
from ...settings import Period

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def zone(timezone: str) -> tzinfo:
    """The time zone of an IANA name; raises SettingsError when this host knows no such zone.

    `UTC` needs no time zone database.
    """
    if timezone in ("UTC", "Etc/UTC"):
        return UTC
    try:
        return ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as error:
        raise SettingsError(
            f"timezone: {timezone!r} is not in this host's time zone database;"
            " accepted are IANA names such as Europe/Berlin or UTC (the database is the package tzdata)"
        ) from error


def period_at(period: Period, timezone: str | tzinfo, wall_ns: int) -> tuple[int, int]:
    """Start and end (excluded) of the calendar period that a moment lies in, all wall time.

    Weeks begin on Monday, as in ISO 8601. A period begins with the first moment of its first day: midnight,
    the first of two midnights where the clocks go back over it, or the moment of the change where they
    go forward over it. The periods of a zone tile time: each ends where the next begins.
    `timezone` is an IANA name, or what `zone` gave for it, so that no database is needed any more.
    Raises SettingsError for an unknown zone.
    """
    place = timezone if isinstance(timezone, tzinfo) else zone(timezone)
    first = _first_day(period, datetime.fromtimestamp(wall_ns // S_NS, place).date())
    start_ns = _begin_ns(first, place)
    end_ns = _begin_ns(_next_first_day(period, first), place)
    # A day may be over although its date comes again, and one that never came has no length.
    while end_ns <= wall_ns:
        first, start_ns = _next_first_day(period, first), end_ns
        end_ns = _begin_ns(_next_first_day(period, first), place)
    return start_ns, end_ns


def _first_day(period: Period, day: date) -> date:
    match period:
        case "day":
            return day
        case "week":
            return day - day.weekday() * DAY
        case "month":
            return day.replace(day=1)
        case "quarter":
            return date(day.year, day.month - (day.month - 1) % 3, 1)
        case "year":
            return date(day.year, 1, 1)


def _next_first_day(period: Period, first: date) -> date:
    """The first day of the period after the one that begins with `first`."""
    # More days than any period of this kind has, and fewer than it and the next one have together.
    beyond = {"day": 1, "week": 7, "month": 32, "quarter": 93, "year": 367}[period]
    return _first_day(period, first + beyond * DAY)


def _begin_ns(day: date, place: tzinfo) -> int:
    """The first moment of a day."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=place)
    with_old_offset_s = _seconds(midnight)
    with_new_offset_s = _seconds(midnight.replace(fold=1))
    if with_old_offset_s <= with_new_offset_s:  # midnight comes once or twice (PEP 495)
        return with_old_offset_s * S_NS
    # Midnight is skipped: the day begins with the change, between both readings of its midnight.
    before_s, begun_s = with_new_offset_s, with_old_offset_s
    while begun_s - before_s > 1:
        middle_s = (before_s + begun_s) // 2
        if datetime.fromtimestamp(middle_s, place).date() >= day:
            begun_s = middle_s
        else:
            before_s = middle_s
    return begun_s * S_NS


def _seconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(seconds=1)
