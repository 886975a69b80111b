"""The workloads that simulated hosts are populated with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil

from .load import Hours, Role, Turns
from .physics import Work
from .profile import Cast, HostProfile

GIB = 1 << 30

SERVICE = Work(activity=1.0, gb_per_cpu_s=0.6, wakes_per_cpu_s=1500.0)
DAEMON = Work(activity=0.9, gb_per_cpu_s=0.3, wakes_per_cpu_s=3000.0)
DATABASE = Work(activity=0.85, gb_per_cpu_s=3.0, wakes_per_cpu_s=900.0)
CACHE = Work(activity=0.75, gb_per_cpu_s=6.0, wakes_per_cpu_s=2500.0)
STREAM = Work(activity=0.7, gb_per_cpu_s=9.0)
COMPILE = Work(activity=1.1, gb_per_cpu_s=1.0, wakes_per_cpu_s=60.0)
VECTOR = Work(activity=1.65, gb_per_cpu_s=2.0, vector=1.0)
POLLING = Work(activity=0.6, gb_per_cpu_s=0.05)
LOADER = Work(activity=1.0, gb_per_cpu_s=4.0, wakes_per_cpu_s=300.0)


def roles(profile: HostProfile) -> tuple[Role, ...]:
    """The roles of a host, scaled to it."""
    found = [role for cast in profile.casts for role in CASTS[cast](profile)]
    return tuple(_scaled(role, profile) for role in found)


def _scaled(role: Role, profile: HostProfile) -> Role:
    """Bring a role to the host's size and load; 96 CPUs is what the numbers below are written for.

    A role that works more has more threads, up to the CPUs there are, and keeps its boards busier.
    """
    factor = profile.scale * profile.load
    threads = max(1, min(profile.cpus, ceil(role.threads * factor)))
    return replace(
        role,
        threads=threads,
        low=role.low * factor,
        high=role.high * factor,
        gpu_busy=min(1.0, role.gpu_busy * profile.load),
        reserved_cpus=round(role.reserved_cpus * profile.scale, 2),
    )


def _unit(name: str, *, low: float, high: float, threads: int = 1) -> Role:
    return Role(
        kind="unit",
        name=name,
        work=(DAEMON,),
        threads=threads,
        low=low,
        high=high,
        jitter=0.4,
        weekend=0.9,
        memory_bytes=GIB // 16,
    )


def _pod(
    namespace: str,
    name: str,
    container: str,
    work: Work,
    *,
    threads: int,
    low: float,
    high: float,
    peak_hour: float = 15.0,
    life: Turns | None = None,
    gpu: tuple[int, ...] = (),
    gpu_busy: float = 0.0,
) -> Role:
    return Role(
        kind="container",
        name=name,
        work=(work,),
        threads=threads,
        low=low,
        high=high,
        peak_hour=peak_hour,
        life=life,
        pod_namespace=namespace,
        container_name=container,
        facts=(("qos", "burstable"),),
        memory_bytes=2 * GIB,
        reserved_cpus=round(0.6 * high, 2),
        gpu=gpu,
        gpu_busy=gpu_busy,
    )


def _base(profile: HostProfile) -> list[Role]:
    return [
        Role(kind="kernel", name="", work=(DAEMON,), threads=profile.sockets, low=0.08, high=0.5),
        _unit("systemd-journald.service", low=0.01, high=0.05),
        _unit("containerd.service", low=0.08, high=0.2, threads=4),
        _unit("kubelet.service", low=0.1, high=0.22, threads=4),
        _unit("sshd.service", low=0.001, high=0.01),
        _unit("prometheus-node-exporter.service", low=0.01, high=0.015),
        Role(
            kind="exited",
            name="",
            work=(COMPILE, DAEMON),
            threads=4,
            low=0.05,
            high=0.3,
            jitter=0.9,
            phase_s=40.0,
        ),
        Role(
            kind="unit",
            name="backup.service",
            work=(STREAM,),
            threads=2,
            low=1.6,
            high=1.6,
            life=Turns(5 * 3600.0, 900.0),
        ),
        _pod("batch", "report", "report", SERVICE, threads=2, low=1.2, high=1.4, life=Turns(600.0, 90.0)),
    ]


def _shop(_: HostProfile) -> list[Role]:
    return [
        *(_pod("shop", "storefront", "web", SERVICE, threads=8, low=0.3, high=2.6) for _ in range(3)),
        *(_pod("shop", "checkout", "api", SERVICE, threads=6, low=0.15, high=1.5) for _ in range(2)),
        _pod("shop", "search", "engine", DATABASE, threads=8, low=0.5, high=4.0),
        _pod("shop", "orders", "postgres", DATABASE, threads=6, low=0.4, high=2.5),
        _pod("shop", "sessions", "redis", CACHE, threads=1, low=0.1, high=0.7),
        _pod("shop", "events", "broker", CACHE, threads=6, low=0.3, high=1.6),
        _pod("shop", "recommend", "scorer", VECTOR, threads=4, low=0.2, high=2.0, peak_hour=19.0),
        _pod("ingress", "gateway", "proxy", POLLING, threads=2, low=1.9, high=2.0),
        _pod("monitoring", "prometheus", "prometheus", DATABASE, threads=4, low=0.4, high=0.6),
    ]


def _ml(profile: HostProfile) -> list[Role]:
    boards = tuple(range(profile.gpus))
    half = len(boards) // 2
    serving = [
        _pod(
            "ml",
            f"llm-{board}",
            "server",
            SERVICE,
            threads=4,
            low=0.6,
            high=2.0,
            peak_hour=16.0,
            gpu=(board,),
            gpu_busy=0.4,
        )
        for board in boards[half : half + 2]
    ]
    embedder = _pod(
        "ml",
        "embed",
        "server",
        SERVICE,
        threads=2,
        low=0.2,
        high=0.8,
        peak_hour=16.0,
        gpu=boards[half : half + 1],
        gpu_busy=0.15,
    )
    sliced = [
        _pod(
            "ml",
            name,
            "notebook",
            SERVICE,
            threads=2,
            low=0.3,
            high=1.2,
            peak_hour=14.0,
            gpu=boards[-1:],
            gpu_busy=busy,
        )
        for name, busy in (("notebook-small", 0.1), ("notebook-large", 0.3))
    ]
    train = Role(
        kind="job",
        name="train-vision",
        work=(LOADER,),
        threads=16,
        low=11.0,
        high=11.0,
        weekend=1.0,
        jitter=0.1,
        life=Turns(1200.0, 4 * 3600.0),
        facts=(("user", "maria"), ("account", "vision"), ("runtime", "slurm")),
        memory_bytes=64 * GIB,
        reserved_cpus=16.0,
        gpu=boards[:half],
        gpu_busy=0.85,
    )
    return [*serving, embedder, *sliced, train]


def _batch(_: HostProfile) -> list[Role]:
    solver = Role(
        kind="job",
        name="cfd-wing",
        work=(VECTOR, STREAM, COMPILE),
        threads=24,
        low=23.0,
        high=23.0,
        weekend=1.0,
        jitter=0.05,
        life=Turns(2400.0, 3600.0),
        facts=(("user", "jonas"), ("account", "aero"), ("runtime", "slurm")),
        memory_bytes=48 * GIB,
        reserved_cpus=24.0,
    )
    sweep = replace(
        solver,
        name="param-sweep",
        work=(COMPILE,),
        threads=12,
        low=11.0,
        high=11.0,
        life=Turns(3600.0, 1500.0),
        facts=(("user", "li"), ("account", "bio"), ("runtime", "slurm")),
        memory_bytes=12 * GIB,
        reserved_cpus=12.0,
    )
    return [solver, sweep]


def _build(_: HostProfile) -> list[Role]:
    runner = _pod("ci", "runner", "build", COMPILE, threads=8, low=5.0, high=7.0, life=Turns(500.0, 240.0))
    return [
        runner,
        runner,
        Role(kind="exited", name="", work=(COMPILE,), threads=6, low=0.2, high=2.0, jitter=0.8, weekend=0.2),
    ]


def _virtual(_: HostProfile) -> list[Role]:
    facts = (("runtime", "libvirt"),)
    office = Role(
        kind="vm",
        name="office-win",
        work=(SERVICE,),
        threads=8,
        low=0.4,
        high=3.0,
        weekend=0.2,
        facts=facts,
        memory_bytes=16 * GIB,
        reserved_cpus=8.0,
    )
    legacy = replace(office, name="legacy-erp", work=(DATABASE,), threads=4, low=0.5, high=1.5, weekend=0.8)
    return [office, legacy]


def _people(_: HostProfile) -> list[Role]:
    return [
        Role(
            kind="session",
            name="anna",
            work=(SERVICE, COMPILE),
            threads=4,
            low=0.2,
            high=1.6,
            jitter=1.0,
            phase_s=700.0,
            life=Hours(8.0, 17.0),
            facts=(("user", "anna"),),
            memory_bytes=4 * GIB,
        )
    ]


def _media(_: HostProfile) -> list[Role]:
    """Steady work on cores of its own, so that its power follows the load nearly in proportion."""
    transcoder = _pod("media", "transcode", "encoder", VECTOR, threads=6, low=5.0, high=5.4)
    return [replace(transcoder, weekend=1.0, jitter=0.1, facts=(("qos", "guaranteed"),))] * 2


CASTS: dict[Cast, Callable[[HostProfile], list[Role]]] = {
    "base": _base,
    "shop": _shop,
    "ml": _ml,
    "batch": _batch,
    "build": _build,
    "virtual": _virtual,
    "people": _people,
    "media": _media,
}
