"""A time series of intensity in JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from ...model import S_NS
from .series_row import Row, Scalar, Shape, bad, checked, quoted

_LISTS = ("data", "emissions", "points", "forecastdata")
_TIME_SPAN = re.compile(r"(?:(\d{1,4})\.)?(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?")
_NAMES: Mapping[str, tuple[str, ...]] = {
    "start": ("start", "time", "timestamp"),
    "end": ("end",),
    "value": ("grams_per_kwh", "rating", "value"),
    "estimated": ("estimated",),
    "location": ("location",),
}
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Fields = Mapping[str, msgspec.Raw]


def json_rows(body: bytes, name: str) -> tuple[Shape, Iterator[Row]]:
    """The rows of a JSON file: a list of objects, or an object that holds such a list.

    Ours are `{"start", "end", "grams_per_kwh", "estimated"}`, of which `end` and `estimated` may miss; the
    Carbon Aware SDK's `{"location", "time" or "timestamp", "duration", "rating" or "value"}`, in any case.
    Raises FetchError `bad_data` with the file's name and line, here or while rows are read.
    """
    try:
        entries = _entries(body)
        own = not entries or "grams_per_kwh" in _fields(entries[0])
    except _BROKEN as error:
        at = re.search(r"\(byte (\d+)\)", str(error))
        end = int(at[1]) if at else len(body) if "truncated" in str(error) else 0
        line = 1 + body.count(b"\n", 0, end)
        raise bad(f"{name} line {line}", f"is not JSON of a shape that is known ({error})") from None
    return Shape("own" if own else "carbon-aware-sdk"), _rows(entries, body, name)


def _entries(body: bytes) -> Sequence[msgspec.Raw]:
    """The objects, one per row, not yet looked into."""
    if body.lstrip()[:1] != b"[":
        return _listed(_fields(body))
    entries = msgspec.json.decode(body, type=list[msgspec.Raw])
    if entries and "forecastdata" in _fields(entries[0]):
        return [one for entry in entries for one in _listed(_fields(entry))]
    return entries


def _listed(fields: Fields) -> Sequence[msgspec.Raw]:
    for key in _LISTS:
        if key in fields:
            return msgspec.json.decode(fields[key], type=list[msgspec.Raw])
    raise msgspec.DecodeError(f"an object without a list called {' or '.join(_LISTS)}")


def _fields(entry: bytes | msgspec.Raw) -> Fields:
    """The members of an object by lower-case name."""
    members = msgspec.json.decode(entry, type=dict[str, msgspec.Raw])
    return {key.lower(): raw for key, raw in members.items()}


def _rows(entries: Sequence[msgspec.Raw], body: bytes, name: str) -> Iterator[Row]:
    from_byte, line = 0, 1
    for entry in entries:
        raw = bytes(entry)
        at_byte = body.find(raw, from_byte)
        line += body.count(b"\n", from_byte, at_byte)
        from_byte = at_byte
        where = f"{name} line {line}"
        try:
            yield _row(_fields(entry), where)
        except _BROKEN as error:
            raise bad(where, f"is no object with a time and a number ({error})") from None


def _row(fields: Fields, where: str) -> Row:
    cell = {key: _scalar(fields, names) for key, names in _NAMES.items()}
    return checked(cell, where, duration_ns=_duration_ns(_scalar(fields, ("duration",)), where))


def _scalar(fields: Fields, names: tuple[str, ...]) -> Scalar:
    for name in names:
        if name in fields:
            value: Scalar = msgspec.json.decode(fields[name], type=Scalar)
            return value
    return None


def _duration_ns(given: Scalar, where: str) -> int:
    """Of a .NET time span (`01:00`, `00:05:00`, `1.00:00:00`), or of a number of minutes; 0 for none."""
    if given is None or given == "":
        return 0
    if isinstance(given, str):
        match = _TIME_SPAN.fullmatch(given)
        if match:
            days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
            return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * S_NS
    elif not isinstance(given, bool) and 0 <= given <= 366 * 1440:
        return round(given * 60 * S_NS)
    raise bad(where, f"duration is {quoted(given)}; accepted are 01:00:00 and minutes")
