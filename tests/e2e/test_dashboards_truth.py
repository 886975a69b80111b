"""What the dashboards show against what the simulated hosts really drew.

Half an hour of the demo on a manual clock, scraped every 15 s, is put into a Prometheus; the recorded series
are those that the shipped rules give for it.
The intensity is 400 g/kWh and PUE 1.2, so a kWh is 480 g.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.agent_process import REPOSITORY
from tests.dashboard_queries import query_of
from tests.prometheus_server import PrometheusServer, import_openmetrics, needs_prometheus
from wattledger.app.demo import build_demo
from wattledger.clock import ManualClock
from wattledger.exposition.render import Renderer
from wattledger.settings import CarbonSettings, IntensitySettings, Settings

S_NS = 1_000_000_000
SCRAPE_S = 15
SCRAPES = 121
GRAMS_PER_KWH = 480.0
SETTINGS = Settings(
    carbon=CarbonSettings(pue=1.2, intensity=IntensitySettings(provider="static", grams_per_kwh=400.0))
)
METERED = {
    "node-01": ("cpu", "dram", "gpu", "other"),
    "node-02": ("cpu", "dram"),
    "node-05": ("cpu", "dram", "other"),
    "node-06": ("cpu", "dram"),
    "node-07": ("cpu", "dram", "other"),
    "node-08": ("cpu", "dram"),
}
"""Nodes whose meters see all of these components; node-03 has an estimate and node-04 a lost meter."""
SHIPPED = REPOSITORY / "deploy/prometheus/wattledger.rules.yml"
RECORDED = (
    "instance:wattledger_node_energy_joules:rate5m",
    "instance:wattledger_node_emissions_grams:rate5m",
)

pytestmark = [pytest.mark.e2e, needs_prometheus]


@dataclass(frozen=True, kw_only=True)
class History:
    """A Prometheus that knows the half hour up to `end`, and the truth at every scrape of it."""

    prometheus: PrometheusServer
    end: int
    joules: list[dict[str, dict[str, float]]]

    def drawn(self, node: str, component: str, seconds: int) -> float:
        """Joules that were truly drawn in the last seconds."""
        then, now = self.joules[-1 - seconds // SCRAPE_S], self.joules[-1]
        return now[node][component] - then[node][component]

    def metered(self, seconds: int) -> dict[str, float]:
        """Joules by node, of the components that its meters see."""
        return {
            node: sum(self.drawn(node, component, seconds) for component in components)
            for node, components in METERED.items()
        }

    def filled(self, dashboard: str, panel: str, **variables: str) -> str:
        """A panel's query as Grafana sends it at a scrape interval of 15 s, over a quarter of an hour."""
        defaults = {"cluster": ".*", "job": ".+", "__rate_interval": "60s", "__range": "15m"}
        return query_of(dashboard, panel).filled(**defaults | variables)

    def shown(self, dashboard: str, panel: str, instance: str) -> float:
        """The number in a panel."""
        return self.prometheus.value(self.filled(dashboard, panel, instance=instance), at=self.end)


def simulate() -> tuple[list[str], int, list[dict[str, dict[str, float]]]]:
    """The samples with their times, when the last scrape was, and the truth at each."""
    clock = ManualClock(now_ns=14 * 3600 * S_NS)
    nodes = build_demo(SETTINGS, 8, clock)
    renderers = {node.name: Renderer({"version": "test"}) for node in nodes}
    lines: list[str] = []
    joules = []
    for number in range(SCRAPES):
        if number:
            clock.advance(SCRAPE_S)
        second = clock.wall_ns() // S_NS
        for node in nodes:
            text = renderers[node.name].render(node.sampler.tick(), openmetrics=False).decode()
            lines += [stamped(line, node.name, second) for line in text.splitlines() if line[:1] != "#"]
        joules.append(
            {
                node.name: {component: uj / 1e6 for component, uj in node.simulated.host.energy_uj().items()}
                for node in nodes
            }
        )
    lines.sort(key=lambda line: line.partition("{")[0])
    return lines, second, joules


def stamped(line: str, node: str, second: int) -> str:
    """A sample with the labels of its target and its time."""
    series, _, value = line.rpartition(" ")
    name, _, labels = series.partition("{")
    target = f'job="wattledger",instance="{node}"'
    return f"{name}{{{target}{',' if labels else ''}{labels or '}'} {value} {second}"


def shipped_rules(folder: Path) -> Path:
    """The rules that are shipped, as far as they are needed here, word for word."""
    rules = [
        rule
        for group in yaml.safe_load(SHIPPED.read_text())["groups"]
        for rule in group["rules"]
        if rule["record"] in RECORDED
    ]
    assert len(rules) == len(RECORDED)
    file = folder / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "shipped", "interval": "1m", "rules": rules}]}))
    return file


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    lines, end, joules = simulate()
    data = import_openmetrics(iter(lines), folder)
    server = PrometheusServer(folder / "prometheus", data=data)
    with server:
        command = ["promtool", "tsdb", "create-blocks-from", "rules", f"--url={server.url}"]
        command += [f"--start={end - SCRAPE_S * (SCRAPES - 1)}", f"--end={end}", f"--output-dir={data}"]
        subprocess.run([*command, str(shipped_rules(folder))], check=True, capture_output=True, timeout=120)
    with server:  # started anew, it finds the new blocks
        yield History(prometheus=server, end=end, joules=joules)


@pytest.mark.parametrize("node", METERED)
def test_energy_and_emissions_of_a_node_are_the_truth(history, node):
    """Exact where counters count microjoules; a whole node's meter knows whole joules of whole seconds."""
    true_j = history.metered(900)[node]
    exactness = 0.005 if "other" in METERED[node] else 1e-6
    assert history.shown("Node", "Energy", node) * 3.6e6 == pytest.approx(true_j, rel=exactness)
    grams = true_j / 3.6e6 * GRAMS_PER_KWH
    assert history.shown("Node", "Emissions", node) == pytest.approx(grams, rel=exactness)


@pytest.mark.parametrize(
    ("node", "component"),
    [(node, part) for node, parts in METERED.items() for part in parts if part != "other"],
)
def test_power_and_emissions_by_component_are_the_truth(history, node, component):
    """Over the last minute, which is four scrapes."""
    true_w = history.drawn(node, component, 60) / 60
    power = history.filled("Node", "Power by component", instance=node)
    assert history.prometheus.by("component", power, at=history.end)[component] == pytest.approx(
        true_w, rel=1e-4
    )
    hourly = history.filled("Node", "Emissions per hour by component", instance=node)
    assert history.prometheus.by("component", hourly, at=history.end)[component] == pytest.approx(
        true_w / 1000 * GRAMS_PER_KWH, rel=1e-4
    )


def test_the_power_of_each_board_is_the_truth(history):
    """All eight, against what the host says of all of them."""
    power = history.prometheus.query(
        history.filled("GPU", "Power by board", instance="node-01"), at=history.end
    )
    assert len(power) == 8
    true_w = history.drawn("node-01", "gpu", 60) / 60
    assert sum(sample.value for sample in power) == pytest.approx(true_w, rel=1e-4)
    assert history.shown("GPU", "Power", "node-01") == pytest.approx(true_w, rel=1e-4)


def test_the_fleets_power_is_the_truth_of_five_minutes(history):
    """By the shipped rule, of all nodes whose meters are whole."""
    true_w = sum(history.metered(300).values()) / 300
    whole = "|".join(METERED)
    assert history.shown("Fleet", "Power", whole) == pytest.approx(true_w, rel=0.005)
    assert history.shown("Fleet", "Emissions per hour", whole) == pytest.approx(
        true_w / 1000 * GRAMS_PER_KWH, rel=0.005
    )


def test_the_fleets_energy_is_the_truth_but_for_the_smoothing(history):
    """A quarter of an hour of means over five minutes each."""
    true_j = sum(history.metered(900).values())
    whole = "|".join(METERED)
    assert history.shown("Fleet", "Energy", whole) * 3.6e6 == pytest.approx(true_j, rel=0.05)
    assert history.shown("Fleet", "Emissions", whole) == pytest.approx(
        true_j / 3.6e6 * GRAMS_PER_KWH, rel=0.05
    )


def test_a_lost_meter_and_an_estimate_are_no_truth_and_say_so(history):
    """What the lost package draws is missing, and the estimated node is off by more than a meter would be."""
    lost = history.shown("Node", "Energy", "node-04") * 3.6e6
    assert lost < 0.9 * (history.drawn("node-04", "cpu", 900) + history.drawn("node-04", "dram", 900))
    assert history.shown("Node", "Lost sensors", "node-04") == 1
    assert history.shown("Node", "Largest uncertainty", "node-03") == 0.3
