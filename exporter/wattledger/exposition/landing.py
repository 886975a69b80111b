"""What a person sees without Prometheus: the node's power, its meters and its top workloads."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape

from ..model import S_NS
from ..snapshot import NodeRow, SensorRow, Snapshot, WorkloadRow
from . import amounts
from .catalogue import SECTIONS
from .page import document, facts, links, table, warning

TOP = 20
STALE_INTERVALS = 3


def node_page(
    snapshot: Snapshot | None,
    *,
    name: str,
    metrics_path: str,
    now_ns: int,
    refresh: bool,
    to_root: str = "",
) -> str:
    """The page of one node; `now_ns` is boot time, `to_root` the relative way to the application's root."""
    heading = f"Wattledger: {name}" if name else "Wattledger"
    pages = [
        (metrics_path.removeprefix("/"), "Metrics for Prometheus"),
        (f"{to_root}docs", "Metric reference"),
    ]
    if to_root:
        pages.append((to_root, "All nodes"))
    body = [links(pages)]
    if snapshot is None:
        body.append("<p>No figures yet: the meters are being read for the first time.</p>")
    else:
        body += _warnings(snapshot, now_ns)
        body += _summary(snapshot)
        body += ["<h2>Power now</h2>", _components(snapshot.nodes)]
        body += ["<h2>Top workloads</h2>", _workloads(snapshot.workloads)]
        body += ["<h2>Meters</h2>", _sensors(snapshot.sensors)]
    return document(heading, heading, body, refresh=refresh)


def index_page(nodes: Iterable[tuple[str, str, Snapshot | None]], *, refresh: bool) -> str:
    """The list of several nodes, each with its name, relative address and snapshot."""
    rows = [
        (f'<a href="{escape(address)}">{escape(name)}</a>', *_node_totals(snapshot))
        for name, address, snapshot in nodes
    ]
    columns = ("Node", "Power", "Energy", "CO2e", "Workloads")
    body = (
        links((("sd", "Service discovery for Prometheus"), ("docs", "Metric reference"))),
        table("Nodes served by this process", columns, rows, numeric=columns[1:]),
    )
    return document("Wattledger: nodes", "Wattledger: nodes", body, refresh=refresh)


def reference_page() -> str:
    """The catalogue of metrics."""
    body = ['<p><a href="./">Back</a></p>']
    for title, families in SECTIONS:
        rows = [
            (
                f"<code>{escape(family.sample_name)}</code>",
                escape(family.type),
                escape(", ".join(family.labels)),
                escape(family.help),
            )
            for family in families
        ]
        body.append(f"<h2>{escape(title)}</h2>")
        body.append(table(f"{title}: families", ("Name", "Type", "Labels", "Meaning"), rows))
    return document("Wattledger: metric reference", "Metric reference", body, refresh=None)


def _warnings(snapshot: Snapshot, now_ns: int) -> list[str]:
    found = []
    age_ns = now_ns - snapshot.boottime_ns
    if age_ns > STALE_INTERVALS * snapshot.health.interval_ns:
        found.append(warning(f"These figures are {amounts.duration(age_ns)} old; the sampler is late."))
    if snapshot.price.intensity.fallback:
        found.append(
            warning(
                "The carbon intensity is a fallback, not that of your grid. "
                "Set carbon.intensity in the settings file; the grams below depend on it."
            )
        )
    down = sum(not row.up for row in snapshot.sensors)
    if down:
        found.append(
            warning(f"{down} of {len(snapshot.sensors)} meter zones gave no value at the last read.")
        )
    if not snapshot.sensors:
        found.append(warning("No energy meter was found. Run `wattledger check` to see why."))
    return found


def _summary(snapshot: Snapshot) -> list[str]:
    intensity = snapshot.price.intensity
    energy_uj = sum(row.energy_uj for row in snapshot.nodes)
    source = ", ".join(part for part in (intensity.provider, intensity.grid_zone) if part)
    nature = f"{intensity.basis}, {intensity.kind}" + (", estimated" if intensity.estimated else "")
    nature += ", fallback" if intensity.fallback else ""
    at = datetime.fromtimestamp(snapshot.wall_ns / S_NS, UTC)
    estimated = [row.estimated for row in snapshot.nodes]
    label = (
        " (estimated)" if estimated and all(estimated) else " (partly estimated)" if any(estimated) else ""
    )
    return [
        facts(
            (
                (f"Power now{label}", amounts.watts(_total_power(snapshot.nodes))),
                ("Energy so far", f"{amounts.energy(energy_uj)} ({amounts.kilowatt_hours(energy_uj)})"),
                ("CO2e so far", amounts.mass(sum(row.emissions_g for row in snapshot.nodes))),
            )
        ),
        (
            f"<p>Priced at {intensity.grams_per_kwh:,.0f} g CO2e per kWh ({escape(source)}; {escape(nature)})"
            f" with a PUE of {snapshot.price.pue:g}.</p>"
        ),
        f'<p>As of <time datetime="{at:%Y-%m-%dT%H:%M:%SZ}">{at:%Y-%m-%d %H:%M:%S} UTC</time>.</p>',
    ]


def _components(nodes: tuple[NodeRow, ...]) -> str:
    columns = ("Component", "Power", "Idle", "Energy", "CO2e", "Method")
    rows = [
        (
            escape(row.component),
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
        amounts.watts(_total_power(nodes)),
        "",
        amounts.energy(sum(row.energy_uj for row in nodes)),
        amounts.mass(sum(row.emissions_g for row in nodes)),
        "",
    )
    return table("Mean over the last interval, by component", columns, rows, numeric=columns[1:5], foot=total)


def _workloads(workloads: tuple[WorkloadRow, ...]) -> str:
    top = heapq.nlargest(TOP, workloads, key=lambda row: row.power_w)
    columns = ("Workload", "Kind", "Power", "Energy", "CO2e")
    rows = [
        (
            _workload(row),
            escape(row.workload.kind),
            amounts.watts(row.power_w),
            amounts.energy(sum(cell.energy_uj for cell in row.cells)),
            amounts.mass(sum(cell.emissions_g for cell in row.cells)),
        )
        for row in top
    ]
    caption = f"Allocated power, highest first: {len(rows)} of {len(workloads)}"
    return table(caption, columns, rows, numeric=columns[2:])


def _sensors(sensors: tuple[SensorRow, ...]) -> str:
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
        for row in sensors
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


def _node_totals(snapshot: Snapshot | None) -> tuple[str, str, str, str]:
    if snapshot is None:
        return (amounts.NOTHING, amounts.NOTHING, amounts.NOTHING, amounts.NOTHING)
    return (
        amounts.watts(_total_power(snapshot.nodes)),
        amounts.energy(sum(row.energy_uj for row in snapshot.nodes)),
        amounts.mass(sum(row.emissions_g for row in snapshot.nodes)),
        str(len(snapshot.workloads)),
    )


def _total_power(nodes: tuple[NodeRow, ...]) -> float | None:
    """The node's power, None unless that of every component is known."""
    powers_w = [row.power_w for row in nodes if row.power_w is not None]
    return sum(powers_w) if nodes and len(powers_w) == len(nodes) else None


def _idle(row: NodeRow) -> str:
    if row.idle_power_w is None:
        return amounts.NOTHING
    return f"{amounts.watts(row.idle_power_w)}<small>{escape(row.idle_source)}</small>"


def _method(method: str) -> str:
    return f'<span class="tag">{method}</span>' if method == "estimated" else escape(method)
