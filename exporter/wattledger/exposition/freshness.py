"""One refresh shared by all the scrapes that find the snapshot old."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Protocol

from ..clock import Clock
from ..model import S_NS
from ..snapshot import Snapshot

FRESH_NS = S_NS
"""Age up to which a snapshot is served as it is."""
MAX_WAIT_S = 2.0
"""How long a scrape waits for a refresh at most, and how long one may take before it counts as stuck."""
MARGIN_S = 0.5
"""What a scrape's timeout leaves for rendering and the network."""


class SnapshotSource(Protocol):
    """Where the snapshots of one node come from; both methods may be called from any thread."""

    def latest(self) -> Snapshot | None:
        """The newest snapshot, None before the first."""

    def refresh(self, done: Callable[[], None]) -> None:
        """Ask for a newer snapshot now.

        `done` is called once, from any thread, when it is there or could not be had.
        """


class Freshness:
    """Gives the snapshots of one source, asking it for a newer one when needed. Lives on one event loop."""

    def __init__(self, source: SnapshotSource, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._refresh: asyncio.Future[None] | None = None
        self._give_up_at_s = 0.0

    def latest(self) -> Snapshot | None:
        """The newest snapshot, whatever its age."""
        return self._source.latest()

    async def snapshot(self, wait_s: float) -> Snapshot | None:
        """The newest snapshot after at most one refresh and at most `wait_s`; None before the first.

        A refresh that is stuck is waited for by the scrapes of its first MAX_WAIT_S only.
        """
        snapshot = self._source.latest()
        if snapshot is None or self._clock.boottime_ns() - snapshot.boottime_ns <= FRESH_NS:
            return snapshot
        loop = asyncio.get_running_loop()
        refresh = self._refresh
        if refresh is None or refresh.done():
            refresh = self._refresh = loop.create_future()
            self._give_up_at_s = loop.time() + MAX_WAIT_S
            self._source.refresh(_resolver(loop, refresh))
        await asyncio.wait((refresh,), timeout=max(0.0, min(wait_s, self._give_up_at_s - loop.time())))
        return self._source.latest()


def wait_of(timeout_header: str) -> float:
    """How long a scrape may wait for a refresh, given its X-Prometheus-Scrape-Timeout-Seconds."""
    try:
        timeout_s = float(timeout_header)
    except ValueError:
        return MAX_WAIT_S
    if not math.isfinite(timeout_s) or timeout_s <= 0:
        return MAX_WAIT_S
    return min(MAX_WAIT_S, max(0.0, timeout_s - MARGIN_S))


def _resolver(loop: asyncio.AbstractEventLoop, refresh: asyncio.Future[None]) -> Callable[[], None]:
    def resolve() -> None:
        if not refresh.done():
            refresh.set_result(None)

    def done() -> None:
        try:
            loop.call_soon_threadsafe(resolve)
        except RuntimeError:
            pass  # the server has ended meanwhile, and nobody waits

    return done
