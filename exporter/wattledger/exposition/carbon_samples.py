"""The samples of the carbon side: intensity with its provenance, outlook and budgets."""

from __future__ import annotations

from collections.abc import Iterable

from ..carbon.live.fetch import REASONS
from ..model import S_NS, BudgetRow, FeedHealth, Intensity, Outlook
from ..snapshot import Snapshot
from .lines import Lines
from .values import flag, number, optional, point_in_time, seconds

STATES = ("green", "amber", "red", "unknown")
HOUR_NS = 3600 * S_NS


def add_carbon(lines: Lines, snapshot: Snapshot) -> None:
    """Add what is known of the grid, and the budgets."""
    price = snapshot.price
    _add_intensity(lines, price.intensity)
    if price.market is not None:
        name, labels = "market_carbon_intensity", grid_labels(price.market)
        lines.add(f"{name}_grams_per_kilowatt_hour", number(price.market.grams_per_kwh), labels)
        lines.add(f"{name}_fallback", flag(price.market.fallback), labels)
    lines.add("pue_ratio", number(price.pue))
    lines.add("wue_liters_per_kilowatt_hour", optional(price.wue_l_per_kwh))
    _add_feeds(lines, snapshot.health.feeds)
    if snapshot.outlook is not None:
        _add_outlook(lines, snapshot.outlook)
    _add_budgets(lines, snapshot.budgets)


def grid_labels(intensity: Intensity) -> tuple[tuple[str, str], ...]:
    """The labels that say which intensity it is."""
    return (
        ("grid_zone", intensity.grid_zone),
        ("provider", intensity.provider),
        ("basis", intensity.basis),
        ("kind", intensity.kind),
    )


def _add_intensity(lines: Lines, intensity: Intensity) -> None:
    labels = grid_labels(intensity)
    name = "grid_carbon_intensity"
    lines.add(f"{name}_grams_per_kilowatt_hour", number(intensity.grams_per_kwh), labels)
    lines.add(f"{name}_updated_timestamp_seconds", point_in_time(intensity.updated_ns), labels)
    lines.add(f"{name}_fallback", flag(intensity.fallback), labels)
    lines.add(f"{name}_estimated", flag(intensity.estimated), labels)
    if intensity.max_age_ns:
        lines.add(f"{name}_max_age_seconds", seconds(intensity.max_age_ns), labels)
    lines.add(f"{name}_info", "1", (*labels, ("flow", intensity.flow), ("licence", intensity.licence)))


def _add_feeds(lines: Lines, feeds: Iterable[FeedHealth]) -> None:
    for feed in feeds:
        labels = (("role", feed.role), ("provider", feed.provider))
        lines.add("carbon_source_up", flag(feed.up), labels)
        at = point_in_time(feed.last_success_ns)
        lines.add("carbon_source_last_success_timestamp_seconds", at, labels)
        for reason, count in sorted({**dict.fromkeys(REASONS, 0), **feed.errors}.items()):
            lines.add("carbon_source_errors_total", str(count), (*labels, ("reason", reason)))


def _add_outlook(lines: Lines, outlook: Outlook) -> None:
    labels = grid_labels(outlook.source)
    for hours, mean in sorted(outlook.means.items()):
        name = "grid_forecast_carbon_intensity_grams_per_kilowatt_hour"
        lines.add(name, number(mean), (("horizon", f"{hours}h"), *labels))
    lines.add("grid_forecast_updated_timestamp_seconds", point_in_time(outlook.generated_ns), labels)
    for window in outlook.windows:
        duration = (("duration", f"{window.duration_ns // HOUR_NS}h"),)
        lines.add("grid_best_window_start_timestamp_seconds", seconds(window.start_ns), duration)
        if outlook.unit == "percentile":
            continue  # a signal has no grams to show or to save
        lines.add("grid_best_window_grams_per_kilowatt_hour", number(window.grams_per_kwh), duration)
        lines.add("grid_best_window_savings_ratio", number(window.savings_ratio), duration)
    for state in STATES:
        lines.add("grid_signal", flag(state == outlook.state), (("state", state),))


def _add_budgets(lines: Lines, budgets: Iterable[BudgetRow]) -> None:
    for budget in budgets:
        labels = (("budget", budget.name), ("period", budget.period))
        lines.add("budget_limit_grams", number(budget.limit_g), labels)
        lines.add("budget_consumed_grams", number(budget.consumed_g), labels)
        lines.add("budget_period_start_timestamp_seconds", seconds(budget.start_ns), labels)
        lines.add("budget_period_end_timestamp_seconds", seconds(budget.end_ns), labels)
        facts = (("timezone", budget.timezone), ("scope", budget.scope), ("selects", budget.selects))
        lines.add("budget_info", "1", (*labels, *facts))
