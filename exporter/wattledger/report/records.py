"""What a report holds; energies are integer microjoules, times wall time in nanoseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..model import Component, Workload

By = Literal["workload", "namespace", "user", "account", "component"]
Nature = Literal["measured", "estimated", "mixed"]

UJ_PER_KWH = 3_600_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one group drew and emitted.

    `group` identifies it: a kind and an id with a slash between, a namespace, a user, an account or a
    component; "" is the group of those that have none. `workload` is set where groups are workloads.
    `idle_uj` is the idle part within `energy_uj`. `members` is how many workloads it has, 0 where that
    says nothing. `embodied_g` is None where embodied emissions are not split that way.
    """

    group: str
    workload: Workload | None = None
    members: int = 0
    energy_uj: int = 0
    idle_uj: int = 0
    emissions_g: float = 0.0
    embodied_g: float | None = 0.0
    components: Mapping[Component, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentSum:
    """One component of the node.

    `idle_uj` is idle energy that nobody was charged with, `charged_idle_uj` what workloads were.
    `market_g` and `water_l` are None where none was booked.
    """

    component: Component
    energy_uj: int
    facility_uj: float
    emissions_g: float
    market_g: float | None
    water_l: float | None
    estimated_uj: int
    fallback_uj: int
    weak_uj: int
    idle_uj: int
    charged_idle_uj: int
    unattributed_uj: int

    @property
    def nature(self) -> Nature:
        """Whether its energy was measured or estimated."""
        if self.estimated_uj == 0:
            return "measured"
        return "estimated" if self.estimated_uj == self.energy_uj else "mixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The node over the whole period: the sums of its components, None where nothing was booked."""

    energy_uj: int
    facility_uj: float
    emissions_g: float
    market_g: float | None
    embodied_g: float | None
    water_l: float | None
    estimated_uj: int
    fallback_uj: int
    weak_uj: int
    idle_uj: int
    charged_idle_uj: int
    unattributed_uj: int

    @property
    def intensity(self) -> float | None:
        """Average g/kWh: operational emissions over the energy of the facility."""
        return intensity(self.emissions_g, self.facility_uj)

    @property
    def pue(self) -> float | None:
        """Average PUE by energy."""
        return self.facility_uj / self.energy_uj if self.energy_uj else None

    def part(self, energy_uj: int) -> float:
        """A part of the energy as a ratio; 0 where nothing was drawn."""
        return energy_uj / self.energy_uj if self.energy_uj else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One step of a series over time, such as a day."""

    start_ns: int
    end_ns: int
    components: Mapping[Component, int] = field(default_factory=dict)
    facility_uj: float = 0.0
    emissions_g: float = 0.0
    embodied_g: float = 0.0
    fallback_uj: int = 0
    covered_ns: int = 0

    @property
    def energy_uj(self) -> int:
        """The energy of all components."""
        return sum(self.components.values())

    @property
    def intensity(self) -> float | None:
        """Average g/kWh, None where nothing was drawn."""
        return intensity(self.emissions_g, self.facility_uj)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A source of intensity and what it priced."""

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


@dataclass(frozen=True, slots=True)
class Gap:
    """Whole hours in which no samples were taken for `missing_ns` together."""

    start_ns: int
    end_ns: int
    missing_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How much of the period the agent took samples in; `late_ns` of it was booked to a later hour."""

    period_ns: int
    covered_ns: int
    gaps: tuple[Gap, ...] = ()
    late_ns: int = 0

    @property
    def ratio(self) -> float:
        """0 to 1."""
        return self.covered_ns / self.period_ns if self.period_ns else 0.0


@dataclass(frozen=True, slots=True)
class Software:
    """What made the figures from `since_ns` on; `facts` are version, settings (a hash), and the host's."""

    since_ns: int
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything a report says. `rows` have the highest emissions first, `rest` are the `folded` others.

    `apart` are the rows of idle and unattributed energy; there are none when groups are components, which
    contain them. Rows, rest and apart add up to the total exactly.
    `hours` is empty where the period is too long to list them. `complete` is False when the newest hours of
    the journal could not be read. `deleted_until_ns` is where the journal begins, if retention deleted hours
    of the period before that; else None.
    """

    made_ns: int
    node: str
    version: str
    start_ns: int
    end_ns: int
    timezone: str
    by: By
    totals: Totals
    components: tuple[ComponentSum, ...]
    rows: tuple[Row, ...]
    rest: Row | None
    folded: int
    apart: tuple[Row, ...]
    days: tuple[Slice, ...]
    hours: tuple[Slice, ...]
    sources: tuple[Source, ...]
    coverage: Coverage
    software: tuple[Software, ...]
    complete: bool = True
    deleted_until_ns: int | None = None

    @property
    def unaccounted_uj(self) -> int:
        """What the rows lack of the node's total: 0, unless the journal was damaged."""
        rows = [*self.rows, *self.apart, *([self.rest] if self.rest else [])]
        return self.totals.energy_uj - sum(row.energy_uj for row in rows)


def intensity(emissions_g: float, facility_uj: float) -> float | None:
    """Grams per kWh, None where there is no energy."""
    return emissions_g * UJ_PER_KWH / facility_uj if facility_uj else None
