"""How fast a budget may be used up before somebody is told: windows and thresholds by period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from ..settings import Period

Window = Literal["5m", "30m", "1h", "2h", "6h", "14h", "1d", "7d"]

SECONDS: Mapping[str, int] = MappingProxyType(
    {
        "5m": 300,
        "30m": 1800,
        "1h": 3600,
        "2h": 7200,
        "6h": 21600,
        "14h": 50400,
        "1d": 86400,
        "7d": 604800,
    }
)
DAYS: Mapping[Period, int] = MappingProxyType({"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366})
"""The longest that a period can be."""

OVERRUN_RATIO = 1.1
"""A projection beyond so much of the limit is told."""


@dataclass(frozen=True, slots=True)
class Burn:
    """`fraction` of the limit within `window`, and a twelfth of it within `short`, for at least `hold`."""

    window: Window
    short: Window
    fraction: float
    hold: str


@dataclass(frozen=True, slots=True)
class Projection:
    """The pace of `window` goes on to the period's end; not told in the period's first `settle_s` seconds."""

    window: Window
    settle_s: int
    hold: str


@dataclass(frozen=True, slots=True)
class Pace:
    """The alerts on a budget of one period."""

    fast: Burn
    slow: Burn
    projection: Projection


_LONG = Projection("7d", 86400, "6h")

# A node draws at most two or three times its mean, and so does the grid: what SLOs use (14.4 times the even
# pace) could never be reached. docs/alerts.md has the arithmetic.
PACES: Mapping[Period, Pace] = MappingProxyType(
    {
        "day": Pace(
            Burn("1h", "5m", 0.15, "2m"), Burn("6h", "30m", 0.375, "15m"), Projection("6h", 7200, "30m")
        ),
        "week": Pace(
            Burn("6h", "30m", 0.125, "5m"), Burn("1d", "2h", 0.215, "15m"), Projection("1d", 43200, "2h")
        ),
        "month": Pace(Burn("1d", "2h", 0.1, "5m"), Burn("7d", "14h", 0.33, "15m"), _LONG),
        "quarter": Pace(Burn("1d", "2h", 0.033, "5m"), Burn("7d", "14h", 0.11, "15m"), _LONG),
        "year": Pace(Burn("1d", "2h", 0.008, "5m"), Burn("7d", "14h", 0.027, "15m"), _LONG),
    }
)
