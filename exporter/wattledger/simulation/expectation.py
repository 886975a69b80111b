"""What a simulated host draws on average at an hour of the day, and for whom: arithmetic without chance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp

from ..model import IDLE, Workload
from . import physics
from .cast import roles
from .faces import FULL_W_PER_CPU, IDLE_W_PER_CPU
from .host import most_power_w
from .load import PSEUDO, Role, Task, presence, wanted_cpus
from .placement import place
from .profile import HostProfile

LONG_S = 1e6
"""A step so long that the heat sink is as warm as it gets."""


@dataclass(frozen=True, slots=True)
class Draw:
    """Mean metered power of one role, or of the empty host as `IDLE`; `workload` has no id of its own."""

    workload: Workload
    watts: float


def expected_draws(profile: HostProfile, *, working: bool, hour: float) -> tuple[Draw, ...]:
    """Mean power of what a host's meters count, by role, at an hour (UTC) of a working day or a weekend.

    The host's own physics for its roles at their mean load, each with as many threads as it has on average:
    within some percent of what it really draws. What a lost meter would count is left out.
    """
    cast = roles(profile)
    shares = [presence(role, working, hour) for role in cast]
    tasks = [
        _task(role, share, n, profile, working=working, hour=hour)
        for n, (role, share) in enumerate(zip(cast, shares, strict=True))
    ]
    cpu_idle_w, dram_idle_w, cpu_w, dram_w, ran = _sockets(profile, tasks)
    gpu_w = [
        share * len(role.gpu) * physics.gpu_draw(True, role.gpu_busy)
        for role, share in zip(cast, shares, strict=True)
    ]
    if not profile.rapl:
        cpu_idle_w = IDLE_W_PER_CPU * profile.cpus
        cpu_w = [(FULL_W_PER_CPU - IDLE_W_PER_CPU) * cpus for cpus in ran]
    if not profile.dram:
        dram_idle_w, dram_w = 0.0, [0.0] * len(cast)
    idle_w = cpu_idle_w + dram_idle_w + profile.gpus * physics.GPU_IDLE_W
    watts = [sum(parts) for parts in zip(cpu_w, dram_w, gpu_w, strict=True)]
    if profile.whole_node:
        most_w, parts_w = most_power_w(profile), idle_w + sum(watts)
        per_watt = (physics.wall_power(parts_w, most_w) - physics.wall_power(idle_w, most_w)) / sum(watts)
        idle_w, watts = physics.wall_power(idle_w, most_w), [per_watt * own for own in watts]
    found = [Draw(_workload(role), own) for role, own in zip(cast, watts, strict=True)]
    return (Draw(IDLE, idle_w), *found)


def _task(role: Role, share: float, number: int, profile: HostProfile, *, working: bool, hour: float) -> Task:
    """A role at its mean load, spread over the threads that it has on average."""
    threads = max(1, round(role.threads * share))
    task = Task(
        _workload(role), replace(role, threads=threads), profile.sockets, number % profile.sockets, 0.0, 0.0
    )
    busy = min(1.0, wanted_cpus(role, working, hour) * exp(role.jitter**2 / 2) / role.threads)
    task.load = min(1.0, busy * role.threads * share / threads)
    return task


def _sockets(
    profile: HostProfile, tasks: list[Task]
) -> tuple[float, float, list[float], list[float], list[float]]:
    """Idle watts of CPUs and memory, and per task the dynamic watts of both and the CPUs it got."""
    count = len(tasks)
    cpu_idle_w = dram_idle_w = 0.0
    cpu_w, dram_w, ran = [0.0] * count, [0.0] * count, [0.0] * count
    layouts = place(tasks, profile.sockets, profile.cores)
    for number, layout in enumerate(layouts):
        socket = physics.Socket(profile.cores, profile.tdp_w)
        heat = [0.0] * count
        for _ in range(2):  # the ceiling of a step follows the cores that were busy in the one before
            draw = physics.socket_draw(
                socket,
                layout,
                load=[task.load for task in tasks],
                works=[task.work for task in tasks],
                heat=heat,
                room_c=physics.ROOM_C,
                dt_s=LONG_S,
            )
        counted = f"package-{number}" not in profile.lost
        cpu_idle_w += draw.cpu_idle_w * counted
        dram_idle_w += draw.dram_idle_w
        for i in range(count):
            cpu_w[i] += draw.cpu_w[i] * counted
            dram_w[i] += draw.dram_w[i]
            ran[i] += draw.ran[i]
    return cpu_idle_w, dram_idle_w, cpu_w, dram_w, ran


def _workload(role: Role) -> Workload:
    """What a selector can know of a role before anyone plays it."""
    if role.kind in PSEUDO:
        return PSEUDO[role.kind]
    pod = role.kind == "container"
    return Workload(
        kind=role.kind,
        id=role.name,
        name=role.container_name if pod else role.name,
        pod_namespace=role.pod_namespace,
        pod_name=role.name if pod else "",
        container_name=role.container_name,
        facts=role.facts,
    )
