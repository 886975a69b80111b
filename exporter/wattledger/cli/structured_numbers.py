"""Mappings from a few names to numbers in the settings file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import SettingsError
from .kinds import Integer, Number
from .structure import Structure

if TYPE_CHECKING:
    from .structured_part import Part


@dataclass(frozen=True, slots=True)
class Numbers(Structure):
    """Numbers by name, at least one of them above zero; `kinds` are the names there are."""

    kinds: Mapping[str, Number | Integer]
    example: str

    @property
    def accepts(self) -> str:
        return f"a mapping such as {self.example}, with keys of {', '.join(self.kinds)}"

    def read(self, part: Part) -> dict[str, float]:
        fields = part.fields(tuple(self.kinds), self.accepts)
        found = {name: float(one.value(self.kinds[name])) for name, one in fields.items()}
        if not any(found.values()):
            raise SettingsError(f"{part.origin}: nothing in it is above zero; give {self.accepts}")
        return found
