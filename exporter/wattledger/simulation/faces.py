"""The simulated host as the agent sees it: a sensor and a source of workload usage."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import sha256
from random import Random

from ..gpu.records import BoardUse, MigInstance, ProcessShare
from ..model import EXITED, J_UJ, S_NS, Finding, Probe, Reading, Usage, Workload, Zone
from .host import SimulatedHost
from .load import Task

NAME = "simulated"
PACKAGE_RANGE_UJ = 262_143_328_850  # Intel server, energy unit 61 uJ
DRAM_RANGE_UJ = 65_712_999_613  # Intel server memory, 15.3 uJ
EARLY_WRAP_J = 30_000
GPU_MODEL = "NVIDIA H100 80GB HBM3"
GPU_MEMORY_BYTES = 40 << 30
IDLE_W_PER_CPU, FULL_W_PER_CPU = 1.2, 4.0


class SimulatedSensor:
    """The meters of a simulated host, behind the interface of every sensor.

    Counters begin in the middle of their range, the first package shortly before its wrap.
    """

    name = NAME

    def __init__(self, host: SimulatedHost) -> None:
        self._host = host
        rng = Random(f"{host.profile.name} counters")  # noqa: S311 - a play, not a secret
        self._lineage = f"simulated-{host.profile.name}-{host.start_ns}"
        self._zones: list[tuple[Zone, int]] = []
        for zone in _zones(host):
            offset_uj = rng.randrange(zone.range_uj or 10**12)
            if zone.name == "package-0":
                offset_uj = zone.range_uj - rng.randrange(EARLY_WRAP_J * J_UJ)
            self._zones.append((zone, offset_uj))

    def probe(self) -> Probe:
        """Every zone, lost ones included: they were there when the host began, and may come back."""
        findings = [
            Finding(sensor=NAME, subject=f"{zone.device} {zone.name}", status="usable", why="simulated")
            for zone, _ in self._zones
        ]
        return Probe(zones=tuple(zone for zone, _ in self._zones), findings=tuple(findings))

    def read(self) -> Sequence[Reading]:
        """Read every zone at the same instant."""
        host = self._host
        host.advance()
        at_ns = host.clock.boottime_ns()
        lost = host.profile.lost if at_ns - host.start_ns >= host.profile.lost_after_s * S_NS else ()
        readings = []
        for zone, offset_uj in self._zones:
            if zone.name in lost:
                readings.append(Reading(zone, at_ns, None, self._lineage, "eio"))
                continue
            raw_uj = offset_uj + self._energy_uj(zone)
            readings.append(
                Reading(zone, at_ns, raw_uj % zone.range_uj if zone.range_uj else raw_uj, self._lineage)
            )
        return readings

    def use(self) -> Sequence[BoardUse]:
        """Who uses each board now, as a driver's process list and utilisation would tell."""
        uses = []
        for zone, _ in self._zones:
            if zone.covers != "gpu":
                continue
            board = int(dict(zone.attributes)["index"])
            holders = [task for task in self._host.tasks if board in task.role.gpu]
            busy = [task for task in holders if task.load > 0.0]
            uses.append(
                BoardUse(
                    device=zone.device,
                    shares=tuple(ProcessShare(_pid(t.workload), round(t.gpu_busy * 1000)) for t in busy),
                    holders=tuple((_pid(t.workload), GPU_MEMORY_BYTES) for t in holders),
                    quality=_quality(len(busy), cut=board == self._host.profile.gpus - 1),
                    check_ratio=0.99 + int(zone.device[-4:], 16) / 0x10000 * 0.02,
                    instances=_instances(zone.device) if board == self._host.profile.gpus - 1 else (),
                )
            )
        return uses

    def _energy_uj(self, zone: Zone) -> int:
        host = self._host
        if zone.covers == "gpu":
            return host.gpu_uj(int(dict(zone.attributes)["index"])) // 1000 * 1000
        if zone.name == "bmc":
            return host.wall_uj_at_step() // J_UJ * J_UJ
        if zone.name == "psys":
            return host.wall_uj()
        if zone.name == "vcpus":
            return _estimated_uj(host)
        socket = int(zone.device.removeprefix("package-"))
        return host.dram_uj(socket) if zone.name == "dram" else host.package_uj(socket)


class SimulatedWorkloads:
    """Usage of a simulated host since this object's previous scan.

    What ended since then, and what lived and died in between, was never seen whole: it is `exited`.
    With `holdings`, memory and reservations are filled in for the idle policies that ask for them.
    """

    def __init__(self, host: SimulatedHost, *, holdings: bool = False) -> None:
        self._host = host
        self._holdings = holdings
        self._seen: dict[Task, int] | None = None
        self._gone_ns = 0

    def owners(self, pids: Collection[int]) -> dict[int, Workload]:
        """The workloads behind the processes that `SimulatedSensor.use` names."""
        by_pid = {_pid(task.workload): task.workload for task in self._host.tasks if task.role.gpu}
        return {pid: by_pid[pid] for pid in pids if pid in by_pid}

    def scan(self) -> Usage:
        """Take one scan; the first one only reports who is there."""
        host = self._host
        host.advance()
        seen = {task: host.cpu_ns(task) for task in host.tasks}
        before = self._seen
        used: dict[Workload, int] = {}
        if before is not None:
            for task, cpu_ns in seen.items():
                used[task.workload] = used.get(task.workload, 0) + cpu_ns - before.get(task, 0)
            tails_ns = (
                host.gone_cpu_ns - self._gone_ns - sum(before[task] for task in before.keys() - seen.keys())
            )
            used[EXITED] = used.get(EXITED, 0) + tails_ns
        earlier = before or {}
        usage = Usage(
            at_ns=host.clock.boottime_ns(),
            cpus=host.profile.cpus,
            busy_ns=sum(used.values()),
            cpu_ns={workload: cpu_ns for workload, cpu_ns in used.items() if cpu_ns > 0},
            born=tuple(dict.fromkeys(task.workload for task in seen if task not in earlier)),
            ended=tuple(dict.fromkeys(task.workload for task in earlier if task not in seen)),
            memory_bytes=_memory(seen) if self._holdings else {},
            reserved_cpus=_reserved(seen) if self._holdings else {},
        )
        self._seen = seen
        self._gone_ns = host.gone_cpu_ns
        return usage


def _zones(host: SimulatedHost) -> list[Zone]:
    profile = host.profile
    zones = []
    for socket in range(profile.sockets):
        device = f"package-{socket}"
        if profile.rapl:
            zones.append(
                Zone(
                    sensor=NAME,
                    name=device,
                    device=device,
                    covers="cpu",
                    range_uj=PACKAGE_RANGE_UJ,
                    max_power_w=2.0 * profile.tdp_w,
                )
            )
        if profile.dram:
            zones.append(
                Zone(
                    sensor=NAME,
                    name="dram",
                    device=device,
                    covers="dram",
                    range_uj=DRAM_RANGE_UJ,
                    max_power_w=150.0,
                )
            )
    if not profile.rapl:
        zones.append(_estimate(profile.cpus))
    zones += [_board(profile.name, index) for index in range(profile.gpus)]
    if profile.whole_node:
        zones.append(
            Zone(sensor=NAME, name=profile.whole_node, device="node", covers="node", max_power_w=12_000.0)
        )
    return zones


def _estimate(cpus: int) -> Zone:
    return Zone(
        sensor=NAME,
        name="vcpus",
        device="estimate",
        covers="cpu",
        method="estimated",
        uncertainty_ratio=0.3,
        max_power_w=2.0 * cpus * FULL_W_PER_CPU,
        idle_power_w=cpus * IDLE_W_PER_CPU,
    )


def _board(host: str, index: int) -> Zone:
    digits = sha256(f"{host} gpu {index}".encode()).hexdigest()[:32]
    uuid = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return Zone(
        sensor=NAME,
        name="board",
        device=f"GPU-{uuid}",
        covers="gpu",
        max_power_w=1400.0,
        attributes=(
            ("model", GPU_MODEL),
            ("pci", f"00000000:{0x1B + 0x10 * index:02X}:00.0"),
            ("index", str(index)),
            ("driver", "570.86.15"),
        ),
    )


def _estimated_uj(host: SimulatedHost) -> int:
    """What a linear curve between idle and full watts makes of the CPU time used so far."""
    passed_ns = host.passed_ns
    used_ns = host.gone_cpu_ns + sum(host.cpu_ns(task) for task in host.tasks)
    idle_uj = round(IDLE_W_PER_CPU * host.profile.cpus * passed_ns * J_UJ / S_NS)
    return idle_uj + round((FULL_W_PER_CPU - IDLE_W_PER_CPU) * used_ns * J_UJ / S_NS)


def _memory(tasks: dict[Task, int]) -> dict[Workload, int]:
    held: dict[Workload, int] = {}
    for task in tasks:
        held[task.workload] = held.get(task.workload, 0) + task.role.memory_bytes
    return held


def _reserved(tasks: dict[Task, int]) -> dict[Workload, float]:
    return {task.workload: task.role.reserved_cpus for task in tasks if task.role.reserved_cpus > 0}


def _instances(device: str) -> tuple[MigInstance, ...]:
    """How the last board is cut: two instances that notebooks use and one that stands idle."""
    sizes = (("3g.40gb", 60), ("1g.10gb", 16), ("2g.20gb", 32))
    return tuple(
        MigInstance(
            uuid=f"MIG-{device.removeprefix('GPU-')}-{number}",
            profile=profile,
            gpu_instance=number + 1,
            compute_instance=0,
            multiprocessors=multiprocessors,
            memory_bytes=(multiprocessors // 16) * (10 << 30),
        )
        for number, (profile, multiprocessors) in enumerate(sizes)
    )


def _quality(users: int, *, cut: bool) -> str:
    """How weak the split is: instances with several processes, a board that several share through MPS."""
    return "mig-equal" if cut else "mps" if users > 1 else ""


def _pid(workload: Workload) -> int:
    """A pid for the one GPU process of a simulated workload, from its identity alone."""
    return 10_000 + int(sha256(workload.id.encode()).hexdigest()[:6], 16)
