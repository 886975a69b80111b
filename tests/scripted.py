"""A host whose meters and workloads do what a test's script says, on a manual clock."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from wattledger.carbon.intensity import Static
from wattledger.carbon.pricing import Pricing
from wattledger.clock import ManualClock
from wattledger.idle import IdleFloor
from wattledger.ledger.accounts import Accounts
from wattledger.ledger.book import Ledger
from wattledger.ledger.processes import Processes
from wattledger.model import Finding, Intensity, Probe, ProcessUse, Reading, Usage, Workload, Zone
from wattledger.sampler import Policy, Sampler
from wattledger.settings import BudgetSettings, EmbodiedSettings
from wattledger.snapshot import Snapshot

J = 1_000_000
S = 1_000_000_000
INTEL_RANGE_UJ = 262_143_328_850
AMD_RANGE_UJ = 65_532_610_987


@dataclass
class ScriptedSensor:
    """Counters that advance by `spend` and fail, vanish or reset on demand."""

    clock: ManualClock
    zones: list[Zone]
    name: str = "scripted"
    true_uj: dict[tuple[str, str, str], int] = field(default_factory=dict)
    raw_uj: dict[tuple[str, str, str], int] = field(default_factory=dict)
    lineage: dict[tuple[str, str, str], str] = field(default_factory=dict)
    failing: dict[tuple[str, str, str], str] = field(default_factory=dict)
    broken: Exception | None = None

    def spend(self, zone: Zone, energy_uj: int) -> None:
        """The zone draws energy; its raw counter wraps by itself."""
        self.true_uj[zone.key] = self.true_uj.get(zone.key, 0) + energy_uj
        raw_uj = self.raw_uj.get(zone.key, 0) + energy_uj
        self.raw_uj[zone.key] = raw_uj % zone.range_uj if zone.range_uj else raw_uj

    def reset(self, zone: Zone) -> None:
        self.raw_uj[zone.key] = 0

    def probe(self) -> Probe:
        findings = tuple(
            Finding(sensor=self.name, subject=zone.name, status="usable", why="scripted")
            for zone in self.zones
        )
        return Probe(zones=tuple(self.zones), findings=findings)

    def read(self) -> list[Reading]:
        if self.broken is not None:
            raise self.broken
        now_ns = self.clock.boottime_ns()
        readings = []
        for zone in self.zones:
            failure = self.failing.get(zone.key, "")
            raw_uj = None if failure else self.raw_uj.get(zone.key, 0)
            readings.append(Reading(zone, now_ns, raw_uj, self.lineage.get(zone.key, "boot/1"), failure))
        return readings


@dataclass
class ScriptedWorkloads:
    """Workloads that use what `use` says until the next scan."""

    clock: ManualClock
    cpus: int = 4
    pending: dict[Workload, int] = field(default_factory=dict)
    alive: dict[Workload, bool] = field(default_factory=dict)
    born: list[Workload] = field(default_factory=list)
    ended: list[Workload] = field(default_factory=list)
    processes: list[ProcessUse] = field(default_factory=list)
    memory_bytes: dict[Workload, int] = field(default_factory=dict)
    reserved_cpus: dict[Workload, float] = field(default_factory=dict)
    broken: Exception | None = None
    owner: dict[int, Workload] = field(default_factory=dict)

    def bear(self, workload: Workload) -> Workload:
        self.alive[workload] = True
        self.born.append(workload)
        return workload

    def end(self, workload: Workload) -> None:
        del self.alive[workload]
        self.ended.append(workload)

    def use(self, cpu_ns: Mapping[Workload, int]) -> None:
        for workload, used_ns in cpu_ns.items():
            self.pending[workload] = self.pending.get(workload, 0) + used_ns

    def owners(self, pids: Collection[int]) -> dict[int, Workload]:
        return {pid: self.owner[pid] for pid in pids if pid in self.owner}

    def scan(self) -> Usage:
        if self.broken is not None:
            raise self.broken
        usage = Usage(
            at_ns=self.clock.boottime_ns(),
            cpus=self.cpus,
            busy_ns=sum(self.pending.values()),
            cpu_ns={workload: ns for workload, ns in self.pending.items() if ns > 0},
            born=tuple(self.born),
            ended=tuple(self.ended),
            memory_bytes=dict(self.memory_bytes),
            reserved_cpus=dict(self.reserved_cpus),
            processes=tuple(self.processes),
        )
        self.pending, self.born, self.ended, self.processes = {}, [], [], []
        return usage


def static_price(grams_per_kwh: float) -> Pricing:
    """One intensity for all times, and a PUE of 1."""
    return Pricing(intensity=Static(Intensity(grams_per_kwh=grams_per_kwh, provider="static")))


def package(number: int = 0, *, range_uj: int = INTEL_RANGE_UJ, max_power_w: float = 1000.0) -> Zone:
    """A RAPL package as powercap gives it."""
    return Zone(
        sensor="scripted",
        name=f"package-{number}",
        device=f"package-{number}",
        covers="cpu",
        range_uj=range_uj,
        max_power_w=max_power_w,
        survives_suspend=False,
    )


def dram(number: int = 0) -> Zone:
    """A RAPL dram zone."""
    return Zone(
        sensor="scripted",
        name="dram",
        device=f"package-{number}",
        covers="dram",
        range_uj=INTEL_RANGE_UJ,
        max_power_w=300.0,
        survives_suspend=False,
    )


def container(number: int) -> Workload:
    return Workload(kind="container", id=f"{number:064x}")


class ScriptedNode:
    """A sampler over scripted parts. With a `folder`, `restart()` is a new process of the same boot."""

    def __init__(
        self,
        zones: list[Zone],
        *,
        folder: str | None = None,
        boot_id: str = "boot",
        series_limit: int = 5000,
        grace_ns: int = 300 * S,
        idle: str = "unallocated",
        idle_watts: dict[str, float] | None = None,
        top: int = 0,
        grams_per_kwh: float = 360.0,
        pricing: Pricing | None = None,
        embodied: EmbodiedSettings | None = None,
        budgets: Sequence[BudgetSettings] = (),
        retention_ns: int | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.sensor = ScriptedSensor(self.clock, zones)
        self.workloads = ScriptedWorkloads(self.clock)
        self.folder = folder
        self.boot_id = boot_id
        self.series_limit = series_limit
        self.grace_ns = grace_ns
        self.idle = idle
        self.idle_watts = {"cpu": 0.0, "dram": 0.0} if idle_watts is None else idle_watts
        self.top = top
        self.pricing = pricing or static_price(grams_per_kwh)
        self.embodied = embodied
        self.budgets = budgets
        self.retention_ns = retention_ns
        self.self_cpu_ns = 0
        self.start()

    def start(self) -> None:
        self.ledger = Ledger(
            accounts=Accounts(series_limit=self.series_limit, grace_ns=self.grace_ns),
            processes=Processes(top=self.top, grace_ns=self.grace_ns),
            idle=IdleFloor(self.idle_watts),
            clock=self.clock,
            boot_id=self.boot_id,
            folder=self.folder,
            embodied=self.embodied,
            budgets=self.budgets,
            retention_ns=self.retention_ns,
        )
        self.ledger.open()
        self.sampler = Sampler(
            sensors=[self.sensor],
            workloads=self.workloads,
            ledger=self.ledger,
            policy=Policy(
                idle=self.idle,
                pricing=self.pricing,
            ),
            clock=self.clock,
            self_clock=lambda: self.self_cpu_ns,
        )

    def restart(self) -> None:
        """The process dies without a word and another one starts; the hardware and the workloads go on."""
        self.ledger._checkpoint and self.ledger._checkpoint.close()
        if self.ledger._history is not None:
            self.ledger._history.close()  # a thread of this process, which a real death would end
        self.workloads.born = list(self.workloads.alive)
        self.workloads.ended = []
        self.workloads.pending = {}
        self.start()

    def reboot(self, seconds: float = 60.0) -> None:
        """The machine is off for some time: boot time and all counters begin anew, wall time goes on."""
        wall_ns = self.clock.wall_ns() + round(seconds * S)
        self.clock.now_ns = 10 * S
        self.clock.epoch_ns = wall_ns - self.clock.now_ns
        self.boot_id += "+"
        for zone in self.sensor.zones:
            self.sensor.reset(zone)
        self.restart()

    def step(self, seconds: float = 5.0) -> Snapshot:
        """Let time pass and tick."""
        self.clock.advance(seconds)
        return self.sampler.tick()


def node_uj(snapshot: Snapshot, component: str | None = None) -> int:
    return sum(row.energy_uj for row in snapshot.nodes if component in (None, row.component))


def workload_uj(snapshot: Snapshot, **wanted: str) -> int:
    """Sum of the workload cells that match kind, id, component and mode."""
    total = 0
    for row in snapshot.workloads:
        for cell in row.cells:
            have = {
                "kind": row.workload.kind,
                "id": row.workload.id,
                "component": cell.component,
                "mode": cell.mode,
            }
            if all(have[key] == value for key, value in wanted.items()):
                total += cell.energy_uj
    return total


def expired_uj(snapshot: Snapshot) -> int:
    return sum(row.expired_uj for row in snapshot.nodes)
