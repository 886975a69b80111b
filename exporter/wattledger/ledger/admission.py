"""Who gets series of its own when there are more workloads than the series limit allows (pure).

Membership is sticky: a member keeps its place until it ends. Free places go to whoever in the queue used
most CPU time lately. Once in a while the strongest of the queue replace the weakest members, only when
they are far apart, and never more than a tenth of the places at a time, so that series do not flap.
"""

from __future__ import annotations

from collections.abc import Collection
from heapq import nlargest, nsmallest

from ..model import Workload

Key = tuple[str, str]

EXCHANGE_EVERY = 12
EXCHANGE_RATIO = 4.0
EXCHANGE_SHARE = 0.1


class Admission:
    """The places, the members and the queue. CPU time noted decays by half at every exchange."""

    def __init__(self) -> None:
        self._capacity = 1
        self._members: dict[Key, float] = {}
        self._queue: dict[Key, tuple[Workload, float]] = {}
        self._rounds = 0

    @property
    def crowded(self) -> bool:
        """Whether anybody waits, which is when use must be noted."""
        return bool(self._queue)

    def resize(self, capacity: int) -> None:
        """Set the number of places; members beyond it stay until they end."""
        self._capacity = capacity

    def enter(self, key: Key, workload: Workload) -> bool:
        """Take a place if one is free, else queue; says which."""
        if len(self._members) < self._capacity:
            self._members[key] = 0.0
            return True
        self._queue[key] = (workload, 0.0)
        return False

    def restore(self, key: Key) -> None:
        """A member of an earlier process keeps its place."""
        self._members[key] = 0.0

    def leave(self, key: Key) -> None:
        """Free the place of a member whose series is no longer shown."""
        self._members.pop(key, None)

    def wait(self, key: Key, workload: Workload) -> None:
        """Queue a member that was displaced: it may grow strong again."""
        self._queue[key] = (workload, 0.0)

    def clear_queue(self) -> None:
        """Forget all who wait: whoever is still there will ask again."""
        self._queue.clear()

    def leave_queue(self, key: Key) -> None:
        """Forget somebody who ended while waiting."""
        self._queue.pop(key, None)

    def note(self, key: Key, used_ns: int) -> None:
        """Remember who used CPU time, member or not."""
        if key in self._members:
            self._members[key] += used_ns
        elif key in self._queue:
            workload, recent = self._queue[key]
            self._queue[key] = (workload, recent + used_ns)

    def exchange(self, ended: Collection[Key]) -> list[tuple[Key | None, Workload]]:
        """Promotions of this round: (member displaced or None for a free place, workload promoted).

        Members in `ended` are in their grace period and are not displaced.
        """
        if not self._queue:
            return []
        promotions: list[tuple[Key | None, Workload]] = []
        free = self._capacity - len(self._members)
        for key, (workload, recent) in nlargest(max(0, free), self._queue.items(), key=_recent_of_waiting):
            del self._queue[key]
            self._members[key] = recent
            promotions.append((None, workload))
        self._rounds += 1
        if self._rounds % EXCHANGE_EVERY == 0:
            promotions += self._displace(ended)
            self._members = {key: recent / 2 for key, recent in self._members.items()}
            self._queue = {key: (workload, recent / 2) for key, (workload, recent) in self._queue.items()}
        return promotions

    def _displace(self, ended: Collection[Key]) -> list[tuple[Key | None, Workload]]:
        places = max(1, round(self._capacity * EXCHANGE_SHARE))
        weakest = nsmallest(
            places,
            [(recent, key) for key, recent in self._members.items() if key not in ended],
        )
        strongest = nlargest(places, self._queue.items(), key=_recent_of_waiting)
        swaps: list[tuple[Key | None, Workload]] = []
        for (weak, old), (new, (workload, recent)) in zip(weakest, strongest, strict=False):
            if recent <= max(weak, 1.0) * EXCHANGE_RATIO:
                break
            del self._members[old]
            del self._queue[new]
            self._members[new] = recent
            swaps.append((old, workload))
        return swaps


def _recent_of_waiting(item: tuple[Key, tuple[Workload, float]]) -> float:
    return item[1][1]
