"""Short courses of grid intensity that one can follow in the head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wattledger.carbon.series import Point, Series
from wattledger.model import S_NS

HOUR_NS = 3600 * S_NS
MIDNIGHT_NS = 1_767_225_600 * S_NS  # 2026-01-01T00:00:00Z, a Thursday


def hourly(values: Sequence[float | None], start_ns: int = MIDNIGHT_NS) -> tuple[Point, ...]:
    """One point an hour; None is a gap."""
    return tuple(
        Point(start_ns + hour * HOUR_NS, start_ns + (hour + 1) * HOUR_NS, value)
        for hour, value in enumerate(values)
        if value is not None
    )


def course_of(values: Sequence[float | None], start_ns: int = MIDNIGHT_NS, **facts: Any) -> Series:
    """A series of hours; everything about it can be given."""
    told: dict[str, Any] = {"provider": "schedule", "grid_zone": "DE", "fetched_ns": MIDNIGHT_NS} | facts
    return Series(points=hourly(values, start_ns), **told)
