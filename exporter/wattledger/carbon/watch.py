"""The thread that keeps live sources fresh, with the outlook made from them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from ..clock import Clock
from ..model import S_NS, FeedHealth, Outlook

log = logging.getLogger(__name__)

LOOK_S = 60.0
"""How often the outlook is made anew, and the longest sleep: a suspended machine wakes up to old data."""
DEFECT_S = 3600.0
PREFIX = "carbon/"


@runtime_checkable
class Feed(Protocol):
    """Something that has to be refreshed from time to time, on one background thread."""

    @property
    def health(self) -> FeedHealth:
        """How it fares; read from any thread."""

    def first_due_s(self, now_ns: int) -> float:
        """Seconds until the first refresh."""

    def refresh(self, now_ns: int) -> float:
        """Refresh at a moment of wall time; may take as long as its limits allow. Seconds until the next."""

    def notice(self, now_ns: int) -> None:
        """Log what time alone has changed."""


class CarbonWatch:
    """Refreshes feeds when they are due, and remakes the outlook after each and every minute.

    Everything readable is one reference to something immutable, for any thread. A refresh that takes long
    holds up the other feeds, and no reader.

    An exception that no feed should raise is a defect. It ends the thread, as `threading.excepthook` shows,
    and another one takes its place: the feed, or the outlook, that raised it counts as down and rests for an
    hour, the rest goes on.
    """

    def __init__(
        self,
        feeds: Sequence[Feed],
        clock: Clock,
        outlook: Callable[[int], Outlook | None] | None = None,
    ) -> None:
        self._feeds = tuple(feeds)
        self._clock = clock
        self._make_outlook = outlook
        self._outlook: Outlook | None = None
        self._stopping = threading.Event()
        self._primed = threading.Event()
        self._look_ns = clock.boottime_ns()
        self._looking = False
        self._broken = [False] * len(self._feeds)
        self._before: Mapping[str, int] = {}
        self._due_ns: list[int] = []

    @property
    def outlook(self) -> Outlook | None:
        """The newest one; None before the first, and where there is nothing to make it from."""
        return self._outlook

    def health(self) -> tuple[FeedHealth, ...]:
        """That of every feed, in their order; errors go on from those that were restored."""
        return tuple(
            replace(health, up=False, error="a defect of this program; its log has the traceback")
            if broken
            else health
            for health, broken in zip(map(self._counted, self._feeds), self._broken, strict=True)
        )

    def counts(self) -> dict[str, int]:
        """The errors of all feeds, flat, for whoever keeps them over a restart."""
        return {
            f"{_prefix(health)}{reason}": count
            for health in map(self._counted, self._feeds)
            for reason, count in health.errors.items()
        }

    def restore(self, counts: Mapping[str, int]) -> None:
        """Go on from the errors of an earlier watch."""
        self._before = {key: count for key, count in counts.items() if key.startswith(PREFIX)}

    def _counted(self, feed: Feed) -> FeedHealth:
        health = feed.health
        if not self._before:
            return health
        start, errors = _prefix(health), dict(health.errors)
        for key, count in self._before.items():
            if key.startswith(start):
                reason = key.removeprefix(start)
                errors[reason] = errors.get(reason, 0) + count
        return replace(health, errors=errors)

    def start(self, first_s: float) -> None:
        """Begin, and wait at most `first_s` for the first refreshes, so that the first tick has a price."""
        self._spawn()
        self._primed.wait(first_s)

    def stop(self) -> None:
        """End without waiting: a request that is under way comes to nothing but its source's last refresh."""
        self._stopping.set()

    def turn(self) -> float:
        """Do what is due now; seconds until something is due again."""
        if not self._due_ns:
            wall_ns, now_ns = self._clock.wall_ns(), self._clock.boottime_ns()
            self._due_ns = [now_ns + _ns(DEFECT_S)] * len(self._feeds)
            for index, feed in enumerate(self._feeds):
                self._due_ns[index] = now_ns + _ns(feed.first_due_s(wall_ns))
        for index, feed in enumerate(self._feeds):
            if self._stopping.is_set():
                return 0.0
            if self._clock.boottime_ns() >= self._due_ns[index]:
                self._refresh(index, feed)
        if not self._stopping.is_set() and self._clock.boottime_ns() >= self._look_ns:
            self._look()
        self._primed.set()
        next_ns = min([self._look_ns, *self._due_ns])
        return min(LOOK_S, max(0.0, (next_ns - self._clock.boottime_ns()) / S_NS))

    def _refresh(self, index: int, feed: Feed) -> None:
        """What a defect would leave behind is put in place first."""
        self._due_ns[index] = self._clock.boottime_ns() + _ns(DEFECT_S)
        self._broken[index] = True
        wait_s = feed.refresh(self._clock.wall_ns())
        self._broken[index] = False
        now_ns = self._clock.boottime_ns()
        self._due_ns[index] = now_ns + _ns(wait_s)
        if self._look_ns <= now_ns + _ns(LOOK_S):
            self._look_ns = now_ns

    def _look(self) -> None:
        wall_ns, now_ns = self._clock.wall_ns(), self._clock.boottime_ns()
        self._look_ns, self._looking = now_ns + _ns(DEFECT_S), True
        for feed in self._feeds:
            feed.notice(wall_ns)
        if self._make_outlook is not None:
            self._outlook = self._make_outlook(wall_ns)
        self._look_ns, self._looking = now_ns + _ns(LOOK_S), False

    def _spawn(self) -> None:
        threading.Thread(target=self._work, name="carbon", daemon=True).start()

    def _work(self) -> None:
        ended = False
        try:
            while not self._stopping.is_set():
                self._stopping.wait(self.turn())
            ended = True
        finally:
            if self._looking:
                self._outlook, self._looking = None, False
            if not ended and not self._stopping.is_set():
                self._spawn()


def _prefix(health: FeedHealth) -> str:
    return f"{PREFIX}{health.role}/{health.provider}/"


def _ns(seconds: float) -> int:
    return round(seconds * S_NS)
