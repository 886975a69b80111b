"""Makes the parts of the agent from the settings, and puts them together."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from .. import __version__
from ..carbon.build import Grid, build_grid
from ..clock import Clock, SystemClock
from ..idle import IdleFloor
from ..ledger.accounts import Accounts
from ..ledger.book import Ledger
from ..ledger.processes import Processes
from ..sampler import Policy, Sampler, SelfClock
from ..sensors.base import Sensor
from ..sensors.registry import build_sensors
from ..settings import Settings
from ..snapshot import Snapshot
from ..workloads.base import WorkloadSource
from ..workloads.names.base import NAMED_KINDS
from ..workloads.names.registry import build_resolvers
from ..workloads.names.service import NameService
from ..workloads.scan import HostWorkloads, raise_descriptor_limit

FIRST_PRICE_S = 5.0
"""How long the start waits for the first answer of a live source; then it goes on with the fallback."""


def build_policy(settings: Settings, grid: Grid) -> Policy:
    """What the tick needs of the settings."""
    return Policy(
        interval_ns=settings.sampling.interval_ns,
        idle=settings.attribution.idle,
        pricing=grid.pricing,
        watch=grid.watch,
        calibrations=settings.sensors.calibrations,
    )


def build_grid_for(settings: Settings, clock: Clock, *, in_memory: bool = False) -> Grid:
    """What prices and steers, with what live sources last said in the state directory; not started yet."""
    return build_grid(settings.carbon, clock, None if in_memory else settings.storage.path)


def build_workloads(settings: Settings, clock: Clock) -> HostWorkloads:
    """The host's own workloads, with only the detail that the settings need."""
    attribution = settings.attribution
    return HostWorkloads(
        settings.paths,
        clock,
        processes=attribution.processes.enabled,
        top=attribution.processes.top,
        want_memory=attribution.idle == "memory",
        want_reservations=wants_reservations(settings),
    )


def wants_reservations(settings: Settings) -> bool:
    """Whether reserved CPUs matter: for idle energy by requests, and for embodied emissions."""
    embodied = settings.carbon.embodied
    return (
        settings.attribution.idle == "requests"
        or embodied.total_g is not None
        or embodied.components is not None
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
    hold_ns = settings.names.hold_ns if named else 0
    return Ledger(
        accounts=Accounts(
            series_limit=attribution.series_limit,
            grace_ns=attribution.grace_ns,
            held_kinds=NAMED_KINDS,
            hold_ns=hold_ns,
        ),
        processes=Processes(top=top_processes(settings), grace_ns=attribution.grace_ns),
        idle=IdleFloor(attribution.idle_watts),
        clock=clock,
        boot_id=boot_id,
        folder=folder,
        embodied=settings.carbon.embodied,
        budgets=settings.budgets,
        hold_ns=hold_ns,
        retention_ns=settings.storage.retention_ns,
        agent=made_by(settings),
    )


def build_sampler(
    settings: Settings,
    *,
    clock: Clock | None = None,
    sensors: Sequence[Sensor] | None = None,
    workloads: WorkloadSource | None = None,
    grid: Grid | None = None,
    in_memory: bool = False,
    node_info: Mapping[str, str] | None = None,
    self_clock: SelfClock = time.process_time_ns,
) -> Sampler:
    """A sampler with its opened ledger; `sensors`, `workloads` and `grid` stand in for the host's own.

    Raises StorageError when the state directory cannot be used, SettingsError for carbon and budgets.
    """
    clock = clock or SystemClock()
    workloads = build_workloads(settings, clock) if workloads is None else workloads
    grid = build_grid_for(settings, clock, in_memory=in_memory) if grid is None else grid
    names = build_names(settings, clock, workloads)
    sensors = build_sensors(settings, clock) if sensors is None else sensors
    folder = None if in_memory else settings.storage.path
    ledger = build_ledger(settings, clock, settings.paths.boot_id(), folder, named=names is not None)
    ledger.open()  # the last that can fail: nobody would give back the directory
    if names is not None:
        names.start()
    return Sampler(
        sensors=sensors,
        workloads=workloads,
        ledger=ledger,
        policy=build_policy(settings, grid),
        clock=clock,
        names=names,
        node_info=host_info() if node_info is None else node_info,
        self_clock=self_clock,
    )


def host_info() -> dict[str, str]:
    """Labels of `node_info`: the kernel and architecture, no host name."""
    uname = platform.uname()
    return {"sysname": uname.system, "release": uname.release, "machine": uname.machine}


def made_by(settings: Settings) -> dict[str, str]:
    """What made the figures, for whoever audits them later: version and a hash of all that bears on them."""
    bearing = (
        settings.sampling,
        settings.attribution,
        settings.sensors,
        settings.carbon,
        settings.budgets,
    )
    written = msgspec.json.encode(msgspec.to_builtins(bearing, enc_hook=sorted), order="deterministic")
    market = {"market": settings.carbon.market.provider} if settings.carbon.market.provider else {}
    return {
        "version": __version__,
        "python": platform.python_version(),
        "settings": hashlib.sha256(written).hexdigest()[:16],
        "idle": settings.attribution.idle,
        **market,
        **host_info(),
    }


def top_processes(settings: Settings) -> int:
    """How many processes get series."""
    processes = settings.attribution.processes
    return processes.top if processes.enabled else 0


def take_once(settings: Settings, seconds: float, sleep: Callable[[float], None]) -> Snapshot:
    """Two samples `seconds` apart, without touching any state directory."""
    raise_descriptor_limit()
    clock = SystemClock()
    grid = build_grid_for(settings, clock, in_memory=True)
    grid.watch.start(FIRST_PRICE_S)
    sampler = build_sampler(settings, clock=clock, grid=grid, in_memory=True)
    sampler.tick()
    sleep(seconds)
    snapshot = sampler.tick()
    grid.watch.stop()
    return snapshot


def version() -> str:
    """The agent's and the interpreter's version, for a person."""
    return f"wattledger {__version__} (Python {platform.python_version()})"
