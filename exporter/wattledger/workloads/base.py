"""What a source of workload usage promises."""

from __future__ import annotations

from typing import Protocol

from ..model import Usage


class WorkloadSource(Protocol):
    """Who runs on this host, and how much CPU time each used since the previous scan."""

    def scan(self) -> Usage:
        """Take one scan, skipping single unreadable entries; raises OSError only when nothing can be read."""
