"""Grid intensity from shares of generation by fuel."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import SettingsError
from ...model import Basis, Flow, Intensity
from .table_rows import table_rows

LICENCE = "IPCC AR5 WG3 annex III"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuel:
    """One source of electricity in gCO2e/kWh; `direct` is None where no figure is known."""

    name: str
    also: tuple[str, ...]
    lifecycle: float
    direct: float | None


def fuels() -> Mapping[str, Fuel]:
    """The bundled table by name, the further names left out; its sources are in `data/fuels.csv`."""
    return {
        row["fuel"]: Fuel(
            name=row["fuel"],
            also=tuple(row["also"].split()),
            lifecycle=float(row["lifecycle"]),
            direct=float(row["direct"]) if row["direct"] else None,
        )
        for row in table_rows("fuels")
    }


def mix_intensity(
    shares: Mapping[str, float],
    basis: Basis = "lifecycle",
    grid_zone: str = "",
    flow: Flow = "",
    key: str = "mix",
) -> Intensity:
    """The mean over a mix, each fuel weighted by its share; shares in any one unit (percent, MW, kWh).

    Fuels are found by name without regard to case, spaces and dashes. It is marked as estimated where
    `unknown` has a share. Raises SettingsError, which begins with `key`, for a fuel that is not in the table,
    one that is given twice, a share that is no number from 0 up, and a mix that has no share at all.
    """
    by_name = {name: fuel for fuel in fuels().values() for name in (fuel.name, *fuel.also)}
    grams = total = 0.0
    seen: dict[str, str] = {}
    for given, share in shares.items():
        fuel = _fuel(given, by_name, key)
        if fuel.name in seen:
            raise SettingsError(
                f"{key}: {given!r} and {seen[fuel.name]!r} both mean {fuel.name}; add them up"
            )
        seen[fuel.name] = given
        if not (math.isfinite(share) and share >= 0):
            raise SettingsError(f"{key}.{given}: {share} is no share; accepted are numbers from 0 up")
        factor = fuel.lifecycle if basis == "lifecycle" else fuel.direct
        if factor is None:
            raise SettingsError(f"{key}.{given}: no direct emissions are known for it; use basis: lifecycle")
        grams += share * factor
        total += share
    if not 0 < total < math.inf:
        raise SettingsError(
            f"{key}: needs the share of at least one fuel, such as {{gas: 40, wind: 60}}"
            f" (accepted: {', '.join(fuels())})"
        )
    return Intensity(
        grams_per_kwh=grams / total,
        provider="mix",
        grid_zone=grid_zone,
        basis=basis,
        estimated=shares.get(seen.get("unknown", ""), 0.0) > 0,
        flow=flow,
        licence=LICENCE,
    )


def _fuel(given: str, by_name: Mapping[str, Fuel], key: str) -> Fuel:
    wanted = "_".join(given.lower().replace("_", " ").replace("-", " ").split())
    if wanted in by_name:
        return by_name[wanted]
    near = difflib.get_close_matches(wanted, by_name, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    names = ", ".join(dict.fromkeys(fuel.name for fuel in by_name.values()))
    raise SettingsError(f"{key}: unknown fuel {given!r}{meant} (accepted: {names})")
