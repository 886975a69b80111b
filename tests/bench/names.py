"""What names cost: 500 containers resolved once, and ticks with and without the name service.

Run as `python -m tests.bench.names`; prints a Markdown table. CPU time of the whole process is counted,
so that the resolver's thread is not left out.
"""

from __future__ import annotations

import json
import logging
import statistics
import tempfile
import time
from pathlib import Path

from tests.scripted import J, S, ScriptedNode, container, package
from wattledger.clock import SystemClock
from wattledger.hostfs import HostFS
from wattledger.ledger.accounts import Accounts
from wattledger.settings import NameSettings
from wattledger.workloads.names.base import NAMED_KINDS
from wattledger.workloads.names.registry import build_resolvers
from wattledger.workloads.names.service import NameService

CONTAINERS = 500
TICKS = 60
ZONE = package()


def docker_root(folder: Path, count: int) -> None:
    """A root with Docker's own file for each of `count` containers."""
    for number in range(count):
        ident = container(number).id
        home = folder / "var/lib/docker/containers" / ident
        home.mkdir(parents=True)
        config = {"Name": f"/app-{number}", "Config": {"Image": "registry.example/app:1", "Labels": {}}}
        (home / "config.v2.json").write_text(json.dumps(config))


def service_for(folder: Path) -> NameService:
    """Every source of names over that root."""
    hostfs = HostFS.at(str(folder))
    service = NameService(build_resolvers(hostfs, SystemClock(), NameSettings()), SystemClock())
    service.start()
    return service


def resolve_ms(service: NameService, count: int) -> tuple[float, int]:
    """CPU milliseconds to name `count` containers, and how many got a name."""
    began = time.process_time()
    service.ask([container(number) for number in range(count)])
    service.settle(60)
    took_ms = (time.process_time() - began) * 1000
    return took_ms, sum(1 for answer in service.drain() if answer.names.name)


def tick_ms(service: NameService | None, count: int, ticks: int) -> list[float]:
    """CPU milliseconds of each tick over `count` busy containers, all of them named before."""
    node = ScriptedNode([ZONE])
    if service is not None:
        node.ledger.accounts = Accounts(held_kinds=NAMED_KINDS, hold_ns=10 * S)
        node.sampler._names = service
    workloads = [node.workloads.bear(container(number)) for number in range(count)]
    costs = []
    for tick in range(ticks + 5):
        node.sensor.spend(ZONE, 500 * J)
        node.workloads.use(dict.fromkeys(workloads, S))
        node.clock.advance(5)
        began = time.process_time()
        node.sampler.tick()
        if tick >= 5:
            costs.append((time.process_time() - began) * 1000)
    return costs


def main() -> None:
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        docker_root(Path(folder), CONTAINERS)
        service = service_for(Path(folder))
        once_ms, named = resolve_ms(service, CONTAINERS)
        print(f"{named} of {CONTAINERS} containers named, once, in {once_ms:.0f} ms of CPU time.\n")
        rounds: dict[str, list[float]] = {"without names": [], "with names": []}
        for _ in range(5):  # in turns, so that a drift of the machine's speed hits both
            rounds["without names"] += tick_ms(None, CONTAINERS, TICKS // 5)
            rounds["with names"] += tick_ms(service, CONTAINERS, TICKS // 5)
        service.stop()
    print("| tick over 500 busy containers | median ms | ratio |\n| --- | --- | --- |")
    base = statistics.median(rounds["without names"])
    for label, costs in rounds.items():
        median = statistics.median(costs)
        print(f"| {label} | {median:.2f} | {median / base:.2f} |")


if __name__ == "__main__":
    main()
