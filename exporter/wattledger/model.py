"""Records that cross module borders, with the unit in every name that has one.

Energies are integer microjoules and times integer nanoseconds everywhere inside;
base units (joules, seconds) appear only in the exposition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import msgspec

Component = Literal["cpu", "dram", "gpu", "other"]
COMPONENTS: tuple[Component, ...] = ("cpu", "dram", "gpu", "other")
Covers = Literal["cpu", "dram", "gpu", "node", ""]
Method = Literal["measured", "estimated"]
Mode = Literal["dynamic", "idle", ""]

J_UJ = 1_000_000
S_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One energy counter of one sensor.

    `sensor`, `name` and `device` together identify it and are its labels
    (`sensor`, `zone_name`, `device`); `device` must not change while the hardware stays.
    `covers` says what it counts towards: a component, the whole `node`, or "" when it lies
    inside or beside another zone and is only shown.
    `range_uj` is the modulus of the raw counter, 0 if it never wraps.
    `max_power_w` bounds what is physically plausible and tells a wrap from a reset.
    `survives_suspend` is False for counters that the platform may clear in S3/S4.
    `idle_power_w` is the idle power where the source knows it (the estimate), else None.
    `attributes` are extra facts for info series (a GPU's model, PCI address, index, driver).
    """

    sensor: str
    name: str
    device: str
    covers: Covers
    method: Method = "measured"
    range_uj: int = 0
    max_power_w: float = 1000.0
    uncertainty_ratio: float = 0.05
    survives_suspend: bool = True
    idle_power_w: float | None = None
    attributes: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.sensor, self.name, self.device)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a comparison with a better meter told of one device: true watts = gain * shown watts + offset."""

    gain: float = 1.0
    offset_w: float = 0.0

    def correct(self, energy_uj: int, span_ns: int) -> int:
        """The calibrated energy of an interval, never below zero."""
        return max(0, round(energy_uj * self.gain + self.offset_w * span_ns * (J_UJ / S_NS)))


@dataclass(frozen=True, slots=True)
class Reading:
    """One read of one zone: a raw value, or the reason why there is none.

    `raw_uj` is the counter as the hardware shows it, modulo `zone.range_uj`; None when the read failed,
    then `failure` is a bounded word (`eio`, `enodata`, ...).
    `lineage` names the counter itself: two values with the same lineage (and the same boot)
    may be subtracted, across agent restarts too; another lineage is another counter.
    """

    zone: Zone
    at_ns: int
    raw_uj: int | None
    lineage: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of `wattledger check`: what was found of a sensor or zone, and what to do about it.

    `status`: `usable`, `absent` (normal: this host has no such meter), `denied` (permission),
    `failed` (there, but broken) or `ignored` (there, but a duplicate or known to be wrong).
    `fix` is the exact command that makes it usable, or "".
    """

    sensor: str
    subject: str
    status: Literal["usable", "absent", "denied", "failed", "ignored"]
    why: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a sensor found on this host: the zones it can read now, and its findings."""

    zones: tuple[Zone, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workload:
    """What an operator names: a container, pod, unit, session, job, vm, or a plain cgroup.

    Pseudo-workloads have the kinds `kernel`, `idle`, `unattributed`, `exited` and `other` and an empty id.
    `(kind, id)` is the identity; a source makes one object per identity and keeps giving that one,
    so objects compare and hash by identity.
    `facts` are labels of `workload_info` beyond the identity labels (runtime, pod_uid, user, unit, ...).
    """

    kind: str
    id: str = ""
    name: str = ""
    pod_namespace: str = ""
    pod_name: str = ""
    container_name: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    key: tuple[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", (self.kind, self.id))


KERNEL = Workload(kind="kernel")
IDLE = Workload(kind="idle")
UNATTRIBUTED = Workload(kind="unattributed")
EXITED = Workload(kind="exited")
OTHER = Workload(kind="other")


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """CPU time of one process since the previous scan; `start` tells reused pids apart."""

    pid: int
    start: int
    comm: str
    workload: Workload
    cpu_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the workloads used since the previous scan.

    `cpu_ns` holds CPU time per workload, pseudo-workloads `kernel` and `exited` included,
    nested workloads already subtracted, only entries above zero: its sum is the busy time the
    scan could see, with `unattributed` for what a part of the hierarchy out of sight used.
    `born` and `ended` are the workloads that appeared and vanished since the
    previous scan (the first scan reports everything present as born, and no CPU time).
    `busy_ns` of `cpus` logical CPUs over the same interval gives the utilisation;
    it excludes idle, iowait and steal.
    `memory_bytes` and `reserved_cpus` are filled only when the idle policy asks for them.
    """

    at_ns: int
    cpus: int
    busy_ns: int
    cpu_ns: Mapping[Workload, int]
    born: tuple[Workload, ...] = ()
    ended: tuple[Workload, ...] = ()
    memory_bytes: Mapping[Workload, int] = field(default_factory=dict)
    reserved_cpus: Mapping[Workload, float] = field(default_factory=dict)
    processes: tuple[ProcessUse, ...] = ()


Basis = Literal["lifecycle", "direct"]
Flow = Literal["consumption", "production", ""]
SignalState = Literal["green", "amber", "red", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """Grid carbon intensity with its provenance; `updated_ns` is wall time, 0 when it never changes.

    `flow` says whether imports are counted (consumption) or only what the zone generates; "" where unknown.
    `licence` is that of the data; `max_age_ns` is the age at which it stops being used, 0 for never.
    """

    grams_per_kwh: float
    provider: str
    grid_zone: str = ""
    basis: Basis = "lifecycle"
    kind: Literal["average", "marginal"] = "average"
    estimated: bool = False
    fallback: bool = False
    updated_ns: int = 0
    flow: Flow = ""
    licence: str = ""
    max_age_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one joule costs over an interval: grid intensity times PUE, and what goes beside it.

    `market` is the market-based intensity (contracts, residual mix), `wue_l_per_kwh` the water of the site
    per kWh of IT energy; both None where not configured.
    """

    intensity: Intensity
    pue: float = 1.0
    market: Intensity | None = None
    wue_l_per_kwh: float | None = None

    @property
    def grams_per_uj(self) -> float:
        return self.pue * self.intensity.grams_per_kwh / 3.6e12

    @property
    def market_grams_per_uj(self) -> float:
        """Zero where no market-based intensity is configured."""
        return self.pue * self.market.grams_per_kwh / 3.6e12 if self.market else 0.0

    @property
    def liters_per_uj(self) -> float:
        """Zero where no WUE is configured; water goes by IT energy, so PUE has no part in it."""
        return (self.wue_l_per_kwh or 0.0) / 3.6e12


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The best time to run something that takes `duration_ns` within the outlook.

    `grams_per_kwh` is the mean over the window and `now_grams_per_kwh` that of starting at once.
    """

    duration_ns: int
    start_ns: int
    grams_per_kwh: float
    now_grams_per_kwh: float

    @property
    def savings_ratio(self) -> float:
        """What waiting saves, 0 to 1; 0 where starting now costs nothing."""
        if self.now_grams_per_kwh <= 0:
            return 0.0
        return max(0.0, 1.0 - self.grams_per_kwh / self.now_grams_per_kwh)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What the grid will do, for whoever can wait: never used for booking.

    `source` is the intensity that steers (its value is that of now); `means` holds the mean g/kWh over the
    next hours, by number of hours, only for horizons that the forecast covers.
    `state` ranks now among the past and coming day.
    Where `unit` is `percentile` the source is a signal and no intensity: its value and those of windows are
    percentiles (0 best), there are no means, and a window tells its start only, no grams and no saving.
    """

    source: Intensity
    generated_ns: int
    means: Mapping[int, float] = field(default_factory=dict)
    windows: tuple[Window, ...] = ()
    state: SignalState = "unknown"
    unit: Literal["g/kWh", "percentile"] = "g/kWh"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRow:
    """One emission budget at a snapshot; times are wall time, `selects` its selector as text, "" for all."""

    name: str
    period: str
    limit_g: float
    consumed_g: float
    start_ns: int
    end_ns: int
    timezone: str
    scope: str
    selects: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedHealth:
    """One live source of intensity: `role` is what it is for (`intensity`, `market`, `signal`).

    `last_success_ns` is wall time, 0 before the first; `errors` are failed requests by reason;
    `error` is the message of the last failure, "" when the last request worked.
    """

    role: str
    provider: str
    up: bool
    last_success_ns: int
    errors: Mapping[str, int]
    error: str = ""


class Share(msgspec.Struct, frozen=True, gc=False):
    """Part of a component's energy, booked to one series of one workload.

    Shares, rows and cells are made by the thousand in every tick: a Struct is made five times as fast as a
    named tuple, and the garbage collector need not look at it.
    """

    workload: Workload
    component: Component
    mode: Mode
    energy_uj: int
