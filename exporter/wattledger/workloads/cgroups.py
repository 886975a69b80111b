"""CPU time that each cgroup used by itself since the previous scan.

A scan is three steps: `read` the usage of every known cgroup, children before parents;
`discover` the new ones; `book` the differences. What is credited and what the hierarchy used
stay equal at all times except for `debt_ns`: a child read at one instant and its parent at
a later one can disagree by what ran in between, and that is set off against the parent's next use.
"""

from __future__ import annotations

import errno
import math
import os

from ..hostfs import read_bytes
from ..model import EXITED, Workload
from .hierarchy import Hierarchy
from .roster import Roster
from .tree import CgroupTree, Node

_COVERAGE_NS = 30_000_000_000
_GONE = frozenset({errno.ENODEV, errno.ENOENT})


class Cgroups:
    """The tracked cgroups of one hierarchy.

    `max_debt_ns` bounds what the root may owe when its total is sampled, not counted.
    """

    def __init__(
        self, hierarchy: Hierarchy, roster: Roster, *, fd_budget: int, max_debt_ns: int = 1_000_000_000
    ) -> None:
        self.tree = CgroupTree(hierarchy, roster, fd_budget=fd_budget)
        self.hierarchy = hierarchy
        self._max_debt_ns = max_debt_ns
        self._started = False
        self._changed: list[Node] = []
        self._newborn: list[tuple[Node, int]] = []
        self._forks: int | None = None
        self._forked = True
        self._rounds: list[Node] = []
        self._credit = 0.0

    @property
    def debt_ns(self) -> int:
        """What was credited to cgroups beyond what their parents showed so far."""
        return sum(node.debt_ns for node in self.tree.nodes)

    def close(self) -> None:
        """Give back every descriptor."""
        self.tree.close()

    def read(self) -> None:
        """Read every known cgroup, children before parents."""
        if not self._started:
            self.tree.check(self.tree.root)
            self.tree.fresh.clear()
        for node in self._changed:
            node.raw = b""  # read but never booked: the previous scan failed half-way
        pread = os.pread
        changed: list[Node] = []
        lost: list[Node] = []
        doubtful: list[Node] = []
        for level in reversed(self.tree.levels):
            for node in level:
                try:
                    raw: bytes | None = pread(node.fd, 64, 0)
                except OSError as error:
                    raw = None if error.errno in _GONE else self.tree.usage(node)
                if raw == node.raw:
                    continue
                if not raw:
                    (lost if raw is None else doubtful).append(node)
                    continue
                node.raw = raw
                changed.append(node)
        self._changed = changed
        for node in doubtful:
            self.tree.check(node)
        parents = {node.parent: None for node in lost if node.parent is not None}
        for node in lost:
            if node.alive:
                self.tree.remove(node)
        for parent in parents:
            # A successor of the same name leaves the link count as it was.
            self.tree.check(parent, relist=True)

    def discover(self, *, forks: int | None, interval_ns: int) -> None:
        """Find new cgroups and read them.

        `forks` is the host's count of processes and threads ever made, None if unknown: where
        none was made, no cgroup came to life. Besides, every directory is looked at once in 30 s.
        """
        if self._started:
            self.tree.retry()
            if self._may_have_grown(forks):
                self.tree.sweep()
            else:
                self._look_round(interval_ns)
        fresh = [node for node in self.tree.fresh if node.alive]
        self.tree.fresh.clear()
        if not self._started or not fresh:
            return
        fresh.sort(key=_depth, reverse=True)
        ups: dict[Node, None] = {}
        for node in fresh:
            self._newborn.append((node, self._take_over(node)))
            up = node.up
            while up is not None and up not in ups:
                ups[up] = None
                up = up.up
        self._read_again([up for up in ups if up.read and up.alive])

    def _may_have_grown(self, forks: int | None) -> bool:
        if self.hierarchy.version == 2:
            try:
                head = read_bytes(f"{self.hierarchy.root}/cgroup.stat", 64).split(None, 2)
                return head[0] != b"nr_descendants" or int(head[1]) != len(self.tree.nodes) - 1
            except (OSError, IndexError, ValueError):
                return True
        # A container is made a moment after its first process, so look once more after the forks end.
        before, self._forks = self._forks, forks
        forked_before, self._forked = self._forked, forks is None or forks != before
        return self._forked or forked_before

    def _look_round(self, interval_ns: int) -> None:
        self._credit += len(self.tree.nodes) * interval_ns / _COVERAGE_NS
        count = min(math.ceil(self._credit), len(self.tree.nodes))
        self._credit = max(0.0, self._credit - count)
        for _ in range(count):
            if not self._rounds:
                self._rounds = list(self.tree.nodes)
            self.tree.check(self._rounds.pop())

    def _take_over(self, node: Node) -> int:
        """Read a cgroup for the first time; returns its usage so far."""
        node.raw = self.tree.usage(node) or b""
        try:
            node.value_ns = self.hierarchy.usage_ns(node.raw)
        except ValueError:
            return 0
        return node.value_ns

    def _read_again(self, nodes: list[Node]) -> None:
        """Read cgroups above newborn ones once more, so that they contain what those were seen to use."""
        known = set(self._changed)
        newborn = {node for node, _ in self._newborn}
        for node in sorted(nodes, key=_depth, reverse=True):
            if node in newborn:
                continue
            raw = self.tree.usage(node)
            if raw and raw != node.raw:
                node.raw = raw
                if node not in known:
                    self._changed.append(node)
        self._changed.sort(key=_depth, reverse=True)

    def root_usage_ns(self) -> int:
        """The total where the root counts it; raises OSError or ValueError."""
        return self.hierarchy.usage_ns(
            read_bytes(f"{self.hierarchy.root}/{self.hierarchy.usage_file}", 64)
        )  # fmt: skip

    def book(self, total_ns: int) -> tuple[dict[Workload, int], int]:
        """Credit each workload with what it used; returns this and the rest, which is the root's own use.

        `total_ns` is the whole hierarchy's usage since boot. The first call only sets the baseline.
        """
        own: dict[Node, int] = {}
        nested: dict[Node, int] = {}
        for node in self._changed:
            if not node.alive:
                continue
            try:
                value = self.hierarchy.usage_ns(node.raw)
            except ValueError:
                continue
            delta = value - node.value_ns
            node.value_ns = value
            below = nested.pop(node, 0) + node.debt_ns
            up = node.up or self.tree.root
            if delta < 0:
                # Made anew under the same name, or its counter was reset.
                self._newborn.append((node, max(0, value - below)))
                nested[up] = nested.get(up, 0) + below
                node.debt_ns = 0
                continue
            nested[up] = nested.get(up, 0) + delta
            rest = delta - below
            node.debt_ns = max(0, -rest)
            if rest > 0:
                own[node] = rest
        self._book_root(total_ns, own, nested)
        for node, ns in nested.items():
            node.debt_ns += ns
        newborn, self._newborn, self._changed = self._newborn, [], []
        if not self._started:
            self._started = True
            for node in self.tree.nodes:
                node.debt_ns = 0
            return {}, 0
        _make_room(own, newborn, self.tree.root)
        rest_ns = own.pop(self.tree.root, 0)
        return self._by_workload(own), rest_ns

    def _book_root(self, total_ns: int, own: dict[Node, int], nested: dict[Node, int]) -> None:
        root = self.tree.root
        delta = max(0, total_ns - root.value_ns)
        root.value_ns = total_ns
        rest = delta - nested.pop(root, 0) - root.debt_ns
        root.debt_ns = max(0, -rest)
        if not self.hierarchy.exact_total:
            root.debt_ns = min(root.debt_ns, self._max_debt_ns)
        if rest > 0:
            own[root] = rest

    def _by_workload(self, own: dict[Node, int]) -> dict[Workload, int]:
        cpu_ns: dict[Workload, int] = {}
        for node, ns in own.items():
            workload = node.workload or self.tree.promote(node) or EXITED
            cpu_ns[workload] = cpu_ns.get(workload, 0) + ns
        return cpu_ns


def _make_room(own: dict[Node, int], newborn: list[tuple[Node, int]], root: Node) -> None:
    """Credit newborn cgroups with what they used, as far as it is contained in what is left above them."""
    for node, ns in sorted(newborn, key=lambda entry: entry[0].depth):
        up = node.up or root
        take = min(ns, own.get(up, 0))
        if take > 0:
            own[up] -= take
            own[node] = own.get(node, 0) + take
            if not own[up]:
                del own[up]


def _depth(node: Node) -> int:
    return node.depth
