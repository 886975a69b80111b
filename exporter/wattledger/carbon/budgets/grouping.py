"""Which budgets select a workload, worked out once for as long as its labels stay."""

from __future__ import annotations

from collections.abc import Mapping

from ...model import Workload
from .selector import Selector, labels_of

INTERVALS = 120
UID_LIMIT = 20_000
GROUP_LIMIT = 1_000


class Grouping:
    """Sorts workloads into groups: those that the same budgets select are in one group.

    `groups` holds each group's budgets by name, `recent` the group's number by uid for the uids of late.
    A uid is forgotten when it was not seen for one to two spans of INTERVALS calls of `age` or of UID_LIMIT
    uids; so both stay bounded whatever comes and goes.
    """

    def __init__(self, selectors: Mapping[str, Selector]) -> None:
        self.groups: list[tuple[str, ...]] = []
        self.recent: dict[int, int] = {}
        self._selectors = selectors
        self._older: dict[int, int] = {}
        self._numbers: dict[tuple[str, ...], int] = {}
        self._intervals = 0

    def number(self, uid: int, workload: Workload) -> int:
        """The number of a workload's group; the uid changes whenever a label of the workload does."""
        number = self.recent.get(uid)
        if number is None:
            number = self._older.get(uid)
            if number is None:
                number = self._number(self.selecting(workload))
            self.recent[uid] = number
        return number

    def selecting(self, workload: Workload) -> tuple[str, ...]:
        """The budgets that select a workload, worked out anew."""
        labels = labels_of(workload)
        return tuple([name for name, selector in self._selectors.items() if selector.accepts(labels)])

    def age(self) -> None:
        """Another interval begins; group numbers hold until the next call only."""
        self._intervals += 1
        if self._intervals >= INTERVALS or len(self.recent) > UID_LIMIT:
            self._intervals = 0
            self._older, self.recent = self.recent, {}
            if len(self.groups) > GROUP_LIMIT:
                self.groups, self._numbers, self._older = [], {}, {}

    def _number(self, names: tuple[str, ...]) -> int:
        number = self._numbers.get(names)
        if number is None:
            number = self._numbers[names] = len(self.groups)
            self.groups.append(names)
        return number
