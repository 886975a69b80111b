"""Amounts as a person reads them: three or four digits and a fitting unit."""

from __future__ import annotations

from ..model import J_UJ

NOTHING = "–"  # noqa: RUF001 - an en dash, where there is no value
_J_PER_KWH = 3_600_000


def watts(power_w: float | None) -> str:
    """`123.4 W`, two decimals below a watt, or a dash for no value."""
    if power_w is None:
        return NOTHING
    return f"{power_w:,.{2 if 0 < power_w < 0.995 else 1}f} W"


def energy(energy_uj: int) -> str:
    """Joules with a prefix, such as `1.25 MJ`."""
    return _scaled(energy_uj / J_UJ, (("GJ", 1e9), ("MJ", 1e6), ("kJ", 1e3), ("J", 1.0)), "J")


def kilowatt_hours(energy_uj: int) -> str:
    """Kilowatt hours, or the prefix that fits, such as `347 Wh`."""
    hours = energy_uj / J_UJ / _J_PER_KWH
    return _scaled(hours, (("GWh", 1e6), ("MWh", 1e3), ("kWh", 1.0), ("Wh", 1e-3), ("mWh", 1e-6)), "Wh")


def mass(grams: float) -> str:
    """Grams with a prefix, such as `12.3 g` or `1.20 kg`."""
    return _scaled(grams, (("t", 1e6), ("kg", 1e3), ("g", 1.0), ("mg", 1e-3), ("µg", 1e-6)), "mg")


def volume(liters: float) -> str:
    """Litres with a prefix, such as `1.25 l` or `100 ml`."""
    return _scaled(liters, (("m³", 1e3), ("l", 1.0), ("ml", 1e-3)), "ml")


def intensity(grams_per_kwh: float) -> str:
    """`187 g/kWh`, with a decimal below 10."""
    return f"{grams_per_kwh:,.{1 if 0 < grams_per_kwh < 9.95 else 0}f} g/kWh"


def share(ratio: float) -> str:
    """`62 %`; what falls short of 100 or goes beyond is never shown as 100."""
    percents = 100 * ratio
    if percents != 100 and 99.5 <= percents < 100.5:
        near = min(percents, 99.9) if percents < 100 else max(percents, 100.1)
        return f"{near:.1f} %"
    return f"{percents:,.0f} %"


def percent(ratio: float) -> str:
    """`±5 %`."""
    return f"±{ratio * 100:.0f} %"


def duration(time_ns: int) -> str:
    """Whole seconds."""
    return f"{time_ns // 1_000_000_000:,} s"


def _scaled(value: float, units: tuple[tuple[str, float], ...], zero: str) -> str:
    """Three significant digits at least, in the largest unit that leaves a whole part.

    What would show as nothing in the smallest unit is nothing, in the unit `zero`.
    """
    if abs(value) < units[-1][1] / 200:
        return f"0.00 {zero}"
    unit, size = next(((unit, size) for unit, size in units if abs(value) >= size), units[-1])
    scaled = value / size
    places = 2 if abs(scaled) < 10 else 1 if abs(scaled) < 100 else 0
    return f"{scaled:,.{places}f} {unit}"
