"""What is read back from a journal: sums by group, coverage and sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..model import Component, Mode, Workload

By = Literal["workload", "kind", "namespace", "user", "account"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSum:
    """The sums of one group; `workload` is set when the groups are workloads.

    `group` is the namespace, user, account or kind, "" where a workload has none; for a workload its
    kind and id, with a slash between. `hour_ns` is where the hour begins, None in sums over a span.
    """

    group: str
    workload: Workload | None
    cells: Mapping[tuple[Component, Mode], tuple[int, float]] = field(default_factory=dict)
    embodied_g: float = 0.0
    hour_ns: int | None = None

    @property
    def energy_uj(self) -> int:
        """The energy of all cells."""
        return sum(energy_uj for energy_uj, _ in self.cells.values())

    @property
    def emissions_g(self) -> float:
        """The operational emissions of all cells."""
        return sum(emissions_g for _, emissions_g in self.cells.values())

    def of(self, component: Component) -> tuple[int, float]:
        """Energy and emissions of one component."""
        mine = [amount for (name, _), amount in self.cells.items() if name == component]
        return sum(energy_uj for energy_uj, _ in mine), sum(emissions_g for _, emissions_g in mine)


@dataclass(frozen=True, slots=True)
class HourCover:
    """How long the agent took samples in an hour, and the node's embodied emissions of it.

    More than an hour means that figures of earlier hours were booked late.
    """

    hour_ns: int
    covered_ns: int
    embodied_g: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSum:
    """What was priced by one source of intensity."""

    provider: str
    grid_zone: str
    basis: str
    kind: str
    flow: str
    licence: str
    fallback: bool
    energy_uj: int
    facility_uj: int
    emissions_g: float
    covered_ns: int
