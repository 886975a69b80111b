"""What the ledger hands to the journal: figures that only grow, as they stand at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..model import Component, Intensity, Mode, Workload

AccountSum = tuple[Workload, Sequence[tuple[Component, Mode, int, float]], float]
"""A workload as it is known now, its cells (component, mode, energy_uj, emissions_g), its embodied grams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSum:
    """Sums of one component of the node: since boot in a batch, over a range of hours when read back.

    `estimated_uj` is the part by estimating sensors, `fallback_uj` the part priced with a fallback and
    `weak_uj` with an intensity that its source calls estimated. `facility_uj` is energy times PUE, so that
    emissions over it are the average intensity.
    """

    energy_uj: int
    emissions_g: float
    market_g: float = 0.0
    water_l: float = 0.0
    estimated_uj: int = 0
    fallback_uj: int = 0
    weak_uj: int = 0
    facility_uj: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The ledger at wall time `wall_ns`; all figures are cumulative since boot and never go down.

    `lineage` names the ledger's count itself: it stays the same as long as the figures go on, restarts
    included, and is another one when they start at zero within the same boot.
    `accounts` holds every account that the ledger keeps, shown or not. One that is missing was dropped:
    when its workload comes back, its figures start at zero.
    `covered_ns` is the time since boot in which the agent took samples. `budgets` are kept as they are and
    must be something that MessagePack can carry. `agent` tells what made the figures (version, ...).
    """

    boot_id: str
    wall_ns: int
    covered_ns: int
    node: Mapping[Component, NodeSum]
    accounts: Sequence[AccountSum]
    intensity: Intensity
    embodied_g: float = 0.0
    budgets: Sequence[object] = ()
    agent: Mapping[str, str] = field(default_factory=dict)
    lineage: str = ""
