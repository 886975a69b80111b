"""A report as CSV (RFC 4180): a row per group, and those that make them add up (pure)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from ..model import COMPONENTS
from .records import UJ_PER_KWH, Report, Row

COLUMNS = (
    "row",
    "group",
    "kind",
    "id",
    "name",
    "pod_namespace",
    "pod_name",
    "container_name",
    "user",
    "account",
    "workloads",
    "energy_joules",
    "energy_kwh",
    "idle_joules",
    *(f"{component}_joules" for component in COMPONENTS),
    "emissions_grams",
    "embodied_emissions_grams",
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a text for a formula (OWASP, CSV injection)."""


def as_csv(report: Report) -> str:
    """The report with CRLF ends, a header line, and joules exact to the microjoule.

    The column `row` tells groups from `rest`, `idle`, `unattributed` and `total`; all but the last add up
    to it. Texts that a spreadsheet would take for a formula begin with an apostrophe.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows(_line("group", row) for row in report.rows)
    if report.rest is not None:
        writer.writerow(_line("rest", report.rest))
    writer.writerows(_line(row.group, row) for row in report.apart)
    writer.writerow(_line("total", _total(report)))
    return text.getvalue()


def _line(what: str, row: Row) -> list[str]:
    workload = row.workload
    labels: Iterable[str] = ("",) * 8
    if workload is not None:
        facts = dict(workload.facts)
        labels = (
            workload.kind,
            workload.id,
            workload.name,
            workload.pod_namespace,
            workload.pod_name,
            workload.container_name,
            facts.get("user", ""),
            facts.get("account", ""),
        )
    return [
        what,
        _safe(row.group if what == "group" else ""),
        *map(_safe, labels),
        str(row.members) if row.members else "",
        _joules(row.energy_uj),
        f"{row.energy_uj / UJ_PER_KWH:.9f}",
        _joules(row.idle_uj),
        *(_joules(row.components.get(component, 0)) for component in COMPONENTS),
        f"{row.emissions_g:.9f}",
        "" if row.embodied_g is None else f"{row.embodied_g:.9f}",
    ]


def _total(report: Report) -> Row:
    totals = report.totals
    return Row(
        group="",
        energy_uj=totals.energy_uj,
        idle_uj=totals.idle_uj + totals.charged_idle_uj,
        emissions_g=totals.emissions_g,
        embodied_g=totals.embodied_g,
        components={one.component: one.energy_uj for one in report.components},
    )


def _joules(energy_uj: int) -> str:
    """Joules with all six decimals, straight from the integer."""
    joules, rest = divmod(energy_uj, 1_000_000)
    return f"{joules}.{rest:06d}"


def _safe(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text
