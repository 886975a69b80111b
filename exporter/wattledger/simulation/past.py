"""What simulated nodes emitted before the demo began, and will until a period ends, as far as budgets ask."""

from __future__ import annotations

from dataclasses import replace

from ..carbon.budgets.selector import Selector
from ..carbon.pricing import Pricing
from ..model import S_NS
from ..settings import BudgetSettings
from .expectation import Draw, expected_draws
from .profile import HostProfile
from .weather import EPOCH_WEEKDAY

BLOCK_HOURS = 2
BLOCK_NS = BLOCK_HOURS * 3600 * S_NS
BLOCKS = 24 // BLOCK_HOURS

Table = dict[tuple[bool, int], tuple[Draw, ...]]
Weights = dict[tuple[bool, int], float]


class Past:
    """Mean power times the integral of the grid, by hours of the day.

    It is no simulation of the past: load is at its mean of the hour, whatever `load` the play has now, with
    nothing of what chance would have added. It stays within some percent of what the host would have drawn,
    and for jobs, which are there for hours or not at all, of their long-term mean.
    One object serves a fleet: it remembers by hardware and by grid.
    """

    def __init__(self) -> None:
        self._tables: dict[HostProfile, Table] = {}
        self._weights: dict[tuple[Pricing, int, int], Weights] = {}

    def grams(
        self, profile: HostProfile, pricing: Pricing, budget: BudgetSettings, start_ns: int, end_ns: int
    ) -> float:
        """Operational grams, PUE included, that a budget counts between two moments of wall time.

        Raises SettingsError for a selector that cannot be used.
        """
        selector = Selector(budget.select)
        table = self._table(profile)
        total = 0.0
        for block, grams_per_watt in self._weight(pricing, start_ns, end_ns).items():
            watts = sum([draw.watts for draw in table[block] if selector.matches(draw.workload)])
            total += watts * grams_per_watt
        return total

    def _table(self, profile: HostProfile) -> Table:
        """Who draws what in each two hours of a working day and of a day at the weekend."""
        hardware = replace(profile, name="", load=1.0, grid="", grid_fails=False, over=False)
        table = self._tables.get(hardware)
        if table is None:
            table = self._tables[hardware] = {
                (working, block): expected_draws(hardware, working=working, hour=(block + 0.5) * BLOCK_HOURS)
                for working in (True, False)
                for block in range(BLOCKS)
            }
        return table

    def _weight(self, pricing: Pricing, start_ns: int, end_ns: int) -> Weights:
        """Grams per watt that the same two hours of all days of a span cost together."""
        key = (pricing, start_ns, end_ns)
        weights = self._weights.get(key)
        if weights is None:
            weights = self._weights[key] = {}
            for number in range(start_ns // BLOCK_NS, -(-end_ns // BLOCK_NS)):
                from_ns, to_ns = max(start_ns, number * BLOCK_NS), min(end_ns, (number + 1) * BLOCK_NS)
                day, block = divmod(number, BLOCKS)
                grams = pricing.price(from_ns, to_ns).grams_per_uj * (to_ns - from_ns) / S_NS * 1e6
                slot = ((day + EPOCH_WEEKDAY) % 7 < 5, block)
                weights[slot] = weights.get(slot, 0.0) + grams
        return weights
