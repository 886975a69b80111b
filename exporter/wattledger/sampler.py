"""The tick: read the meters, scan the workloads, split, book, checkpoint, publish.

Everything here runs on one thread; readers take `latest()`, one immutable reference.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from .attribution import Board, Frame, attribute
from .boards import Boards
from .boards import rows as board_rows
from .carbon.intensity import Static, world_average
from .carbon.pricing import Prices, Pricing
from .carbon.watch import CarbonWatch
from .clock import Clock, suspended_ns
from .counters import SUSPEND_TOLERANCE_NS
from .gpu.records import BoardUse
from .ledger.book import Ledger
from .meters import Intake, Meters
from .model import EXITED, S_NS, Calibration, Component, Price, Usage, Workload, Zone
from .sensing import Sensing, log_changes, log_cover
from .sensors.base import Sensor
from .settings import IdlePolicy
from .snapshot import Health, Snapshot
from .workloads.base import WorkloadSource
from .workloads.names.service import NameService

log = logging.getLogger(__name__)

LOST_ZONE = frozenset({"missing", "enoent", "enodev"})
FIRST_NAMES_S = 1.0
"""How long the first tick, behind which no other waits, lets the names of what already runs arrive."""

CARRIED_LIMIT = 10_000
"""Workloads whose use is kept apart while a meter fails; beyond, those that ended become one."""


class SelfClock(Protocol):
    """CPU time of this process in nanoseconds."""

    def __call__(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What of the settings the tick needs."""

    interval_ns: int = 5 * S_NS
    idle: IdlePolicy = "unallocated"
    pricing: Pricing
    watch: CarbonWatch | None = None
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)


@dataclass(slots=True)
class _Interval:
    """Carried from tick to tick."""

    end_ns: int | None = None
    suspended_ns: int = 0
    carried: dict[Component, dict[Workload, int]] = field(default_factory=dict)
    failing: dict[str, str] = field(default_factory=dict)


class Sampler:
    """Owns the tick. `tick()` is called by one thread only; `latest()` by any."""

    def __init__(
        self,
        *,
        sensors: Sequence[Sensor],
        workloads: WorkloadSource,
        ledger: Ledger,
        policy: Policy,
        clock: Clock,
        names: NameService | None = None,
        node_info: Mapping[str, str] | None = None,
        self_clock: SelfClock = time.process_time_ns,
    ) -> None:
        self.sensing = Sensing(sensors, self._guard)
        self._workloads = workloads
        self._ledger = ledger
        self._policy = policy
        self._clock = clock
        self._names = names
        self._node_info = dict(node_info or {})
        self._self_clock = self_clock
        self._self_ns = self_clock()
        self._meters = Meters()
        self._meters.calibrate(policy.calibrations)
        self._boards = Boards()
        self._interval = _Interval()
        self._latest: Snapshot | None = None
        self._sequence = 0
        self.ticks = ledger.counts.get("ticks", 0)
        self.overruns = ledger.counts.get("overruns", 0)
        self.failures = ledger.counts.get("failures", 0)
        if names is not None:
            names.restore(ledger.counts)
        if policy.watch is not None:
            policy.watch.restore(ledger.counts)
        self._stale: frozenset[str] = frozenset()
        self._reloaded_wall_ns = clock.wall_ns()

    @property
    def meters(self) -> Meters:
        return self._meters

    @property
    def ledger(self) -> Ledger:
        return self._ledger

    @property
    def interval_ns(self) -> int:
        return self._policy.interval_ns

    def latest(self) -> Snapshot | None:
        """The newest published snapshot, None before the first tick."""
        return self._latest

    @property
    def reload(self) -> tuple[bool, int]:
        """Whether the newest configuration is in force, and the wall time of the last load that worked."""
        return not self._stale, self._reloaded_wall_ns

    def note_reload(self, part: str, works: bool) -> None:
        """Take down how a reload of one part of the configuration ended."""
        if works:
            self._stale -= {part}
            self._reloaded_wall_ns = self._clock.wall_ns()
        else:
            self._stale |= {part}

    def configure(
        self, policy: Policy, sensors: Sequence[Sensor] | None, workloads: WorkloadSource | None
    ) -> None:
        """Take new settings between two ticks; sensors and workloads only where they were rebuilt."""
        if policy.watch is not None and policy.watch is not self._policy.watch:
            policy.watch.restore(self._ledger.counts)
        self._policy = policy
        self._meters.calibrate(policy.calibrations)
        if sensors is not None:
            self.sensing.replace(sensors)
        if workloads is not None:
            self._workloads = workloads
            self._ledger.accounts.end_all(self._clock.boottime_ns())

    def rename(self, names: NameService | None) -> None:
        """Take another name service between two ticks; it starts with every workload that is there."""
        if self._names is not None:
            self._names.stop()
        self._names = names
        if names is not None:
            names.restore(self._ledger.counts)
            names.start()
            names.ask(self._ledger.accounts.living())

    def close(self) -> None:
        """Release the sensors and the state directory; end the name service without waiting for it."""
        if self._names is not None:
            self._names.stop()
        self.sensing.close()
        self._ledger.close()

    def tick(self) -> Snapshot:
        """Take one sample and publish it. The first one only sets the starting points."""
        started_ns = self._clock.monotonic_ns()
        began_ns, wall_ns = self._clock.boottime_ns(), self._clock.wall_ns()
        if self.sensing.due(began_ns):
            self._probe(began_ns)
        asleep_ns = suspended_ns(self._clock)
        intake = self._meters.take(self.sensing.read(), asleep_ns)
        log_changes(intake.changes)
        counted = self._meters.cover.counted
        if any(what in LOST_ZONE and zone.key in counted for zone, what in intake.changes):
            self.sensing.hurry()
        usage = self._scan(began_ns)
        if self._names is not None:
            self._names.ask(usage.born)
            self._names.forget(usage.ended)
            if self._interval.end_ns is None:
                self._names.settle(FIRST_NAMES_S)
        frame = self._frame(intake, usage, began_ns)
        uses = self.sensing.uses() if intake.boards else ()
        if intake.boards and frame.energy_uj:
            frame = replace(frame, boards=self._join_boards(intake, uses))
        if abs(asleep_ns - self._interval.suspended_ns) <= SUSPEND_TOLERANCE_NS:
            self._learn(frame)  # an hour of sleep is not the calmest minute
        self._interval.suspended_ns = asleep_ns
        shares = attribute(frame, self._policy.idle)
        self._ledger.declare(self._meters.cover.components, node=bool(self._meters.cover.node))
        prices = self._price(wall_ns, frame.end_ns - frame.start_ns, intake.reach_ns)
        estimated = self._estimated()
        own_uj = self._self_share(frame)
        self._ledger.book(frame, shares, prices, estimated=estimated, self_energy_uj=own_uj)
        if self._names is not None:
            for key, names, final in self._names.drain():
                self._ledger.accounts.name(key, names, final=final)
        self._interval.end_ns = began_ns
        return self._publish(frame, prices.now, started_ns, uses)

    def _price(self, wall_ns: int, interval_ns: int, reach_ns: Mapping[Component, int]) -> Prices:
        """The prices of the interval; where a source has a defect, those of the world average."""
        pricing = self._policy.pricing
        prices: Prices | None = self._guard("prices", lambda: pricing.prices(wall_ns, interval_ns, reach_ns))
        return prices or Pricing(intensity=Static(world_average())).prices(wall_ns, interval_ns, reach_ns)

    def _probe(self, now_ns: int) -> None:
        """Look at the hardware anew; the first time, take up what an earlier process knew of it."""
        zones, cover = self.sensing.probe(now_ns)
        saved = self._ledger.take_saved_meters()
        if saved is not None:
            self._meters.load(saved, zones)
        if cover != self._meters.cover:
            log_cover(cover)
        self._meters.follow(zones, cover, self.sensing.lost)
        self._ledger.idle.declare(_declared_idle(cover.components))

    def _join_boards(self, intake: Intake, uses: Sequence[BoardUse]) -> tuple[Board, ...]:
        """Each GPU board with its users; without a source of use it is nobody's."""
        return self._boards.join(
            intake.boards,
            uses,
            self._workloads.owners,
            self._ledger.idle,
            self._clock.wall_ns(),
            of_host=len(self._meters.cover.components.get("gpu", ())),
        )

    def _scan(self, now_ns: int) -> Usage:
        usage = self._guard("workloads", self._workloads.scan)
        # Without CPUs there is no utilisation, and so no calm minute for the idle floor to learn from.
        return usage or Usage(at_ns=now_ns, cpus=0, busy_ns=0, cpu_ns={})

    def _guard(self, source: str, read: Callable[[], Any]) -> Any:
        """The one broad guard: a source that raises loses its own values of this tick and nothing else."""
        try:
            value = read()
        except Exception as error:  # partial beats nothing: it is counted, and logged when it changes
            self.failures += 1
            if self._interval.failing.get(source) != repr(error):
                self._interval.failing[source] = repr(error)
                log.warning("source failed", extra={"source": source, "error": repr(error)}, exc_info=True)
            return None
        if self._interval.failing.pop(source, None) is not None:
            log.info("source recovered", extra={"source": source})
        return value

    def _frame(self, intake: Intake, usage: Usage, now_ns: int) -> Frame:
        """Join energy and use; what a meter drew while no agent was there is nobody's."""
        carried = self._interval.carried
        joined = {component: carried.pop(component) for component in intake.energy_uj if component in carried}
        metered: set[Component] = {*self._meters.cover.components}
        if self._meters.cover.node:
            metered.add("other")
        for component in carried.keys() - metered | intake.restarted:
            carried.pop(component, None)
        if self._interval.end_ns is not None:
            for component in metered - intake.energy_uj.keys() - intake.restarted - {"gpu"}:
                self._carry(carried.setdefault(component, {}), usage)
        floors = {component: self._ledger.idle.floor(component) for component in intake.energy_uj}
        return Frame(
            start_ns=now_ns if self._interval.end_ns is None else self._interval.end_ns,
            end_ns=now_ns,
            energy_uj=intake.energy_uj,
            recovered_uj=intake.recovered_uj,
            span_ns=intake.span_ns,
            carried=joined,
            idle_floor_w={component: floor.power_w for component, floor in floors.items() if floor},
            usage=usage,
        )

    def _carry(self, use: dict[Workload, int], usage: Usage) -> None:
        """Keep the use of an interval whose energy is still to come."""
        for workload, cpu_ns in usage.cpu_ns.items():
            use[workload] = use.get(workload, 0) + cpu_ns
        if len(use) > CARRIED_LIMIT:
            living = {workload.key for workload in self._ledger.accounts.living()}
            for workload in [workload for workload in use if workload.key not in living]:
                if workload is not EXITED:
                    use[EXITED] = use.get(EXITED, 0) + use.pop(workload)

    def _learn(self, frame: Frame) -> None:
        """Show the interval to the idle floors, unless the reading spans more than the use that was seen.

        GPUs are left out: the CPU's utilisation says nothing of theirs, and a board that always trains
        would pass for a thirsty idle one.
        """
        interval_ns = frame.end_ns - frame.start_ns
        if interval_ns <= 0 or frame.usage.cpus <= 0:
            return
        utilisation = min(1.0, frame.usage.busy_ns / (frame.usage.cpus * interval_ns))
        for component, energy_uj in frame.energy_uj.items():
            span_ns = frame.span_ns.get(component, interval_ns)
            if component != "gpu" and abs(span_ns - interval_ns) <= interval_ns // 5:
                self._ledger.idle.observe(component, self._clock.wall_ns(), span_ns, energy_uj, utilisation)

    def _self_share(self, frame: Frame) -> int:
        """The agent's own energy in microjoules: its CPU time's part of the dynamic energy."""
        now_ns = self._self_clock()
        used_ns, self._self_ns = now_ns - self._self_ns, now_ns
        total_ns = sum(frame.usage.cpu_ns.values())
        dynamic_uj = 0
        for component in frame.energy_uj:
            if component != "gpu":
                dynamic_uj += frame.dynamic_uj(component)
        return min(dynamic_uj, dynamic_uj * used_ns // total_ns) if total_ns > 0 else 0

    def _publish(self, frame: Frame, price: Price, started_ns: int, uses: Sequence[BoardUse]) -> Snapshot:
        """Checkpoint what the snapshot shows, then publish it."""
        self._sequence += 1
        self.ticks += 1
        interval_ns, watch = frame.end_ns - frame.start_ns, self._policy.watch
        view = self._ledger.view(interval_ns)
        sensors = self._meters.rows()
        own = {"ticks": self.ticks, "overruns": self.overruns, "failures": self.failures}
        # Counts of sources that are switched off now stay, for when they are switched on again.
        self._ledger.counts |= own | (self._names.counts() if self._names is not None else {})
        self._ledger.counts |= watch.counts() if watch else {}
        self._ledger.checkpoint(self._meters)
        finished_ns = self._clock.monotonic_ns()
        duration_ns = finished_ns - started_ns
        wall_ns = self._clock.wall_ns()
        snapshot = Snapshot(
            sequence=self._sequence,
            boottime_ns=frame.end_ns,
            wall_ns=wall_ns,
            nodes=tuple(self._ledger.node_rows(frame, self._estimated(), price)),
            workloads=view.workloads,
            processes=view.processes,
            sensors=sensors,
            price=price,
            health=Health(
                interval_ns=self._policy.interval_ns,
                duration_ns=duration_ns,
                ticks=self.ticks,
                overruns=self.overruns,
                failures=self.failures,
                last_success_wall_ns=wall_ns,
                series=view.series,
                series_limited=view.limited,
                self_energy_uj=view.self_energy_uj,
                checkpoint_errors=self._ledger.checkpoint_errors,
                config_reload_ok=not self._stale,
                config_reload_wall_ns=self._reloaded_wall_ns,
                name_sources=self._names.health() if self._names is not None else {},
                feeds=watch.health() if watch else (),
                journal_errors=view.journal_errors,
                journal_written_wall_ns=view.journal_written_wall_ns,
            ),
            node_info=self._node_info,
            boards=board_rows(frame.boards, uses),
            embodied_g=view.embodied_g,
            expired_embodied_g=view.expired_embodied_g,
            budgets=view.budgets,
            outlook=watch.outlook if watch else None,
        )
        self._latest = snapshot
        return snapshot

    def _estimated(self) -> set[Component]:
        """The components whose energy is an estimate."""
        covers = self._meters.cover.components.items()
        return {component for component, zones in covers if zones[0].method == "estimated"}


def _declared_idle(components: Mapping[Component, tuple[Zone, ...]]) -> dict[Component, float]:
    """Idle power of the components whose every zone knows its own."""
    declared: dict[Component, float] = {}
    for component, zones in components.items():
        known = [zone.idle_power_w for zone in zones if zone.idle_power_w is not None]
        if len(known) == len(zones):
            declared[component] = sum(known)
    return declared
