"""The cost of the agent as the daemon it is: CPU time and memory of the whole process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.agent_process import AgentProcess

from .own_cost import cpu_ns, rss_mib

GZIP = {"Accept-Encoding": "gzip"}
OLD_S = 1.1  # a snapshot of this age is refreshed by a scrape
TICKS = "wattledger_sampler_ticks_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonCost:
    """`tick_ms` is CPU time per tick of the idle daemon, everything included; `scrape_ms` of one scrape
    that causes a tick; `cpu_percent` of one core with nobody scraping at `interval_s`."""

    tick_ms: float
    scrape_ms: float
    cpu_percent: float
    rss_mib: float
    interval_s: float
    ticks: int
    scrapes: int


def measure_daemon(
    arguments: tuple[str, ...],
    folder: Path,
    *,
    ticks: int,
    scrapes: int,
    interval_s: float,
    work: Callable[[], None],
) -> DaemonCost:
    """Run the real agent; `work` lets the host do something and is called once a second."""
    agent = AgentProcess(
        *arguments,
        f"--storage.path={folder / 'state'}",
        f"--sampling.interval={interval_s:g}s",
        folder=folder,
    )
    with agent:
        agent.get("/metrics", GZIP)
        pid = agent.pid
        began_ns = cpu_ns(pid)
        for _ in range(scrapes):
            work()
            time.sleep(OLD_S)
            agent.get("/metrics", GZIP)
        scraping_ns = cpu_ns(pid) - began_ns
        before = agent.scrape().value(TICKS)
        began_ns, began_s = cpu_ns(pid), time.monotonic()
        while time.monotonic() - began_s < ticks * interval_s:
            work()
            time.sleep(1.0)
        idle_ns, took_s = cpu_ns(pid) - began_ns, time.monotonic() - began_s
        resident = rss_mib(pid)
        counted = agent.scrape().value(TICKS) - before
    # The last scrape may have caused a tick of its own, which the CPU time does not contain.
    own_ticks = min(counted, round(took_s / interval_s))
    return DaemonCost(
        tick_ms=idle_ns / 1e6 / own_ticks,
        scrape_ms=scraping_ns / 1e6 / scrapes,
        cpu_percent=100 * idle_ns / 1e9 / took_s,
        rss_mib=resident,
        interval_s=interval_s,
        ticks=round(own_ticks),
        scrapes=scrapes,
    )
