"""What a GPU sensor tells of the use of its boards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import msgspec


@dataclass(frozen=True, slots=True)
class ProcessShare:
    """One process on one board; `weight` is its relative busy time within the interval.

    The pid 0 stands for work of no known process (a MIG instance whose processes may not be listed).
    """

    pid: int
    weight: int


class MigInstance(msgspec.Struct, frozen=True, kw_only=True):
    """One MIG device: a compute instance inside a GPU instance of a board.

    `profile` is its size in NVIDIA's terms, such as `1g.10gb`.
    """

    uuid: str
    profile: str
    gpu_instance: int
    compute_instance: int
    multiprocessors: int
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardUse:
    """Who used a board lately, and who holds memory on it.

    `device` equals that of the board's zone. `holders` are (pid, bytes) of contexts.
    `idle_power_w` is set where the sensor knows it. `quality` labels a weak split (`mps`, `mig-equal`, ...).
    `check_ratio` is the board's energy counter over its integrated power, where both are told.
    `instances` are its MIG devices now.
    """

    device: str
    shares: tuple[ProcessShare, ...]
    holders: tuple[tuple[int, int], ...] = ()
    idle_power_w: float | None = None
    quality: str = ""
    check_ratio: float | None = None
    instances: tuple[MigInstance, ...] = ()


@runtime_checkable
class GpuUsageSource(Protocol):
    """The second face of a GPU sensor."""

    def use(self) -> Sequence[BoardUse]:
        """The use of each board in its newest window, not older than ten seconds; never blocks."""
