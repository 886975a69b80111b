"""Fleet: all nodes at a glance, from recorded series, so that a thousand of them load like one."""

from __future__ import annotations

from ..builder.dashboard import Dashboard, Row, selection
from ..builder.fields import GRAMS, GRAMS_PER_KWH, KWH, NUMBER, RATIO, WATT, Thresholds
from ..builder.links import TO_NODE
from ..builder.palette import COMPONENTS
from ..builder.panels import Bars, Query, Stat, TimeSeries
from ..builder.promql import NODE, NODE_NAME, count_or_zero, integral, kwh, of, of_our_jobs, rate, total
from ..builder.tables import Label, Table, Value

POWER = of("instance:wattledger_node_energy_joules:rate5m")
EMISSION_RATE = of("instance:wattledger_node_emissions_grams:rate5m")
INTENSITY = of("instance:wattledger_grid_carbon_intensity_grams_per_kilowatt_hour:max")
BUDGET_USE = f"{of('wattledger_budget_consumed_grams')} / {of('wattledger_budget_limit_grams')}"
TOP = f"topk(25, {total(POWER, NODE)})"


def among_top(expression: str) -> str:
    """What the table shows of a node beside its power."""
    return f"{expression}\nand on ({NODE})\n{TOP}"


NOW = (
    Stat(
        title="Nodes",
        description="Agents that Prometheus scrapes.",
        queries=(Query(count_or_zero(of("wattledger_build_info"))),),
    ),
    Stat(
        title="Power",
        description="What the nodes draw, mean of the last five minutes.",
        queries=(Query(total(POWER)),),
        unit=WATT,
    ),
    Stat(
        title="Energy",
        description=(
            "Over the time shown, up to the last full minute. "
            "Misses what was drawn in gaps longer than five minutes; the dashboard Node does not."
        ),
        queries=(Query(kwh(total(integral(POWER)))),),
        unit=KWH,
    ),
    Stat(
        title="Emissions",
        description="CO₂e over the time shown, location-based, as booked when the energy was drawn.",
        queries=(Query(total(integral(EMISSION_RATE))),),
        unit=GRAMS,
    ),
    Stat(
        title="Emissions per hour",
        description="CO₂e at the pace of the last five minutes.",
        queries=(Query(f"3600 * {total(EMISSION_RATE)}"),),
        unit=GRAMS,
    ),
    Stat(
        title="Grid intensity",
        description="Intensity of the grid without PUE, mean of the nodes weighted by what they draw.",
        queries=(
            Query(
                f"sum({total(POWER, NODE)}\n* on ({NODE})\nmax by ({NODE}) ({INTENSITY}))"
                f"\n/\nsum({POWER}\nand on ({NODE})\n{INTENSITY})"
            ),
        ),
        unit=GRAMS_PER_KWH,
        decimals=0,
    ),
    Stat(
        title="Targets that do not answer",
        description="Agents that Prometheus knows and cannot scrape.",
        queries=(Query(count_or_zero(of_our_jobs(f"{of('up')} == 0"))),),
        thresholds=Thresholds(warning=1),
    ),
    Stat(
        title="Lost sensors",
        description="Zones whose last read gave no value; their energy is missing until they return.",
        queries=(Query(count_or_zero(f"{of('wattledger_sensor_up')} == 0")),),
        thresholds=Thresholds(bad=1),
    ),
    Stat(
        title="On a fallback intensity",
        description="Nodes that price their energy with a fallback instead of the configured source.",
        queries=(Query(count_or_zero(f"{of('wattledger_grid_carbon_intensity_fallback')} == 1")),),
        thresholds=Thresholds(warning=1),
    ),
    Stat(
        title="Budgets exceeded",
        description="Budgets whose limit is used up in their current period.",
        queries=(Query(count_or_zero(f"{BUDGET_USE} >= 1")),),
        thresholds=Thresholds(bad=1),
    ),
    Stat(
        title="Idle share",
        description="Part of the energy of the last hour that was drawn whether or not anybody computed.",
        queries=(
            Query(
                f"{total(of('instance:wattledger_idle_energy_joules:rate1h'))}"
                f"\n/\n{total(of('instance:wattledger_node_energy_joules:rate1h'))}"
            ),
        ),
        unit=RATIO,
        decimals=0,
    ),
    Stat(
        title="Estimated share",
        description="Part of the energy of the last hour that no meter measured.",
        queries=(
            Query(
                f"{total(of('instance:wattledger_estimated_energy_joules:rate1h'))}"
                f"\n/\n{total(of('instance:wattledger_node_energy_joules:rate1h'))}"
            ),
        ),
        unit=RATIO,
        decimals=1,
    ),
)

OVER_TIME = (
    TimeSeries(
        title="Power by component",
        description="The components add up to what is metered.",
        queries=(Query(total(rate("wattledger_node_energy_joules_total"), "component"), "{{component}}"),),
        unit=WATT,
        stacked=True,
        colors=COMPONENTS,
    ),
    TimeSeries(
        title="Emissions per hour by grid",
        description="CO₂e, location-based, by the grid zone of the nodes and who says its intensity.",
        queries=(
            Query(
                "3600 * sum by (grid_zone, provider) (\n"
                f"{EMISSION_RATE}\n* on ({NODE}) group_left (grid_zone, provider)\n"
                f"group by ({NODE}, grid_zone, provider) ("
                f"topk by ({NODE}) (1, {of('wattledger_grid_carbon_intensity_info')})))",
                "{{grid_zone}} by {{provider}}",
            ),
        ),
        unit=GRAMS,
        stacked=True,
    ),
    TimeSeries(
        title="Grid intensity over time",
        description="Mean of the nodes by grid zone and provider, without PUE.",
        queries=(
            Query(
                "avg by (grid_zone, provider) ("
                f"{of('wattledger_grid_carbon_intensity_grams_per_kilowatt_hour')})",
                "{{grid_zone}} by {{provider}}",
            ),
        ),
        unit=GRAMS_PER_KWH,
        decimals=0,
    ),
    TimeSeries(
        title="Grams per kWh as booked",
        description="Emissions over energy of the last hour; PUE is in it, and not in the grid's intensity.",
        queries=(
            Query(
                "3600000 * "
                f"{total(of('instance:wattledger_node_emissions_grams:rate1h'))}"
                f"\n/\n{total(of('instance:wattledger_node_energy_joules:rate1h'))}",
                "booked",
            ),
        ),
        unit=GRAMS_PER_KWH,
        decimals=0,
    ),
)

RANKS = (
    Bars(
        title="Most power",
        description="The ten nodes that draw most, mean of the last five minutes.",
        queries=(Query(f"sort_desc(topk(10, {total(POWER, NODE)}))", NODE_NAME),),
        unit=WATT,
        width=8,
    ),
    Bars(
        title="Most emissions per hour",
        description="The ten nodes that emit most CO₂e at the pace of the last five minutes.",
        queries=(Query(f"sort_desc(3600 * topk(10, {total(EMISSION_RATE, NODE)}))", NODE_NAME),),
        unit=GRAMS,
        width=8,
    ),
    Bars(
        title="Most idle power",
        description="The ten nodes with most idle power over the last hour: candidates for switching off.",
        queries=(
            Query(
                f"sort_desc(topk(10, {total(of('instance:wattledger_idle_energy_joules:rate1h'), NODE)}))",
                NODE_NAME,
            ),
        ),
        unit=WATT,
        width=8,
    ),
    Table(
        title="Nodes by power",
        description="The 25 nodes that draw most; the name leads to the node.",
        queries=(
            Query(TOP),
            Query(among_top(kwh(total(integral(POWER), NODE)))),
            Query(among_top(total(integral(EMISSION_RATE), NODE))),
            Query(among_top(f"max by ({NODE}) ({INTENSITY})")),
            Query(among_top(f"max by ({NODE}) ({of('instance:wattledger_idle_energy:ratio_rate1h')})")),
            Query(among_top(f"max by ({NODE}) ({of('instance:wattledger_estimated_energy:ratio_rate1h')})")),
            Query(among_top(f"sum by ({NODE}) (1 - {of('wattledger_sensor_up')})")),
        ),
        labels=(
            Label("cluster", "Cluster"),
            Label("job", "Job"),
            Label("instance", "Node", TO_NODE),
        ),
        values=(
            Value(title="Power", unit=WATT),
            Value(title="Energy", unit=KWH),
            Value(title="Emissions", unit=GRAMS),
            Value(title="Grid intensity", unit=GRAMS_PER_KWH, decimals=0),
            Value(title="Idle share", unit=RATIO, decimals=0),
            Value(title="Estimated share", unit=RATIO, decimals=0),
            Value(title="Lost sensors", unit=NUMBER, thresholds=Thresholds(bad=1)),
        ),
        sort="Power",
    ),
)

BUDGETS = (
    Bars(
        title="Fullest budgets",
        description="Part of the limit used in the current period, the 15 fullest; 100 % is the limit.",
        queries=(
            Query(f"sort_desc(topk(15, {BUDGET_USE}))", f"{{{{budget}}}} ({{{{period}}}}) on {NODE_NAME}"),
        ),
        unit=RATIO,
        maximum=1,
        thresholds=Thresholds(warning=0.8, bad=1),
        empty="while no agent has a budget",
    ),
    Bars(
        title="Fastest budgets",
        description=(
            "Speed of use in the last six hours over that of even use, the 15 fastest; "
            "at 1 a budget is used up exactly at the end of its period."
        ),
        queries=(
            Query(
                f"sort_desc(topk(15, {of('instance:wattledger_budget_burn:ratio_rate6h')}))",
                f"{{{{budget}}}} ({{{{period}}}}) on {NODE_NAME}",
            ),
        ),
        decimals=2,
        thresholds=Thresholds(warning=1, bad=2),
        empty="while no agent has a budget",
    ),
)

FLEET = Dashboard(
    uid="wattledger-fleet",
    title="Wattledger / Fleet",
    description="Power, energy, emissions and budgets of all nodes.",
    variables=selection(),
    rows=(
        Row(title="Now", panels=NOW),
        Row(title="Over time", panels=OVER_TIME),
        Row(title="Nodes by rank", panels=RANKS),
        Row(title="Budgets", panels=BUDGETS),
    ),
)
