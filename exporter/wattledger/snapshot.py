"""What one exposition shows: the snapshot and the rows it consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from .model import BudgetRow, Component, FeedHealth, Mode, Outlook, Price, Workload, Zone


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """Totals of one component at a snapshot. `power_w` is the mean over the last interval.

    `market_g` and `water_l` are None where not configured.
    """

    component: Component
    energy_uj: int
    emissions_g: float
    expired_uj: int
    expired_g: float
    power_w: float | None
    idle_power_w: float | None
    idle_source: str
    estimated: bool
    market_g: float | None = None
    water_l: float | None = None


class WorkloadRow(msgspec.Struct, frozen=True, gc=False):
    """A workload at a snapshot. `uid` changes whenever a label does and is never reused in this process.

    `workload` has the identity labels of the energy series; `info` is what is known of it now, under
    which a person should see it; None means that both are the same.
    """

    uid: int
    workload: Workload
    cpu_ns: int
    power_w: float
    cells: tuple[Cell, ...]
    info: Workload | None = None
    embodied_g: float = 0.0

    @property
    def known(self) -> Workload:
        """What is known of the workload now."""
        return self.info or self.workload


class Cell(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One energy series and its emissions twin."""

    component: Component
    mode: Mode
    energy_uj: int
    emissions_g: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRow:
    """One process series (opt-in)."""

    pid: int
    comm: str
    kind: str
    id: str
    energy_uj: int
    emissions_g: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorRow:
    """One zone at a snapshot. `energy_uj` is unwrapped; counts are by reason."""

    zone: Zone
    up: bool
    energy_uj: int
    power_w: float | None
    read_errors: Mapping[str, int]
    wraps: int
    dropped: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MigRow:
    """One MIG instance of a GPU board; `profile` is its size in NVIDIA's terms, such as `1g.10gb`."""

    uuid: str
    profile: str
    gpu_instance: int
    compute_instance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRow:
    """One GPU board at a snapshot, beyond what its zone shows.

    `check_ratio` is its energy counter over its integrated power, None where only one of them is told.
    `quality` is a word for a weak split of its energy among processes (`mps`, `mig-share`, ...), else "".
    """

    device: str
    idle_power_w: float | None
    check_ratio: float | None = None
    quality: str = ""
    instances: tuple[MigRow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceHealth:
    """One source of names: whether its last call worked, how often it knew something, failures by reason.

    `error` is the message of the last failure, "" while there was none.
    """

    up: bool
    answers: int
    errors: Mapping[str, int]
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The agent about itself."""

    interval_ns: int
    duration_ns: int
    ticks: int
    overruns: int
    failures: int
    last_success_wall_ns: int
    series: int
    series_limited: int
    self_energy_uj: int
    checkpoint_errors: int = 0
    config_reload_ok: bool = True
    config_reload_wall_ns: int = 0
    name_sources: Mapping[str, SourceHealth] = field(default_factory=dict)
    feeds: tuple[FeedHealth, ...] = ()
    journal_errors: int = 0
    journal_written_wall_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything one exposition shows; immutable, published by one reference assignment.

    `embodied_g` is None where no embodied emissions are configured; `expired_embodied_g` is the part of it on
    accounts that are not shown.
    """

    sequence: int
    boottime_ns: int
    wall_ns: int
    nodes: tuple[NodeRow, ...]
    workloads: tuple[WorkloadRow, ...]
    processes: tuple[ProcessRow, ...]
    sensors: tuple[SensorRow, ...]
    price: Price
    health: Health
    node_info: Mapping[str, str]
    boards: tuple[BoardRow, ...] = ()
    embodied_g: float | None = None
    expired_embodied_g: float = 0.0
    budgets: tuple[BudgetRow, ...] = ()
    outlook: Outlook | None = None
