"""What `wattledger report` shows in a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap

from ..exposition import amounts
from ..report import statements
from ..report.records import Report, Row
from ..report.wording import COLUMN, length, moment, name_of, rest_of, share, short_id, source_of
from .text_table import columns, pairs, printable

MOST_GAPS = 5


def as_table(report: Report, width: int) -> str:
    """The period, its totals, the groups and what stands behind them, in lines of about `width`."""
    node = f" of {printable(report.node)}" if report.node else ""
    lines = [
        f"energy and emissions{node}",
        f"{_moment(report.start_ns, report)} to {_moment(report.end_ns, report)} ({report.timezone})",
        "",
        *pairs(_totals(report), width=width),
        "",
        *_groups(report, width),
        "",
        *_components(report, width),
        "",
        *pairs(_facts(report), width=width),
        "",
    ]
    lines += _wrapped(statements.boundary_sentences(report), width)
    lines += _wrapped([f"Caution: {text}" for text in statements.cautions(report)], width)
    lines.append("The method is told by `--format html` and `--format json`.")
    return "\n".join(lines) + "\n"


def _totals(report: Report) -> list[tuple[str, str]]:
    totals = report.totals
    energy = f"{amounts.kilowatt_hours(totals.energy_uj)} ({amounts.energy(totals.energy_uj)})"
    rows = [("energy (IT)", energy)]
    if totals.pue is not None:
        facility = amounts.kilowatt_hours(round(totals.facility_uj))
        rows.append(("energy (facility)", f"{facility}, PUE {totals.pue:.4g}"))
    rows.append(("CO2e operational", f"{amounts.mass(totals.emissions_g)}, location-based"))
    if totals.market_g is not None:
        rows.append(("", f"{amounts.mass(totals.market_g)}, market-based"))
    if totals.embodied_g is not None:
        rows.append(("CO2e embodied", amounts.mass(totals.embodied_g)))
    if totals.water_l is not None:
        rows.append(("water", amounts.volume(totals.water_l)))
    if totals.intensity is not None:
        rows.append(("average intensity", f"{totals.intensity:,.1f} g CO2e per kWh"))
    return rows


def _groups(report: Report, width: int) -> list[str]:
    embodied = report.totals.embodied_g is not None
    workloads = report.by == "workload"
    head = [COLUMN[report.by].lower(), *(["kind"] if workloads else []), "energy", "share", "CO2e"]
    head += ["embodied"] if embodied else []
    rows = [head]
    rows += [_group(row, short_id(name_of(row, report.by)), report) for row in report.rows]
    if report.rest is not None:
        rows.append(_group(report.rest, rest_of(report.rest), report))
    rows += [_group(row, row.group, report) for row in report.apart]
    totals = report.totals
    rows.append(
        _group(
            Row(
                group="",
                energy_uj=totals.energy_uj,
                emissions_g=totals.emissions_g,
                embodied_g=totals.embodied_g,
            ),
            "node",
            report,
        )
    )
    return columns(rows, right=range(2 if workloads else 1, len(head)), flexible=0, width=width)


def _group(row: Row, name: str, report: Report) -> list[str]:
    kind = [row.workload.kind if row.workload else ""] if report.by == "workload" else []
    cells = [
        name,
        *kind,
        amounts.kilowatt_hours(row.energy_uj),
        share(report.totals.part(row.energy_uj)),
        amounts.mass(row.emissions_g),
    ]
    if report.totals.embodied_g is not None:
        cells.append(amounts.NOTHING if row.embodied_g is None else amounts.mass(row.embodied_g))
    return cells


def _components(report: Report, width: int) -> list[str]:
    rows = [("component", "energy", "idle", "unattributed", "CO2e", "method")]
    rows += [
        (
            one.component,
            amounts.kilowatt_hours(one.energy_uj),
            amounts.kilowatt_hours(one.idle_uj),
            amounts.kilowatt_hours(one.unattributed_uj),
            amounts.mass(one.emissions_g),
            one.nature,
        )
        for one in report.components
    ]
    return columns(rows, right=(1, 2, 3, 4), flexible=0, width=width)


def _facts(report: Report) -> list[tuple[str, str]]:
    totals, cover = report.totals, report.coverage
    rows = [
        ("measured", share(totals.part(totals.energy_uj - totals.estimated_uj))),
        ("on fallback", share(totals.part(totals.fallback_uj))),
        ("coverage", f"{share(cover.ratio)}, {_counted(len(cover.gaps), 'gap')}"),
    ]
    rows += [
        (
            "",
            f"{length(gap.missing_ns)} from {_moment(gap.start_ns, report)} to {_moment(gap.end_ns, report)}",
        )
        for gap in cover.gaps[:MOST_GAPS]
    ]
    if len(cover.gaps) > MOST_GAPS:
        rows.append(("", f"and {_counted(len(cover.gaps) - MOST_GAPS, 'more gap')}"))
    for number, source in enumerate(report.sources):
        part = share(totals.part(source.energy_uj))
        rows.append(("" if number else "intensity from", f"{source_of(source)}: {part}"))
    for number, agent in enumerate(report.software):
        version, settings = agent.facts.get("version", "?"), agent.facts.get("settings", "?")
        made = f"wattledger {version}, settings {settings}, since {_moment(agent.since_ns, report)}"
        rows.append(("" if number else "made by", made))
    return rows


def _counted(number: int, noun: str) -> str:
    return f"{'no' if number == 0 else number} {noun}{'' if number == 1 else 's'}"


def _moment(wall_ns: int, report: Report) -> str:
    return moment(wall_ns, report.timezone)


def _wrapped(sentences: Iterable[str], width: int) -> list[str]:
    return [line for text in sentences for line in wrap(printable(text), max(width, 40))]
