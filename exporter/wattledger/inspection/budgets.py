"""Whether budgets can be kept, for `wattledger check`."""

from __future__ import annotations

from ..app.keeping import reasons_by_state, was_in_force
from ..carbon.budgets.period import period_at
from ..exposition import amounts
from ..model import S_NS, Finding, Price
from ..settings import BudgetSettings, Settings

NAME = "budgets"
_UJ_PER_J = 1_000_000


def budget_findings(
    settings: Settings, power_w: float | None, price: Price, now_ns: int
) -> tuple[list[Finding], tuple[str, ...]]:
    """What is to say of each budget, and why the agent would refuse to start.

    A budget that can be kept is told by its even pace, beside what is drawn now where it is the node's. One
    that idle power alone would exceed is judged as the agent does: by the idle floors that are configured or
    kept in the state directory, only where the intensity stays what it is, and refused if it is new.
    Raises SettingsError.
    """
    findings, refusals = [], []
    for budget, reason in zip(settings.budgets, reasons_by_state(settings, now_ns), strict=True):
        if reason is None:
            findings.append(_pace(budget, power_w, price, now_ns))
            continue
        why = reason.removeprefix(f"budgets: {budget.name}: ")
        findings.append(Finding(sensor=NAME, subject=budget.name, status="failed", why=f"infeasible: {why}"))
        if not was_in_force(settings, budget):
            refusals.append(reason)
    return findings, tuple(refusals)


def _pace(budget: BudgetSettings, power_w: float | None, price: Price, now_ns: int) -> Finding:
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
