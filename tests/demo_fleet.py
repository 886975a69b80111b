"""A simulated fleet in a real Prometheus with every shipped rule, and three witnesses of what it draws.

with running(tmp_path, 20, scrape_s=1) as fleet:
    fleet.prometheus.value("fleet:wattledger_nodes:count")   # what the rules say
    fleet.read()                                             # what the nodes say
    truth(fleet, (begin, end))                               # what the simulator knows
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.agent_process import REPOSITORY, AgentProcess, Scrape
from tests.command_line import run
from tests.prometheus_server import PrometheusServer
from wattledger.clock import ManualClock
from wattledger.model import S_NS
from wattledger.simulation.demo import SimulatedNode, simulated_nodes

DEPLOY = REPOSITORY / "deploy/prometheus"
JOB = "wattledger"
ENERGY = "wattledger_node_energy_joules_total"
EMISSIONS = "wattledger_node_emissions_grams_total"
WORKLOADS = "wattledger_workload_energy_joules_total"
INTENSITY = "wattledger_grid_carbon_intensity_grams_per_kilowatt_hour"
MINUTE_S = 60
POLL_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the nodes said when they were asked one after the other: values by node and series, and when."""

    values: Mapping[str, Mapping[str, float]]
    at: Mapping[str, float]

    def value(self, family: str, node: str) -> float:
        """The sum of a family's series on a node."""
        return sum(value for series, value in self.values[node].items() if series.startswith(family + "{"))

    def gained(self, before: Reading, family: str, node: str, having: str = "") -> float:
        """What a node's series of a family, as far as they have some text, gained; a new one began at 0."""
        then = before.values[node]
        return sum(
            value - then.get(series, 0.0)
            for series, value in self.values[node].items()
            if series.startswith(family + "{") and having in series
        )

    def per_s(self, before: Reading, family: str, nodes: Iterable[str], having: str = "") -> float:
        """The same in a second, each node by its own time, over all of the nodes."""
        return sum(
            self.gained(before, family, node, having) / (self.at[node] - before.at[node]) for node in nodes
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The demo, the Prometheus that scrapes it, the nodes' paths, and when their hosts began to run."""

    demo: AgentProcess
    prometheus: PrometheusServer
    paths: Mapping[str, str]
    began: float

    @property
    def nodes(self) -> list[str]:
        return list(self.paths)

    def expositions(self) -> dict[str, str]:
        """What every node exposes now."""
        return {node: self.demo.get(path).body.decode() for node, path in self.paths.items()}

    def read(self) -> Reading:
        """Ask every node itself for its energy, emissions, workloads' energy and intensity."""
        wanted = tuple(name + "{" for name in (ENERGY, EMISSIONS, WORKLOADS, INTENSITY))
        values, at = {}, {}
        for node, path in self.paths.items():
            at[node] = time.time()
            text = self.demo.get(path).body.decode()
            parts = (line.rpartition(" ") for line in text.splitlines() if line.startswith(wanted))
            values[node] = {series: float(value) for series, _, value in parts}
        return Reading(values=values, at=at)

    def last_evaluation(self, group: str) -> float:
        """When the newest finished evaluation of a group of recording rules began; 0 or less without one."""
        family = "prometheus_rule_group_last_evaluation_timestamp_seconds"
        return own_metrics(self.prometheus).value(
            family, rule_group=f"{DEPLOY / 'wattledger.rules.yml'};{group}"
        )

    def next_evaluations(self, groups: Sequence[str], lead_s: float) -> dict[str, float]:
        """When groups are evaluated next, as each is once a minute, not earlier than after some seconds.

        Waits for the very first evaluation of every group before it looks at the clock,
        so that none of the moments lies in the past.
        """
        lasts = {group: self._evaluated(group) for group in groups}
        after = time.time() + lead_s
        return {group: last + MINUTE_S * ((after - last) // MINUTE_S + 1) for group, last in lasts.items()}

    def _evaluated(self, group: str) -> float:
        while (last := self.last_evaluation(group)) <= 0:
            time.sleep(1)
        return last


def own_metrics(prometheus: PrometheusServer) -> Scrape:
    """What a Prometheus says of itself."""
    with urllib.request.urlopen(f"{prometheus.url}/metrics", timeout=10) as answer:
        return Scrape.of_text(answer.read().decode())


def wait_until(moment: float, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Sleep up to a moment of wall time, and do something every few seconds."""
    while (left_s := moment - time.time()) > 0:
        meanwhile()
        time.sleep(min(POLL_S, left_s))


@contextmanager
def running(
    folder: Path,
    nodes: int,
    *,
    scrape_s: int,
    past: Callable[[Mapping[str, str], Path], Path] | None = None,
    processors: int = 1,
) -> Iterator[Fleet]:
    """`wattledger demo` with its service discovery in a Prometheus that evaluates the shipped rule files.

    Comes when every node was scraped. `past` may make a TSDB folder out of what the nodes expose first.
    """
    budgets = folder / "wattledger.budgets.yml"
    done = run("rules", "--config", str(DEPLOY / "budgets.example.yml"), "--output", str(budgets))
    assert done.returncode == 0, done.stderr
    spawned = time.time()
    with AgentProcess(f"--nodes={nodes}", folder=folder, command="demo") as demo:
        began = (spawned + time.time()) / 2
        groups = json.loads(demo.get("/sd").body)
        paths = {one["labels"]["instance"]: one["labels"]["__metrics_path__"] for one in groups}
        data = None
        if past is not None:
            data = past({node: demo.get(path).body.decode() for node, path in paths.items()}, folder / "past")
        job = {
            "job_name": JOB,
            "scrape_interval": f"{scrape_s}s",
            "scrape_timeout": f"{scrape_s}s",
            "http_sd_configs": [{"url": f"{demo.url}/sd"}],
        }
        rules = [str(DEPLOY / f"wattledger.{kind}.yml") for kind in ("rules", "alerts")]
        with PrometheusServer(
            folder / "prometheus",
            scrape_configs=[job],
            rule_files=[*rules, str(budgets)],
            data=data,
            processors=processors,
        ) as prometheus:
            prometheus.wait_for(f"count(up == 1) == {nodes}", timeout_s=scrape_s + 30)
            yield Fleet(demo=demo, prometheus=prometheus, paths=paths, began=began)


def metered_joules(node: SimulatedNode) -> float:
    """What a node's meters have truly seen since it began."""
    profile = node.host.profile
    unseen = {"dram": not profile.dram, "other": True}
    return (
        sum(
            uj
            for component, uj in node.host.energy_uj().items()
            if profile.whole_node or not unseen.get(component)
        )
        / 1e6
    )


def truth(fleet: Fleet, moments: Sequence[float]) -> list[dict[str, float]]:
    """Joules that the meters had truly seen at some moments, by node, of twins on a manual clock.

    Of nodes whose meters are whole: neither lost nor an estimate. A twin is the same host to the microjoule
    if it begins at the same nanosecond; here that is known to about half a second.
    """
    clock = ManualClock()
    clock.epoch_ns = round(fleet.began * S_NS) - clock.now_ns
    twins = [
        node
        for node in simulated_nodes(len(fleet.nodes), clock)
        if node.host.profile.rapl and not node.host.profile.lost
    ]
    seen = []
    for moment in moments:
        clock.now_ns = round(moment * S_NS) - clock.epoch_ns
        for node in twins:
            node.host.advance()
        seen.append({node.name: metered_joules(node) for node in twins})
    return seen
