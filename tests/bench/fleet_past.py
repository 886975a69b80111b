"""A made-up past for a fleet, so that rules over hours and days have as much to read as they will have.

Every series of the past stands on one of the live exposition: counters grow evenly, gauges stay.
It is good for measuring what rules cost, not for what they say.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.prometheus_server import import_openmetrics

HOUR_S = 3600
BLOCK_S = 2 * HOUR_S
"""Prometheus cuts its blocks at even hours of UTC; promtool reads a file once for every block in it."""

DAY_FAMILIES = (
    "wattledger_node_energy_joules_total",
    "wattledger_node_emissions_grams_total",
    "wattledger_budget_consumed_grams",
)
WEEK_FAMILY, WEEK_LABEL = "wattledger_budget_consumed_grams", 'period="month"'


@dataclass(frozen=True, slots=True)
class Line:
    """One series of the past: its name with all labels, where it stands, and what it gains a second."""

    series: str
    value: float
    per_s: float
    reach_s: int


def lines_of(expositions: Mapping[str, str], job: str) -> list[Line]:
    """Everything that nodes expose, as Prometheus would name it, with how far back a rule reads it.

    A week for month budgets, a day for the nodes' counters and budgets, an hour for all else.
    """
    return [
        _line(line, f'job="{job}",instance="{node}"')
        for node, text in expositions.items()
        for line in text.splitlines()
        if line and not line.startswith("#")
    ]


def _line(line: str, target: str) -> Line:
    series, _, value = line.rpartition(" ")
    name, _, labels = series.partition("{")
    full = f"{name}{{{target}{',' if labels else ''}{labels or '}'}"
    grows = name.endswith("_total") or name == WEEK_FAMILY
    if name == WEEK_FAMILY and WEEK_LABEL in labels:
        reach_s = 7 * 24 * HOUR_S
    elif name in DAY_FAMILIES:
        reach_s = 24 * HOUR_S
    else:
        reach_s = HOUR_S
    return Line(full, float(value), 0.01 if grows else 0.0, reach_s)


def write_past(lines: list[Line], folder: Path, *, end_s: int, step_s: int) -> tuple[Path, int]:
    """Blocks that end a step before `end_s`; gives their folder and how many samples they hold."""
    folder.mkdir(parents=True, exist_ok=True)
    total, data = 0, folder / "data"
    begin_s = end_s - max(line.reach_s for line in lines)
    for block_s in range(begin_s - begin_s % BLOCK_S, end_s, BLOCK_S):
        count, source = 0, folder / f"{block_s}"
        source.mkdir()
        wanted = [
            (line, max(block_s, end_s - line.reach_s), min(block_s + BLOCK_S, end_s))
            for line in lines
            if end_s - line.reach_s < block_s + BLOCK_S
        ]
        count = sum(len(range(_first(since_s, step_s), until_s, step_s)) for _, since_s, until_s in wanted)
        if not count:
            continue
        made = import_openmetrics(_samples(wanted, end_s, step_s), source)
        data.mkdir(exist_ok=True)
        for block in made.iterdir():
            if (block / "meta.json").is_file():
                shutil.move(block, data / block.name)
        shutil.rmtree(source)
        total += count
    return data, total


def _first(since_s: int, step_s: int) -> int:
    return -(-since_s // step_s) * step_s


def _samples(wanted: list[tuple[Line, int, int]], end_s: int, step_s: int) -> Iterator[str]:
    for line, since_s, until_s in wanted:
        for at_s in range(_first(since_s, step_s), until_s, step_s):
            yield f"{line.series} {line.value + line.per_s * (at_s - end_s + line.reach_s)!r} {at_s}"
