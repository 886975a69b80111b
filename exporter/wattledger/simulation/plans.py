"""What a simulated node is held to: its budgets, what was spent of them, and what it embodies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor, log10

from ..carbon.budgets.book import fingerprint
from ..carbon.budgets.period import period_at, zone
from ..carbon.embodied import between
from ..carbon.pricing import Pricing
from ..errors import SettingsError
from ..model import S_NS
from ..settings import BudgetSettings, EmbodiedSettings, Period
from .past import Past
from .profile import HostProfile
from .weather import chance

HOUR_NS = 3600 * S_NS
EVENING_HOUR = 20
NAMESPACES = (("media", "media"), ("ml", "ml"), ("build", "ci"), ("shop", "shop"))
"""By cast, the namespace that gets a budget; where none of them lives, the `batch` that is everywhere."""
LEAST_SPENT, MOST_SPENT = 0.65, 0.92
"""What share of a budget is spent by the end of its period, on a node that keeps to it."""
OVERSPENT: Mapping[Period, float] = {"day": 1.8, "month": 1.3}
MEDIA_OVERSPENT = 2.5
VIRTUAL_MACHINE_G = 60_000.0


def embodied_of(profile: HostProfile) -> EmbodiedSettings:
    """What making the node emitted: by its parts, a virtual machine at its share of a host."""
    if not profile.rapl:
        return EmbodiedSettings(total_g=VIRTUAL_MACHINE_G)
    return EmbodiedSettings(
        components={
            "cpus": float(profile.sockets),
            "memory_gb": float(8 * profile.cores * profile.sockets),
            "ssds": 2.0,
            "gpus": float(profile.gpus),
        }
    )


def evening_zone(wall_ns: int) -> str:
    """The fixed offset from UTC at which it is between 20:00 and 21:00.

    A day budget in it has five sixths of its day behind it, whenever the demo is started. UTC on a host
    without a time zone database.
    """
    offset = EVENING_HOUR - wall_ns // HOUR_NS % 24
    if offset > 14:
        offset -= 24
    name = f"Etc/GMT{-offset:+d}" if offset else "UTC"  # POSIX signs: east is negative
    try:
        zone(name)
    except SettingsError:
        return "UTC"
    return name


def budgets_of(
    profile: HostProfile, pricing: Pricing, past: Past, wall_ns: int, timezone: str
) -> tuple[BudgetSettings, ...]:
    """A day and a month budget of the node and a day budget of a namespace, in a time zone.

    Each limit follows from the node's own mean power and the grid's course over the whole period, so that
    65 to 92 % of it are spent at the end. A node that is `over` will have spent 180 % of its day and 130 % of
    its month, and its `media` namespace 250 %: that is less than a tenth of the limit in an hour, and at
    three times the load more than the 15 % at which the fast-burn alert fires.
    """
    namespace = next((name for cast, name in NAMESPACES if cast in profile.casts), "batch")
    wanted: list[tuple[str, Period, Mapping[str, tuple[str, ...]]]] = [
        ("node-day", "day", {}),
        ("node-month", "month", {}),
        (f"{namespace}-day", "day", {"pod_namespace": (namespace,)}),
    ]
    made = []
    for name, period, select in wanted:
        draft = BudgetSettings(name=name, limit_g=1.0, period=period, timezone=timezone, select=select)
        start_ns, end_ns = period_at(period, timezone, wall_ns)
        whole_g = past.grams(profile, pricing, draft, start_ns, end_ns)
        limit_g = _rounded(whole_g / _share(profile, draft))
        made.append(
            BudgetSettings(name=name, limit_g=limit_g, period=period, timezone=timezone, select=select)
        )
    return tuple(made)


def spent(
    budgets: Sequence[BudgetSettings],
    profile: HostProfile,
    pricing: Pricing,
    past: Past,
    *,
    embodied: EmbodiedSettings,
    wall_ns: int,
) -> dict[str, dict[str, object]]:
    """What the node would have spent of any budgets since their periods began, as `Budgets.load` takes it.

    Mean power times the integral of the grid (`Past`), and for a budget of the whole node with the scope
    `total` the embodied emissions of that time. Raises SettingsError for a budget that cannot be used.
    """
    dump: dict[str, dict[str, object]] = {}
    for budget in budgets:
        start_ns, end_ns = period_at(budget.period, budget.timezone, wall_ns)
        grams = past.grams(profile, pricing, budget, start_ns, wall_ns)
        if budget.scope == "total" and not budget.select:
            grams += between(embodied, start_ns, wall_ns)
        dump[budget.name] = {"fingerprint": fingerprint(budget), "slots": [(start_ns, end_ns, grams)]}
    return dump


def _share(profile: HostProfile, budget: BudgetSettings) -> float:
    """How much of a budget is to be spent by the end of its period."""
    if profile.over and budget.name == "media-day":
        return MEDIA_OVERSPENT
    if profile.over and not budget.select:
        return OVERSPENT[budget.period]
    return LEAST_SPENT + (MOST_SPENT - LEAST_SPENT) * chance(f"{profile.name} {budget.name}")


def _rounded(grams: float) -> float:
    """To three digits, as a person would set it."""
    return round(grams, 2 - floor(log10(grams))) if grams > 0 else 1.0
