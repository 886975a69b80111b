"""A new budget begins with what the history knows of its own selection."""

from dataclasses import replace

import pytest

from wattledger.carbon.budgets.book import Budgets
from wattledger.carbon.budgets.history import seed_from
from wattledger.model import Workload
from wattledger.settings import BudgetSettings

DAY = 86_400 * 1_000_000_000
NODE = BudgetSettings(name="node", limit_g=1.0, period="day")
TRAIN = Workload(kind="container", id="a", pod_namespace="ml")
WEB = Workload(kind="container", id="b", pod_namespace="web")


class Past:
    """Yesterday and today the node emitted 100 g, 30 of them by ml and 20 by web; a tenth more embodied."""

    def sum_for(self, match, start_ns, end_ns, *, embodied):
        grams = 100.0 if match is None else 30.0 * match(TRAIN) + 20.0 * match(WEB)
        return grams * ((end_ns - start_ns) / DAY) * (1.1 if embodied else 1.0)


@pytest.mark.parametrize(
    ("select", "scope", "expected"),
    [
        ({}, "operational", 100.0),
        ({}, "total", 110.0),
        ({"pod_namespace": ("ml",)}, "operational", 30.0),
        ({"pod_namespace": ("*",)}, "total", 55.0),
        ({"pod_namespace": ("db",)}, "operational", 0.0),
    ],
)
def test_a_new_budget_begins_with_its_own_part_of_the_history(select, scope, expected):
    budgets = Budgets([replace(NODE, select=select, scope=scope)], seed=seed_from(Past().sum_for))
    budgets.open(DAY + 1)
    assert budgets.rows(DAY + 1)[0].consumed_g == pytest.approx(expected)
