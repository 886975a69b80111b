"""What Grafana makes of the queries of a table: the transformation `merge` of @grafana/data, done again.

Rows of different queries become one if they disagree in no column that both have; a row that fits several is
put into all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.prometheus_server import Sample

Row = dict[str, str | float]


def frame(letter: str, samples: Sequence[Sample]) -> list[Row]:
    """The rows of one query: a column per label that any of its series has, and its values."""
    labels = sorted({label for sample in samples for label in sample.labels if label != "__name__"})
    return [
        {label: sample.labels.get(label, "") for label in labels} | {f"Value #{letter}": sample.value}
        for sample in samples
    ]


def merged(frames: Sequence[Sequence[Row]]) -> list[Row]:
    """The rows of the table."""
    table: list[Row] = []
    for rows in frames:
        for row in rows:
            fitting = [
                known
                for known in table
                if all(known.get(column, value) == value for column, value in row.items())
            ]
            for known in fitting:
                known.update(row)
            if not fitting:
                table.append(dict(row))
    return table
