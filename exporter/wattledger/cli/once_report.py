"""What `wattledger once` shows of a snapshot, as a table for a person and as JSON for a program."""

from __future__ import annotations

import heapq
from datetime import UTC, datetime
from typing import Any

from ..exposition import amounts
from ..exposition.catalogue import IDENTITY
from ..model import J_UJ, S_NS
from ..snapshot import SensorRow, Snapshot, WorkloadRow
from .grid_json import feed_json, outlook_json
from .once_carbon import (
    budget_json,
    budget_lines,
    emission_lines,
    outlook_lines,
    price_json,
)
from .text_table import columns


def as_table(snapshot: Snapshot, seconds: float, top: int, width: int) -> str:
    """The workloads that drew most under the node's totals, with the price, budgets and best times below."""
    head = ("workload", "kind", "power", "energy", "CO2e")
    nodes = [
        (
            f"node {row.component}" + (" (estimated)" if row.estimated else ""),
            "",
            amounts.watts(row.power_w),
            amounts.energy(row.energy_uj),
            amounts.mass(row.emissions_g),
        )
        for row in snapshot.nodes
    ]
    rows = heapq.nlargest(top, snapshot.workloads, key=_energy_uj)
    workloads = [
        (
            shown_name(row),
            row.workload.kind,
            amounts.watts(row.power_w),
            amounts.energy(_energy_uj(row)),
            amounts.mass(sum(cell.emissions_g for cell in row.cells)),
        )
        for row in rows
    ]
    lines = columns([head, *nodes, *workloads], right=(2, 3, 4), flexible=0, width=width)
    lines.insert(1 + len(nodes), "")
    lines += ["", f"{len(rows)} of {len(snapshot.workloads)} workloads", *emission_lines(snapshot)]
    lines += budget_lines(snapshot, seconds, width)
    lines += outlook_lines(snapshot.outlook, snapshot.wall_ns, width)
    if not snapshot.nodes:
        lines.append("no energy meter was found; `wattledger check` says why")
    return "\n".join(lines) + "\n"


def shown_name(row: WorkloadRow) -> str:
    """What a person calls the workload: pod and container, else its name, else its id."""
    workload = row.known
    pod = [part for part in (workload.pod_namespace, workload.pod_name, workload.container_name) if part]
    return "/".join(pod) or workload.name or workload.id or workload.kind


def _energy_uj(row: WorkloadRow) -> int:
    return sum(cell.energy_uj for cell in row.cells)


def as_json(snapshot: Snapshot, seconds: float) -> dict[str, Any]:
    """The snapshot as `docs/json.md` describes it."""
    return {
        "schema": 1,
        "time": datetime.fromtimestamp(snapshot.wall_ns / S_NS, UTC).isoformat(timespec="milliseconds"),
        "seconds": seconds,
        "price": price_json(snapshot.price),
        "node": [
            {
                "component": row.component,
                "energy_joules": row.energy_uj / J_UJ,
                "emissions_grams": row.emissions_g,
                "power_watts": row.power_w,
                "estimated": row.estimated,
                "market_emissions_grams": row.market_g,
                "water_liters": row.water_l,
            }
            for row in snapshot.nodes
        ],
        "embodied_emissions_grams": snapshot.embodied_g,
        "budgets": [budget_json(row) for row in snapshot.budgets],
        "outlook": outlook_json(snapshot.outlook),
        "feeds": [feed_json(feed) for feed in snapshot.health.feeds],
        "workloads": [_workload(row, embodied=snapshot.embodied_g is not None) for row in snapshot.workloads],
        "zones": [_zone(row) for row in snapshot.sensors],
    }


def _workload(row: WorkloadRow, *, embodied: bool) -> dict[str, Any]:
    identity = {name: getattr(row.known, name) for name in IDENTITY}
    return {
        **{name: value for name, value in identity.items() if value},
        "cpu_seconds": row.cpu_ns / S_NS,
        "power_watts": row.power_w,
        "embodied_emissions_grams": row.embodied_g if embodied else None,
        "energy": [
            {
                "component": cell.component,
                "mode": cell.mode,
                "energy_joules": cell.energy_uj / J_UJ,
                "emissions_grams": cell.emissions_g,
            }
            for cell in row.cells
        ],
    }


def _zone(row: SensorRow) -> dict[str, Any]:
    return {
        "sensor": row.zone.sensor,
        "zone_name": row.zone.name,
        "device": row.zone.device,
        "covers": row.zone.covers,
        "method": row.zone.method,
        "up": row.up,
        "energy_joules": row.energy_uj / J_UJ,
        "power_watts": row.power_w,
    }
