"""Node: one machine, its components, its workloads, its meters."""

from __future__ import annotations

from ..builder.dashboard import Dashboard, Row, selection
from ..builder.fields import (
    GRAMS,
    GRAMS_PER_KWH,
    KWH,
    NUMBER,
    RATIO,
    SECONDS,
    WATT,
    Thresholds,
    Word,
    words,
)
from ..builder.palette import COMPONENTS, SHARES
from ..builder.panels import Query, Stat, States, TimeSeries
from ..builder.promql import (
    IDENTITY,
    WORKLOAD_NAME,
    count_or_zero,
    grown,
    happening,
    kwh,
    of,
    rate,
    short_ids,
    total,
)
from ..builder.promql import NODE as WHICH_NODE
from ..builder.tables import Label, Table, Value

ENERGY = "wattledger_node_energy_joules_total"
EMISSIONS = "wattledger_node_emissions_grams_total"
WORKLOAD_ENERGY = "wattledger_workload_energy_joules_total"
WORKLOAD_EMISSIONS = "wattledger_workload_emissions_grams_total"
WHO = f"{WHICH_NODE}, {IDENTITY}"
ZONE = f"{WHICH_NODE}, sensor, zone_name, device"
RANKED = total(f"rate({of(WORKLOAD_ENERGY)}[$__range] @ end())", WHO)
TOP = f"topk(12, {RANKED})"
UP = words(Word(1, "up", "good"), Word(0, "lost", "bad"))


def among_top(expression: str) -> str:
    """What the table shows of a workload beside its power."""
    return f"{expression}\nand on ({WHO})\ntopk(25, {total(rate(WORKLOAD_ENERGY), WHO)})"


NOW = (
    Stat(
        title="Power",
        description="What the node draws, by its energy counters.",
        queries=(Query(total(rate(ENERGY))),),
        unit=WATT,
    ),
    Stat(
        title="Energy",
        description="Over the time shown, from the counters themselves.",
        queries=(Query(kwh(total(grown(ENERGY)))),),
        unit=KWH,
    ),
    Stat(
        title="Emissions",
        description="CO₂e over the time shown, location-based, as booked.",
        queries=(Query(total(grown(EMISSIONS))),),
        unit=GRAMS,
    ),
    Stat(
        title="Grid intensity",
        description="What energy is priced with now, without PUE.",
        queries=(
            Query(
                f"max({of('wattledger_grid_carbon_intensity_grams_per_kilowatt_hour')})",
            ),
        ),
        unit=GRAMS_PER_KWH,
        decimals=0,
    ),
    Stat(
        title="Lost sensors",
        description="Zones whose last read gave no value; their energy is missing until they return.",
        queries=(Query(count_or_zero(f"{of('wattledger_sensor_up')} == 0")),),
        thresholds=Thresholds(bad=1),
    ),
    Stat(
        title="Largest uncertainty",
        description="Relative uncertainty of the least certain zone; 30 % and more are estimates.",
        queries=(Query(f"max({of('wattledger_sensor_uncertainty_ratio')})"),),
        unit=RATIO,
        decimals=0,
        thresholds=Thresholds(warning=0.3),
    ),
)

COMPONENT_PANELS = (
    TimeSeries(
        title="Power by component",
        description="The components add up to what is metered.",
        queries=(Query(total(rate(ENERGY), "component"), "{{component}}"),),
        unit=WATT,
        stacked=True,
        colors=COMPONENTS,
    ),
    TimeSeries(
        title="Emissions per hour by component",
        description="CO₂e, location-based, PUE included.",
        queries=(Query(f"3600 * {total(rate(EMISSIONS), 'component')}", "{{component}}"),),
        unit=GRAMS,
        stacked=True,
        colors=COMPONENTS,
    ),
    TimeSeries(
        title="Idle against dynamic",
        description=(
            "Idle is what the node draws whoever uses it, charged to workloads or not; "
            "dynamic is what use added; unattributed is that of no known user."
        ),
        queries=(
            Query(total(rate(WORKLOAD_ENERGY, 'mode="idle"')), "idle"),
            Query(total(rate(WORKLOAD_ENERGY, 'mode!="idle"', 'kind!="unattributed"')), "dynamic"),
            Query(total(rate(WORKLOAD_ENERGY, 'mode!="idle"', 'kind="unattributed"')), "unattributed"),
        ),
        unit=WATT,
        stacked=True,
        colors=SHARES,
        empty="of unattributed energy where there was none",
    ),
    TimeSeries(
        title="Idle floor",
        description="Power below which a component does not fall, as configured, observed or extrapolated.",
        queries=(
            Query(
                f"sum by (component) ({of('wattledger_node_idle_power_watts')})",
                "{{component}}",
            ),
        ),
        unit=WATT,
        colors=COMPONENTS,
    ),
)

WORKLOAD_PANELS = (
    TimeSeries(
        title="Workloads",
        description=(
            "The twelve workloads with most energy over the time shown, and the rest of the node. "
            "A workload that is born waits for its name; until then it is in the rest."
        ),
        queries=(
            Query(short_ids(f"{total(rate(WORKLOAD_ENERGY), WHO)}\nand on ({WHO})\n{TOP}"), WORKLOAD_NAME),
            Query(
                f"clamp_min({total(rate(ENERGY))} - (sum({total(rate(WORKLOAD_ENERGY), WHO)}"
                f"\nand on ({WHO})\n{TOP}) or vector(0)), 0)",
                "everything else",
            ),
        ),
        unit=WATT,
        stacked=True,
        width=24,
        height=11,
    ),
    Table(
        title="Workloads by power",
        description="The 25 workloads that draw most now; energy and emissions are over the time shown.",
        queries=(
            Query(f"topk(25, {total(rate(WORKLOAD_ENERGY), WHO)})"),
            Query(among_top(kwh(total(grown(WORKLOAD_ENERGY), WHO)))),
            Query(among_top(total(grown(WORKLOAD_EMISSIONS), WHO))),
            Query(among_top(total(grown("wattledger_workload_cpu_seconds_total"), WHO))),
            Query(
                among_top(
                    f"{total(grown(WORKLOAD_EMISSIONS), WHO)} / "
                    f"({total(grown('wattledger_workload_cpu_seconds_total'), WHO)} > 0)"
                )
            ),
        ),
        labels=(
            Label("instance", "Node"),
            Label("kind", "Kind"),
            Label("pod_namespace", "Namespace"),
            Label("pod_name", "Pod"),
            Label("name", "Name"),
            Label("id", "Id"),
        ),
        values=(
            Value(title="Power", unit=WATT),
            Value(title="Energy", unit=KWH),
            Value(title="Emissions", unit=GRAMS),
            Value(title="CPU time", unit=SECONDS),
            Value(title="Grams per CPU second", unit=GRAMS),
        ),
        sort="Power",
    ),
)

SENSOR_PANELS = (
    States(
        title="Sensors",
        description="Whether the last read of each zone gave a value.",
        queries=(Query(of("wattledger_sensor_up"), "{{sensor}} {{zone_name}} {{device}}"),),
        mappings=tuple(UP),
        height=10,
    ),
    TimeSeries(
        title="Power of each zone",
        description="By the zone's own counter; zones overlap, so never add them up.",
        queries=(
            Query(rate("wattledger_sensor_energy_joules_total"), "{{sensor}} {{zone_name}} {{device}}"),
        ),
        unit=WATT,
        height=10,
    ),
    Table(
        title="Meters",
        description="How each zone is read, what it counts towards, and how far it can be trusted.",
        queries=(
            Query(f"max by ({ZONE}, method, covers) ({of('wattledger_sensor_info')})"),
            Query(f"max by ({ZONE}) ({of('wattledger_sensor_up')})"),
            Query(f"max by ({ZONE}) ({of('wattledger_sensor_uncertainty_ratio')})"),
            Query(total(rate("wattledger_sensor_energy_joules_total"), ZONE)),
        ),
        labels=(
            Label("instance", "Node"),
            Label("sensor", "Sensor"),
            Label("zone_name", "Zone"),
            Label("device", "Device"),
            Label("method", "Method"),
            Label("covers", "Counts towards"),
        ),
        values=(
            Value(title="Info", unit=NUMBER, hidden=True),
            Value(title="State", unit=NUMBER, mappings=tuple(UP)),
            Value(title="Uncertainty", unit=RATIO, decimals=0, thresholds=Thresholds(warning=0.3)),
            Value(title="Power", unit=WATT),
        ),
    ),
    TimeSeries(
        title="Reads without a value",
        description="Per second, by reason; nothing is made up for them.",
        queries=(
            Query(
                happening(
                    total(rate("wattledger_sensor_read_errors_total"), f"{WHICH_NODE}, sensor, reason")
                ),
                "{{instance}} {{sensor}}: {{reason}}",
            ),
        ),
        unit="cps",
        empty="while every read succeeds",
    ),
    TimeSeries(
        title="Intervals left out",
        description="Per second, by reason; the energy of such an interval is not trustworthy.",
        queries=(
            Query(
                happening(
                    total(rate("wattledger_sensor_dropped_intervals_total"), f"{WHICH_NODE}, sensor, reason")
                ),
                "{{instance}} {{sensor}}: {{reason}}",
            ),
        ),
        unit="cps",
        empty="while no interval is left out",
    ),
)

NODE = Dashboard(
    uid="wattledger-node",
    title="Wattledger / Node",
    description="One node: components, workloads, sensors.",
    variables=selection(one_node=True),
    rows=(
        Row(title="Now", panels=NOW),
        Row(title="Components", panels=COMPONENT_PANELS),
        Row(title="Workloads", panels=WORKLOAD_PANELS),
        Row(title="Sensors", panels=SENSOR_PANELS),
    ),
    span="3h",
    refresh="30s",
)
