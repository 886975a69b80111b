"""Generation mixes in the settings file."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from ..carbon.offline.mix import fuels
from ..errors import SettingsError
from .kinds import Number
from .structure import Structure

if TYPE_CHECKING:
    from .structured_part import Part

_SHARE = Number(0, 1e12)


class Mix(Structure):
    """Shares of generation by fuel, in any one unit, at least one of them above zero."""

    accepts = "a mapping from fuels to shares in any one unit, such as {wind: 40, gas: 60}"

    def read(self, part: Part) -> dict[str, float]:
        names = _names()
        found: dict[str, float] = {}
        for key, one in part.entries(self.accepts).items():
            fuel = names.get(_folded(key))
            if fuel is None:
                nearest = difflib.get_close_matches(_folded(key[:64]), names, n=1, cutoff=0.0)
                raise SettingsError(
                    f"{one.origin}: unknown fuel; the nearest is {names[nearest[0]]};"
                    f" accepted are {', '.join(dict.fromkeys(names.values()))}"
                )
            if one.is_null:
                continue
            if fuel in found:
                raise SettingsError(f"{one.origin}: {fuel} is given twice; keep one of them")
            found[fuel] = one.value(_SHARE)
        if not any(found.values()):
            raise SettingsError(f"{part.origin}: no share is above zero; give {self.accepts}")
        return found


def _folded(name: str) -> str:
    return "_".join(name.lower().replace("_", " ").replace("-", " ").split())


def _names() -> dict[str, str]:
    """Fuels by all their names."""
    return {name: fuel.name for fuel in fuels().values() for name in (*fuel.also, fuel.name)}
