"""A fixture host on which containers and processes are born and die in every tick, scraped all the while."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path

from tests.known_host import J, KnownHost, KnownNode
from wattledger.exposition.http import NodeView, make_app
from wattledger.model import S_NS
from wattledger.settings import ProcessSettings
from wattledger.snapshot import Snapshot

LIFE_TICKS = 8
GRACE_TICKS = 4
TICK_S = 5.0
ACCEPTS = (
    b"text/plain;version=0.0.4",
    b"application/openmetrics-text;version=1.0.0",
)


class ChurningHost:
    """The agent's whole data path over a host that never rests.

    In each tick `births` containers with a process each come to life, those of middle age work, and those
    that are LIFE_TICKS old end; the series limit has room for about half of those alive, and process
    series are on. `alive` and `born` count containers.
    """

    def __init__(self, folder: Path, *, births: int) -> None:
        self._host = KnownHost(folder / "host", sockets=1, mmio=False)
        self._births = births
        self._living: deque[list[int]] = deque()
        self.born = 0
        self.node = KnownNode(
            self._host,
            folder,
            series_limit=6 * (5 + births * LIFE_TICKS // 2),
            grace_ns=round(GRACE_TICKS * TICK_S) * S_NS,
            processes=ProcessSettings(enabled=True, top=2 * births),
        )
        self.app = make_app({"": NodeView(source=self)}, clock=self.node.clock)
        self._runner = asyncio.Runner()

    @property
    def alive(self) -> int:
        return sum(len(generation) for generation in self._living)

    def close(self) -> None:
        """End the event loop and release the state directory."""
        self._runner.close()
        self.node.sampler.close()

    def latest(self) -> Snapshot | None:
        return self.node.sampler.latest()

    def refresh(self, done: Callable[[], None]) -> None:
        done()

    def tick(self) -> Snapshot:
        """Births, work, deaths, one tick, and a scrape in each format with and without gzip."""
        cgroups = self._host.cgroups
        generation = list(range(self.born, self.born + self._births))
        self.born += self._births
        self._living.append(generation)
        for number in generation:
            cgroups.create(_path(number))
            cgroups.process(_pid(number), _path(number), start=number + 1)
        for number in self._living[len(self._living) // 2]:
            cgroups.burn(_path(number), 10)
            cgroups.process(_pid(number), _path(number), start=number + 1, cpu_ms=10 * (1 + number % 7))
        if len(self._living) > LIFE_TICKS:
            for number in self._living.popleft():
                cgroups.exit(_pid(number))
                cgroups.remove(_path(number))
        for counter in self._host.counters.values():
            counter.draw(100 * J)
        snapshot = self.node.tick(TICK_S)
        for accept in ACCEPTS:
            for encoding in (b"identity", b"gzip"):
                status = self._runner.run(self._scrape(accept, encoding))
                if status != 200:
                    raise RuntimeError(f"a scrape answered {status}")
        return snapshot

    async def _scrape(self, accept: bytes, encoding: bytes) -> int:
        statuses = []

        async def receive() -> dict:
            return {"type": "http.request"}

        async def send(message: dict) -> None:
            statuses.append(message.get("status"))

        headers = [(b"accept", accept), (b"accept-encoding", encoding)]
        scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": headers}
        await self.app(scope, receive, send)
        return statuses[0]


def _path(number: int) -> str:
    return f"/system.slice/docker-{number:064x}.scope"


def _pid(number: int) -> int:
    """Pids come again, as on a real host."""
    return 100 + number % 5000
