"""What a GPU sensor tells of the use of its boards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class ProcessShare:
    """One process on one board; `weight` is its relative busy time within the interval."""

    pid: int
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardUse:
    """Who used a board lately, and who holds memory on it.

    `device` equals that of the board's zone. `holders` are (pid, bytes) of contexts.
    `idle_power_w` is set where the sensor knows it. `quality` labels a weak split (`mps`, `mig-equal`, ...).
    """

    device: str
    shares: tuple[ProcessShare, ...]
    holders: tuple[tuple[int, int], ...] = ()
    idle_power_w: float | None = None
    quality: str = ""


@runtime_checkable
class GpuUsageSource(Protocol):
    """The second face of a GPU sensor."""

    def use(self) -> Sequence[BoardUse]:
        """The use of each board in its newest window, not older than ten seconds; never blocks."""
