"""The rows of the bundled CSV files."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from importlib.resources import files


def table_rows(name: str) -> Sequence[Mapping[str, str]]:
    """The rows of `data/NAME.csv` by column, comments left out; read anew at each call: nothing is kept."""
    text = files(f"{__package__}.data").joinpath(f"{name}.csv").read_text("utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
