"""SIGTERM ends the agent in good order, SIGHUP gives it new settings or keeps the old ones."""

from __future__ import annotations

import signal
import socket
import time

import pytest

from tests.agent_process import AgentProcess, host_arguments
from tests.known_host import J, KnownHost
from wattledger.idle import IdleFloor
from wattledger.ledger.floors import FloorsFile
from wattledger.model import S_NS

pytestmark = pytest.mark.e2e

NODE = "wattledger_node_energy_joules_total"
OK = "wattledger_config_last_reload_successful"
INTERVAL = "wattledger_sampler_interval_seconds"
INTENSITY = "wattledger_grid_carbon_intensity_grams_per_kilowatt_hour"

SETTINGS = """\
sampling: {{interval: {interval}}}
carbon: {{intensity: {{grams_per_kwh: {grams}}}}}
"""


@pytest.fixture
def host(tmp_path):
    return KnownHost(tmp_path / "host")


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "wattledger.yml"
    path.write_text(SETTINGS.format(interval="1s", grams=100))
    return path


@pytest.fixture
def agent(host, config, tmp_path):
    arguments = (
        *host_arguments(host.root),
        f"--config.file={config}",
        f"--storage.path={tmp_path / 'state'}",
    )
    with AgentProcess(*arguments, folder=tmp_path) as agent:
        yield agent


def until(agent, true):
    """Scrape until the predicate holds; returns that scrape."""
    for _ in range(600):
        scrape = agent.scrape()
        if true(scrape):
            return scrape
        time.sleep(0.05)
    raise AssertionError(f"not within 30 s; log:\n{agent.log}")


def test_sigterm_ends_within_two_seconds_and_nothing_served_is_lost(host, agent):
    """The next start goes on from what was served; nobody waits for connections that are open."""
    host.counters["package-0"].draw(100 * J)
    until(agent, lambda scrape: scrape.sum(NODE, component="cpu") == 100)
    with (
        socket.create_connection(("127.0.0.1", agent.port), timeout=10),
        socket.create_connection(("127.0.0.1", agent.port), timeout=10) as idle,
    ):
        idle.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(9) == b"HTTP/1.1 "
        status, seconds = agent.terminate()
    assert status == 0
    assert seconds < 2
    agent.start()
    agent.wait_ready()
    again = agent.scrape()
    assert again.sum(NODE, component="cpu") == 100
    assert again.sum("wattledger_workload_energy_joules_total", component="cpu") == 100
    assert "going on from the checkpoint" in agent.log


def test_sighup_applies_good_settings(config, agent):
    before = agent.scrape()
    assert (before.value(INTERVAL), before.value(INTENSITY)) == (1, 100)
    config.write_text(SETTINGS.format(interval="2s", grams=250))
    agent.signal(signal.SIGHUP)
    after = until(agent, lambda scrape: scrape.value(INTERVAL) == 2)
    assert after.value(INTENSITY) == 250
    assert after.value(OK) == 1
    assert after.value("wattledger_config_last_reload_success_timestamp_seconds") > 0


def test_sighup_with_a_bad_file_keeps_the_old_settings_and_says_so(config, agent):
    """The metric goes to 0 and names nothing; the log names the key. A good file mends it."""
    config.write_text("sampling: {interval: 2s}\ncarbon: {pew: 1.2}\n")
    agent.signal(signal.SIGHUP)
    after = until(agent, lambda scrape: scrape.value(OK) == 0)
    assert (after.value(INTERVAL), after.value(INTENSITY)) == (1, 100)
    assert "carbon.pew" in agent.log
    assert agent.status is None
    config.write_text(SETTINGS.format(interval="2s", grams=250))
    agent.signal(signal.SIGHUP)
    assert until(agent, lambda scrape: scrape.value(OK) == 1).value(INTERVAL) == 2


def test_sighup_takes_no_counter_back(host, config, agent):
    """Settings change, the account goes on."""
    host.counters["package-0"].draw(100 * J)
    before = until(agent, lambda scrape: scrape.sum(NODE) == 100)
    config.write_text(SETTINGS.format(interval="1s", grams=400) + "attribution: {idle: usage}\n")
    agent.signal(signal.SIGHUP)
    after = until(agent, lambda scrape: scrape.value(INTENSITY) == 400)
    for key, value in before.counters().items():
        assert after.values[key] >= value


BUDGET = """\
carbon: {{intensity: {{grams_per_kwh: 1000}}}}
budgets: [{{name: day, period: day, limit: {limit}}}]
"""


def test_a_floor_learned_since_ends_no_agent_whose_budget_is_unchanged(config, agent, tmp_path):
    """100 W at 1000 g/kWh are 2.4 kg a day: 2 kg is warned of, 2.1 kg is another budget and refused.

    It is refused at the second start too, and neither makes the agent forget that 2 kg held.
    """
    config.write_text(BUDGET.format(limit="2 kg"))
    agent.signal(signal.SIGHUP)
    until(agent, lambda scrape: scrape.sum("wattledger_budget_limit_grams") == 2000)
    assert agent.terminate()[0] == 0
    idle = IdleFloor()
    idle.observe("cpu", time.time_ns(), 60 * S_NS, 100 * 60 * J, 0.0)
    FloorsFile(str(tmp_path / "state")).save(idle)
    for _ in range(2):
        config.write_text(BUDGET.format(limit="2.1 kg"))
        agent.start()
        agent._running().wait(30)
        assert agent.status == 2
        assert "100 W idle x PUE 1 x 1000 g/kWh over 24 h = 2.4 kg, more than the limit of 2.1" in agent.log
    config.write_text(BUDGET.format(limit="2 kg"))
    agent.start()
    agent.wait_ready()
    assert agent.scrape().value("wattledger_budget_limit_grams") == 2000
    assert "a budget cannot be kept" in agent.log
