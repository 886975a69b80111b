"""The kinds of value that settings of carbon and budgets have beyond those of all settings."""

from __future__ import annotations

import difflib
import re
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal

from ..model import S_NS
from .kinds import UnfitError

_UNITS_G = {"g": 1, "kg": 1000, "Mg": 1_000_000, "t": 1_000_000}
_MASS = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?(g|kg|Mg|t)", re.ASCII)
_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,3}")
_URL = re.compile(
    r"https?://([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:\d{1,5})?(/[A-Za-z0-9._~/%-]*)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Mass:
    """A mass as grams, written `500 g`, `50 kg`, `1.5 t` or `1.5 Mg`."""

    lowest: str
    highest: str
    example: str
    metavar: str = "MASS"
    is_text: bool = True
    is_list: bool = False

    @property
    def accepts(self) -> str:
        return (
            f"a mass from {self.lowest} to {self.highest} with its unit, one of g, kg, t, Mg,"
            f" such as {self.example}"
        )

    def parse(self, text: str) -> float:
        value = mass_g(text)
        if not mass_g(self.lowest) <= value <= mass_g(self.highest):
            raise ValueError(text)
        return value

    def show(self, value: float) -> str:
        for unit in ("t", "kg"):
            if (Decimal(repr(value)) / _UNITS_G[unit]) % 1 == 0:
                return f"{Decimal(repr(value)) / _UNITS_G[unit]:.0f} {unit}"
        return f"{Decimal(repr(value)).normalize():f} g"


def mass_g(text: str) -> float:
    """Grams of a mass such as `1.5 t`; raises ValueError for anything else."""
    match = _MASS.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return float(Decimal(match[1]) * _UNITS_G[match[2]])


@dataclass(frozen=True, slots=True)
class Date:
    """A day as nanoseconds of wall time, at its midnight in UTC."""

    metavar: str = "DATE"
    is_text: bool = True
    is_list: bool = False
    accepts: str = "a date from 1990-01-01 to 2199-12-31, such as 2024-05-01"

    def parse(self, text: str) -> int:
        match = _DATE.fullmatch(text)
        if match is None:
            raise ValueError(text)
        day = date(int(match[1]), int(match[2]), int(match[3]))
        if not 1990 <= day.year <= 2199:
            raise ValueError(text)
        return int(datetime.combine(day, time(), UTC).timestamp()) * S_NS

    def show(self, value: int) -> str:
        return datetime.fromtimestamp(value // S_NS, UTC).date().isoformat()


@dataclass(frozen=True, slots=True)
class TimeZone:
    """The name of a time zone that this host knows."""

    metavar: str = "ZONE"
    is_text: bool = True
    is_list: bool = False
    accepts: str = "a name from the tz database, such as Europe/Berlin, America/New_York or UTC"

    def parse(self, text: str) -> str:
        if text == "UTC" or (_ZONE.fullmatch(text) and _is_zone(text)):
            return text
        known = sorted(zoneinfo.available_timezones())
        if not known:
            raise UnfitError(
                f"{text[:60]!a} cannot be looked up, as this host has no time zone database;"
                " install the package tzdata, or leave it at UTC"
            )
        nearest = _nearest_zone(text[:60].casefold(), known)
        hint = f" (did you mean {nearest}?)" if nearest else ""
        raise UnfitError(f"{text[:60]!a} is no time zone{hint}")

    def show(self, value: str) -> str:
        return value


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _nearest_zone(wanted: str, known: list[str]) -> str:
    """The zone most like it, by its city where no more is given; "" where none is alike."""
    places = [name for name in known if "/" in name and not name.startswith("Etc/")]
    folded = {(name if "/" in wanted else name.rpartition("/")[2]).casefold(): name for name in places}
    nearest = difflib.get_close_matches(wanted, folded, n=1, cutoff=0.8)
    return folded[nearest[0]] if nearest else ""


@dataclass(frozen=True, slots=True)
class Address:
    """An HTTP address without credentials; a text that may hold some is never shown."""

    example: str
    metavar: str = "URL"
    is_text: bool = True
    is_list: bool = False

    @property
    def accepts(self) -> str:
        return f"an address with https:// or http:// without user, password, ? and #, such as {self.example}"

    def parse(self, text: str) -> str:
        if set(text) & set("@?#"):
            raise UnfitError(
                "an address with user, password, ? or # is not accepted (nor shown, as it may be secret)"
            )
        if len(text) > 2000 or not _URL.fullmatch(text):
            raise ValueError(text)
        return text.rstrip("/")

    def show(self, value: str) -> str:
        return value


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The absolute path of a file with a key; anything else may be the key itself and is never shown."""

    metavar: str = "PATH"
    is_text: bool = True
    is_list: bool = False
    accepts: str = "the absolute path of a file that holds the key alone, such as /etc/wattledger/key"

    def parse(self, text: str) -> str:
        if not re.fullmatch(r"/[^\x00-\x1f\x7f]{1,4000}", text):
            raise UnfitError("what was given is no absolute path (and not shown, as it may be the key)")
        return text

    def show(self, value: str) -> str:
        return value
