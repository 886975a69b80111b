"""The running daemon: one sampler loop, one HTTP server, signals and systemd."""

from __future__ import annotations

import gc
import logging
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..carbon.budgets.feasibility import Doubts, Idle, refuse
from ..carbon.build import Grid
from ..carbon.embodied import rate_g_per_s
from ..carbon.intensity import world_average
from ..clock import Clock, SystemClock
from ..errors import SettingsError
from ..exposition.http import NodeView, make_app
from ..exposition.server import Server
from ..gpu import control
from ..idle import IdleFloor
from ..ledger.book import Ledger
from ..ledger.past import Past
from ..logs import configure as configure_logs
from ..loop import SamplerLoop
from ..model import S_NS
from ..sampler import Policy, Sampler
from ..sensors.base import Sensor
from ..sensors.registry import build_sensors
from ..settings import BudgetSettings, Settings
from ..snapshot import Snapshot
from ..systemd import Notifier, listening_sockets, watchdog_interval_ns
from ..workloads.names.service import NameService
from ..workloads.scan import HostWorkloads, raise_descriptor_limit
from .keeping import idle_for_good
from .parts import (
    FIRST_PRICE_S,
    build_grid_for,
    build_names,
    build_policy,
    build_sampler,
    build_workloads,
    made_by,
    top_processes,
    wants_reservations,
)

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 1.0
HOUR_NS = 3600 * S_NS
SETTINGS, WEB = "settings", "web configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """What a reload puts in place; None where the old one stays, for names where there are to be none."""

    policy: Policy
    sensors: Sequence[Sensor] | None
    workloads: HostWorkloads | None
    names: NameService | None
    renames: bool


class Agent:
    """The running daemon: one sampler loop, one HTTP server, signals and systemd."""

    def __init__(self, load: Callable[[], Settings]) -> None:
        self._load = load
        self.settings = self._start = load()
        self._clock: Clock = SystemClock()
        self._notifier = Notifier.from_environment()
        self._failed = False
        self._reloading = threading.Lock()
        self._grid = build_grid_for(self.settings, self._clock)
        self._doubts = Doubts()
        self._doubted_hour = 0

    def run(self, ready: Callable[[str], None] | None = None) -> int:
        """Serve until SIGTERM or SIGINT; the exit status."""
        settings = self.settings
        configure_logs(settings.log.level, settings.log.format)
        raise_descriptor_limit()
        if settings.carbon.intensity.provider is None:
            log.warning(
                "no carbon intensity configured: pricing with the world average; "
                "set carbon.intensity in the settings, such as {provider: table, grid_zone: DE}",
                extra={"grams_per_kwh": world_average().grams_per_kwh},
            )
        _check_watchdog(settings)
        self._workloads = build_workloads(settings, self._clock)
        sampler = build_sampler(settings, clock=self._clock, workloads=self._workloads, grid=self._grid)
        ledger = sampler.ledger
        try:
            new = [budget for budget in settings.budgets if not ledger.budgets.was_in_force(budget)]
            refuse_budgets(settings, new, ledger.idle, self._clock.wall_ns())
        except SettingsError:
            sampler.close()
            raise
        self._grid.watch.start(FIRST_PRICE_S)
        announced = threading.Event()

        def after_tick(snapshot: Snapshot) -> None:
            self._notifier.watchdog()
            self._doubt_budgets(snapshot)
            if not announced.is_set():
                announced.set()
                # What the start made stays; a full collection need not go through it (5 ms) ever again.
                gc.collect()
                gc.freeze()
                self._notifier.ready(f"{len(snapshot.sensors)} meter zones, serving on {where}")

        loop = SamplerLoop(sampler, self._clock, on_tick=after_tick, on_death=self._die)
        try:
            app = make_app(
                {"": NodeView(source=loop)}, clock=self._clock, telemetry_path=settings.web.telemetry_path
            )
            self._server = Server(
                app,
                settings.web.listen_addresses,
                inherited=listening_sockets(),
                web_config_file=settings.web.config_file,
                on_web_reload=lambda works: loop.post(lambda sampler: sampler.note_reload(WEB, works)),
            )
            where = ", ".join(self._server.urls)
            self._signals(loop, ledger)
            loop.start()
            if ready is not None:
                ready(where)
            self._server.serve()
            self._notifier.stopping()
        finally:
            # A thread that a source still holds may yet write: its files end with the process.
            self._grid.watch.stop()
            if loop.stop(STOP_TIMEOUT_S):
                sampler.close()
        return 1 if self._failed else 0

    def _doubt_budgets(self, snapshot: Snapshot) -> None:
        """Once an hour: say which budgets the idle floor, learned by now, would exceed by itself."""
        hour = snapshot.wall_ns // HOUR_NS
        if hour == self._doubted_hour or not self.settings.budgets:
            return
        self._doubted_hour = hour
        price = snapshot.price
        idle = Idle(
            power_w=sum(row.idle_power_w or 0.0 for row in snapshot.nodes),
            grams_per_kwh=price.intensity.grams_per_kwh,
            pue=price.pue,
            embodied_g_per_s=rate_g_per_s(self.settings.carbon.embodied, snapshot.wall_ns) or 0.0,
        )
        for reason in self._doubts.judge(self.settings.budgets, idle, snapshot.wall_ns):
            log.warning("a budget cannot be kept at this intensity", extra={"reason": reason})

    def _die(self) -> None:
        """The sampler ended by a defect: stop serving numbers that no longer move."""
        log.critical("the sampler stopped; ending so that a supervisor can restart the agent")
        self._failed = True
        self._server.stop()

    def _signals(self, loop: SamplerLoop, ledger: Ledger) -> None:
        def stop(number: int, _: object) -> None:
            log.info("stopping", extra={"signal": signal.Signals(number).name})
            self._server.stop()

        def reload(_number: int, _frame: object) -> None:
            threading.Thread(target=self._reload, args=(loop, ledger), name="reload", daemon=True).start()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGHUP, reload)
        signal.signal(control.RELEASE, lambda *_: loop.post(lambda sampler: sampler.sensing.release()))
        signal.signal(control.ACQUIRE, lambda *_: loop.post(lambda sampler: sampler.sensing.acquire()))

    def _reload(self, loop: SamplerLoop, ledger: Ledger) -> None:
        """Take new settings; bad ones leave the old in force and show in a metric."""
        with self._reloading:  # of two signals in a row, the later one finds in force what the first brought
            self._load_again(loop, ledger)

    def _load_again(self, loop: SamplerLoop, ledger: Ledger) -> None:
        """Get ready whatever takes time, then have the sampler put it in force and wait until it is."""
        self._notifier.reloading(self._clock.monotonic_ns())
        done = threading.Event()
        try:
            fresh = self._load()
            past = ledger.past(fresh.budgets)
            grid = None
            if fresh.carbon != self.settings.carbon:
                grid = build_grid_for(self._kept(fresh), self._clock)
                grid.watch.start(FIRST_PRICE_S)
        except SettingsError as error:
            log.error("settings not reloaded, the old ones stay in force", extra={"reason": str(error)})
            loop.post(self._note_bad_reload)
        else:

            def apply(sampler: Sampler) -> None:
                self._apply(sampler, fresh, grid, past)
                done.set()

            loop.post(apply)
            done.wait()
        self._notifier.ready()

    @staticmethod
    def _note_bad_reload(sampler: Sampler) -> None:
        sampler.note_reload(SETTINGS, False)

    def _kept(self, fresh: Settings) -> Settings:
        """The settings with those parts of the start's that no reload changes."""
        start = self._start
        storage = replace(fresh.storage, path=start.storage.path)
        return replace(fresh, paths=start.paths, storage=storage, web=start.web)

    def _apply(
        self, sampler: Sampler, fresh: Settings, ready: Grid | None = None, past: Past | None = None
    ) -> None:
        """On the sampler's thread: put the reloadable part of the settings in force, all of it or nothing.

        `ready` is the new grid, started, and `past` what the journal knows of budgets that are to come; what
        is not given is made here.
        """
        old, wanted = self.settings, fresh
        fresh = self._kept(wanted)
        attribution = fresh.attribution
        grid = self._grid
        try:
            if fresh.carbon != old.carbon:
                grid = ready or build_grid_for(fresh, self._clock)
            wall_ns = self._clock.wall_ns()
            idle = IdleFloor(attribution.idle_watts)
            idle.load(sampler.ledger.idle.dump(), wall_ns)
            new = [budget for budget in fresh.budgets if budget not in old.budgets]
            refuse_budgets(fresh, new, idle, wall_ns)  # as the next start would
            change = self._build(old, fresh, grid, sampler.sensing.sensors)
            sampler.ledger.configure(
                series_limit=attribution.series_limit,
                grace_ns=attribution.grace_ns,
                hold_ns=fresh.names.hold_ns if fresh.names.enabled else 0,
                top=top_processes(fresh),
                idle_watts=attribution.idle_watts,
                embodied=fresh.carbon.embodied,
                budgets=fresh.budgets,
                retention_ns=fresh.storage.retention_ns,
                agent=made_by(fresh),
                past=past or sampler.ledger.past(fresh.budgets),
            )
        except (SettingsError, OSError) as error:
            log.error("settings not reloaded, the old ones stay in force", extra={"reason": str(error)})
            self._note_bad_reload(sampler)
            if ready is not None:
                ready.watch.stop()
            return
        self.settings = fresh
        self._doubted_hour = 0
        configure_logs(fresh.log.level, fresh.log.format)
        for section, changed in (
            ("paths", wanted.paths != fresh.paths),
            ("storage", wanted.storage != fresh.storage),
            ("web", wanted.web != fresh.web),
        ):
            if changed:
                log.warning("a changed setting needs a restart", extra={"section": section})
        if grid is not self._grid:
            self._grid.watch.stop()
            self._grid = grid
            if ready is None:
                grid.watch.start(0)
        elif ready is not None:
            ready.watch.stop()
        sampler.configure(change.policy, change.sensors, change.workloads)
        if change.workloads is not None:
            self._workloads.close()
            self._workloads = change.workloads
        if change.renames:
            sampler.rename(change.names)
        sampler.note_reload(SETTINGS, True)
        log.info("settings reloaded")

    def _build(self, old: Settings, fresh: Settings, grid: Grid, present: Sequence[Sensor]) -> _Change:
        """What new settings need anew; raises SettingsError or OSError with nothing changed yet."""
        before, after = old.attribution, fresh.attribution
        policy = build_policy(fresh, grid)
        sensors = None if old.sensors == fresh.sensors else build_sensors(fresh, self._clock, present)
        same_detail = (
            before.processes == after.processes
            and before.idle == after.idle
            and wants_reservations(old) == wants_reservations(fresh)
        )
        renames = old.names != fresh.names or not same_detail
        names = build_names(fresh, self._clock, self._workloads) if renames else None
        workloads = None
        if not same_detail:
            workloads = build_workloads(fresh, self._clock)
            if names is not None:
                names.folders = workloads.folders
        return _Change(policy=policy, sensors=sensors, workloads=workloads, names=names, renames=renames)


def _check_watchdog(settings: Settings) -> None:
    """The watchdog is fed after every tick; one that is shorter than two of them ends a healthy agent."""
    watchdog_ns, interval_ns = watchdog_interval_ns(), settings.sampling.interval_ns
    if watchdog_ns is not None and watchdog_ns < 2 * interval_ns:
        log.warning(
            "the watchdog of the service is shorter than two samples, so that it would end a healthy agent;"
            " raise WatchdogSec or lower sampling.interval",
            extra={"watchdog_seconds": watchdog_ns / S_NS, "interval_seconds": interval_ns / S_NS},
        )


def refuse_budgets(
    settings: Settings, budgets: Sequence[BudgetSettings], idle: IdleFloor, wall_ns: int
) -> None:
    """Raises SettingsError for these budgets if the idle floors known now would exceed one by themselves.

    They should be those that are new or changed: a floor that was learned since a budget came into force is
    no reason to end an agent that ran.
    """
    known = idle_for_good(settings, idle, wall_ns) if budgets else None
    if known is not None:
        refuse(budgets, known, wall_ns)


def run(load: Callable[[], Settings], *, ready: Callable[[str], None] | None = None) -> int:
    """Run the agent until a signal ends it; `ready` is told the URLs once they are bound.

    `load` gives the settings now and again at every SIGHUP. Raises SettingsError or StorageError
    when it cannot start.
    """
    return Agent(load).run(ready)
