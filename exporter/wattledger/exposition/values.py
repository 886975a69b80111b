"""How numbers and label values are written: exactly, and without exponents."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import Decimal

_LABEL_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*\Z")
_SPECIAL = re.compile('[\\\\"\n\x00\ud800-\udfff]')
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}

_MICRO = 1_000_000
_NANO = 1_000_000_000


def joules(energy_uj: int) -> str:
    """Microjoules as joules; parsing gives the double nearest to the exact quotient."""
    # int / int rounds correctly at any size, and repr is the shortest text that parses back to it;
    # it uses an exponent below 1e-4 and from 1e16.
    if 100 <= energy_uj < 10**21:
        return repr(energy_uj / _MICRO)
    return _decimal(energy_uj, _MICRO, 6)


def seconds(time_ns: int) -> str:
    """Nanoseconds as seconds; parsing gives the double nearest to the exact quotient."""
    if 100_000 <= time_ns < 10**24:
        return repr(time_ns / _NANO)
    return _decimal(time_ns, _NANO, 9) if time_ns else "0"


def number(value: float) -> str | None:
    """A float as the shortest decimal that parses back to it; None for what is not a number."""
    text = repr(value)
    if "e" in text or "n" in text:
        return format(Decimal(text), "f") if math.isfinite(value) else None
    return text


def label_pairs(pairs: Iterable[tuple[str, str]], limit: int) -> str:
    """The labels of a sample without the braces; "" if nothing is left to write.

    Left out are empty values, names Prometheus does not allow, second uses of a name, and pairs beyond
    `limit`: any of them would cost the whole scrape.
    """
    written: dict[str, str] = {}
    for name, value in pairs:
        if value and name not in written and len(written) < limit and _LABEL_NAME.match(name):
            written[name] = f'{name}="{escaped(value)}"'
    return ",".join(written.values())


def escaped(value: str) -> str:
    """A label value with the three escapes of the formats.

    Lone surrogates, which UTF-8 cannot carry, and NUL, which ends the input of Prometheus' lexer,
    become U+FFFD.
    """
    return _SPECIAL.sub(_escape, value)


def _escape(match: re.Match[str]) -> str:
    return _ESCAPES.get(match.group(), "\ufffd")


def _decimal(count: int, unit: int, digits: int) -> str:
    """`count / unit` exactly, in positional notation."""
    whole, rest = divmod(abs(count), unit)
    sign = "-" if count < 0 else ""
    return f"{sign}{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".")


def optional(value: float | None) -> str | None:
    """A number, or no sample."""
    return None if value is None else number(value)


def flag(value: bool) -> str:
    """Yes as 1, no as 0."""
    return "1" if value else "0"


def point_in_time(wall_ns: int) -> str | None:
    """Wall time in seconds; 0 means that it never happened, and is no sample."""
    return seconds(wall_ns) if wall_ns else None
