"""The sampler's own thread: ticks on a timer, and at once when a scrape asks."""

from __future__ import annotations

import threading
from collections.abc import Callable

from .clock import Clock
from .model import S_NS
from .sampler import Sampler
from .snapshot import Snapshot

FRESH_NS = S_NS
"""The published resolution is never finer than a second (PLATYPUS, CVE-2020-8694)."""


class SamplerLoop:
    """Runs one sampler's ticks. The other methods may be called from any thread.

    `on_tick` is called after every tick, on the sampler's thread; `on_death` when the thread ends
    without having been stopped, which only a defect can cause.
    """

    def __init__(
        self,
        sampler: Sampler,
        clock: Clock,
        *,
        name: str = "sampler",
        on_tick: Callable[[Snapshot], None] | None = None,
        on_death: Callable[[], None] | None = None,
    ) -> None:
        self._sampler = sampler
        self._clock = clock
        self._on_tick = on_tick
        self._on_death = on_death
        self._wake = threading.Condition()
        self._waiting: list[Callable[[], None]] = []
        self._posted: list[Callable[[Sampler], None]] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin ticking; the first tick comes at once."""
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Ask for the end and wait for it; False when a source still holds the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def latest(self) -> Snapshot | None:
        """The newest snapshot."""
        return self._sampler.latest()

    def refresh(self, done: Callable[[], None]) -> None:
        """Ask for a tick now, shared by all who ask before it starts; `done` is called once after it."""
        with self._wake:
            if not self._stopping:
                self._waiting.append(done)
                self._wake.notify()
                return
        done()

    def post(self, change: Callable[[Sampler], None]) -> None:
        """Have `change` run on the sampler's thread between two ticks; a tick follows."""
        with self._wake:
            self._posted.append(change)
            self._wake.notify()

    def _run(self) -> None:
        clean = False
        try:
            self._loop()
            clean = True
        finally:
            with self._wake:
                self._stopping = True
                waiting, self._waiting = self._waiting, []
            for done in waiting:
                done()
            if not clean and self._on_death is not None:
                self._on_death()

    def _loop(self) -> None:
        while True:
            with self._wake:
                posted, self._posted = self._posted, []
                waiting, self._waiting = self._waiting, []
            for change in posted:
                change(self._sampler)
            latest = self._sampler.latest()
            if posted or not waiting or latest is None or self._age_ns(latest) >= FRESH_NS:
                snapshot = self._sampler.tick()
                if self._on_tick is not None:
                    self._on_tick(snapshot)
                due_ns = snapshot.boottime_ns + self._sampler.interval_ns
                if self._clock.boottime_ns() > due_ns:
                    self._sampler.overruns += 1
            for done in waiting:
                done()
            if not self._sleep():
                return

    def _sleep(self) -> bool:
        """Wait for the timer, a scrape or a change; False when it is time to end."""
        with self._wake:
            while not (self._stopping or self._waiting or self._posted):
                latest = self._sampler.latest()
                left_ns = self._sampler.interval_ns - self._age_ns(latest) if latest else 0
                if left_ns <= 0:
                    return True
                self._wake.wait(left_ns / S_NS)
            return not self._stopping

    def _age_ns(self, snapshot: Snapshot) -> int:
        return self._clock.boottime_ns() - snapshot.boottime_ns
