"""Generates docs/metrics.md: `python -m wattledger.exposition.reference > docs/metrics.md`."""

from __future__ import annotations

import sys

from .catalogue import SECTIONS
from .family import Family

_HEAD = """\
# Metrics

Generated from the catalogue by `python -m wattledger.exposition.reference > docs/metrics.md`; do not edit.

Energy is in joules, emissions are in grams of CO2e, times in seconds.
Labels that are empty are left out, and so are values that are not known: nothing is ever 0 or NaN for lack of a value.
Power is best taken as the rate of an energy counter; the power gauges are the mean over the last sampling interval.
In OpenMetrics, info families are declared without `_info` and counters without `_total`.
The zones of the `wattledger_sensor_*` families overlap, so only `wattledger_node_*` and `wattledger_workload_*` may be summed.
`sum(wattledger_workload_energy_joules_total)` plus `sum(wattledger_workload_expired_energy_joules)` equals `sum(wattledger_node_energy_joules_total)`.
"""  # noqa: E501 - one sentence per line in Markdown


def markdown() -> str:
    """The reference page, one table per section of the catalogue."""
    parts = [_HEAD]
    for title, families in SECTIONS:
        parts.append(f"\n## {title}\n\n| name | type | labels | meaning | since |\n|---|---|---|---|---|\n")
        parts.extend(_row(family) for family in families)
    return "".join(parts)


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    if family.more:
        labels = f"{labels}; {family.more}" if labels else family.more
    meaning = family.help.replace("|", "\\|")
    return f"| `{family.sample_name}` | {family.type} | {labels} | {meaning} | {family.since} |\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
