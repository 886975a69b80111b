"""What `wattledger once` shows of a snapshot, as a table for a person and as JSON for a program."""

from __future__ import annotations

import heapq
from datetime import UTC, datetime
from typing import Any

from ..exposition import amounts
from ..exposition.catalogue import IDENTITY
from ..model import J_UJ, S_NS
from ..snapshot import SensorRow, Snapshot, WorkloadRow
from .text_table import columns


def as_table(snapshot: Snapshot, top: int, width: int) -> str:
    """The workloads that drew most, with power, energy and emissions, under the node's totals."""
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
    intensity = snapshot.price.intensity
    source = ", fallback" if intensity.fallback else ""
    lines += [
        "",
        f"{len(rows)} of {len(snapshot.workloads)} workloads",
        f"priced at {intensity.grams_per_kwh:g} g CO2e per kWh ({intensity.provider}{source})",
        f"with a PUE of {snapshot.price.pue:g}",
    ]
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
    intensity = snapshot.price.intensity
    return {
        "schema": 1,
        "time": datetime.fromtimestamp(snapshot.wall_ns / S_NS, UTC).isoformat(timespec="milliseconds"),
        "seconds": seconds,
        "price": {
            "grams_per_kilowatt_hour": intensity.grams_per_kwh,
            "pue": snapshot.price.pue,
            "provider": intensity.provider,
            "grid_zone": intensity.grid_zone,
            "basis": intensity.basis,
            "kind": intensity.kind,
            "estimated": intensity.estimated,
            "fallback": intensity.fallback,
        },
        "node": [
            {
                "component": row.component,
                "energy_joules": row.energy_uj / J_UJ,
                "emissions_grams": row.emissions_g,
                "power_watts": row.power_w,
                "estimated": row.estimated,
            }
            for row in snapshot.nodes
        ],
        "workloads": [_workload(row) for row in snapshot.workloads],
        "zones": [_zone(row) for row in snapshot.sensors],
    }


def _workload(row: WorkloadRow) -> dict[str, Any]:
    identity = {name: getattr(row.known, name) for name in IDENTITY}
    return {
        **{name: value for name, value in identity.items() if value},
        "cpu_seconds": row.cpu_ns / S_NS,
        "power_watts": row.power_w,
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
