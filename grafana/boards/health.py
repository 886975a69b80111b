"""Exporter health: whether the agents can be believed, and what they cost."""

from __future__ import annotations

from ..builder.dashboard import Dashboard, Row, selection
from ..builder.fields import BYTES, JOULE, NUMBER, RATIO, SECONDS, WATT, Thresholds, Word, words
from ..builder.links import TO_NODE
from ..builder.panels import Bars, Query, Stat, States, TimeSeries
from ..builder.promql import (
    NODE,
    NODE_NAME,
    at_end,
    count_or_zero,
    grown_at_end,
    happening,
    largest,
    of,
    of_our_jobs,
    rate,
    total,
)
from ..builder.tables import Label, Table, Value

PROCESS_CPU = "process_cpu_seconds_total"
IN_A_DEMO = "in a demo of several nodes, which have one process between them"
OURS = of("wattledger_build_info")
READS = f"{NODE}, sensor, reason"


def of_agents(expression: str) -> str:
    """Series that any process may have, of our agents only."""
    return f"{expression}\nand on ({NODE})\n{OURS}"


def highest(gauge: str) -> str:
    """A gauge of the ten agents where it was highest over the time shown."""
    return largest(gauge, at_end(gauge), NODE, 10)


def highest_of_agents(name: str) -> str:
    """The same for a family that any process may have."""
    gauge = of(name)
    return largest(of_agents(gauge), f"{at_end(gauge)}\nand on ({NODE})\n{OURS} @ end()", NODE, 10)


def largest_now(name: str) -> str:
    """The ten largest of our agents, the largest first."""
    return f"sort_desc(topk(10, {of_agents(of(name))}))"


NOW = (
    Stat(
        title="Agents up",
        description="Part of the targets that answered the last scrape.",
        queries=(Query(f"avg({of_our_jobs(of('up'))})"),),
        unit=RATIO,
        decimals=0,
    ),
    Stat(
        title="Versions",
        description="How many agents run which version.",
        queries=(Query(f"count by (version) ({OURS})", "{{version}}"),),
        text="value_and_name",
    ),
    Stat(
        title="Oldest sample",
        description="Since the last good sample of the agent that is furthest behind.",
        queries=(Query(f"max(time() - {of('wattledger_sampler_last_success_timestamp_seconds')})"),),
        unit=SECONDS,
        decimals=0,
        thresholds=Thresholds(warning=60, bad=120),
    ),
    Stat(
        title="Reloads that failed",
        description="Agents whose last reload of the configuration failed; they run on with the former one.",
        queries=(Query(count_or_zero(f"{of('wattledger_config_last_reload_successful')} == 0")),),
        thresholds=Thresholds(warning=1),
    ),
    Stat(
        title="Nodes without recorded series",
        description="Above 0 for more than five minutes, the recording rules are not loaded or lag.",
        queries=(
            Query(
                count_or_zero(
                    f"{OURS}\nunless on ({NODE})\n{of('instance:wattledger_node_energy_joules:rate5m')}"
                )
            ),
        ),
        thresholds=Thresholds(warning=1),
    ),
    Stat(
        title="Energy without series",
        description="On accounts whose series are not shown: expired, or not named yet. No energy is lost.",
        queries=(Query(total(of("wattledger_workload_expired_energy_joules"))),),
        unit=JOULE,
    ),
)

SAMPLER = (
    TimeSeries(
        title="Time per sample",
        description=(
            "The ten agents with the slowest sample of the time shown; to be far below the sampling interval."
        ),
        queries=(Query(highest(of("wattledger_sampler_duration_seconds")), NODE_NAME),),
        unit=SECONDS,
    ),
    TimeSeries(
        title="Samples",
        description="Per second over the chosen nodes: taken, failed as a whole, late.",
        queries=(
            Query(total(rate("wattledger_sampler_ticks_total")), "taken"),
            Query(total(rate("wattledger_sampler_failures_total")), "failed"),
            Query(total(rate("wattledger_sampler_overruns_total")), "late"),
        ),
        unit="cps",
    ),
    TimeSeries(
        title="Workload series",
        description="Held at a time, the ten agents with most over the time shown.",
        queries=(Query(highest(of("wattledger_series")), NODE_NAME),),
    ),
    TimeSeries(
        title="Workloads beyond the series limit",
        description='Per second, the ten agents with most; they are booked to kind="other".',
        queries=(
            Query(
                largest(
                    happening(rate("wattledger_series_limited_total")),
                    grown_at_end("wattledger_series_limited_total"),
                    NODE,
                    10,
                ),
                NODE_NAME,
            ),
        ),
        unit="cps",
        empty="while no agent is at its limit",
    ),
    TimeSeries(
        title="Reads without a value",
        description="Per second, by sensor and reason, the ten most frequent.",
        queries=(
            Query(
                largest(
                    happening(total(rate("wattledger_sensor_read_errors_total"), READS)),
                    total(grown_at_end("wattledger_sensor_read_errors_total"), READS),
                    READS,
                    10,
                ),
                f"{NODE_NAME} {{{{sensor}}}}: {{{{reason}}}}",
            ),
        ),
        unit="cps",
        empty="while every read succeeds",
    ),
    TimeSeries(
        title="Counter corrections",
        description="Per second: overflows that were corrected, and intervals that were left out.",
        queries=(
            Query(happening(total(rate("wattledger_sensor_wraps_total"), "sensor")), "{{sensor}} wraps"),
            Query(
                happening(total(rate("wattledger_sensor_dropped_intervals_total"), "sensor, reason")),
                "{{sensor}} left out: {{reason}}",
            ),
        ),
        unit="cps",
        empty="while counters neither overflow nor mislead",
    ),
)

STORAGE = (
    Table(
        title="Agents with trouble in the last hour",
        description="Counts over the last hour, the 25 worst of each; every column has a runbook. "
        "Of names and carbon sources, an agent's first error for a reason is not seen.",
        queries=tuple(
            Query(f"topk(25, sum by ({NODE}) (increase({of(name)}[1h])) > 0)")
            for name in (
                "wattledger_checkpoint_errors_total",
                "wattledger_journal_errors_total",
                "wattledger_name_source_errors_total",
                "wattledger_carbon_source_errors_total",
                "wattledger_sampler_failures_total",
                "wattledger_sensor_read_errors_total",
            )
        ),
        labels=(Label("cluster", "Cluster"), Label("instance", "Node", TO_NODE)),
        values=tuple(
            Value(title=title, unit=NUMBER, decimals=0)
            for title in (
                "Checkpoints",
                "Journal",
                "Names",
                "Carbon sources",
                "Samples",
                "Reads",
            )
        ),
        height=8,
        empty="while nothing went wrong",
    ),
    Stat(
        title="Oldest write to the journal",
        description="Since the journal of the agent that is furthest behind was last written.",
        queries=(Query(f"max(time() - {of('wattledger_journal_last_success_timestamp_seconds')})"),),
        unit=SECONDS,
        decimals=0,
        width=6,
        height=7,
        thresholds=Thresholds(warning=300, bad=3600),
        empty="where no agent keeps a journal",
    ),
    States(
        title="Carbon sources",
        description="Whether the last request to each live source worked, the worst of the nodes.",
        queries=(
            Query(
                f"min by (role, provider) ({of('wattledger_carbon_source_up')})",
                "{{provider}} as {{role}}",
            ),
        ),
        mappings=tuple(words(Word(1, "up", "good"), Word(0, "down", "bad"))),
        width=9,
        height=7,
        empty="without live sources",
    ),
    States(
        title="Sources of names",
        description="Whether the last call of each source worked, the worst of the nodes.",
        queries=(Query(f"min by (source) ({of('wattledger_name_source_up')})", "{{source}}"),),
        mappings=tuple(words(Word(1, "up", "good"), Word(0, "down", "bad"))),
        width=9,
        height=7,
        empty="where no source of names is in use",
    ),
    TimeSeries(
        title="Failed requests to carbon sources",
        description="Per second, by provider and reason.",
        queries=(
            Query(
                happening(total(rate("wattledger_carbon_source_errors_total"), "role, provider, reason")),
                "{{provider}} as {{role}}: {{reason}}",
            ),
        ),
        unit="cps",
        empty="while every request succeeds",
    ),
    TimeSeries(
        title="Names",
        description="Answers and failed calls per second, by source.",
        queries=(
            Query(total(rate("wattledger_name_source_answers_total"), "source"), "{{source}} answers"),
            Query(
                happening(total(rate("wattledger_name_source_errors_total"), "source, reason")),
                "{{source}}: {{reason}}",
            ),
        ),
        unit="cps",
        empty="where no source of names is in use",
    ),
)

COST = (
    TimeSeries(
        title="CPU of the agents",
        description="Share of one core, the ten agents that use most over the time shown.",
        queries=(
            Query(
                largest(
                    of_agents(rate(PROCESS_CPU)),
                    f"rate({of(PROCESS_CPU)}[$__range] @ end()) and on ({NODE}) {OURS} @ end()",
                    NODE,
                    10,
                ),
                NODE_NAME,
            ),
        ),
        unit=RATIO,
        decimals=2,
        empty=IN_A_DEMO,
    ),
    TimeSeries(
        title="Memory of the agents",
        description="Resident, the ten agents that used most over the time shown.",
        queries=(Query(highest_of_agents("process_resident_memory_bytes"), NODE_NAME),),
        unit=BYTES,
        empty=IN_A_DEMO,
    ),
    TimeSeries(
        title="Power of the agents",
        description="Energy that agents allocate to themselves, the ten with most over the time shown.",
        queries=(
            Query(
                largest(
                    rate("wattledger_self_energy_joules_total"),
                    grown_at_end("wattledger_self_energy_joules_total"),
                    NODE,
                    10,
                ),
                NODE_NAME,
            ),
        ),
        unit=WATT,
    ),
    TimeSeries(
        title="Scrapes",
        description="The ten agents with the slowest of the time shown, as Prometheus sees them.",
        queries=(Query(highest_of_agents("scrape_duration_seconds"), NODE_NAME),),
        unit=SECONDS,
    ),
    Bars(
        title="Largest scrapes",
        description="Samples of the last scrape, the ten largest.",
        queries=(Query(largest_now("scrape_samples_scraped"), NODE_NAME),),
    ),
    Bars(
        title="New series",
        description="Series that the last scrape added: churn is what costs a Prometheus most.",
        queries=(Query(largest_now("scrape_series_added"), NODE_NAME),),
    ),
)

HEALTH = Dashboard(
    uid="wattledger-health",
    title="Wattledger / Exporter health",
    description="Sampler, sensors, storage, sources, and what the agents cost.",
    variables=selection(),
    rows=(
        Row(title="Now", panels=NOW),
        Row(title="Sampler and sensors", panels=SAMPLER),
        Row(title="Storage and sources", panels=STORAGE),
        Row(title="What the agents cost", panels=COST),
    ),
    span="3h",
)
