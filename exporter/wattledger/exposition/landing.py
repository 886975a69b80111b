"""What a person sees without Prometheus: the node's power and emissions, its budgets, its top workloads."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape

from ..model import S_NS, Intensity
from ..snapshot import Snapshot
from . import amounts, landing_budgets, landing_carbon, landing_outlook
from .bars import DEFINITIONS
from .catalogue import SECTIONS
from .landing_boards import boards
from .landing_host import components, sensors, total_power, workloads
from .page import beside, document, facts, links, section, table, warning

STALE_INTERVALS = 3
_STAMP = "%Y-%m-%dT%H:%M:%SZ"


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
    body = [DEFINITIONS, links(pages)]
    if snapshot is None:
        body.append("<p>No figures yet: the meters are being read for the first time.</p>")
    else:
        body += _warnings(snapshot, now_ns)
        body += _summary(snapshot)
        body += _sections(snapshot)
    return document(heading, heading, body, refresh=refresh)


def index_page(nodes: Iterable[tuple[str, str, Snapshot | None]], *, refresh: bool) -> str:
    """The list of several nodes, each with its name, relative address and snapshot."""
    rows = [
        (f'<a href="{escape(address)}">{escape(name)}</a>', *_node_totals(snapshot))
        for name, address, snapshot in nodes
    ]
    columns = ("Node", "Power", "Energy", "CO2e", "Intensity", "Budget nearest its limit", "Workloads")
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
    found += landing_carbon.carbon_warnings(snapshot)
    found += landing_budgets.budget_warnings(snapshot)
    down = sum(not row.up for row in snapshot.sensors)
    if down:
        found.append(
            warning(f"{down} of {len(snapshot.sensors)} meter zones gave no value at the last read.")
        )
    if not snapshot.sensors:
        found.append(warning("No energy meter was found. Run `wattledger check` to see why."))
    return found


def _summary(snapshot: Snapshot) -> list[str]:
    energy_uj = sum(row.energy_uj for row in snapshot.nodes)
    at = datetime.fromtimestamp(snapshot.wall_ns / S_NS, UTC)
    estimated = [row.estimated for row in snapshot.nodes]
    label = (
        " (estimated)" if estimated and all(estimated) else " (partly estimated)" if any(estimated) else ""
    )
    what = ", of a simulated host" if snapshot.node_info.get("simulated") == "true" else ""
    return [
        facts(
            (
                (f"Power now{label}", amounts.watts(total_power(snapshot.nodes))),
                ("Energy so far", f"{amounts.energy(energy_uj)} ({amounts.kilowatt_hours(energy_uj)})"),
                ("CO2e so far", amounts.mass(sum(row.emissions_g for row in snapshot.nodes))),
                ("Carbon intensity now", amounts.intensity(snapshot.price.intensity.grams_per_kwh)),
            )
        ),
        f'<p class="soft">As of <time datetime="{at:{_STAMP}}">{at:%Y-%m-%d %H:%M:%S} UTC</time>{what}</p>',
    ]


def _sections(snapshot: Snapshot) -> Iterable[str]:
    """The parts of the page, without those that a node has nothing for."""
    yield section("Power now", [components(snapshot.nodes)])
    if snapshot.budgets:
        yield section("Budgets", [landing_budgets.budgets(snapshot)])
    price = section("Carbon intensity", landing_carbon.intensity(snapshot))
    emissions = landing_carbon.emissions(snapshot)
    yield beside(section("Emissions so far", [emissions]), price) if emissions else price
    ahead = landing_outlook.ahead(snapshot.outlook, snapshot.wall_ns)
    if ahead:
        yield section("Hours ahead", ahead)
    yield section("Top workloads", [workloads(snapshot.workloads)])
    found = boards(snapshot)
    if found:
        yield section("GPU boards", [found])
    yield section("Meters", [sensors(snapshot.sensors)])


def _node_totals(snapshot: Snapshot | None) -> tuple[str, ...]:
    if snapshot is None:
        return (amounts.NOTHING,) * 6
    return (
        amounts.watts(total_power(snapshot.nodes)),
        amounts.energy(sum(row.energy_uj for row in snapshot.nodes)),
        amounts.mass(sum(row.emissions_g for row in snapshot.nodes)),
        _priced_at(snapshot.price.intensity),
        landing_budgets.worst(snapshot.budgets),
        str(len(snapshot.workloads)),
    )


def _priced_at(used: Intensity) -> str:
    mark = "<small>fallback</small>" if used.fallback else ""
    return amounts.intensity(used.grams_per_kwh) + mark
