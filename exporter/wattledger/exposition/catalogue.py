"""Every metric family, declared once; the renderer, the reference page and the dashboards' tests read it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .family import Family, counter, gauge, info, process

IDENTITY = ("kind", "id", "name", "pod_namespace", "pod_name", "container_name")
ZONE = ("sensor", "zone_name", "device")
GRID = ("grid_zone", "provider", "basis", "kind")
BUDGET = ("budget", "period")

NODE = (
    counter(
        "node_energy_joules_total",
        "joules",
        "Energy the node drew, by component; the components add up to the node.",
        "component",
    ),
    counter(
        "node_emissions_grams_total",
        "grams",
        "Operational emissions of the node in grams of CO2e, location-based, priced as drawn.",
        "component",
    ),
    counter(
        "node_market_emissions_grams_total",
        "grams",
        "Operational emissions in grams of CO2e by the market-based intensity; never added to the others.",
        "component",
    ),
    counter(
        "node_embodied_emissions_grams_total",
        "grams",
        "What making the node emitted in grams of CO2e, written off over its lifespan.",
    ),
    counter(
        "node_water_liters_total",
        "liters",
        "Water the site used for the node, by water usage effectiveness and IT energy.",
        "component",
    ),
    gauge(
        "node_power_watts", "watts", "Mean power of the node over the last sampling interval.", "component"
    ),
    gauge(
        "node_idle_power_watts",
        "watts",
        "Idle floor of the node, and how it was found.",
        "component",
        "source",
    ),
    info("node_info", "What is known of the node.", more="what the host says of itself"),
)

WORKLOADS = (
    counter(
        "workload_energy_joules_total",
        "joules",
        "Energy allocated to the workload; all workloads and the expired ones add up to the node.",
        *IDENTITY,
        "component",
        "mode",
    ),
    counter(
        "workload_emissions_grams_total",
        "grams",
        "Operational emissions allocated to the workload in grams of CO2e.",
        *IDENTITY,
        "component",
        "mode",
    ),
    counter(
        "workload_embodied_emissions_grams_total",
        "grams",
        "Embodied emissions in grams of CO2e for the part of the node that the workload reserved or used.",
        *IDENTITY,
    ),
    counter("workload_cpu_seconds_total", "seconds", "CPU time the workload used.", *IDENTITY),
    info(
        "workload_info",
        "What is known of the workload beyond its identity.",
        *IDENTITY,
        more="what its runtime says, such as `image`, `runtime`, `user`, `account`, `unit`",
    ),
    gauge(
        "workload_expired_energy_joules",
        "joules",
        "Energy on accounts whose series are not shown: expired, or not named yet; balances the raw sum.",
        "component",
    ),
    gauge(
        "workload_expired_emissions_grams",
        "grams",
        "Emissions in grams of CO2e on accounts whose series are not shown.",
        "component",
    ),
    gauge(
        "workload_expired_embodied_emissions_grams",
        "grams",
        "Embodied emissions in grams of CO2e on accounts whose series are not shown.",
    ),
    counter(
        "process_energy_joules_total",
        "joules",
        "Energy of one process inside its workload (opt-in; never add it to the workload).",
        "pid",
        "comm",
        "kind",
        "id",
    ),
    counter(
        "process_emissions_grams_total",
        "grams",
        "Emissions of one process inside its workload in grams of CO2e (opt-in).",
        "pid",
        "comm",
        "kind",
        "id",
    ),
)

GPUS = (
    counter("gpu_energy_joules_total", "joules", "Energy the GPU board drew.", "gpu_uuid"),
    gauge(
        "gpu_power_watts",
        "watts",
        "Mean power of the GPU board over the last sampling interval.",
        "gpu_uuid",
    ),
    info(
        "gpu_info",
        "What is known of the GPU.",
        "gpu_uuid",
        "model",
        "pci",
        "index",
        "driver",
        more="what its driver says",
    ),
    gauge("gpu_idle_power_watts", "watts", "What the GPU board draws when nobody uses it.", "gpu_uuid"),
    gauge(
        "gpu_energy_check_ratio",
        "ratio",
        "Energy counter of the GPU board over its integrated power; near 1 where both are right.",
        "gpu_uuid",
    ),
    info(
        "gpu_mig_info",
        "A MIG instance of the GPU board.",
        "gpu_uuid",
        "mig_uuid",
        "profile",
        "gpu_instance",
        "compute_instance",
    ),
    info(
        "gpu_split_info",
        "How weak the split of the board's energy among processes is.",
        "gpu_uuid",
        "quality",
    ),
)

SENSORS = (
    counter(
        "sensor_energy_joules_total",
        "joules",
        "Energy by the zone's own counter, unwrapped; zones overlap and must not be summed.",
        *ZONE,
    ),
    gauge("sensor_up", "", "1 if the last read of the zone gave a value, else 0.", *ZONE),
    info(
        "sensor_info",
        "How the zone is read (measured or estimated) and what it counts towards.",
        *ZONE,
        "method",
        "covers",
        more="what its driver says",
    ),
    gauge("sensor_uncertainty_ratio", "ratio", "Relative uncertainty of the zone's energy.", *ZONE),
    counter("sensor_read_errors_total", "", "Reads that gave no value.", "sensor", "reason"),
    counter("sensor_wraps_total", "", "Counter overflows that were corrected.", "sensor"),
    counter(
        "sensor_dropped_intervals_total",
        "",
        "Intervals without a trustworthy energy, which were left out.",
        "sensor",
        "reason",
    ),
)

CARBON = (
    gauge(
        "grid_carbon_intensity_grams_per_kilowatt_hour",
        "grams_per_kilowatt_hour",
        "Carbon intensity in grams of CO2e that energy is priced with now.",
        *GRID,
    ),
    gauge(
        "grid_carbon_intensity_updated_timestamp_seconds",
        "seconds",
        "When the intensity was last updated; absent for one that never changes.",
        *GRID,
    ),
    gauge(
        "grid_carbon_intensity_fallback",
        "",
        "1 while the intensity is a fallback instead of the configured source.",
        *GRID,
    ),
    gauge(
        "grid_carbon_intensity_estimated", "", "1 while the intensity is an estimate of its source.", *GRID
    ),
    gauge(
        "grid_carbon_intensity_max_age_seconds",
        "seconds",
        "Age at which the intensity is given up for the fallback; absent for one that never changes.",
        *GRID,
    ),
    info(
        "grid_carbon_intensity_info",
        "Where the intensity comes from.",
        *GRID,
        "flow",
        "licence",
    ),
    gauge(
        "market_carbon_intensity_grams_per_kilowatt_hour",
        "grams_per_kilowatt_hour",
        "Market-based intensity in grams of CO2e, for the market-based counters only.",
        *GRID,
    ),
    gauge(
        "market_carbon_intensity_fallback",
        "",
        "1 while the market-based intensity is a fallback instead of the configured source.",
        *GRID,
    ),
    gauge("pue_ratio", "ratio", "Power usage effectiveness that energy is priced with."),
    gauge(
        "wue_liters_per_kilowatt_hour",
        "liters_per_kilowatt_hour",
        "Water usage effectiveness of the site, per kWh of IT energy.",
    ),
    gauge(
        "carbon_source_up",
        "",
        "1 if the last request to a live source worked, or its file has a value for now.",
        "role",
        "provider",
    ),
    gauge(
        "carbon_source_last_success_timestamp_seconds",
        "seconds",
        "When a request to a live source last worked.",
        "role",
        "provider",
    ),
    counter(
        "carbon_source_errors_total",
        "",
        "Requests to a live source that failed.",
        "role",
        "provider",
        "reason",
    ),
)

OUTLOOK = (
    gauge(
        "grid_forecast_carbon_intensity_grams_per_kilowatt_hour",
        "grams_per_kilowatt_hour",
        "Mean intensity forecast for the next hours in grams of CO2e; never used for booking.",
        "horizon",
        *GRID,
    ),
    gauge("grid_forecast_updated_timestamp_seconds", "seconds", "When the forecast was made.", *GRID),
    gauge(
        "grid_best_window_start_timestamp_seconds",
        "seconds",
        "Start of the best time within 24 h to run something of this duration.",
        "duration",
    ),
    gauge(
        "grid_best_window_grams_per_kilowatt_hour",
        "grams_per_kilowatt_hour",
        "Mean intensity forecast for the best window.",
        "duration",
    ),
    gauge(
        "grid_best_window_savings_ratio",
        "ratio",
        "Estimated saving of the best window against starting now.",
        "duration",
    ),
    gauge(
        "grid_signal",
        "",
        "1 for the state the grid is in by rank among the past and coming day, 0 for the others.",
        "state",
    ),
)

BUDGETS = (
    gauge("budget_limit_grams", "grams", "Limit of the budget per period in grams of CO2e.", *BUDGET),
    gauge(
        "budget_consumed_grams",
        "grams",
        "Emissions in grams of CO2e booked against the budget in the current period.",
        *BUDGET,
    ),
    gauge(
        "budget_period_start_timestamp_seconds", "seconds", "Start of the budget's current period.", *BUDGET
    ),
    gauge("budget_period_end_timestamp_seconds", "seconds", "End of the budget's current period.", *BUDGET),
    info("budget_info", "What the budget counts.", *BUDGET, "timezone", "scope", "selects"),
)

AGENT = (
    info("build_info", "The running agent.", "version", "revision", "python_version"),
    gauge("sampler_interval_seconds", "seconds", "Time between two samples of the meters."),
    gauge("sampler_duration_seconds", "seconds", "How long the last sample took."),
    counter("sampler_ticks_total", "", "Samples taken."),
    counter("sampler_failures_total", "", "Samples that failed as a whole."),
    counter("sampler_overruns_total", "", "Samples that took longer than the interval."),
    gauge("sampler_last_success_timestamp_seconds", "seconds", "When the last sample succeeded."),
    gauge("series", "", "Workload series held now."),
    counter(
        "series_limited_total",
        "",
        'Workloads that were booked to kind="other" because of the series limit.',
    ),
    counter("self_energy_joules_total", "joules", "Energy allocated to the agent itself."),
    counter("checkpoint_errors_total", "", "Checkpoints that could not be written."),
    counter("journal_errors_total", "", "Writes to the journal that failed."),
    gauge("journal_last_success_timestamp_seconds", "seconds", "When the journal was last written."),
    gauge("name_source_up", "", "1 if the last call of a source of workload names worked.", "source"),
    counter("name_source_answers_total", "", "Workloads a source of names knew something of.", "source"),
    counter("name_source_errors_total", "", "Calls of a source of names that failed.", "source", "reason"),
    gauge(
        "config_last_reload_successful",
        "",
        "1 if the newest settings and web configuration are in force, 0 if one of them cannot be used.",
    ),
    gauge(
        "config_last_reload_success_timestamp_seconds",
        "seconds",
        "When the configuration in force was loaded.",
    ),
)

STANDARD = (
    process("process_cpu_seconds_total", "counter", "seconds", "CPU time the agent used."),
    process("process_resident_memory_bytes", "gauge", "bytes", "Resident memory of the agent."),
    process("process_virtual_memory_bytes", "gauge", "bytes", "Virtual memory of the agent."),
    process(
        "process_start_time_seconds", "gauge", "seconds", "When the agent started, since the Unix epoch."
    ),
    process("process_open_fds", "gauge", "", "File descriptors the agent has open."),
    process("process_max_fds", "gauge", "", "File descriptors the agent may have open."),
)

SECTIONS: tuple[tuple[str, tuple[Family, ...]], ...] = (
    ("Node", NODE),
    ("Workloads", WORKLOADS),
    ("GPUs", GPUS),
    ("Sensors", SENSORS),
    ("Carbon", CARBON),
    ("Outlook", OUTLOOK),
    ("Budgets", BUDGETS),
    ("Agent", AGENT),
    ("Standard process metrics", STANDARD),
)

FAMILIES: tuple[Family, ...] = tuple(family for _, families in SECTIONS for family in families)

BY_SAMPLE_NAME: Mapping[str, Family] = MappingProxyType({family.sample_name: family for family in FAMILIES})
