"""A time series of intensity in CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from ...model import Basis
from .series_row import Row, Shape, bad, checked

_MAPS_VALUE = re.compile(r"carbon intensity gco2eq/kwh \((direct|life cycle|lca|life cycle assessment)\)")
_MAPS_TIME = "datetime (utc)"


def csv_rows(stream: BinaryIO, name: str, basis: Basis | None) -> tuple[Shape, Iterator[Row]]:
    """The rows of a CSV file with a header, read as they are asked for.

    Columns are `start`, `grams_per_kwh` and, if wanted, `end` and `estimated`; or those of Electricity Maps'
    CSV files, of which `basis` chooses one. Columns of other names and lines that begin with # are left out.
    Raises FetchError `bad_data` with the file's name and line, here or while rows are read.
    """
    records = _records(stream, name)
    where, header = next(records, (f"{name} line 1", []))
    columns = {_plain(column): index for index, column in enumerate(header)}
    if _MAPS_TIME in columns:
        return _electricity_maps(columns, len(header), records, where, basis)
    if "start" not in columns or "grams_per_kwh" not in columns:
        raise bad(
            where,
            "there is no header with the columns start and grams_per_kwh, separated by commas"
            " (or Electricity Maps' Datetime (UTC) and Carbon intensity)",
        )
    wanted = {"start": "start", "end": "end", "value": "grams_per_kwh", "estimated": "estimated"}
    indices = {key: columns[column] for key, column in wanted.items() if column in columns}
    return Shape("own"), _rows(records, indices, len(header), utc=False)


def _electricity_maps(
    columns: Mapping[str, int],
    width: int,
    records: Iterator[tuple[str, list[str]]],
    where: str,
    basis: Basis | None,
) -> tuple[Shape, Iterator[Row]]:
    wanted: Basis = basis or "lifecycle"
    values = {match[1]: index for text, index in columns.items() if (match := _MAPS_VALUE.fullmatch(text))}
    value = next((at for word, at in values.items() if (word == "direct") == (wanted == "direct")), None)
    if value is None:
        raise bad(where, f"there is no column with the {wanted} carbon intensity in gCO2eq/kWh")
    others = {"start": _MAPS_TIME, "estimated": "data estimated", "location": "zone id"}
    indices = {key: columns[column] for key, column in others.items() if column in columns}
    return Shape("electricity-maps", wanted), _rows(records, indices | {"value": value}, width, utc=True)


def _records(stream: BinaryIO, name: str) -> Iterator[tuple[str, list[str]]]:
    """Each record that is not empty, with the file's name and its line."""
    reader = csv.reader(_lines(stream, name), strict=True)
    while True:
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise bad(f"{name} line {reader.line_num}", f"is not CSV ({error})") from None
        if record is None:
            return
        if record:
            yield f"{name} line {reader.line_num}", record


def _lines(stream: BinaryIO, name: str) -> Iterator[str]:
    """All lines, with comments made empty so that line numbers stay right."""
    for number, line in enumerate(stream, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise bad(f"{name} line {number}", f"is not UTF-8 ({error.reason})") from None
        yield "\n" if text.startswith("#") else text


def _rows(
    records: Iterator[tuple[str, list[str]]], indices: Mapping[str, int], width: int, *, utc: bool
) -> Iterator[Row]:
    last = max(indices.values())
    columns = tuple(indices.items())
    for where, record in records:
        if len(record) <= last:
            raise bad(where, f"has {len(record)} columns instead of at least {last + 1}")
        if any(record[width:]):
            raise bad(
                where, f"has more than the {width} columns of the header; decimals are written with a point"
            )
        yield checked({key: record[index].strip() for key, index in columns}, where, utc=utc)


def _plain(column: str) -> str:
    return " ".join(column.lower().replace("\N{SUBSCRIPT TWO}", "2").split())
