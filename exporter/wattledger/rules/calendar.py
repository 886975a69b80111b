"""Where a calendar period begins and ends, as PromQL; in UTC, the only time zone it knows.

Weeks begin on Monday (ISO 8601). Leap years are right from 1901 to 2099.
"""

from __future__ import annotations

from ..settings import Period

_DAY_S = 86400
_WEEK_S = 7 * _DAY_S
_SINCE_MONDAY_S = 3 * _DAY_S  # the epoch is a Thursday
_LEAP = "(year() % 4 == bool 0)"


def start(period: Period) -> str:
    """Seconds since the epoch at which the period of the evaluation time began, as a vector of one sample."""
    if period == "day":
        return f"vector(time() - time() % {_DAY_S})"
    if period == "week":
        return f"vector(time() - (time() + {_SINCE_MONDAY_S}) % {_WEEK_S})"
    if period == "month":
        return f"vector(time() - time() % {_DAY_S}) - (day_of_month() - 1) * {_DAY_S}"
    year = f"vector(time() - time() % {_DAY_S}) - (day_of_year() - 1) * {_DAY_S}"
    if period == "year":
        return year
    # Days of the year before April, July and October without a leap day: 90, 181 and 273.
    return (
        f"{year}\n"
        f"+ {_DAY_S} * (\n"
        "  90 * (month() >= bool 4) + 91 * (month() >= bool 7) + 92 * (month() >= bool 10)\n"
        f"  + {_LEAP} * (month() >= bool 4)\n"
        ")"
    )


def end(period: Period) -> str:
    """Seconds since the epoch at which it will end, likewise."""
    return f"({start(period)})\n+ {_length(period)}"


def _length(period: Period) -> str:
    """Seconds that the period of the evaluation time lasts, as a vector of one sample."""
    if period == "day":
        return f"vector({_DAY_S})"
    if period == "week":
        return f"vector({_WEEK_S})"
    if period == "month":
        return f"days_in_month() * {_DAY_S}"
    if period == "year":
        return f"(365 + {_LEAP}) * {_DAY_S}"
    return (
        f"{_DAY_S} * (\n"
        f"  (90 + {_LEAP}) * (month() < bool 4)\n"
        "  + 91 * (month() >= bool 4) * (month() < bool 7)\n"
        "  + 92 * (month() >= bool 7)\n"
        ")"
    )
