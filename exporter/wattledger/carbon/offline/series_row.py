"""One row of a time series in a file, checked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from ...model import S_NS, Basis
from ..live.fetch import FetchError

Scalar = str | float | int | bool | None

MAX_G_PER_KWH = 5000.0
_LATEST_NS = 1 << 62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_MICROSECOND = timedelta(microseconds=1)
_FLAGS: Mapping[str, bool] = {
    **dict.fromkeys(("", "0", "false", "no"), False),
    **dict.fromkeys(("1", "true", "yes"), True),
}


class Row(msgspec.Struct, frozen=True, gc=False):
    """`end_ns` None: until the next row begins. `value` None: left empty. `where` names the file and line."""

    start_ns: int
    end_ns: int | None
    value: float | None
    estimated: bool
    location: str
    where: str


@dataclass(frozen=True, slots=True)
class Shape:
    """Which kind of file it is, and the basis that it states."""

    kind: Literal["own", "electricity-maps", "carbon-aware-sdk"]
    basis: Basis | None = None


def bad(where: str, what: str) -> FetchError:
    """The error for a file that cannot be used, to be raised."""
    return FetchError("bad_data", f"{where}: {what}")


def quoted(given: object) -> str:
    """What was given, short enough for a log line."""
    text = repr(given)
    return text if len(text) <= 40 else f"{text[:37]}..."


def checked(cell: Mapping[str, Scalar], where: str, *, utc: bool = False, duration_ns: int = 0) -> Row:
    """The row of the cells `start`, `end`, `value`, `estimated`, `location`, of which all but start may miss.

    `utc` says that times without a zone are UTC; `duration_ns` gives an end where there is none, 0 for not
    known. Raises FetchError `bad_data`, which begins with `where`.
    """
    start_ns = instant_ns(cell.get("start"), where, utc=utc)
    end = cell.get("end")
    end_ns = start_ns + duration_ns if duration_ns else None
    if end not in {None, ""}:
        end_ns = instant_ns(end, where, utc=utc)
    if end_ns is not None and end_ns <= start_ns:
        raise bad(where, "ends before it begins")
    flag = cell.get("estimated")
    word = "" if flag is None else str(flag).lower()
    if word not in _FLAGS:
        raise bad(where, f"estimated is {quoted(flag)}; accepted are true and false")
    location = cell.get("location")
    return Row(
        start_ns,
        end_ns,
        _value(cell.get("value"), where),
        _FLAGS[word],
        "" if location is None else str(location),
        where,
    )


def instant_ns(given: Scalar, where: str, *, utc: bool) -> int:
    """Wall time of an ISO 8601 time with its zone, or of Unix seconds; with `utc`, no zone means UTC.

    Raises FetchError `bad_data`, which begins with `where`.
    """
    try:
        if isinstance(given, str) and not _NUMBER.fullmatch(given):
            moment = datetime.fromisoformat(given)
            if moment.tzinfo is None and not utc:
                raise bad(where, f"{quoted(given)} has no time zone; write 2026-01-31T12:00Z or with +01:00")
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            wall_ns = (moment - _EPOCH) // _MICROSECOND * 1000
        elif given is None or isinstance(given, bool):
            raise ValueError
        else:
            wall_ns = round(float(given) * S_NS)
    except (ValueError, OverflowError):
        raise bad(
            where, f"{quoted(given)} is no time; accepted are 2026-01-31T12:00Z and seconds since 1970"
        ) from None
    if not 0 <= wall_ns < _LATEST_NS:
        raise bad(where, f"{quoted(given)} is beyond the years 1970 to 2116; Unix times are in seconds")
    return wall_ns


def _value(given: Scalar, where: str) -> float | None:
    if given is None or given == "":
        return None
    try:
        value = math.nan if isinstance(given, bool) else float(given)
    except (ValueError, OverflowError):
        value = math.nan
    if not 0.0 <= value <= MAX_G_PER_KWH:
        raise bad(where, f"intensity is {quoted(given)}; accepted are 0 to 5000 grams per kWh, as in 312.5")
    return value
