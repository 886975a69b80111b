"""What `wattledger once` shows of emissions, budgets and the hours ahead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..exposition import amounts
from ..model import S_NS, BudgetRow, Intensity, Outlook, Price
from ..snapshot import Snapshot
from . import grid_words
from .text_table import columns, printable

_S_PER_H = 3600


def emission_lines(snapshot: Snapshot) -> list[str]:
    """The price, and every way of accounting beside the location-based one that is configured."""
    price = snapshot.price
    intensity = price.intensity
    source = ", fallback" if intensity.fallback else ""
    lines = [
        f"priced at {intensity.grams_per_kwh:g} g CO2e per kWh ({intensity.provider}{source})",
        f"with a PUE of {price.pue:g}",
    ]
    if price.market is not None:
        mark = ", fallback" if price.market.fallback else ""
        market_g = sum(row.market_g or 0.0 for row in snapshot.nodes)
        at = f"{price.market.grams_per_kwh:g} g CO2e per kWh ({price.market.provider}{mark})"
        lines.append(f"market-based: {amounts.mass(market_g)} at {at}")
    if snapshot.embodied_g is not None:
        lines.append(f"embodied in the hardware: {amounts.mass(snapshot.embodied_g)}")
    if price.wue_l_per_kwh is not None:
        water_l = sum(row.water_l or 0.0 for row in snapshot.nodes)
        lines.append(f"water: {amounts.volume(water_l)} at {price.wue_l_per_kwh:g} l per kWh")
    return [
        *lines,
        *(
            printable(f"{feed.provider} ({feed.role}) failed: {feed.error}")
            for feed in snapshot.health.feeds
            if feed.error
        ),
    ]


def budget_lines(snapshot: Snapshot, seconds: float, width: int) -> list[str]:
    """Each budget's rate in this account beside the one that would just use it up; none without budgets.

    What the period has used so far is known to the agent alone.
    """
    if not snapshot.budgets:
        return []
    hours = _length_s(snapshot, seconds) / _S_PER_H
    rows = [("budget", "period", "limit", "rate now", "even pace", "")]
    for row in snapshot.budgets:
        even = row.limit_g / ((row.end_ns - row.start_ns) / S_NS / _S_PER_H)
        now = row.consumed_g / hours
        rows.append(
            (
                row.name,
                row.period,
                amounts.mass(row.limit_g),
                f"{amounts.mass(now)}/h",
                f"{amounts.mass(even)}/h",
                "too fast" if now > even else "",
            )
        )
    return ["", *columns(rows, right=(2, 3, 4), flexible=0, width=width)]


def outlook_lines(outlook: Outlook | None, now_ns: int, width: int) -> list[str]:
    """The signal and the best times; none where no course is known."""
    if outlook is None:
        return []
    source = ", ".join(part for part in (outlook.source.provider, outlook.source.grid_zone) if part)
    lines = ["", printable(f"signal: {outlook.state} ({source})")]
    rows = [("to run for", "best start", "mean", "saving")]
    for window in outlook.windows:
        saving = grid_words.percent(window.savings_ratio) if outlook.unit == "g/kWh" else ""
        start = grid_words.local(window.start_ns) if window.start_ns > now_ns else "now"
        mean = grid_words.amount(window.grams_per_kwh, outlook.unit)
        rows.append((grid_words.span(window.duration_ns), start, mean, saving))
    return lines + columns(rows, right=(2, 3), flexible=1, width=width) if outlook.windows else lines


def price_json(price: Price) -> dict[str, Any]:
    """What a joule costs, with its provenance."""
    return {
        **_grams_json(price.intensity),
        "pue": price.pue,
        "market": None if price.market is None else _grams_json(price.market),
        "wue_liters_per_kilowatt_hour": price.wue_l_per_kwh,
    }


def _grams_json(intensity: Intensity) -> dict[str, Any]:
    """What books may hold, named by its unit as the metric is; never a percentile."""
    told = grid_words.as_json(intensity)
    provenance = {key: told[key] for key in told if key not in ("value", "unit")}
    return {"grams_per_kilowatt_hour": intensity.grams_per_kwh, **provenance}


def budget_json(row: BudgetRow) -> Mapping[str, Any]:
    """A budget with what was booked against it in this account."""
    return {
        "budget": row.name,
        "period": row.period,
        "limit_grams": row.limit_g,
        "consumed_grams": row.consumed_g,
        "period_start": grid_words.utc(row.start_ns),
        "period_end": grid_words.utc(row.end_ns),
        "timezone": row.timezone,
        "scope": row.scope,
        "selects": row.selects,
    }


def _length_s(snapshot: Snapshot, seconds: float) -> float:
    """How long the account really was, from a component's energy and mean power; else as it was asked for."""
    known = [row.energy_uj / 1e6 / row.power_w for row in snapshot.nodes if row.power_w and row.energy_uj]
    return max(known, default=seconds)
