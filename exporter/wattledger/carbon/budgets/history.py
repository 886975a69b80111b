"""What was already spent when a budget is new: asked of the journal's history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ...model import Workload
from ...settings import BudgetSettings
from .book import Seed
from .selector import Selector


class History(Protocol):
    """Sums grams that were booked in the past; the journal's `sum_for` is one."""

    def __call__(
        self, match: Callable[[Workload], bool] | None, start_ns: int, end_ns: int, *, embodied: bool
    ) -> float:
        """Grams of the workloads that match (None: of the node) in a span of wall time.

        With `embodied`, embodied grams come on top of the operational ones.
        """


def seed_from(history: History) -> Seed:
    """The seed that counts a budget's own selection and scope, as its settings say."""

    def seed(budget: BudgetSettings, start_ns: int, end_ns: int) -> float:
        selector = Selector(budget.select)
        match = None if selector.everything else selector.matches
        return history(match, start_ns, end_ns, embodied=budget.scope == "total")

    return seed
