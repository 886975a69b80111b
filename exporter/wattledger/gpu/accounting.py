"""Processes that lived between two looks, from the driver's accounting mode (pure)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple


class Accounted(NamedTuple):
    """What accounting mode knows of a process: mean percent and milliseconds of its life (0 for now)."""

    utilisation: int
    time_ms: int
    running: bool


class ShortLived:
    """Finds processes that came and went without ever being sampled.

    Accounting mode keeps the mean utilisation and the life time of processes that ended. One that the
    utilisation samples have shown is left out: its work is known already. What had begun before the first
    look is left out too: the mean of its whole life tells nothing of the time since.
    """

    def __init__(self) -> None:
        self._settled: set[int] | None = None

    def take(
        self,
        pids: Iterable[int],
        sampled: Collection[int],
        stats: Callable[[int], Accounted | None],
    ) -> dict[int, int]:
        """Busy microseconds of each process that ended unseen since the last look.

        `stats` is asked once for each process not settled yet; None when the driver forgot it.
        """
        remembered = set(pids)
        first = self._settled is None
        settled = (self._settled or set()) & remembered
        found: dict[int, int] = {}
        for pid in remembered - settled:
            known = stats(pid)
            if known is not None and known.running and not first:
                continue
            settled.add(pid)
            if known is None or first or pid in sampled:
                continue
            busy_us = min(known.utilisation, 100) * known.time_ms * 10
            if busy_us:
                found[pid] = busy_us
        self._settled = settled
        return found
