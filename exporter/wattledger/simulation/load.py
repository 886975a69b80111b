"""Who runs on the simulated host, and how much: tasks that follow the hour, come and go."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from math import cos, exp, pi, sqrt
from random import Random
from uuid import UUID

from ..model import EXITED, KERNEL, Workload
from .physics import Work

HOUR_S, DAY_S = 3600.0, 86400.0
MEMORY = 0.9  # of the noise, from one second to the next
PSEUDO = {"kernel": KERNEL, "exited": EXITED}
SUFFIX = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True, slots=True)
class Turns:
    """Away for about `gap_s`, there for about `length_s`, again and again; exponential, at least a tenth."""

    gap_s: float
    length_s: float


@dataclass(frozen=True, slots=True)
class Hours:
    """There from `first` to `last` (UTC hours) on working days."""

    first: float
    last: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One part in the play: what it is called, what code it runs, when and how much.

    `kind` is that of the workload; a container stands in a pod named after the role.
    `low` and `high` are CPUs at the calmest and the busiest hour, spread over `threads`; `jitter` is the
    standard deviation of the logarithm of the load. With several kinds of `work`, each lasts `phase_s`.
    `gpu` are board numbers, `gpu_busy` how busy it keeps them.
    """

    kind: str
    name: str
    work: tuple[Work, ...]
    threads: int
    low: float
    high: float
    peak_hour: float = 14.0
    weekend: float = 0.6
    jitter: float = 0.25
    phase_s: float = 300.0
    life: Turns | Hours | None = None
    pod_namespace: str = ""
    container_name: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    memory_bytes: int = 1 << 30
    reserved_cpus: float = 0.0
    gpu: tuple[int, ...] = ()
    gpu_busy: float = 0.0


@dataclass(slots=True, eq=False)
class Task:
    """A role being played by one workload, and everything accumulated for it at the last step's start.

    `energy_uj` and `power_uw` are the true dynamic energy and power in the order of `COMPONENTS`.
    """

    workload: Workload
    role: Role
    sockets: int
    home: int
    born_s: float
    ends_s: float
    noise: float = 0.0
    load: float = 0.0
    gpu_busy: float = 0.0
    work: Work = field(init=False)
    heat: list[float] = field(init=False)
    cpu_ns: int = 0
    cpu_rate_ns: int = 0
    energy_uj: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    power_uw: list[int] = field(default_factory=lambda: [0, 0, 0, 0])

    def __post_init__(self) -> None:
        self.work = self.role.work[0]
        self.heat = [0.0] * self.sockets


class Population:
    """The tasks of one host; `tasks` are alive, `ended` have left but still warm the heat sink."""

    def __init__(self, roles: tuple[Role, ...], sockets: int, rng: Random) -> None:
        self.tasks: list[Task] = []
        self.ended: list[Task] = []
        self._sockets = sockets
        self._rng = rng
        self._born = 0
        self._units: dict[str, Workload] = {}
        self._absent: list[tuple[Role, float]] = [(role, self._first_entry(role)) for role in roles]

    def step(self, at_s: float, day: int, hour: float) -> list[Task]:
        """Bring the population to `at_s` seconds of the play; returns the tasks that ended just now.

        `day` counts from a Monday, `hour` is the UTC hour with its fraction.
        """
        working = day % 7 < 5
        left = [task for task in self.tasks if at_s >= task.ends_s or not _on_duty(task.role, working, hour)]
        for task in left:
            self.tasks.remove(task)
            task.load = task.gpu_busy = 0.0
            task.cpu_rate_ns = 0
            self.ended.append(task)
            self._absent.append((task.role, at_s + self._gap(task.role)))
        waiting = []
        for role, enter_s in self._absent:
            if at_s >= enter_s and _on_duty(role, working, hour):
                self.tasks.append(self._enter(role, at_s))
            else:
                waiting.append((role, enter_s))
        self._absent = waiting
        for task in self.tasks:
            self._drive(task, at_s, working, hour)
        return left

    def _drive(self, task: Task, at_s: float, working: bool, hour: float) -> None:
        role = task.role
        cpus = wanted_cpus(role, working, hour)
        task.noise = MEMORY * task.noise + sqrt(1.0 - MEMORY * MEMORY) * self._rng.gauss(0.0, role.jitter)
        task.load = min(1.0, cpus * exp(task.noise) / role.threads)
        if len(role.work) > 1:
            task.work = role.work[int((at_s - task.born_s) / role.phase_s) % len(role.work)]
        if role.gpu:
            task.gpu_busy = min(1.0, role.gpu_busy * exp(0.3 * task.noise))

    def _first_entry(self, role: Role) -> float:
        """What is there for longer than it is away is there at the start."""
        return (
            self._gap(role) if isinstance(role.life, Turns) and role.life.gap_s > role.life.length_s else 0.0
        )

    def _gap(self, role: Role) -> float:
        return self._about(role.life.gap_s) if isinstance(role.life, Turns) else 0.0

    def _about(self, mean_s: float) -> float:
        return mean_s * (0.1 + 0.9 * self._rng.expovariate(1.0))

    def _enter(self, role: Role, at_s: float) -> Task:
        self._born += 1
        ends_s = at_s + self._about(role.life.length_s) if isinstance(role.life, Turns) else float("inf")
        return Task(self._workload(role), role, self._sockets, self._born % self._sockets, at_s, ends_s)

    def _workload(self, role: Role) -> Workload:
        if role.kind in PSEUDO:
            return PSEUDO[role.kind]
        if role.kind == "container":
            return self._container(role)
        if role.kind == "unit":
            return self._units.setdefault(role.name, Workload(kind="unit", id=role.name, facts=role.facts))
        if role.kind == "session":
            return Workload(kind="session", id=str(self._born), facts=role.facts)
        number = f"qemu-{self._born}-{role.name}" if role.kind == "vm" else str(1320000 + self._born)
        return Workload(kind=role.kind, id=number, name=role.name, facts=role.facts)

    def _container(self, role: Role) -> Workload:
        suffix = "".join(self._rng.choice(SUFFIX) for _ in range(15))
        pod_name = f"{role.name}-{suffix[:10]}-{suffix[10:]}"
        pod_uid = UUID(bytes=sha256(pod_name.encode()).digest()[:16], version=4)
        return Workload(
            kind="container",
            id=sha256(f"{role.name} {self._rng.random()}".encode()).hexdigest(),
            name=role.container_name,
            pod_namespace=role.pod_namespace,
            pod_name=pod_name,
            container_name=role.container_name,
            facts=(("runtime", "containerd"), ("pod_uid", str(pod_uid)), *role.facts),
        )


def wanted_cpus(role: Role, working: bool, hour: float) -> float:
    """How many CPUs a role keeps busy while it is there, by the UTC hour, without chance."""
    day = 0.5 + 0.5 * cos((hour - role.peak_hour) * (2.0 * pi / 24.0))
    return role.low + (role.high - role.low) * day * (1.0 if working else role.weekend)


def presence(role: Role, working: bool, hour: float) -> float:
    """The share of the time that a role is there, on average."""
    if isinstance(role.life, Turns):
        return role.life.length_s / (role.life.gap_s + role.life.length_s)
    return 1.0 if _on_duty(role, working, hour) else 0.0


def _on_duty(role: Role, working: bool, hour: float) -> bool:
    return not isinstance(role.life, Hours) or (working and role.life.first <= hour < role.life.last)
