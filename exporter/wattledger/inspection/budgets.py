"""Whether budgets can be kept, for `wattledger check`."""

from __future__ import annotations

from collections.abc import Sequence

from ..app.agent import STEADY
from ..carbon.budgets.feasibility import Idle, infeasible
from ..carbon.budgets.period import period_at
from ..carbon.build import lowest_pue
from ..carbon.embodied import rate_g_per_s
from ..carbon.offline.choice import offline_source
from ..exposition import amounts
from ..model import S_NS, Finding, Price
from ..settings import BudgetSettings, Settings

NAME = "budgets"
_UJ_PER_J = 1_000_000


def budget_findings(
    budgets: Sequence[BudgetSettings], power_w: float | None, price: Price, now_ns: int
) -> list[Finding]:
    """Each budget's even pace, beside what is drawn now where the budget is the node's."""
    return [_finding(budget, power_w, price, now_ns) for budget in budgets]


def refusals(settings: Settings, now_ns: int) -> tuple[str, ...]:
    """Why the agent would refuse to start: budgets that the configured idle power alone would exceed.

    Judged as the agent does, only where the intensity stays what it is.
    """
    carbon = settings.carbon
    floors_w = settings.attribution.idle_watts
    if not settings.budgets or not floors_w or carbon.intensity.provider not in STEADY:
        return ()
    idle = Idle(
        power_w=sum(floors_w.values()),
        grams_per_kwh=offline_source(carbon.intensity, carbon.timezone).at(now_ns).grams_per_kwh,
        pue=lowest_pue(carbon),
        embodied_g_per_s=rate_g_per_s(carbon.embodied) or 0.0,
    )
    reasons = (infeasible(budget, idle, now_ns) for budget in settings.budgets)
    return tuple(reason for reason in reasons if reason is not None)


def _finding(budget: BudgetSettings, power_w: float | None, price: Price, now_ns: int) -> Finding:
    start_ns, end_ns = period_at(budget.period, budget.timezone, now_ns)
    hours = (end_ns - start_ns) / S_NS / 3600
    limit = amounts.mass(budget.limit_g)
    why = f"{limit} per {budget.period} is {amounts.mass(budget.limit_g / hours)} an hour"
    if budget.select or budget.scope != "operational" or power_w is None:
        return Finding(sensor=NAME, subject=budget.name, status="usable", why=why)
    used_g = power_w * _UJ_PER_J * price.grams_per_uj * 3600 * hours
    draw = f"{amounts.watts(power_w)} as drawn now would use {amounts.mass(used_g)} per {budget.period}"
    if used_g > budget.limit_g:
        draw += ", more than the limit"
    return Finding(sensor=NAME, subject=budget.name, status="usable", why=f"{why}; {draw}")
