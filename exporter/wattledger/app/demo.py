"""Simulated hosts served by one process."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..carbon.build import Grid
from ..clock import Clock, SystemClock
from ..exposition.http import NodeView, make_app
from ..exposition.server import Server
from ..logs import configure as configure_logs
from ..loop import SamplerLoop
from ..sampler import Sampler
from ..settings import CarbonSettings, EmbodiedSettings, Settings
from ..simulation.demo import SimulatedNode, simulated_nodes
from ..simulation.past import Past
from ..simulation.plans import budgets_of, embodied_of, evening_zone, spent
from ..simulation.zones import simulated_grids
from .parts import FIRST_PRICE_S, build_grid_for, build_sampler

STOP_TIMEOUT_S = 1.0
QUIET = (("wattledger.ledger", logging.ERROR), ("wattledger.sensing", logging.WARNING))
"""Loggers that would say of every simulated host what holds for all: no state, simulated meters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoNode:
    """One simulated node with the sampler that sees it and the grid that prices it."""

    simulated: SimulatedNode
    sampler: Sampler
    grid: Grid

    @property
    def name(self) -> str:
        return self.simulated.name


def build_demo(settings: Settings, nodes: int, clock: Clock, load: float = 1.0) -> list[DemoNode]:
    """Simulated nodes in memory, with grid, embodied emissions and budgets wherever the settings have none.

    Any source of intensity in the settings takes the place of all simulated zones, and prices by the
    settings alone. Nodes of one zone share their grid, whose watch is not started yet.
    Budgets begin with what the node would have spent of them so far. Raises SettingsError.
    """
    simulated = simulated_nodes(nodes, clock, load=load)
    if _names_a_source(settings.carbon):
        grids = dict.fromkeys(
            [node.place for node in simulated], build_grid_for(settings, clock, in_memory=True)
        )
    else:
        grids = simulated_grids([node.place for node in simulated], clock, settings.carbon)
    past, wall_ns = Past(), clock.wall_ns()
    return [
        _build_node(settings, node, grids[node.place], past=past, clock=clock, wall_ns=wall_ns)
        for node in simulated
    ]


def _names_a_source(carbon: CarbonSettings) -> bool:
    roles = (carbon.intensity, carbon.fallback, carbon.market, carbon.signal)
    return any(role.provider is not None for role in roles)


def _build_node(
    settings: Settings, node: SimulatedNode, grid: Grid, *, past: Past, clock: Clock, wall_ns: int
) -> DemoNode:
    profile, pricing = node.host.profile, grid.pricing
    embodied = settings.carbon.embodied
    if embodied == EmbodiedSettings():
        embodied = embodied_of(profile)
    budgets = settings.budgets or budgets_of(profile, pricing, past, wall_ns, evening_zone(wall_ns))
    sampler = build_sampler(
        replace(settings, carbon=replace(settings.carbon, embodied=embodied), budgets=budgets),
        clock=clock,
        sensors=node.sensors,
        workloads=node.workloads,
        grid=grid,
        in_memory=True,
        node_info={"simulated": "true"},
        self_clock=time.thread_time_ns,
    )
    already = spent(budgets, profile, pricing, past, embodied=embodied, wall_ns=wall_ns)
    sampler.ledger.budgets.load(already)
    return DemoNode(simulated=node, sampler=sampler, grid=grid)


def demo(
    settings: Settings, nodes: int, *, load: float = 1.0, ready: Callable[[str], None] | None = None
) -> int:
    """Serve `nodes` simulated hosts until SIGTERM or SIGINT; raises SettingsError when it cannot start.

    With one, it looks like an agent, with more, `/sd` lists them.
    """
    configure_logs(settings.log.level, settings.log.format)
    if settings.log.level != "debug":
        for name, level in QUIET:
            logging.getLogger(name).setLevel(level)
    clock = SystemClock()
    built = build_demo(settings, nodes, clock, load)
    watches = {id(node.grid): node.grid.watch for node in built}.values()
    loops = {node.name: SamplerLoop(node.sampler, clock, name=node.name) for node in built}
    single = len(loops) == 1
    views = {"" if single else name: NodeView(source=loop) for name, loop in loops.items()}
    app = make_app(views, clock=clock, telemetry_path=settings.web.telemetry_path)
    server = Server(app, settings.web.listen_addresses, web_config_file=settings.web.config_file)
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    signal.signal(signal.SIGINT, lambda *_: server.stop())
    for watch in watches:
        watch.start(FIRST_PRICE_S)
    for loop in loops.values():
        loop.start()
    if ready is not None:
        ready(", ".join(server.urls))
    server.serve()
    for watch in watches:
        watch.stop()
    for loop in loops.values():
        loop.stop(STOP_TIMEOUT_S)
    return 0
