"""The demo as a Prometheus sees it: one simulated host, and a fleet found by service discovery."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.agent_process import AgentProcess
from tests.prometheus_server import PrometheusServer, Sample, needs_prometheus, scrape_config

NODES = ("node-01", "node-02", "node-03", "node-04")
ENERGY = "wattledger_workload_energy_joules_total"
NODE = "wattledger_node_energy_joules_total"
EXPIRED = "wattledger_workload_expired_energy_joules"
SUM = "sum by (job, instance, component)"
UP = "wattledger_sensor_up"
WINDOW = "10s"

pytestmark = [pytest.mark.e2e, needs_prometheus]


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Two demos, of one host and of four, and the Prometheus that scrapes both, as jobs `one` and `fleet`."""

    one: AgentProcess
    fleet: AgentProcess
    prometheus: PrometheusServer

    def gaps(self) -> list[float]:
        """By how many joules workloads and node differ, per node and component."""
        gaps = self.prometheus.query(f"abs({SUM} ({ENERGY}) + {SUM} ({EXPIRED}) - {SUM} ({NODE}))")
        return [sample.value for sample in gaps]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    with ExitStack() as stack:
        agents = [
            stack.enter_context(
                AgentProcess(f"--nodes={nodes}", folder=tmp_path_factory.mktemp("demo"), command="demo")
            )
            for nodes in (1, len(NODES))
        ]
        one, fleet = agents
        scrapes = [
            scrape_config(one.address, job="one"),
            {
                "job_name": "fleet",
                "scrape_interval": "1s",
                "scrape_timeout": "1s",
                "http_sd_configs": [{"url": f"{fleet.url}/sd", "refresh_interval": "1s"}],
            },
        ]
        folder = tmp_path_factory.mktemp("prometheus")
        prometheus = stack.enter_context(PrometheusServer(folder, scrape_configs=scrapes))
        enough = f"count(min by (job, instance) (count_over_time({NODE}[1m])) >= 15) == {len(NODES) + 1}"
        prometheus.wait_for(enough, timeout_s=60)
        yield Demo(one=one, fleet=fleet, prometheus=prometheus)


def test_service_discovery_finds_every_node_and_all_are_scraped(demo):
    """By name, each under its own path, on one port."""
    fleet = [target for target in demo.prometheus.targets() if target["labels"]["job"] == "fleet"]
    assert {target["labels"]["instance"]: target["scrapeUrl"] for target in fleet} == {
        name: f"{demo.fleet.url}/nodes/{name}/metrics" for name in NODES
    }
    # A second is little for a scrape on a machine that is busy, so one may be missed, but none is for long.
    whole = f'min_over_time(up{{job="fleet"}}[{WINDOW}]) == 1'
    demo.prometheus.wait_for(f"count({whole}) == {len(NODES)}")
    assert demo.prometheus.by("instance", 'max_over_time(up{job="fleet"}[1m])') == dict.fromkeys(NODES, 1)


def test_every_node_draws_power_and_no_two_are_alike(demo):
    """A simulated host says that it is one."""
    power_w = demo.prometheus.by("instance", f'sum by (instance) (rate({NODE}{{job="fleet"}}[{WINDOW}]))')
    assert tuple(sorted(power_w)) == NODES
    assert min(power_w.values()) > 1
    assert len(set(power_w.values())) == len(NODES)
    assert demo.prometheus.value('count(wattledger_node_info{simulated="true"})') == len(NODES) + 1


def test_workload_energy_sums_to_node_energy_on_every_node(demo):
    """Per component, as it stands and in rates; every node has workloads of several kinds."""
    gaps = demo.gaps()
    assert len(gaps) == len(demo.prometheus.query(NODE)) > 2 * len(NODES)
    assert max(gaps) < 1e-6
    newcomers = f"{SUM} ({ENERGY} unless {ENERGY} offset {WINDOW})"
    rates_w = (f"{SUM} (rate({family}[{WINDOW}])) unless {newcomers}" for family in (ENERGY, NODE))
    # A moment that is past, so that both queries see the same scrapes.
    at = demo.prometheus.value("max(timestamp(wattledger_build_info)) - 2")
    workloads_w, nodes_w = (_by_component(demo.prometheus.query(rate_w, at)) for rate_w in rates_w)
    assert len(nodes_w) > len(NODES)
    assert workloads_w == pytest.approx(nodes_w, rel=0.001)
    kinds = demo.prometheus.query(
        f"count by (job, instance) (count by (job, instance, kind) ({ENERGY})) >= 4"
    )
    assert len(kinds) == len(NODES) + 1


def _by_component(samples: list[Sample]) -> dict[tuple[str, str], float]:
    """Values by instance and component; the one host's instance is its address."""
    return {(each.labels["instance"], each.labels["component"]): each.value for each in samples}


def test_one_host_looks_like_an_agent(demo):
    """Eight GPUs, pods, a job and a VM under /metrics, and no service discovery."""
    assert demo.prometheus.value('count(wattledger_gpu_power_watts{job="one"} > 0)') == 8
    kinds = demo.prometheus.by("kind", 'count by (kind) (wattledger_workload_info{job="one"})')
    assert {"container", "job", "unit", "vm"} <= kinds.keys()
    demo.prometheus.wait_for(f'count({NODE}{{job="one"}} > 0) == 4')  # cpu, dram, gpu, other
    assert demo.one.get("/sd").status == 404


def test_a_lost_meter_shows_and_hides_nothing_else(demo):
    """node-04 loses one of its packages: that zone is down, its other zones and all other nodes go on."""
    lost = {"sensor": "simulated", "zone_name": "package-1", "device": "package-1"}
    down = demo.prometheus.wait_for(f"max_over_time({UP}[{WINDOW}]) == 0", timeout_s=60)
    assert [(each.labels["instance"], {key: each.labels[key] for key in lost}) for each in down] == [
        ("node-04", lost)
    ]
    assert demo.prometheus.value(f'count({UP}{{instance="node-04"}} == 1)') == 3
    errors = demo.prometheus.by(
        "instance", 'wattledger_sensor_read_errors_total{reason="eio",job="fleet"} > 0'
    )
    assert list(errors) == ["node-04"]
    going_on = f'rate({NODE}{{component="cpu",job="fleet"}}[{WINDOW}]) > 0'
    assert tuple(sorted(demo.prometheus.by("instance", going_on))) == NODES
    assert max(demo.gaps()) < 1e-6


def test_the_page_of_each_node_is_there(demo):
    """The index links to every node's landing page."""
    index = demo.fleet.get("/").body.decode()
    for name in NODES:
        assert f'href="nodes/{name}/"' in index
        assert name in demo.fleet.get(f"/nodes/{name}/").body.decode()
