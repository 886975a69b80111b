"""The workloads alive now, one object per identity."""

from __future__ import annotations

from collections import OrderedDict

from ..model import Workload

_RETIRED_LIMIT = 4096


class Roster:
    """Gives one `Workload` object per `(kind, id)` and counts the cgroups behind it.

    An identity that comes back (a restarted unit) gets its old object again as long as it is
    among the 4,096 that ended last, so memory does not grow with the number of births.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Workload] = {}
        self._holders: dict[Workload, int] = {}
        self._retired: OrderedDict[tuple[str, str], Workload] = OrderedDict()
        self._appeared: dict[Workload, None] = {}
        self._vanished: dict[Workload, None] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def retain(self, candidate: Workload) -> Workload:
        """Count one more holder of this identity; returns the object that stands for it."""
        workload = self._known.get(candidate.key)
        if workload is not None:
            self._holders[workload] += 1
            return workload
        workload = self._retired.pop(candidate.key, candidate)
        self._known[workload.key] = workload
        self._holders[workload] = 1
        if workload in self._vanished:
            del self._vanished[workload]
        else:
            self._appeared[workload] = None
        return workload

    def release(self, workload: Workload) -> None:
        """Count one holder less; with the last one the workload has ended."""
        self._holders[workload] -= 1
        if self._holders[workload]:
            return
        del self._holders[workload]
        del self._known[workload.key]
        self._retired[workload.key] = workload
        while len(self._retired) > _RETIRED_LIMIT:
            self._retired.popitem(last=False)
        if workload in self._appeared:
            del self._appeared[workload]
        else:
            self._vanished[workload] = None

    def drain(self) -> tuple[tuple[Workload, ...], tuple[Workload, ...]]:
        """Those that appeared and those that vanished since the previous call."""
        changes = tuple(self._appeared), tuple(self._vanished)
        self._appeared.clear()
        self._vanished.clear()
        return changes
