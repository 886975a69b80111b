"""Intensities, moments and spans of time, in words and for a program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..carbon.series import Unit
from ..exposition.moments import age, local, local_and_utc, span, utc
from ..model import S_NS, Intensity

__all__ = [
    "amount",
    "as_json",
    "bar",
    "estimate_of",
    "local",
    "local_and_utc",
    "percent",
    "provenance",
    "span",
    "sparkline",
    "utc",
]

_SPARKS = "▁▂▃▄▅▆▇█"


def amount(value: float, unit: Unit) -> str:
    """`187 g/kWh`, with a decimal below 10, or `percentile 42`, which is no intensity."""
    if unit == "percentile":
        return f"percentile {value:.0f}"
    return f"{value:.{1 if 0 < value < 9.95 else 0}f} g/kWh"


def percent(ratio: float) -> str:
    """`50 %`."""
    return f"{100 * ratio:.0f} %"


def estimate_of(intensity: Intensity) -> str:
    """What may be claimed of a saving: it is a forecast's, by the average or by the marginal power plant."""
    return f"estimated, {intensity.kind} basis"


def provenance(intensity: Intensity, now_ns: int) -> list[str]:
    """Where an intensity comes from, how old it is and under which licence, in a few lines."""
    facts = [intensity.provider]
    if intensity.grid_zone:
        facts.append(f"zone {intensity.grid_zone}")
    facts += [intensity.basis, intensity.kind]
    if intensity.flow:
        facts.append(intensity.flow)
    if intensity.estimated:
        facts.append("estimated")
    lines = [", ".join(facts)]
    if intensity.updated_ns:
        limit = f", given up at {span(intensity.max_age_ns)}" if intensity.max_age_ns else ""
        lines.append(age(intensity.updated_ns, now_ns) + limit)
    if intensity.licence:
        lines.append(f"licence: {intensity.licence}")
    return lines


def as_json(intensity: Intensity, unit: Unit = "g/kWh") -> dict[str, Any]:
    """The same for a program; what is not known is null."""
    return {
        "value": intensity.grams_per_kwh,
        "unit": unit,
        "provider": intensity.provider,
        "grid_zone": intensity.grid_zone or None,
        "basis": intensity.basis,
        "kind": intensity.kind,
        "flow": intensity.flow or None,
        "estimated": intensity.estimated,
        "fallback": intensity.fallback,
        "updated": utc(intensity.updated_ns) if intensity.updated_ns else None,
        "max_age_seconds": intensity.max_age_ns / S_NS if intensity.max_age_ns else None,
        "licence": intensity.licence or None,
    }


def sparkline(values: Sequence[float | None]) -> str:
    """One character a value, the lowest and the highest telling the scale; a blank where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    steps = len(_SPARKS) - 1
    scale = steps / (high - low) if high > low else 0.0
    return "".join(" " if value is None else _SPARKS[round((value - low) * scale)] for value in values)


def bar(value: float, highest: float, width: int) -> str:
    """A bar from zero, as long as the value's share of the highest."""
    return "█" * round(width * value / highest) if highest > 0 else ""
