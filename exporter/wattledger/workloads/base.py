"""What a source of workload usage promises."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from ..model import Usage, Workload


class WorkloadSource(Protocol):
    """Who runs on this host, and how much CPU time each used since the previous scan."""

    def scan(self) -> Usage:
        """Take one scan, skipping single unreadable entries; raises OSError only when nothing can be read."""

    def owners(self, pids: Collection[int]) -> Mapping[int, Workload]:
        """The workload of each of these processes, as far as it is known."""
