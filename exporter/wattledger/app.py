"""The composition root: the only place where the objects meet."""

from __future__ import annotations

import gc
import logging
import platform
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from . import __version__
from .carbon.build import build_source
from .carbon.pricing import Constant, Pricing
from .clock import Clock, SystemClock
from .errors import SettingsError
from .exposition.http import NodeView, Server, make_app
from .gpu import control
from .idle import IdleFloor
from .ledger.accounts import Accounts
from .ledger.book import Ledger
from .ledger.processes import Processes
from .logs import configure as configure_logs
from .loop import SamplerLoop
from .model import S_NS
from .sampler import Policy, Sampler
from .sensors.base import Sensor
from .sensors.registry import build_sensors
from .settings import Settings
from .simulation.demo import SimulatedNode, simulated_nodes
from .snapshot import Snapshot
from .systemd import Notifier, listening_sockets, watchdog_interval_ns
from .workloads.base import WorkloadSource
from .workloads.names.base import NAMED_KINDS
from .workloads.names.registry import build_resolvers
from .workloads.names.service import NameService
from .workloads.scan import HostWorkloads, raise_descriptor_limit

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 1.0
RESTART_ONLY = ("paths", "storage", "web")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """What a reload puts in place; None where the old one stays, for names where there are to be none."""

    policy: Policy
    sensors: Sequence[Sensor] | None
    workloads: HostWorkloads | None
    names: NameService | None
    renames: bool


def build_policy(settings: Settings) -> Policy:
    """What the tick needs of the settings."""
    return Policy(
        interval_ns=settings.sampling.interval_ns,
        idle=settings.attribution.idle,
        pricing=Pricing(intensity=build_source(settings.carbon), pue=Constant(settings.carbon.pue)),
        calibrations=settings.sensors.calibrations,
    )


def build_workloads(settings: Settings, clock: Clock) -> HostWorkloads:
    """The host's own workloads, with only the detail that the settings need."""
    attribution = settings.attribution
    return HostWorkloads(
        settings.paths,
        clock,
        processes=attribution.processes.enabled,
        top=attribution.processes.top,
        want_memory=attribution.idle == "memory",
        want_reservations=attribution.idle == "requests",
    )


def build_names(settings: Settings, clock: Clock, workloads: WorkloadSource | None) -> NameService | None:
    """The background resolver for the host's own workloads; None when it is off or the host is simulated."""
    if not settings.names.enabled or not isinstance(workloads, HostWorkloads):
        return None
    resolvers = build_resolvers(settings.paths, clock, settings.names)
    return NameService(resolvers, clock, folders=workloads.folders, refresh_ns=settings.names.refresh_ns)


def build_ledger(
    settings: Settings, clock: Clock, boot_id: str, folder: str | None, *, named: bool
) -> Ledger:
    """An empty ledger; `open()` it before use. `named`: new workloads wait for their names."""
    attribution = settings.attribution
    return Ledger(
        accounts=Accounts(
            series_limit=attribution.series_limit,
            grace_ns=attribution.grace_ns,
            held_kinds=NAMED_KINDS,
            hold_ns=settings.names.hold_ns if named else 0,
        ),
        processes=Processes(top=_top(settings), grace_ns=attribution.grace_ns),
        idle=IdleFloor(attribution.idle_watts),
        clock=clock,
        boot_id=boot_id,
        folder=folder,
    )


def build_sampler(
    settings: Settings,
    *,
    clock: Clock | None = None,
    sensors: Sequence[Sensor] | None = None,
    workloads: WorkloadSource | None = None,
    in_memory: bool = False,
    node_info: Mapping[str, str] | None = None,
) -> Sampler:
    """A sampler with its opened ledger; `sensors` and `workloads` stand in for the host's own.

    Raises StorageError when the state directory cannot be used.
    """
    clock = clock or SystemClock()
    workloads = build_workloads(settings, clock) if workloads is None else workloads
    names = build_names(settings, clock, workloads)
    folder = None if in_memory else settings.storage.path
    ledger = build_ledger(settings, clock, settings.paths.boot_id(), folder, named=names is not None)
    ledger.open()
    if names is not None:
        names.start()
    return Sampler(
        sensors=build_sensors(settings, clock) if sensors is None else sensors,
        workloads=workloads,
        ledger=ledger,
        policy=build_policy(settings),
        clock=clock,
        names=names,
        node_info=host_info() if node_info is None else node_info,
    )


def host_info() -> dict[str, str]:
    """Labels of `node_info`: the kernel and architecture, no host name."""
    uname = platform.uname()
    return {"sysname": uname.system, "release": uname.release, "machine": uname.machine}


def _top(settings: Settings) -> int:
    processes = settings.attribution.processes
    return processes.top if processes.enabled else 0


class Agent:
    """The running daemon: one sampler loop, one HTTP server, signals and systemd."""

    def __init__(self, load: Callable[[], Settings]) -> None:
        self._load = load
        self.settings = load()
        self._clock: Clock = SystemClock()
        self._notifier = Notifier.from_environment()
        self._failed = False
        self._reloading = threading.Lock()

    def run(self, ready: Callable[[str], None] | None = None) -> int:
        """Serve until SIGTERM or SIGINT; the exit status."""
        settings = self.settings
        configure_logs(settings.log.level, settings.log.format)
        raise_descriptor_limit()
        if settings.carbon.intensity.provider is None:
            log.warning(
                "no carbon intensity configured: pricing with the world average; "
                "set carbon.intensity.grams_per_kwh to your grid's",
                extra={"grams_per_kwh": build_source(settings.carbon).at(0).grams_per_kwh},
            )
        _check_watchdog(settings)
        self._workloads = build_workloads(settings, self._clock)
        sampler = build_sampler(settings, clock=self._clock, workloads=self._workloads)
        announced = threading.Event()

        def after_tick(snapshot: Snapshot) -> None:
            self._notifier.watchdog()
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
            self._server = Server(app, settings.web.listen_addresses, inherited=listening_sockets())
            where = ", ".join(self._server.urls)
            self._signals(loop)
            loop.start()
            if ready is not None:
                ready(where)
            self._server.serve()
            self._notifier.stopping()
        finally:
            # A thread that a source still holds may yet write: its files end with the process.
            if loop.stop(STOP_TIMEOUT_S):
                sampler.close()
        return 1 if self._failed else 0

    def _die(self) -> None:
        """The sampler ended by a defect: stop serving numbers that no longer move."""
        log.critical("the sampler stopped; ending so that a supervisor can restart the agent")
        self._failed = True
        self._server.stop()

    def _signals(self, loop: SamplerLoop) -> None:
        def stop(number: int, _: object) -> None:
            log.info("stopping", extra={"signal": signal.Signals(number).name})
            self._server.stop()

        def reload(_number: int, _frame: object) -> None:
            threading.Thread(target=self._reload, args=(loop,), name="reload", daemon=True).start()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGHUP, reload)
        signal.signal(control.RELEASE, lambda *_: loop.post(lambda sampler: sampler.sensing.release()))
        signal.signal(control.ACQUIRE, lambda *_: loop.post(lambda sampler: sampler.sensing.acquire()))

    def _reload(self, loop: SamplerLoop) -> None:
        """Take new settings; bad ones leave the old in force and show in a metric."""
        with self._reloading:  # of two signals in a row, the later one's settings come last
            self._load_again(loop)

    def _load_again(self, loop: SamplerLoop) -> None:
        self._notifier.reloading(self._clock.monotonic_ns())
        try:
            fresh = self._load()
        except SettingsError as error:
            log.error("settings not reloaded, the old ones stay in force", extra={"reason": str(error)})
            loop.post(self._note_bad_reload)
        else:
            loop.post(lambda sampler: self._apply(sampler, fresh))
        self._notifier.ready()

    @staticmethod
    def _note_bad_reload(sampler: Sampler) -> None:
        sampler.reload = (False, sampler.reload[1])

    def _apply(self, sampler: Sampler, fresh: Settings) -> None:
        """On the sampler's thread: put the reloadable part of the settings in force, all of it or nothing."""
        old = self.settings
        try:
            change = self._build(old, fresh, sampler.sensing.sensors)
        except (SettingsError, OSError) as error:
            log.error("settings not reloaded, the old ones stay in force", extra={"reason": str(error)})
            self._note_bad_reload(sampler)
            return
        self.settings = fresh
        configure_logs(fresh.log.level, fresh.log.format)
        for section in RESTART_ONLY:
            if getattr(old, section) != getattr(fresh, section):
                log.warning("a changed setting needs a restart", extra={"section": section})
        attribution = fresh.attribution
        sampler.ledger.configure(
            series_limit=attribution.series_limit,
            grace_ns=attribution.grace_ns,
            hold_ns=fresh.names.hold_ns if fresh.names.enabled else 0,
            top=_top(fresh),
            idle_watts=attribution.idle_watts,
        )
        sampler.configure(change.policy, change.sensors, change.workloads)
        if change.workloads is not None:
            self._workloads.close()
            self._workloads = change.workloads
        if change.renames:
            sampler.rename(change.names)
        sampler.reload = (True, self._clock.wall_ns())
        log.info("settings reloaded")

    def _build(self, old: Settings, fresh: Settings, present: Sequence[Sensor]) -> _Change:
        """What new settings need anew; raises SettingsError or OSError with nothing changed yet."""
        before, after = old.attribution, fresh.attribution
        policy = build_policy(fresh)
        sensors = None if old.sensors == fresh.sensors else build_sensors(fresh, self._clock, present)
        same_detail = before.processes == after.processes and before.idle == after.idle
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


def run(load: Callable[[], Settings], *, ready: Callable[[str], None] | None = None) -> int:
    """Run the agent until a signal ends it; `ready` is told the URLs once they are bound.

    `load` gives the settings now and again at every SIGHUP. Raises SettingsError or StorageError
    when it cannot start.
    """
    return Agent(load).run(ready)


def take_once(settings: Settings, seconds: float, sleep: Callable[[float], None]) -> Snapshot:
    """Two samples `seconds` apart, without touching any state directory."""
    raise_descriptor_limit()
    sampler = build_sampler(settings, in_memory=True)
    sampler.tick()
    sleep(seconds)
    return sampler.tick()


class Demo:
    """Several simulated nodes served by one process, each under its own path."""

    def __init__(self, settings: Settings, nodes: int) -> None:
        self._settings = settings
        self._nodes: list[SimulatedNode] = simulated_nodes(nodes, SystemClock())

    def run(self, ready: Callable[[str], None] | None = None) -> int:
        """Serve until SIGTERM or SIGINT."""
        settings = self._settings
        configure_logs(settings.log.level, settings.log.format)
        clock = SystemClock()
        loops: dict[str, SamplerLoop] = {}
        for node in self._nodes:
            sampler = build_sampler(
                settings,
                clock=clock,
                sensors=node.sensors,
                workloads=node.workloads,
                in_memory=True,
                node_info={"simulated": "true"},
            )
            loops[node.name] = SamplerLoop(sampler, clock, name=node.name)
        single = len(loops) == 1
        views = {"" if single else name: NodeView(source=loop) for name, loop in loops.items()}
        app = make_app(views, clock=clock, telemetry_path=settings.web.telemetry_path)
        server = Server(app, settings.web.listen_addresses)
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        signal.signal(signal.SIGINT, lambda *_: server.stop())
        for loop in loops.values():
            loop.start()
        if ready is not None:
            ready(", ".join(server.urls))
        server.serve()
        for loop in loops.values():
            loop.stop(STOP_TIMEOUT_S)
        return 0


def demo(settings: Settings, nodes: int, *, ready: Callable[[str], None] | None = None) -> int:
    """Serve `nodes` simulated hosts; with one, it looks like an agent, with more, `/sd` lists them."""
    return Demo(settings, nodes).run(ready)


def version() -> str:
    """The agent's and the interpreter's version, for a person."""
    return f"wattledger {__version__} (Python {platform.python_version()})"
