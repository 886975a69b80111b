"""Puts what the workloads drew into groups, and folds the small ones (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..ledger.journal_rows import GroupSum
from ..model import Component
from .records import By, ComponentSum, Row

APART = ("idle", "unattributed")
"""Kinds that are nobody's: shown beside the groups, never among them."""


def rows_of(sums: Iterable[GroupSum], by: By) -> list[Row]:
    """A row per group, without what is apart; `sums` are those of workloads."""
    rows: dict[str, Row] = {}
    for one in sums:
        workload = one.workload
        if workload is None or workload.kind in APART:
            continue
        if by == "workload":
            rows[one.group] = replace(_row(one, one.group), workload=workload)
            continue
        group = workload.pod_namespace if by == "namespace" else dict(workload.facts).get(by, "")
        rows[group] = added(rows.get(group, Row(group=group)), _row(one, group))
    return list(rows.values())


def apart_of(sums: Iterable[GroupSum]) -> list[Row]:
    """The rows of idle and unattributed energy, both always there."""
    rows = {kind: Row(group=kind) for kind in APART}
    for one in sums:
        if one.workload is not None and one.workload.kind in APART:
            kind = one.workload.kind
            rows[kind] = added(rows[kind], _row(one, kind))
    return [replace(row, members=0) for row in rows.values()]


def component_rows(components: Iterable[ComponentSum]) -> list[Row]:
    """A row per component of the node, idle and unattributed energy included."""
    return [
        Row(
            group=one.component,
            energy_uj=one.energy_uj,
            idle_uj=one.idle_uj + one.charged_idle_uj,
            emissions_g=one.emissions_g,
            embodied_g=None,
            components={one.component: one.energy_uj},
        )
        for one in components
    ]


def ranked(rows: Iterable[Row], top: int | None) -> tuple[tuple[Row, ...], Row | None]:
    """The `top` rows with the highest emissions (None: all), and the others as one, None if there are none.

    The order is the same in every run: equal emissions go by energy, then by name.
    """
    ordered = sorted(rows, key=lambda row: (-_grams(row), -row.energy_uj, row.group))
    if top is None or len(ordered) <= top:
        return tuple(ordered), None
    return tuple(ordered[:top]), _folded(ordered[top:])


def added(one: Row, other: Row) -> Row:
    """Both rows as one, under the group of the first."""
    components: dict[Component, int] = dict(one.components)
    for component, energy_uj in other.components.items():
        components[component] = components.get(component, 0) + energy_uj
    known = one.embodied_g is not None and other.embodied_g is not None
    return replace(
        one,
        members=one.members + other.members,
        energy_uj=one.energy_uj + other.energy_uj,
        idle_uj=one.idle_uj + other.idle_uj,
        emissions_g=one.emissions_g + other.emissions_g,
        embodied_g=(one.embodied_g or 0.0) + (other.embodied_g or 0.0) if known else None,
        components=components,
    )


def _row(one: GroupSum, group: str) -> Row:
    components: dict[Component, int] = {}
    idle_uj = 0
    for (component, mode), (energy_uj, _) in one.cells.items():
        components[component] = components.get(component, 0) + energy_uj
        idle_uj += energy_uj if mode == "idle" else 0
    return Row(
        group=group,
        members=1,
        energy_uj=one.energy_uj,
        idle_uj=idle_uj,
        emissions_g=one.emissions_g,
        embodied_g=one.embodied_g,
        components=components,
    )


def _folded(rows: Sequence[Row]) -> Row:
    folded = Row(group="")
    for row in rows:
        folded = added(folded, row)
    return folded


def _grams(row: Row) -> float:
    return row.emissions_g + (row.embodied_g or 0.0)
