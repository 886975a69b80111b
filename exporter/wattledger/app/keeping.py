"""Which budgets the node's idle power alone would exceed, by what is known for good."""

from __future__ import annotations

from collections.abc import Sequence

from ..carbon.budgets.book import Budgets
from ..carbon.budgets.feasibility import Idle, infeasible
from ..carbon.build import lowest_pue
from ..carbon.embodied import rate_g_per_s
from ..carbon.offline.choice import offline_source
from ..errors import StorageError
from ..idle import IdleFloor
from ..ledger.floors import FloorsFile
from ..ledger.journal_booked import budget_dumps
from ..ledger.journal_read import find_journal, open_for_reading
from ..model import COMPONENTS
from ..settings import BudgetSettings, Settings

STEADY = ("static", "table", "mix")
"""Providers whose intensity stays: only with these can a budget be refused for good."""


def idle_for_good(settings: Settings, idle: IdleFloor, wall_ns: int) -> Idle | None:
    """What the node emits while it does nothing, by the idle floors known now.

    None where the intensity moves: no momentary peak or fallback may have a budget refused.
    Raises SettingsError for carbon settings that cannot be used.
    """
    intensity = settings.carbon.intensity
    if intensity.provider not in STEADY:
        return None
    floors = [idle.floor(component) for component in COMPONENTS]
    return Idle(
        power_w=sum(floor.power_w for floor in floors if floor),
        grams_per_kwh=offline_source(intensity, settings.carbon.timezone).at(wall_ns).grams_per_kwh,
        pue=lowest_pue(settings.carbon),
        embodied_g_per_s=rate_g_per_s(settings.carbon.embodied, wall_ns) or 0.0,
    )


def reasons_by_state(settings: Settings, wall_ns: int) -> Sequence[str | None]:
    """Why each budget cannot be kept, with the arithmetic, or None, by what a start would know.

    That are the idle floors of the settings, and those that an agent learned and left in the state directory,
    which is only read. Raises SettingsError.
    """
    floors = IdleFloor(settings.attribution.idle_watts)
    if settings.storage.path is not None:
        FloorsFile(settings.storage.path).load(floors, wall_ns)
    idle = idle_for_good(settings, floors, wall_ns) if settings.budgets else None
    return [infeasible(budget, idle, wall_ns) if idle else None for budget in settings.budgets]


def was_in_force(settings: Settings, budget: BudgetSettings) -> bool:
    """Whether an agent with this state directory ran with this very budget, as its journal says.

    The agent itself asks its checkpoint too, which is its own while it runs.
    """
    if settings.storage.path is None:
        return False
    known = Budgets()
    try:
        with open_for_reading(find_journal(settings.storage.path)) as journal:
            for dump in budget_dumps(journal):
                known.load(dump)
    except (StorageError, ValueError):
        return False
    return known.was_in_force(budget)
