"""Budgets that cannot be kept: the node would exceed them even if nobody ever used it (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import SettingsError
from ...model import S_NS
from ...settings import BudgetSettings
from .period import period_at

HOUR_NS = 3600 * S_NS
KG = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """What the node emits while it does nothing.

    `power_w` is the sum of its components' idle floors, as far as they are known.
    `grams_per_kwh` is the location-based intensity: the market-based one never counts against a budget.
    """

    power_w: float
    grams_per_kwh: float
    pue: float = 1.0
    embodied_g_per_s: float = 0.0


def infeasible(budget: BudgetSettings, idle: Idle, wall_ns: int) -> str | None:
    """Why a budget cannot be kept in the period that `wall_ns` lies in, with the arithmetic; else None.

    Only a budget of the whole node can be judged: nobody knows what a selection will draw.
    Raises SettingsError for an unknown time zone.
    """
    if budget.select:
        return None
    start_ns, end_ns = period_at(budget.period, budget.timezone, wall_ns)
    hours = (end_ns - start_ns) / HOUR_NS
    operational_g = idle.power_w / 1000 * idle.pue * idle.grams_per_kwh * hours
    embodied_g = idle.embodied_g_per_s * 3600 * hours if budget.scope == "total" else 0.0
    floor_g = operational_g + embodied_g
    if floor_g <= budget.limit_g:
        return None
    sum_ = (
        f"{_number(idle.power_w)} W idle x PUE {_number(idle.pue)} x {_number(idle.grams_per_kwh)} g/kWh"
        f" over {_span(hours)}"
    )
    if embodied_g > 0:
        sum_ = f"{sum_} ({_mass(operational_g)}) + {_mass(embodied_g)} embodied"
    ways = [f"raise the limit above {_mass(_up(floor_g))}"]
    left_g = budget.limit_g - embodied_g
    if left_g > 0 and operational_g > 0:
        ways.append(f"bring the idle power below {_number(_down(idle.power_w * left_g / operational_g))} W")
    ways.append("give the budget a select, so that idle power does not count")
    return (
        f"budgets: {budget.name}: {sum_} = {_mass(_up(floor_g))}, more than the limit of"
        f" {_mass(budget.limit_g)} per {budget.period}: {', or '.join(ways)}"
    )


def refuse(budgets: Sequence[BudgetSettings], idle: Idle, wall_ns: int) -> None:
    """For idle floors known at start or reload: raises SettingsError, which tells of every such budget."""
    reasons = [reason for budget in budgets if (reason := infeasible(budget, idle, wall_ns)) is not None]
    if reasons:
        raise SettingsError("; ".join(reasons))


class Doubts:
    """Budgets found infeasible while the agent runs, for a floor that was learned too late to refuse."""

    def __init__(self) -> None:
        self._told: set[tuple[str, BudgetKey]] = set()
        self.names: frozenset[str] = frozenset()

    def judge(self, budgets: Sequence[BudgetSettings], idle: Idle, wall_ns: int) -> tuple[str, ...]:
        """The reasons to log now: one for each budget, once for as long as its definition stays.

        `names` holds the budgets that are infeasible at this moment, told before or not.
        """
        found = {
            budget.name: (_key(budget), reason)
            for budget in budgets
            if (reason := infeasible(budget, idle, wall_ns)) is not None
        }
        self.names = frozenset(found)
        defined = {(budget.name, _key(budget)) for budget in budgets}
        new = [reason for name, (key, reason) in found.items() if (name, key) not in self._told]
        self._told = (self._told & defined) | {(name, key) for name, (key, _) in found.items()}
        return tuple(new)


BudgetKey = tuple[float, str, str, str]


def _key(budget: BudgetSettings) -> BudgetKey:
    return (budget.limit_g, budget.period, budget.timezone, budget.scope)


def _up(value: float) -> float:
    """Rounded up to three digits: what exceeds a limit is never shown as equal to it."""
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return math.ceil(round(value / step, 9)) * step


def _down(value: float) -> float:
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return math.floor(round(value / step, 9)) * step


def _number(value: float) -> str:
    """Up to six digits, without an exponent."""
    return f"{float(f'{value:.6g}'):.9f}".rstrip("0").rstrip(".")


def _mass(grams: float) -> str:
    """Grams, kilograms or tonnes, whichever a person would write."""
    if grams < KG:
        return f"{_number(grams)} g"
    return f"{_number(grams / KG)} kg" if grams < KG * KG else f"{_number(grams / KG / KG)} t"


def _span(hours: float) -> str:
    """Hours for a single day, which may have 23 or 25, days beyond."""
    return f"{_number(hours)} h" if hours < 30 else f"{_number(round(hours / 24, 2))} d"
