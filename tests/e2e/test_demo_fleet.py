"""The demo's fleet through its real web server: what a Prometheus or a person would find."""

from __future__ import annotations

import json
import re
import time

import pytest

from tests.agent_process import OPENMETRICS, AgentProcess, Scrape

NODES = tuple(f"node-{number:02d}" for number in range(1, 9))
NODE_ENERGY = "wattledger_node_energy_joules_total"
WORKLOAD_ENERGY = "wattledger_workload_energy_joules_total"
EXPIRED_ENERGY = "wattledger_workload_expired_energy_joules"

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    arguments = (f"--nodes={len(NODES)}", "--sampling.interval=1s")
    with AgentProcess(*arguments, folder=folder, command="demo") as agent:
        yield agent


def scrape(demo, node, *, openmetrics=False):
    """One scrape of a node by the strict parser of its format."""
    headers = {"Accept": OPENMETRICS} if openmetrics else {}
    answer = demo.get(f"/nodes/{node}/metrics", headers)
    assert answer.status == 200
    text = answer.body.decode()
    return Scrape.of_openmetrics(text) if openmetrics else Scrape.of_text(text)


@pytest.fixture(scope="module")
def fleet(demo):
    """Every node, when all of them have booked something."""
    deadline = time.monotonic() + 30
    while True:
        found = {node: scrape(demo, node) for node in NODES}
        if all(one.sum(NODE_ENERGY) for one in found.values()):
            return found
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_service_discovery_lists_every_node_by_name(demo):
    """In the form of `http_sd_configs`: one group for each, with its path and its name as instance."""
    answer = demo.get("/sd")
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.body) == [
        {
            "targets": [demo.address],
            "labels": {"__metrics_path__": f"/nodes/{node}/metrics", "instance": node},
        }
        for node in NODES
    ]


@pytest.mark.parametrize("node", NODES)
def test_every_node_speaks_openmetrics_and_its_workloads_add_up(demo, node):
    """To the microjoule, in one scrape."""
    found = scrape(demo, node, openmetrics=True)
    shown_uj = found.sum_uj(WORKLOAD_ENERGY) + found.sum_uj(EXPIRED_ENERGY)
    assert shown_uj == found.sum_uj(NODE_ENERGY)
    assert found.value("wattledger_node_info", simulated="true") == 1


def test_each_node_shows_what_it_is_there_for(fleet):
    assert len(fleet["node-01"].select("wattledger_gpu_info")) == 8
    assert len(fleet["node-01"].select("wattledger_gpu_mig_info")) == 3
    assert fleet["node-03"].value("wattledger_sensor_info", method="estimated", covers="cpu") == 1
    assert fleet["node-04"].value("wattledger_sensor_up", zone_name="package-1") == 0
    assert fleet["node-04"].value("wattledger_sensor_read_errors_total", reason="eio") > 0
    over = fleet["node-05"]
    assert over.value("wattledger_budget_consumed_grams", budget="node-day") > over.value(
        "wattledger_budget_limit_grams", budget="node-day"
    )
    assert fleet["node-06"].value("wattledger_grid_carbon_intensity_fallback") == 1
    assert fleet["node-06"].value("wattledger_carbon_source_up", provider="simulated") == 0
    assert not fleet["node-06"].select("wattledger_grid_signal")


def test_all_but_the_failing_source_are_up_and_look_ahead(fleet):
    for node in (name for name in NODES if name != "node-06"):
        assert fleet[node].value("wattledger_carbon_source_up", provider="simulated") == 1
        assert fleet[node].sum("wattledger_grid_signal") == 1
        assert len(fleet[node].select("wattledger_grid_best_window_start_timestamp_seconds")) == 4


def test_most_day_budgets_are_well_used_now(fleet):
    """Whatever the time of day this runs at; the node over its budgets apart."""
    for node in (name for name in NODES if name != "node-05"):
        used = fleet[node].select("wattledger_budget_consumed_grams", period="day")
        assert len(used) == 2
        for key, grams in used.items():
            name = dict(key[1])["budget"]
            assert 0.4 < grams / fleet[node].value("wattledger_budget_limit_grams", budget=name) < 0.95


def test_the_log_is_quiet_about_what_holds_for_all_nodes(demo, fleet):
    """One line for the meter that is lost and the one that says where to look."""
    assert "no state directory" not in demo.log
    assert "meters in use" not in demo.log
    assert len(re.findall("sensor reading lost", demo.log)) == 1
    assert "8 simulated hosts" in demo.log


def test_settings_of_the_user_win(tmp_path):
    """An intensity, a budget and a load on the command line and in the file."""
    file = tmp_path / "wattledger.yaml"
    file.write_text("budgets: [{name: mine, period: day, limit: 3 kg}]\n")
    arguments = (f"--config.file={file}", "--carbon.pue=1.4", "--load=2", "--sampling.interval=1s")
    with AgentProcess(*arguments, folder=tmp_path, command="demo") as agent:
        found = agent.scrape()
    assert found.value("wattledger_pue_ratio") == 1.4
    assert found.value("wattledger_budget_limit_grams") == 3000
    assert found.value("wattledger_grid_carbon_intensity_info", grid_zone="DEMO-A", provider="simulated") == 1


@pytest.mark.parametrize("load", ["0.05", "6", "much"])
def test_a_load_out_of_range_is_refused(tmp_path, load):
    """With the status of a usage error and the range in the message."""
    agent = AgentProcess(f"--load={load}", folder=tmp_path, command="demo")
    with pytest.raises(RuntimeError, match="exit status 2"), agent:
        pass
    assert "--load" in agent.log
