"""Moments and spans of time as a person reads them (pure but for the zone database)."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from ..model import S_NS

_FORM = "%a %d %b %H:%M %Z"
_MINUTE_NS = 60 * S_NS
_LONG_NS = 62 * 86400 * S_NS


def local(at_ns: int, form: str = _FORM, place: tzinfo | None = None) -> str:
    """A moment in a time zone, by default this process's, such as `Thu 01 Jan 14:30 CET`."""
    return datetime.fromtimestamp(at_ns // S_NS, UTC).astimezone(place).strftime(form)


def local_and_utc(at_ns: int, place: tzinfo | None = None) -> str:
    """The same with UTC in brackets, where that is another time."""
    text = local(at_ns, place=place)
    return text if text.endswith(" UTC") else f"{text} ({utc(at_ns)[11:16]} UTC)"


def utc(at_ns: int) -> str:
    """A moment to the second as RFC 3339 has it."""
    return datetime.fromtimestamp(at_ns // S_NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def age(at_ns: int, now_ns: int) -> str:
    """How old something is: `up to date`, `12 min old`, and beyond two months since when it holds."""
    if now_ns - at_ns < _MINUTE_NS:
        return "up to date"
    if now_ns - at_ns > _LONG_NS:
        return f"as of {utc(at_ns)[:10]}"
    return f"{span(now_ns - at_ns)} old"


def zone_of(name: str) -> tzinfo:
    """The time zone of a name that the settings accepted; UTC where the zone database lost it since."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return UTC


def span(length_ns: int) -> str:
    """A length of time as a person says it, such as `45 s`, `12 min`, `5 h 12 min` or `2 d 3 h`."""
    if length_ns < _MINUTE_NS:
        return f"{max(0, length_ns) // S_NS} s"
    minutes = length_ns // _MINUTE_NS
    if minutes < 2880:
        parts = ((minutes // 60, "h"), (minutes % 60, "min"))
    else:
        parts = ((minutes // 1440, "d"), (minutes % 1440 // 60, "h"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count)
