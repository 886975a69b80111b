"""Running sums of the node and of what is not shown."""

from __future__ import annotations

from dataclasses import dataclass

from ..model import Price


@dataclass(slots=True)
class Total:
    """Energy in microjoules and emissions in grams."""

    energy_uj: int = 0
    emissions_g: float = 0.0

    def add(self, energy_uj: int, emissions_g: float) -> None:
        """Add to both."""
        self.energy_uj += energy_uj
        self.emissions_g += emissions_g


@dataclass(slots=True)
class NodeTotal:
    """One component of the node: what it drew, what that cost, and how well both are known.

    Of `energy_uj`, `estimated_uj` was estimated instead of measured, `fallback_uj` priced with a fallback
    and `weak_uj` with an intensity that its source calls an estimate.
    `facility_uj` is energy times PUE, so that emissions over it are the mean intensity.
    """

    energy_uj: int = 0
    emissions_g: float = 0.0
    market_g: float = 0.0
    water_l: float = 0.0
    estimated_uj: int = 0
    fallback_uj: int = 0
    weak_uj: int = 0
    facility_uj: float = 0.0

    def book(self, energy_uj: int, price: Price, *, estimated: bool) -> None:
        """Add energy at its price."""
        self.energy_uj += energy_uj
        self.emissions_g += energy_uj * price.grams_per_uj
        self.market_g += energy_uj * price.market_grams_per_uj
        self.water_l += energy_uj * price.liters_per_uj
        self.facility_uj += energy_uj * price.pue
        if estimated:
            self.estimated_uj += energy_uj
        if price.intensity.fallback:
            self.fallback_uj += energy_uj
        if price.intensity.estimated:
            self.weak_uj += energy_uj
