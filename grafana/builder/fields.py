"""How values are shown: units, thresholds, mappings and overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .palette import STATES

JSON = dict[str, Any]

WATT = "watt"
JOULE = "joule"
KWH = "kwatth"
GRAMS = "massg"
GRAMS_PER_KWH = "suffix: g CO₂e/kWh"
RATIO = "percentunit"
SECONDS = "s"
BYTES = "bytes"
LITRES = "litre"
NUMBER = "short"
MOMENT = "dateTimeAsLocal"
AGO = "dateTimeFromNow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Values from which on something is to be looked at, and from which on it is bad; None for neither."""

    warning: float | None = None
    bad: float | None = None

    def json(self) -> JSON:
        """Steps in order of their values; below the first, all is good."""
        steps: list[JSON] = [{"color": STATES["good"], "value": None}]
        if self.warning is not None:
            steps.append({"color": STATES["warning"], "value": self.warning})
        if self.bad is not None:
            steps.append({"color": STATES["bad"], "value": self.bad})
        return {"mode": "absolute", "steps": steps}


@dataclass(frozen=True, slots=True)
class Word:
    """A word, with its state, for a value."""

    value: int
    text: str
    state: str


def words(*entries: Word) -> list[JSON]:
    """Value mappings."""
    options = {
        str(word.value): {"text": word.text, "color": STATES[word.state], "index": index}
        for index, word in enumerate(entries)
    }
    return [{"type": "value", "options": options}]


def fixed(color: str) -> JSON:
    """A colour of its own."""
    return {"mode": "fixed", "fixedColor": color}


def by_name(name: str, properties: Mapping[str, Any]) -> JSON:
    """An override for the field of that name."""
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }


def coloured(colors: Mapping[str, str]) -> Sequence[JSON]:
    """One override per series name with a fixed colour."""
    return [by_name(name, {"color": fixed(color)}) for name, color in colors.items()]
