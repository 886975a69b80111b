"""Makes a report from what a journal knows of a period."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ..ledger.journal_read import JournalReader
from ..ledger.journal_rows import GroupSum, HourCover
from ..model import COMPONENTS, S_NS, Component, Mode
from .coverage import coverage
from .grouping import APART, apart_of, component_rows, ranked, rows_of
from .records import By, ComponentSum, Report, Row, Slice, Software, Source, Totals
from .series import Sum, joined
from .span import HOUR_NS, Span

ALIVE_NS = 180 * S_NS
"""A journal written less long ago belongs to an agent that runs: the time since then is no gap."""

FIRST_HOURS_NS = 2 * HOUR_NS
"""A journal that begins in the middle of a boot knows its agent for a moment before its first hour."""

LATEST_NS = 1 << 62
MOST_HOURS = 62 * 24
"""Longer periods are told by the day."""


def gather(
    reader: JournalReader, span: Span, *, by: By, top: int | None, now_ns: int, node: str, version: str
) -> Report | None:
    """The report of a span; None where the journal has nothing of it.

    `top` is how many groups are told apart, None for all; `node` and `version` are shown as they are.
    Raises StorageError when the journal cannot be read.
    """
    start_ns, end_ns = span.start_ns, span.end_ns
    cover = reader.cover(start_ns, end_ns)
    sums = reader.totals(start_ns, end_ns)
    if not cover and not sums:
        return None
    end_ns = _end_ns(end_ns, now_ns, reader.written_wall_ns())
    embodied = any(hour.embodied_g for hour in cover)
    components = _components(reader, span, sums)
    apart = apart_of(sums)
    rows = component_rows(components) if by == "component" else rows_of(sums, by)
    top_rows, rest = ranked(_with_embodied(rows, embodied), top)
    hours = _hours(reader, span, cover, end_ns)
    return Report(
        made_ns=now_ns,
        node=node,
        version=version,
        start_ns=start_ns,
        end_ns=end_ns,
        timezone=span.timezone,
        by=by,
        totals=_totals(components, sum(hour.embodied_g for hour in cover) if embodied else None),
        components=components,
        rows=top_rows,
        rest=rest,
        folded=len(rows) - len(top_rows),
        apart=() if by == "component" else tuple(_with_embodied(apart, embodied)),
        days=joined(hours, "day", span.timezone, start_ns, end_ns),
        hours=tuple(hours) if len(hours) <= MOST_HOURS else (),
        sources=_sources(reader, span),
        coverage=coverage({hour.hour_ns: hour.covered_ns for hour in cover}, start_ns, end_ns),
        software=tuple(Software(since_ns, facts) for since_ns, facts in reader.agents(start_ns, span.end_ns)),
        complete=reader.complete,
        deleted_until_ns=deleted_until_ns(reader, start_ns),
    )


def deleted_until_ns(reader: JournalReader, start_ns: int) -> int | None:
    """Where the journal begins, if that is after a moment and there were hours before.

    Those were deleted by retention. Of deleted hours the journal keeps who made them. Raises StorageError.
    """
    covered, agents = reader.span(), reader.agents(0, LATEST_NS)
    if covered is None or not agents or covered[0] <= start_ns:
        return None
    return covered[0] if agents[0][0] + FIRST_HOURS_NS < covered[0] else None


def _end_ns(end_ns: int, now_ns: int, written_ns: int) -> int:
    """Where the period ends as far as it can be known: what is still to come is no gap."""
    known_ns = written_ns if abs(now_ns - written_ns) <= ALIVE_NS else now_ns
    return min(end_ns, max(known_ns, written_ns))


def _components(reader: JournalReader, span: Span, sums: Sequence[GroupSum]) -> tuple[ComponentSum, ...]:
    nodes = reader.nodes(span.start_ns, span.end_ns)
    agents = reader.agents(span.start_ns, span.end_ns)
    # A contract may well cost 0 g; then what was configured says that it was booked.
    market = any(node.market_g for node in nodes.values()) or any("market" in facts for _, facts in agents)
    water = any(node.water_l for node in nodes.values())
    idle_uj = _by_component(sums, lambda kind, _: kind == "idle")
    charged_uj = _by_component(sums, lambda kind, mode: kind not in APART and mode == "idle")
    unattributed_uj = _by_component(sums, lambda kind, _: kind == "unattributed")
    return tuple(
        ComponentSum(
            component=component,
            energy_uj=nodes[component].energy_uj,
            facility_uj=nodes[component].facility_uj,
            emissions_g=nodes[component].emissions_g,
            market_g=nodes[component].market_g if market else None,
            water_l=nodes[component].water_l if water else None,
            estimated_uj=nodes[component].estimated_uj,
            fallback_uj=nodes[component].fallback_uj,
            weak_uj=nodes[component].weak_uj,
            idle_uj=idle_uj.get(component, 0),
            charged_idle_uj=charged_uj.get(component, 0),
            unattributed_uj=unattributed_uj.get(component, 0),
        )
        for component in COMPONENTS
        if component in nodes
    )


def _by_component(sums: Iterable[GroupSum], wanted: Callable[[str, Mode], bool]) -> dict[Component, int]:
    """The energy of the cells whose kind of workload and mode are wanted."""
    found: dict[Component, int] = {}
    for one in sums:
        kind = one.workload.kind if one.workload else ""
        for (component, mode), (energy_uj, _) in one.cells.items():
            if wanted(kind, mode):
                found[component] = found.get(component, 0) + energy_uj
    return found


def _totals(components: Sequence[ComponentSum], embodied_g: float | None) -> Totals:
    return Totals(
        energy_uj=sum(one.energy_uj for one in components),
        facility_uj=sum(one.facility_uj for one in components),
        emissions_g=sum(one.emissions_g for one in components),
        market_g=_sum_known([one.market_g for one in components]),
        embodied_g=embodied_g,
        water_l=_sum_known([one.water_l for one in components]),
        estimated_uj=sum(one.estimated_uj for one in components),
        fallback_uj=sum(one.fallback_uj for one in components),
        weak_uj=sum(one.weak_uj for one in components),
        idle_uj=sum(one.idle_uj for one in components),
        charged_idle_uj=sum(one.charged_idle_uj for one in components),
        unattributed_uj=sum(one.unattributed_uj for one in components),
    )


def _sum_known(amounts: Sequence[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


def _with_embodied(rows: Iterable[Row], embodied: bool) -> list[Row]:
    """Without any embodied emissions in the period, no row has a number for them."""
    return [row if embodied else replace(row, embodied_g=None) for row in rows]


def _hours(reader: JournalReader, span: Span, cover: Sequence[HourCover], end_ns: int) -> list[Slice]:
    """The hours in which anything was booked."""
    sums: dict[int, Sum] = {}
    for hour in cover:
        total = sums.setdefault(hour.hour_ns, Sum())
        total.covered_ns, total.embodied_g = hour.covered_ns, hour.embodied_g
    for hour_ns, component, node in reader.node_hours(span.start_ns, span.end_ns):
        total = sums.setdefault(hour_ns, Sum())
        total.components[component] = node.energy_uj
        total.facility_uj += node.facility_uj
        total.emissions_g += node.emissions_g
        total.fallback_uj += node.fallback_uj
    return [total.slice(hour_ns, min(hour_ns + HOUR_NS, end_ns)) for hour_ns, total in sorted(sums.items())]


def _sources(reader: JournalReader, span: Span) -> tuple[Source, ...]:
    return tuple(
        Source(
            provider=one.provider,
            grid_zone=one.grid_zone,
            basis=one.basis,
            kind=one.kind,
            flow=one.flow,
            licence=one.licence,
            fallback=one.fallback,
            energy_uj=one.energy_uj,
            facility_uj=one.facility_uj,
            emissions_g=one.emissions_g,
        )
        for one in reader.sources(span.start_ns, span.end_ns)
    )
