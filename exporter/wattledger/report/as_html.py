"""A report as one HTML file: no script, nothing fetched, and it prints well (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from ..exposition import amounts
from ..exposition.page import facts, table, warning
from ..model import COMPONENTS, Component
from . import plot, statements
from .records import UJ_PER_KWH, Report, Row, Slice
from .series import drawable
from .style import STYLE, content_security_policy
from .wording import COLUMN, length, moment, name_of, plain, rest_of, share, short_id, source_of

MOST_RANKED = 10
MOST_GAPS = 20
_OWN = ("version", "settings")
_LABELS = {"hour": "%H:%M", "day": "%d %b", "week": "%d %b", "month": "%b %Y", "year": "%Y"}


def as_html(report: Report) -> str:
    """The whole page, in UTF-8."""
    title = f"Energy and emissions of {plain(report.node)}" if report.node else "Energy and emissions"
    period = (
        f"{moment(report.start_ns, report.timezone)} to {moment(report.end_ns, report.timezone)}"
        f" ({report.timezone})"
    )
    body = [
        f'<p class="period">{escape(period)}</p>',
        *(warning(text) for text in statements.cautions(report)),
        facts(_summary(report)),
        *_plots(report),
        f"<h2>By {report.by}</h2>",
        _groups(report),
        "<h2>Components</h2>",
        _components(report),
        "<h2>Grid intensity</h2>",
        _sources(report),
        "<h2>Coverage</h2>",
        *_coverage(report),
        "<h2>Boundary</h2>",
        _list(statements.boundary_sentences(report)),
        "<h2>Method</h2>",
        _list(statements.method_sentences(report)),
        "<h2>Per functional unit</h2>",
        f"<p>{escape(statements.sci_sentence(report))}</p>",
        "<h2>Made by</h2>",
        _software(report),
        "<h2>Days</h2>",
        _days(report),
    ]
    return "".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(content_security_policy())}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="color-scheme" content="light dark">\n',
            f"<title>{escape(title)}, {escape(period)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
            f"<header>\n<h1>{escape(title)}</h1>\n</header>\n<main>\n",
            "\n".join(body),
            (
                f"\n</main>\n<footer><p>Made {escape(moment(report.made_ns, report.timezone))} by"
                f" {escape(report.version)}.</p></footer>\n</body>\n</html>\n"
            ),
        )
    )


def _summary(report: Report) -> list[tuple[str, str]]:
    totals = report.totals
    found = [
        ("Energy (IT)", amounts.kilowatt_hours(totals.energy_uj)),
        ("Energy (facility)", amounts.kilowatt_hours(round(totals.facility_uj))),
        ("Operational CO2e, location-based", amounts.mass(totals.emissions_g)),
    ]
    if totals.market_g is not None:
        found.append(("Operational CO2e, market-based", amounts.mass(totals.market_g)))
    if totals.embodied_g is not None:
        found.append(("Embodied CO2e", amounts.mass(totals.embodied_g)))
    if totals.water_l is not None:
        found.append(("Water", amounts.volume(totals.water_l)))
    return [
        *found,
        ("Idle, charged to nobody", amounts.kilowatt_hours(totals.idle_uj)),
        ("Average intensity", _grams_per_kwh(totals.intensity)),
        ("Measured", share(totals.part(totals.energy_uj - totals.estimated_uj))),
        ("Priced on fallback", share(totals.part(totals.fallback_uj))),
        ("Coverage", share(report.coverage.ratio)),
    ]


def _plots(report: Report) -> list[str]:
    steps, step = drawable(report.days, report.hours, report.timezone)
    form = "%d %b %H:%M" if step == "hour" and len(report.days) > 1 else _LABELS[step]
    labels = [moment(one.start_ns, report.timezone, form) for one in steps]
    total = amounts.kilowatt_hours(report.totals.energy_uj)
    bars = plot.stacked_bars(
        plot.Axis(
            title=f"Energy per {step} by component, kWh",
            description=f"{len(steps)} bars, {total} in all; the table of days has the figures.",
            labels=labels,
            unit="kWh",
        ),
        [
            (one.component, COMPONENTS.index(one.component), _kwh(steps, one.component))
            for one in report.components
        ],
    )
    average = _grams_per_kwh(report.totals.intensity)
    course = plot.line(
        plot.Axis(
            title=f"Average grid intensity per {step}, g CO2e per kWh",
            description=f"{average} over the period; the table of days has the figures.",
            labels=labels,
            unit="g/kWh",
        ),
        [one.intensity for one in steps],
    )
    ranked = report.rows[:MOST_RANKED]
    top = plot.ranked_bars(
        plot.Axis(
            title=f"Operational CO2e: {len(ranked)} of {len(report.rows) + report.folded}, by {report.by}",
            description="The table of groups has the figures.",
            labels=[plain(name_of(row, report.by)) for row in ranked],
            unit="g",
        ),
        [row.emissions_g for row in ranked],
        [amounts.mass(row.emissions_g) for row in ranked],
    )
    return ["<h2>Course</h2>", bars, course, top]


def _groups(report: Report) -> str:
    embodied = report.totals.embodied_g is not None
    columns = [COLUMN[report.by], "Energy", "Share", "Idle part", "CO2e"]
    columns += ["Embodied"] if embodied else []
    rows = [_group(row, _name(row, report), report) for row in report.rows]
    if report.rest is not None:
        rows.append(_group(report.rest, f"<em>{escape(rest_of(report.rest))}</em>", report))
    rows += [_group(row, f"<em>{escape(row.group)}</em>", report) for row in report.apart]
    totals = report.totals
    foot = _group(
        Row(
            group="",
            energy_uj=totals.energy_uj,
            idle_uj=totals.charged_idle_uj + totals.idle_uj,
            emissions_g=totals.emissions_g,
            embodied_g=totals.embodied_g,
        ),
        "node",
        report,
    )
    caption = f"Highest emissions first: {len(report.rows)} of {len(report.rows) + report.folded}"
    return table(caption, columns, rows, numeric=columns[1:], foot=foot)


def _group(row: Row, name: str, report: Report) -> list[str]:
    cells = [
        name,
        amounts.kilowatt_hours(row.energy_uj),
        escape(share(report.totals.part(row.energy_uj))),
        amounts.kilowatt_hours(row.idle_uj) if row.idle_uj else amounts.NOTHING,
        amounts.mass(row.emissions_g),
    ]
    if report.totals.embodied_g is not None:
        cells.append(amounts.NOTHING if row.embodied_g is None else amounts.mass(row.embodied_g))
    return cells


def _name(row: Row, report: Report) -> str:
    """The name, with kind, id and owner of a workload in small."""
    name = name_of(row, report.by)
    shown = escape(plain(name))
    workload = row.workload
    if workload is None:
        return shown
    known = dict(workload.facts)
    owner = [f"{fact} {known[fact]}" for fact in ("user", "account") if known.get(fact)]
    details = [part for part in (workload.kind, short_id(workload.id), *owner) if part and part != name]
    return shown + (f"<small>{escape(plain(', '.join(details)))}</small>" if details else "")


def _components(report: Report) -> str:
    columns = ["Component", "Energy", "Idle", "Unattributed", "CO2e", "Method"]
    rows = [
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
    return table("The node's components, idle charged to nobody apart", columns, rows, numeric=columns[1:5])


def _sources(report: Report) -> str:
    columns = ["Source", "Energy priced", "Share", "Average", "CO2e", "Licence"]
    rows = [
        (
            escape(plain(source_of(source))),
            amounts.kilowatt_hours(source.energy_uj),
            escape(share(report.totals.part(source.energy_uj))),
            _grams_per_kwh(
                source.emissions_g * UJ_PER_KWH / source.facility_uj if source.facility_uj else None
            ),
            amounts.mass(source.emissions_g),
            escape(plain(source.licence)) or amounts.NOTHING,
        )
        for source in report.sources
    ]
    pue = report.totals.pue
    caption = "Where the intensity came from" + (f"; PUE {pue:.4g} on average" if pue else "")
    return table(caption, columns, rows, numeric=columns[1:5])


def _coverage(report: Report) -> list[str]:
    cover = report.coverage
    said = (
        f"Samples were taken for {length(cover.covered_ns)} of {length(cover.period_ns)}"
        f" ({share(cover.ratio)})."
    )
    if not cover.gaps:
        return [f"<p>{escape(said)} There are no gaps.</p>"]
    rows = [
        (
            escape(moment(gap.start_ns, report.timezone)),
            escape(moment(gap.end_ns, report.timezone)),
            escape(length(gap.missing_ns)),
        )
        for gap in cover.gaps[:MOST_GAPS]
    ]
    caption = f"Hours with gaps: {len(rows)} of {len(cover.gaps)}"
    return [f"<p>{escape(said)}</p>", table(caption, ("From", "To", "Missing"), rows, numeric=("Missing",))]


def _software(report: Report) -> str:
    rows = [
        (
            escape(moment(agent.since_ns, report.timezone)),
            escape(plain(agent.facts.get("version", amounts.NOTHING))),
            f"<code>{escape(plain(agent.facts.get('settings', amounts.NOTHING)))}</code>",
            escape(
                plain(", ".join(f"{key} {value}" for key, value in agent.facts.items() if key not in _OWN))
            ),
        )
        for agent in report.software
    ]
    return table("Agents that made the figures", ("Since", "Version", "Settings (hash)", "Host"), rows)


def _days(report: Report) -> str:
    parts = [one.component for one in report.components]
    columns = ["Day", *(f"{part} kWh" for part in parts), "Node kWh", "CO2e", "g/kWh", "Covered"]
    rows = [
        (
            escape(moment(day.start_ns, report.timezone, "%Y-%m-%d")),
            *(f"{day.components.get(part, 0) / UJ_PER_KWH:,.3f}" for part in parts),
            f"{day.energy_uj / UJ_PER_KWH:,.3f}",
            amounts.mass(day.emissions_g),
            amounts.NOTHING if day.intensity is None else f"{day.intensity:,.0f}",
            escape(share(min(1.0, day.covered_ns / (day.end_ns - day.start_ns)))),
        )
        for day in report.days
    ]
    return table("Every day of the period", columns, rows, numeric=columns[1:])


def _list(sentences: Iterable[str]) -> str:
    items = "\n".join(f"<li>{escape(plain(text))}</li>" for text in sentences)
    return f"<ul>\n{items}\n</ul>"


def _kwh(steps: Sequence[Slice], component: Component) -> list[float]:
    return [one.components.get(component, 0) / UJ_PER_KWH for one in steps]


def _grams_per_kwh(value: float | None) -> str:
    return amounts.NOTHING if value is None else f"{value:,.0f} g/kWh"
