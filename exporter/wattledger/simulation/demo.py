"""A fleet of simulated hosts, ready to be sampled."""

from __future__ import annotations

from dataclasses import dataclass

from ..clock import Clock
from .faces import SimulatedSensor, SimulatedWorkloads
from .host import SimulatedHost
from .profile import fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedNode:
    """One simulated host with its faces; `host` knows the truth."""

    name: str
    sensors: tuple[SimulatedSensor, ...]
    workloads: SimulatedWorkloads
    host: SimulatedHost


def simulated_nodes(count: int, clock: Clock, seed: int = 1) -> list[SimulatedNode]:
    """`count` differing hosts that run on `clock` from now on; the same seed gives the same hosts."""
    nodes = []
    for index, profile in enumerate(fleet(count)):
        host = SimulatedHost(profile, clock, seed + index)
        nodes.append(
            SimulatedNode(
                name=profile.name,
                sensors=(SimulatedSensor(host),),
                workloads=SimulatedWorkloads(host),
                host=host,
            )
        )
    return nodes
