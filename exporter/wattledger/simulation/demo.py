"""A fleet of simulated hosts, ready to be sampled."""

from __future__ import annotations

from dataclasses import dataclass

from ..clock import Clock
from .faces import SimulatedSensor, SimulatedWorkloads
from .host import KEEP_ENDED, SimulatedHost
from .profile import fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedNode:
    """One simulated host with its faces; `host` knows the truth."""

    name: str
    sensors: tuple[SimulatedSensor, ...]
    workloads: SimulatedWorkloads
    host: SimulatedHost

    @property
    def place(self) -> tuple[str, bool]:
        """The zone of its grid, and whether its source of intensity fails."""
        return self.host.profile.grid, self.host.profile.grid_fails


def simulated_nodes(count: int, clock: Clock, seed: int = 1, load: float = 1.0) -> list[SimulatedNode]:
    """`count` differing hosts that run on `clock` from now on; the same seed gives the same hosts.

    `load` multiplies what every host does, as far as its hardware goes. The more hosts, the fewer workloads
    that ended does each remember, so that a large fleet does not grow for days.
    """
    nodes = []
    for index, profile in enumerate(fleet(count, load)):
        host = SimulatedHost(profile, clock, seed + index, keep_ended=KEEP_ENDED // count)
        nodes.append(
            SimulatedNode(
                name=profile.name,
                sensors=(SimulatedSensor(host),),
                workloads=SimulatedWorkloads(host, holdings=True),
                host=host,
            )
        )
    return nodes
