"""The agent's settings as one frozen tree.

Durations are nanoseconds and powers watts here; how a person writes them (`5s`, `400d`)
and the precedence flags > environment > file > defaults belong to `cli`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .hostfs import HostFS
from .model import S_NS, Basis, Calibration

IdlePolicy = Literal["unallocated", "usage", "memory", "requests"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingSettings:
    """`interval_ns` between ticks: 1 s to 30 s, because a 65 kJ counter wraps in minutes."""

    interval_ns: int = 5 * S_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """`path` is the state directory, None to keep everything in memory."""

    path: str | None = None
    retention_ns: int = 400 * 86400 * S_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    """Process series: off by default, `top` at most."""

    enabled: bool = False
    top: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributionSettings:
    """How energy is split. `idle_watts` fixes the idle floor of a component instead of observing it."""

    idle: IdlePolicy = "unallocated"
    idle_watts: Mapping[str, float] = field(default_factory=dict)
    series_limit: int = 5000
    grace_ns: int = 300 * S_NS
    processes: ProcessSettings = field(default_factory=ProcessSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateSettings:
    """The estimate's curve: by micro-architecture, or by watts per logical CPU."""

    microarchitecture: str | None = None
    idle_watts: float | None = None
    max_watts: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorSettings:
    """`enabled` holds only what the user switched on or off by name; the rest follows the default.

    `calibrations` correct single devices, by the `device` label of their zones.
    """

    enabled: Mapping[str, bool] = field(default_factory=dict)
    estimate: EstimateSettings = field(default_factory=EstimateSettings)
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)


ProviderName = Literal[
    "static",
    "table",
    "mix",
    "schedule",
    "file",
    "electricity-maps",
    "watttime",
    "uk-carbon-intensity",
    "energy-charts",
    "eco2mix",
    "energi-data-service",
    "carbon-aware-sdk",
]
Role = Literal["intensity", "fallback", "market", "signal"]
Period = Literal["day", "week", "month", "quarter", "year"]


@dataclass(frozen=True, slots=True)
class WeeklyRule:
    """A value on some weekdays (0 is Monday) from one minute of the day to another, the end excluded."""

    days: frozenset[int]
    start_minute: int
    end_minute: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IntensitySettings:
    """One source of grid carbon intensity. None as provider: nothing was configured.

    `grid_zone` is the label, and for tables and providers the zone that is asked for.
    `mix` holds shares of generation by fuel, in any one unit. `schedule` is in the zone time of
    `CarbonSettings.timezone`; outside its rules `grams_per_kwh` holds. The key of a live provider is read
    from `key_file`, or else from the environment variable `key_variable`, at every request.
    `basis` and `flow` None: what the source gives by itself.
    """

    provider: ProviderName | None = None
    grams_per_kwh: float | None = None
    grid_zone: str = ""
    basis: Basis | None = None
    flow: Literal["consumption", "production"] | None = None
    mix: Mapping[str, float] = field(default_factory=dict)
    schedule: tuple[WeeklyRule, ...] = ()
    file: str | None = None
    url: str | None = None
    api_version: Literal["v3", "v4"] = "v4"
    username: str | None = None
    key_file: str | None = None
    key_variable: str = ""
    ca_file: str | None = None
    refresh_ns: int = 900 * S_NS
    max_age_ns: int = 6 * 3600 * S_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbodiedSettings:
    """What making the machine emitted: a total, or `components` for the simple model; neither: off.

    Written off evenly over `lifespan_ns`; where `in_service_ns` (wall time) is known, nothing after its end.
    """

    total_g: float | None = None
    components: Mapping[str, float] | None = None
    lifespan_ns: int = 4 * 365 * 86400 * S_NS
    in_service_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonSettings:
    """What turns joules into grams."""

    pue: float = 1.0
    pue_schedule: tuple[WeeklyRule, ...] = ()
    wue_l_per_kwh: float | None = None
    timezone: str = "UTC"
    intensity: IntensitySettings = field(default_factory=IntensitySettings)
    fallback: IntensitySettings = field(default_factory=IntensitySettings)
    market: IntensitySettings = field(default_factory=IntensitySettings)
    signal: IntensitySettings = field(default_factory=IntensitySettings)
    embodied: EmbodiedSettings = field(default_factory=EmbodiedSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSettings:
    """A limit on emissions per calendar period.

    `select` maps identity labels (`kind`, `id`, `name`, `pod_namespace`, `pod_name`, `container_name`) and
    facts (`user`, `account`, ...) to shell patterns, of which one has to match; empty: the whole node.
    `scope` says whether embodied emissions count as well.
    """

    name: str
    limit_g: float
    period: Period
    timezone: str = "UTC"
    select: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scope: Literal["operational", "total"] = "operational"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """Where and under which path the metrics are served; addresses as `host:port`, `:port` or `[v6]:port`.

    `config_file` asks for TLS, passwords, headers and a rate limit, in the format of Prometheus exporters.
    """

    listen_addresses: tuple[str, ...] = (":19190",)
    telemetry_path: str = "/metrics"
    config_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """Level and shape of the log lines on stderr."""

    level: Literal["debug", "info", "warn", "error"] = "info"
    format: Literal["logfmt", "json"] = "logfmt"


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletSettings:
    """The kubelet's pods endpoint; None as url leaves it out.

    `labels` are the pod labels that become labels of `workload_info`.
    """

    url: str | None = None
    token_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path
    ca_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    server_name: str | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NameSettings:
    """How workloads get their names.

    `hold_ns` is how long a new workload's series wait for theirs; every `refresh_ns` all sources are
    asked again, for renames. The Slurm folders are those a prolog
    writes: facts of a job by its id, and jobs by GPU as dcgm-exporter reads them.
    """

    enabled: bool = True
    hold_ns: int = 10 * S_NS
    refresh_ns: int = 120 * S_NS
    slurm_job_folder: str | None = None
    slurm_gpu_folder: str | None = None
    kubelet: KubeletSettings = field(default_factory=KubeletSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a user can set."""

    config_file: str | None = None
    paths: HostFS = field(default_factory=HostFS)
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    attribution: AttributionSettings = field(default_factory=AttributionSettings)
    sensors: SensorSettings = field(default_factory=SensorSettings)
    names: NameSettings = field(default_factory=NameSettings)
    carbon: CarbonSettings = field(default_factory=CarbonSettings)
    budgets: tuple[BudgetSettings, ...] = ()
    web: WebSettings = field(default_factory=WebSettings)
    log: LogSettings = field(default_factory=LogSettings)
