"""Simulated hosts served by one process."""

from __future__ import annotations

import signal
from collections.abc import Callable

from ..clock import SystemClock
from ..exposition.http import NodeView, make_app
from ..exposition.server import Server
from ..logs import configure as configure_logs
from ..loop import SamplerLoop
from ..settings import Settings
from ..simulation.demo import SimulatedNode, simulated_nodes
from .parts import build_sampler

STOP_TIMEOUT_S = 1.0


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
