"""The kinds of value a setting can have: how each is read from text, and how it is written.

Flags, the environment and YAML scalars all arrive as text, so one reading serves all three.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from ..errors import SettingsError
from ..model import S_NS, Calibration

_UNITS_NS = {
    "ms": S_NS // 1000,
    "s": S_NS,
    "m": 60 * S_NS,
    "h": 3600 * S_NS,
    "d": 86400 * S_NS,
    "w": 7 * 86400 * S_NS,
}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)", re.ASCII)
_LONGEST_DURATION = 40
_NAME = re.compile(r"[A-Za-z0-9._/-]{1,317}")
_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[^\s:\[\]]*):(\d{1,5})", re.ASCII)


class UnfitError(ValueError):
    """A text is not accepted, for the reason in the message, which stands in place of the text."""


class Kind(Protocol):
    """How the value of one setting is read and shown."""

    @property
    def accepts(self) -> str:
        """What may be given, for a message and for the reference."""

    @property
    def metavar(self) -> str:
        """The word that stands for the value in `--help`."""

    @property
    def is_text(self) -> bool:
        """Whether a quoted YAML scalar may hold it; a quoted number or switch is a wrong type."""

    @property
    def is_list(self) -> bool:
        """Whether several may be given: the flag repeatedly, as a YAML list, or separated by commas."""

    def parse(self, text: str) -> Any:
        """The value that `text` stands for; raises ValueError (or UnfitError) when it is not accepted."""

    def show(self, value: Any) -> str:
        """The text that `parse` reads back as `value`."""


def read_text(kind: Kind, text: str, origin: str) -> Any:
    """The value that `text` stands for.

    Raises SettingsError, which begins with `origin` and says what is accepted.
    """
    try:
        return kind.parse(text)
    except UnfitError as error:
        raise SettingsError(f"{origin}: {error}; give {kind.accepts}") from None
    except (ValueError, OverflowError):
        raise SettingsError(f"{origin}: {quoted(text)} is not accepted; give {kind.accepts}") from None


def quoted(text: str) -> str:
    """A text of any length as one short piece of a line."""
    shown = text if len(text) <= 60 else text[:57] + "..."
    return '"' + shown.encode("unicode_escape").decode("ascii") + '"'


@dataclass(frozen=True, slots=True)
class Duration:
    """A span of time as integer nanoseconds, written `500ms`, `5s`, `1h30m` or `400d`."""

    lowest: str
    highest: str
    example: str
    metavar: str = "DURATION"
    is_text: bool = True
    is_list: bool = False

    @property
    def accepts(self) -> str:
        return f"a duration from {self.lowest} to {self.highest}, such as {self.example}"

    def parse(self, text: str) -> int:
        value = duration_ns(text)
        if not duration_ns(self.lowest) <= value <= duration_ns(self.highest):
            raise ValueError(text)
        return value

    def show(self, value: int) -> str:
        for unit in ("d", "h", "m", "s"):
            if value % _UNITS_NS[unit] == 0:
                return f"{value // _UNITS_NS[unit]}{unit}"
        return f"{value // _UNITS_NS['ms']}ms"


def duration_ns(text: str) -> int:
    """Nanoseconds of a duration such as `1h30m`; raises ValueError for anything else."""
    parts = _DURATION_PART.findall(text) if len(text) <= _LONGEST_DURATION else []
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(text)
    return int(sum(Decimal(number) * _UNITS_NS[unit] for number, unit in parts))


@dataclass(frozen=True, slots=True)
class Number:
    """A finite decimal number within bounds, both included; `unit` is said after the bounds."""

    lowest: float
    highest: float
    unit: str = ""
    metavar: str = "NUMBER"
    is_text: bool = False
    is_list: bool = False

    @property
    def accepts(self) -> str:
        return f"a number from {self.lowest:g} to {self.highest:g}{' ' if self.unit else ''}{self.unit}"

    def parse(self, text: str) -> float:
        value = float(text)
        if not self.lowest <= value <= self.highest:
            raise ValueError(text)
        return value

    def show(self, value: float) -> str:
        return repr(value).removesuffix(".0")


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number within bounds, both included."""

    lowest: int
    highest: int
    metavar: str = "NUMBER"
    is_text: bool = False
    is_list: bool = False

    @property
    def accepts(self) -> str:
        return f"a whole number from {self.lowest} to {self.highest}"

    def parse(self, text: str) -> int:
        value = int(text)
        if not self.lowest <= value <= self.highest:
            raise ValueError(text)
        return value

    def show(self, value: int) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]
    is_text: bool = True
    is_list: bool = False

    @property
    def accepts(self) -> str:
        return "one of " + ", ".join(self.words) if len(self.words) > 1 else self.words[0]

    @property
    def metavar(self) -> str:
        return "|".join(self.words)

    def parse(self, text: str) -> str:
        if text not in self.words:
            raise ValueError(text)
        return text

    def show(self, value: str) -> str:
        return value


@dataclass(frozen=True, slots=True)
class Switch:
    """On or off."""

    metavar: str = ""
    is_text: bool = False
    is_list: bool = False
    accepts: str = "true or false"

    def parse(self, text: str) -> bool:
        word = text.lower()
        if word in ("true", "yes", "on", "1"):
            return True
        if word in ("false", "no", "off", "0"):
            return False
        raise ValueError(text)

    def show(self, value: bool) -> str:
        return "true" if value else "false"


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a given form; `pattern` must match all of it."""

    accepts: str
    pattern: str = r"[^\x00-\x1f\x7f]+"
    metavar: str = "TEXT"
    is_text: bool = True
    is_list: bool = False

    def parse(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(text)
        return text

    def show(self, value: str) -> str:
        return value


@dataclass(frozen=True, slots=True)
class Addresses:
    """One or more addresses to listen on; as text separated by commas."""

    metavar: str = "ADDRESS"
    is_text: bool = True
    is_list: bool = True
    accepts: str = "host:port, :port or [ipv6]:port with a port from 0 to 65535"

    def parse(self, text: str) -> tuple[str, ...]:
        addresses = tuple(part.strip() for part in text.split(","))
        for address in addresses:
            match = _ADDRESS.fullmatch(address)
            if match is None or int(match[1]) > 65535:
                raise ValueError(text)
        return addresses

    def show(self, value: Sequence[str]) -> str:
        return ",".join(value)


@dataclass(frozen=True, slots=True)
class Names:
    """Any number of names, such as those of Kubernetes labels; as text separated by commas."""

    metavar: str = "NAME"
    is_text: bool = True
    is_list: bool = True
    accepts: str = "names of letters, digits and ._/-, such as app.kubernetes.io/name"

    def parse(self, text: str) -> tuple[str, ...]:
        names = tuple(part.strip() for part in text.split(",")) if text.strip() else ()
        if not all(_NAME.fullmatch(name) for name in names):
            raise ValueError(text)
        return names

    def show(self, value: Sequence[str]) -> str:
        return ",".join(value)


@dataclass(frozen=True, slots=True)
class Calibrations:
    """Corrections of single devices, `DEVICE=GAIN` or `DEVICE=GAIN:OFFSET`; as text separated by commas."""

    metavar: str = "DEVICE=GAIN:WATTS"
    is_text: bool = True
    is_list: bool = True
    accepts: str = (
        "DEVICE=GAIN or DEVICE=GAIN:WATTS with a gain from 0.5 to 2 and an offset from -100 to 100 watts,"
        " such as GPU-7f3a9c52-0000-4000-8000-000000000000=1.05:-2"
    )

    def parse(self, text: str) -> dict[str, Calibration]:
        found = {}
        for part in text.split(",") if text.strip() else ():
            device, equals, numbers = part.strip().rpartition("=")
            gain, _, offset_w = numbers.partition(":")
            calibration = Calibration(float(gain), float(offset_w or 0))
            if not (device and equals and 0.5 <= calibration.gain <= 2 and abs(calibration.offset_w) <= 100):
                raise ValueError(part)
            found[device] = calibration
        return found

    def show(self, value: Mapping[str, Calibration]) -> str:
        return ",".join(f"{device}={one.gain:g}:{one.offset_w:g}" for device, one in value.items())
