"""What the landing page says of the host: its components, its top workloads, its meters (pure)."""

from __future__ import annotations

import heapq
from html import escape

from ..snapshot import NodeRow, SensorRow, WorkloadRow
from . import amounts
from .bars import share_bar
from .page import table

TOP = 20


def components(nodes: tuple[NodeRow, ...]) -> str:
    """Power, energy and emissions by component, with the node's sum."""
    columns = ("Component", "Share", "Power", "Idle", "Energy", "CO2e", "Method")
    total_w = total_power(nodes) or 0.0
    rows = [
        (
            escape(row.component),
            share_bar(row.power_w / total_w if row.power_w and total_w > 0 else 0.0),
            amounts.watts(row.power_w),
            _idle(row),
            amounts.energy(row.energy_uj),
            amounts.mass(row.emissions_g),
            _method("estimated" if row.estimated else "measured"),
        )
        for row in nodes
    ]
    total = (
        "node",
        "",
        amounts.watts(total_power(nodes)),
        "",
        amounts.energy(sum(row.energy_uj for row in nodes)),
        amounts.mass(sum(row.emissions_g for row in nodes)),
        "",
    )
    return table(
        "Mean over the last interval, by component",
        columns,
        rows,
        numeric=columns[2:6],
        wide=("Share",),
        foot=total,
    )


def workloads(rows: tuple[WorkloadRow, ...]) -> str:
    """Those that were allocated most, with their share of what all were."""
    top = heapq.nlargest(TOP, rows, key=lambda row: row.power_w)
    total_w = sum(row.power_w for row in rows)
    columns = ("Workload", "Kind", "Share", "Power", "Energy", "CO2e")
    cells = [
        (
            _workload(row),
            escape(row.workload.kind),
            share_bar(row.power_w / total_w if total_w > 0 else 0.0),
            amounts.watts(row.power_w),
            amounts.energy(sum(cell.energy_uj for cell in row.cells)),
            amounts.mass(sum(cell.emissions_g for cell in row.cells)),
        )
        for row in top
    ]
    caption = f"Allocated power, highest first: {len(top)} of {len(rows)}"
    return table(caption, columns, cells, numeric=columns[3:], wide=("Share",))


def sensors(found: tuple[SensorRow, ...]) -> str:
    """Every zone of every meter, with its state."""
    columns = ("Zone", "Sensor", "Device", "Counts towards", "Method", "Uncertainty", "State", "Power")
    rows = [
        (
            escape(row.zone.name),
            escape(row.zone.sensor),
            escape(row.zone.device) or amounts.NOTHING,
            escape(row.zone.covers) or "nothing, only shown",
            _method(row.zone.method),
            amounts.percent(row.zone.uncertainty_ratio),
            "up" if row.up else "<strong>no value</strong>",
            amounts.watts(row.power_w),
        )
        for row in found
    ]
    return table(
        "Zones found; they overlap and do not add up", columns, rows, numeric=("Uncertainty", "Power")
    )


def _workload(row: WorkloadRow) -> str:
    workload = row.known
    pod = "/".join(
        part for part in (workload.pod_namespace, workload.pod_name, workload.container_name) if part
    )
    shown = pod or workload.name or workload.id or workload.kind
    details = [
        part for part in (workload.name, workload.id) if part not in ("", shown, workload.container_name)
    ]
    return escape(shown) + "".join(f"<small>{escape(part)}</small>" for part in details)


def total_power(nodes: tuple[NodeRow, ...]) -> float | None:
    """The node's power, None unless that of every component is known."""
    powers_w = [row.power_w for row in nodes if row.power_w is not None]
    return sum(powers_w) if nodes and len(powers_w) == len(nodes) else None


def _idle(row: NodeRow) -> str:
    if row.idle_power_w is None:
        return amounts.NOTHING
    return f"{amounts.watts(row.idle_power_w)}<small>{escape(row.idle_source)}</small>"


def _method(method: str) -> str:
    return f'<span class="tag">{method}</span>' if method == "estimated" else escape(method)
