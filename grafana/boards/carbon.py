"""Carbon and budgets: what was emitted against what was planned, at which intensity, and what comes."""

from __future__ import annotations

from ..builder.dashboard import Dashboard, Row, Variable, selection
from ..builder.fields import (
    AGO,
    GRAMS,
    GRAMS_PER_KWH,
    LITRES,
    MOMENT,
    NUMBER,
    RATIO,
    SECONDS,
    Thresholds,
    Word,
    words,
)
from ..builder.links import TO_NODE
from ..builder.palette import SCOPES, WINDOWS
from ..builder.panels import Query, Stat, States, TimeSeries
from ..builder.promql import NODE, NODE_NAME, grown, largest, of, rate, total
from ..builder.tables import Label, Table, Value

WHICH = f"{NODE}, budget, period"
PERIODS = ("day", "week", "month", "quarter", "year")
CHOSEN = ('budget=~"$budget"',)
CONSUMED = of("wattledger_budget_consumed_grams", *CHOSEN)
LIMIT = of("wattledger_budget_limit_grams", *CHOSEN)
START = of("wattledger_budget_period_start_timestamp_seconds", *CHOSEN)
END = of("wattledger_budget_period_end_timestamp_seconds", *CHOSEN)
USED = f"{CONSUMED} / {LIMIT}"
PASSED = f"(time() - {START}) / ({END} - {START})"
KNOWN = f"(time() - min_over_time((0 * {CONSUMED} + time())[1d:5m]) or 0 * {CONSUMED})"
LAST_DAY = f"clamp_max(time() - {START}, 86400)"
PROJECTED = (
    f"({CONSUMED}\n+ ({CONSUMED} - min_over_time({CONSUMED}[1d]))\n"
    f"/ clamp_min({KNOWN} < {LAST_DAY} or {LAST_DAY}, 300)\n* clamp_min({END} - time(), 0))"
)
"""The pace is over the last day, or less where the period or what Prometheus knows of it is younger.

`0 * ... + time()` is the time where there is a value, and `timestamp()` in a subquery is 15 times slower.
"""
FULLEST = f"topk(25, max by ({WHICH}) ({USED}))"
STABLE_FULLEST = f"topk(10, {CONSUMED} @ end() / {LIMIT} @ end())"
GRID = "grid_zone, provider, basis, kind"
INTENSITY = of("wattledger_grid_carbon_intensity_grams_per_kilowatt_hour")
MARKET = of("wattledger_market_carbon_intensity_grams_per_kilowatt_hour")
UPDATED = of("wattledger_grid_carbon_intensity_updated_timestamp_seconds")
MOST_SAVED = f"topk(25, max by ({NODE}, duration) ({of('wattledger_grid_best_window_savings_ratio')}))"
NO_BUDGET = "while no agent has a budget"
NO_FORECAST = "without a source that forecasts"
STATIC = "with a source that never changes, such as a static value or a table"


def by_window(name: str) -> str:
    """One value per node and duration, of the 25 largest savings."""
    return f"max by ({NODE}, duration) ({of(name)})\nand on ({NODE}, duration)\n{MOST_SAVED}"


def by_budget(expression: str) -> str:
    """One value per budget, of the 25 fullest."""
    return f"max by ({WHICH}) ({expression})\nand on ({WHICH})\n{FULLEST}"


def furthest_from_one(ratio: str) -> str:
    """A ratio of the ten nodes that moved most, at the end of the time shown."""
    return largest(of(ratio), f"abs({of(ratio)} @ end() - 1)", NODE, 10)


BUDGETS = (
    Table(
        title="Budgets",
        description=(
            "The 25 fullest. Passed is how much of the period has gone by: more used than passed is ahead of "
            "an even plan. The projection goes on at the pace of the last day, "
            "or of what is known of the period where that is less."
        ),
        queries=(
            Query(FULLEST),
            Query(by_budget(PASSED)),
            Query(by_budget(CONSUMED)),
            Query(by_budget(LIMIT)),
            Query(by_budget(PROJECTED)),
            Query(by_budget(f"{PROJECTED} / {LIMIT}")),
            Query(f"1000 * ({by_budget(END)})"),
        ),
        labels=(
            Label("budget", "Budget"),
            Label("period", "Period"),
            Label("cluster", "Cluster"),
            Label("instance", "Node", TO_NODE),
        ),
        values=(
            Value(title="Used", unit=RATIO, decimals=0, thresholds=Thresholds(warning=0.8, bad=1)),
            Value(title="Passed", unit=RATIO, decimals=0),
            Value(title="Consumed", unit=GRAMS),
            Value(title="Limit", unit=GRAMS),
            Value(title="Projected", unit=GRAMS),
            Value(title="Projected share", unit=RATIO, decimals=0, thresholds=Thresholds(warning=1, bad=1.1)),
            Value(title="Ends", unit=AGO),
        ),
        sort="Used",
        empty=NO_BUDGET,
    ),
    TimeSeries(
        title="Consumed against plan",
        description=(
            "Part of the limit used by the ten fullest budgets; dashed is an even plan per period. "
            "A line above the plan of its period is ahead of it."
        ),
        queries=(
            Query(
                f"{USED}\nand on ({WHICH})\n{STABLE_FULLEST}",
                f"{{{{budget}}}} ({{{{period}}}}) on {NODE_NAME}",
            ),
            Query(f"max by (period) ({PASSED})", "plan for the {{period}}"),
        ),
        unit=RATIO,
        dashed=tuple(f"plan for the {period}" for period in PERIODS),
        height=10,
        empty=NO_BUDGET,
    ),
    TimeSeries(
        title="Burn rate",
        description=(
            "Speed of use over that of even use, the fastest of the chosen budgets in three windows; "
            "at 1 a budget is used up exactly at the end of its period."
        ),
        queries=tuple(
            Query(f"max({of(f'instance:wattledger_budget_burn:ratio_rate{window}', *CHOSEN)})", window)
            for window in WINDOWS
        ),
        decimals=2,
        colors=WINDOWS,
        height=10,
        empty=NO_BUDGET,
    ),
    TimeSeries(
        title="Is it the power",
        description=(
            "Power of the last hour over that of the last day, the ten nodes furthest from 1. "
            "The product with the ratio beside it is the change of the emission rate."
        ),
        queries=(Query(furthest_from_one("instance:wattledger_node_power:ratio_rate1h_rate1d"), NODE_NAME),),
        unit=RATIO,
        minimum=None,
    ),
    TimeSeries(
        title="Or the grid",
        description=(
            "Grams per kWh as booked in the last hour over those of the last day. "
            "The ten nodes furthest from 1; above 100 % the grid is dirtier than it was."
        ),
        queries=(
            Query(furthest_from_one("instance:wattledger_booked_intensity:ratio_rate1h_rate1d"), NODE_NAME),
        ),
        unit=RATIO,
        minimum=None,
    ),
)

INTENSITIES = (
    TimeSeries(
        title="Intensity",
        description="Mean of the nodes by source, without PUE; market-based is for its own counters only.",
        queries=(
            Query(f"avg by ({GRID}) ({INTENSITY})", "{{grid_zone}} by {{provider}} ({{basis}})"),
            Query(f"avg by ({GRID}) ({MARKET})", "market-based {{grid_zone}} by {{provider}}"),
        ),
        unit=GRAMS_PER_KWH,
        decimals=0,
    ),
    TimeSeries(
        title="Age of the intensity",
        description="Since the oldest update; at the dashed age the fallback takes over.",
        queries=(
            Query(f"time() - min by (grid_zone, provider) ({UPDATED})", "{{grid_zone}} by {{provider}}"),
            Query(f"min({of('wattledger_grid_carbon_intensity_max_age_seconds')})", "given up"),
        ),
        unit=SECONDS,
        dashed=("given up",),
        empty=STATIC,
    ),
    Table(
        title="Sources",
        description="Where intensities come from, under which licence, and on how many nodes.",
        queries=(
            Query(f"count by ({GRID}, flow, licence) ({of('wattledger_grid_carbon_intensity_info')})"),
            Query(f"avg by ({GRID}) ({INTENSITY})"),
            Query(f"max by ({GRID}) ({of('wattledger_grid_carbon_intensity_fallback')})"),
            Query(f"max by ({GRID}) ({of('wattledger_grid_carbon_intensity_estimated')})"),
        ),
        labels=(
            Label("grid_zone", "Grid zone"),
            Label("provider", "Provider"),
            Label("basis", "Basis"),
            Label("kind", "Kind"),
            Label("flow", "Flow"),
            Label("licence", "Licence"),
        ),
        values=(
            Value(title="Nodes", unit=NUMBER),
            Value(title="Intensity", unit=GRAMS_PER_KWH, decimals=0),
            Value(
                title="Fallback",
                unit=NUMBER,
                mappings=tuple(words(Word(0, "no", "good"), Word(1, "yes", "warning"))),
            ),
            Value(
                title="Estimated",
                unit=NUMBER,
                mappings=tuple(words(Word(0, "no", "good"), Word(1, "yes", "warning"))),
            ),
        ),
        height=7,
    ),
    States(
        title="Fallback in use",
        description="Nodes that price with a fallback instead of the configured source, by grid zone.",
        queries=(
            Query(
                f"max by (grid_zone, provider) ({of('wattledger_grid_carbon_intensity_fallback')})",
                "{{grid_zone}} by {{provider}}",
            ),
        ),
        mappings=tuple(words(Word(0, "source", "good"), Word(1, "fallback", "warning"))),
        height=7,
    ),
    TimeSeries(
        title="Power usage effectiveness",
        description="PUE that energy is priced with, the least and the largest of the nodes.",
        queries=(
            Query(f"min({of('wattledger_pue_ratio')})", "least"),
            Query(f"max({of('wattledger_pue_ratio')})", "largest"),
        ),
        decimals=2,
        minimum=1,
        height=7,
    ),
)

AHEAD = (
    TimeSeries(
        title="Forecast",
        description="Mean intensity that is forecast for the next hours, by horizon; never used for booking.",
        queries=(
            Query(
                "avg by (grid_zone, provider, horizon) "
                f"({of('wattledger_grid_forecast_carbon_intensity_grams_per_kilowatt_hour')})",
                "{{grid_zone}} by {{provider}}, next {{horizon}}",
            ),
            Query(f"avg by (grid_zone) ({INTENSITY})", "{{grid_zone}} now"),
        ),
        unit=GRAMS_PER_KWH,
        decimals=0,
        empty=f"{NO_FORECAST}, apart from the present value",
    ),
    Stat(
        title="Signal",
        description="How the grid ranks now among the past and coming day, and on how many nodes.",
        queries=(Query(f"count by (state) ({of('wattledger_grid_signal')} == 1)", "{{state}}"),),
        text="value_and_name",
        width=6,
        height=8,
        empty=NO_FORECAST,
    ),
    Stat(
        title="Age of the forecast",
        description="Since the oldest forecast in use was made.",
        queries=(Query(f"time() - min({of('wattledger_grid_forecast_updated_timestamp_seconds')})"),),
        unit=SECONDS,
        width=6,
        height=8,
        empty=NO_FORECAST,
    ),
    Table(
        title="Best time to run something",
        description=(
            "Within 24 hours, by how long it takes: when to start, at which mean intensity, and the "
            "estimated saving against starting now. The 25 largest savings."
        ),
        queries=(
            Query(f"1000 * ({by_window('wattledger_grid_best_window_start_timestamp_seconds')})"),
            Query(by_window("wattledger_grid_best_window_grams_per_kilowatt_hour")),
            Query(MOST_SAVED),
        ),
        labels=(
            Label("duration", "Takes"),
            Label("cluster", "Cluster"),
            Label("instance", "Node", TO_NODE),
        ),
        values=(
            Value(title="Start", unit=MOMENT),
            Value(title="Mean intensity", unit=GRAMS_PER_KWH, decimals=0),
            Value(title="Saving", unit=RATIO, decimals=0),
        ),
        sort="Saving",
        height=8,
        empty=NO_FORECAST,
    ),
)

EMITTED = (
    TimeSeries(
        title="Location-based, market-based, embodied",
        description=(
            "CO₂e per hour by the three ways to count. "
            "Market-based stands instead of location-based, never beside it in a sum."
        ),
        queries=(
            Query(f"3600 * {total(rate('wattledger_node_emissions_grams_total'))}", "location-based"),
            Query(f"3600 * {total(rate('wattledger_node_market_emissions_grams_total'))}", "market-based"),
            Query(f"3600 * {total(rate('wattledger_node_embodied_emissions_grams_total'))}", "embodied"),
        ),
        unit=GRAMS,
        colors=SCOPES,
        height=10,
    ),
    Stat(
        title="Location-based",
        description="CO₂e over the time shown, by the intensity of the grid.",
        queries=(Query(total(grown("wattledger_node_emissions_grams_total"))),),
        unit=GRAMS,
        width=6,
        height=5,
    ),
    Stat(
        title="Market-based",
        description="CO₂e over the time shown, by what was bought.",
        queries=(Query(total(grown("wattledger_node_market_emissions_grams_total"))),),
        unit=GRAMS,
        width=6,
        height=5,
        empty="where no market-based intensity is configured",
    ),
    Stat(
        title="Embodied",
        description="Part of what making the nodes emitted that is written off over the time shown.",
        queries=(Query(total(grown("wattledger_node_embodied_emissions_grams_total"))),),
        unit=GRAMS,
        width=6,
        height=5,
        empty="where no embodied emissions are configured",
    ),
    Stat(
        title="Water",
        description="Water the site used for the nodes over the time shown.",
        queries=(Query(total(grown("wattledger_node_water_liters_total"))),),
        unit=LITRES,
        width=6,
        height=5,
        empty="where no water usage effectiveness is configured",
    ),
)

CARBON = Dashboard(
    uid="wattledger-carbon",
    title="Wattledger / Carbon and budgets",
    description="Budgets against plan, the grid's intensity and its sources, forecast, kinds of emissions.",
    variables=(
        *selection(),
        Variable(
            name="budget",
            label="Budget",
            query=f"label_values({of('wattledger_budget_limit_grams')}, budget)",
        ),
    ),
    rows=(
        Row(title="Budgets", panels=BUDGETS),
        Row(title="Intensity", panels=INTENSITIES),
        Row(title="Ahead", panels=AHEAD),
        Row(title="Kinds of emissions", panels=EMITTED),
    ),
    span="24h",
)
