"""CPU time of the agent's real tick and render, stage by stage, in this process."""

from __future__ import annotations

import gc
import gzip
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from wattledger.app import build_sampler, build_workloads
from wattledger.attribution import Frame, attribute
from wattledger.carbon.pricing import Prices
from wattledger.clock import SystemClock
from wattledger.exposition.http import GZIP_LEVEL
from wattledger.exposition.own import OwnProcess, build_labels
from wattledger.exposition.render import Renderer
from wattledger.model import Probe, Reading, Share, Usage
from wattledger.sampler import Sampler
from wattledger.sensors.base import Sensor
from wattledger.sensors.registry import build_sensors
from wattledger.settings import Settings
from wattledger.snapshot import Snapshot
from wattledger.workloads.scan import HostWorkloads

STAGES = ("meters", "scan", "attribution", "ledger", "checkpoint", "snapshot and rest")
FORMATS = ("text", "text gzip", "OpenMetrics", "OpenMetrics gzip")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TickCost:
    """CPU nanoseconds of each tick, as a whole and by stage, and of each render by format.

    `repeat_ns` are those of ticks that came right after two others, when next to nobody had used anything.
    `active` is how many workloads used CPU time in the last tick, `workloads` and `body_bytes` what the
    last snapshot showed.
    """

    tick_ns: Sequence[int]
    repeat_ns: Sequence[int]
    stage_ns: dict[str, Sequence[int]]
    render_ns: dict[str, Sequence[int]]
    active: int
    workloads: int
    body_bytes: int


class _Stopwatch:
    """Sums the CPU time of this thread spent in wrapped calls since the last `drain()`."""

    def __init__(self) -> None:
        self.spent_ns = dict.fromkeys(STAGES, 0)

    def timed(self, stage: str, call: Callable[[], T]) -> T:
        began_ns = time.thread_time_ns()
        try:
            return call()
        finally:
            self.spent_ns[stage] += time.thread_time_ns() - began_ns

    def drain(self) -> dict[str, int]:
        spent_ns, self.spent_ns = self.spent_ns, dict.fromkeys(STAGES, 0)
        return spent_ns


class _TimedSensor:
    def __init__(self, inner: Sensor, watch: _Stopwatch) -> None:
        self.name = inner.name
        self._inner = inner
        self._watch = watch

    def probe(self) -> Probe:
        return self._watch.timed("meters", self._inner.probe)

    def read(self) -> Sequence[Reading]:
        return self._watch.timed("meters", self._inner.read)


class Bench:
    """A sampler over the real host with a stopwatch at its seams."""

    def __init__(self, settings: Settings) -> None:
        clock = SystemClock()
        self._watch = _Stopwatch()
        self._frame: Frame | None = None
        self._policy = settings.attribution.idle
        self._active = 0
        self._host = build_workloads(settings, clock)
        self._watch_scan(self._host)
        self.sampler = build_sampler(
            settings,
            clock=clock,
            sensors=[_TimedSensor(sensor, self._watch) for sensor in build_sensors(settings, clock)],
            workloads=self._host,
        )
        self._watch_ledger(self.sampler)

    def close(self) -> None:
        """Release the state directory and the descriptors, and let the collector look at everything again."""
        gc.unfreeze()
        self.sampler.close()
        self._host.close()

    def measure(self, ticks: int, between: Callable[[], None], *, warm_up: int = 3) -> TickCost:
        """Take `ticks` ticks after some that do not count, with `between` before each."""
        renderers, own = {name: Renderer(build_labels()) for name in FORMATS}, OwnProcess()
        tick_ns: list[int] = []
        repeat_ns: list[int] = []
        stage_ns: dict[str, list[int]] = {stage: [] for stage in STAGES}
        render_ns: dict[str, list[int]] = {name: [] for name in FORMATS}
        body = b""
        for number in range(warm_up + ticks):
            if number == warm_up:
                gc.collect()
                gc.freeze()  # as the daemon does after its first tick
            between()
            self._watch.drain()
            spent_ns, snapshot = self._tick()
            active, stages = self._active, self._split(spent_ns)
            rendered, body = _render(renderers, own, snapshot)
            self._tick()
            again_ns, _ = self._tick()
            if number < warm_up:
                continue
            tick_ns.append(spent_ns)
            repeat_ns.append(again_ns)
            for stage, spent in stages.items():
                stage_ns[stage].append(spent)
            for name, spent in rendered.items():
                render_ns[name].append(spent)
        return TickCost(
            tick_ns=tick_ns,
            repeat_ns=repeat_ns,
            stage_ns=dict(stage_ns),
            render_ns=dict(render_ns),
            active=active,
            workloads=len(snapshot.workloads),
            body_bytes=len(body),
        )

    def _tick(self) -> tuple[int, Snapshot]:
        began_ns = time.thread_time_ns()
        snapshot = self.sampler.tick()
        return time.thread_time_ns() - began_ns, snapshot

    def _watch_scan(self, host: HostWorkloads) -> None:
        scan, watch = host.scan, self._watch

        def timed_scan() -> Usage:
            usage = watch.timed("scan", scan)
            self._active = len(usage.cpu_ns)
            return usage

        host.scan = timed_scan  # type: ignore[method-assign]

    def _watch_ledger(self, sampler: Sampler) -> None:
        ledger, watch = sampler.ledger, self._watch
        book, checkpoint = ledger.book, ledger.checkpoint

        def timed_book(frame: Frame, shares: Sequence[Share], prices: Prices, **more: Any) -> None:
            self._frame = frame
            watch.timed("ledger", lambda: book(frame, shares, prices, **more))

        ledger.book = timed_book  # type: ignore[method-assign]
        ledger.checkpoint = lambda meters: watch.timed(  # type: ignore[method-assign]
            "checkpoint", lambda: checkpoint(meters)
        )

    def _split(self, tick_ns: int) -> dict[str, int]:
        """The stages of the last tick; the attribution, being pure, is timed by doing it once more."""
        frame = self._frame
        if frame is not None:
            self._watch.timed("attribution", lambda: attribute(frame, self._policy))
        stages = self._watch.drain()
        stages["snapshot and rest"] = max(0, tick_ns - sum(stages.values()))
        return stages


def percentile(values_ns: Sequence[int], percent: int) -> float:
    """The value in milliseconds below which `percent` of them lie."""
    if len(values_ns) < 2:
        return sum(values_ns) / 1e6
    return statistics.quantiles(values_ns, n=100, method="inclusive")[percent - 1] / 1e6


def _render(
    renderers: Mapping[str, Renderer], own: OwnProcess, snapshot: Snapshot
) -> tuple[dict[str, int], bytes]:
    """CPU nanoseconds of one scrape's body in each format, own metrics included, and the text body.

    Each format has a renderer of its own, because one that knows a row already does not write it again.
    """
    spent_ns = {}
    bodies = {}
    for name, renderer in renderers.items():
        began_ns = time.thread_time_ns()
        body = renderer.render(snapshot, openmetrics="OpenMetrics" in name, own=own.values())
        if "gzip" in name:
            gzip.compress(body, GZIP_LEVEL, mtime=0)
        spent_ns[name] = time.thread_time_ns() - began_ns
        bodies[name] = body
    return spent_ns, bodies["text"]
