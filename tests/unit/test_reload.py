"""New settings come into force as a whole or not at all, and never end the agent."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

import pytest

from tests.cgroup_tree import CgroupHost
from wattledger.app import build_grid_for, build_sampler, build_workloads, run
from wattledger.app.agent import WEB, Agent
from wattledger.carbon.build import lowest_pue
from wattledger.clock import ManualClock
from wattledger.errors import SettingsError
from wattledger.hostfs import HostFS
from wattledger.model import S_NS
from wattledger.settings import (
    AttributionSettings,
    BudgetSettings,
    CarbonSettings,
    IntensitySettings,
    KubeletSettings,
    NameSettings,
    SensorSettings,
    Settings,
    StorageSettings,
    WeeklyRule,
)


@pytest.fixture
def agent(tmp_path):
    host = CgroupHost(tmp_path, "v2")
    settings = Settings(paths=host.hostfs, names=NameSettings(enabled=False))
    made = Agent(lambda: settings)
    made._workloads = build_workloads(settings, made._clock)
    yield made
    made._workloads.close()


@pytest.fixture
def sampler(agent):
    made = build_sampler(agent.settings, workloads=agent._workloads)
    made.tick()
    yield made
    made.close()


def test_what_cannot_be_built_leaves_the_old_settings_in_force(agent, sampler, caplog):
    """A wrong port is seen only when the client is built, on the sampler's thread: it must not end it."""
    old = agent.settings
    kubelet = KubeletSettings(url="https://127.0.0.1:99999")
    fresh = replace(
        old,
        sampling=replace(old.sampling, interval_ns=1_000_000_000),
        attribution=replace(old.attribution, idle="usage"),
        names=NameSettings(kubelet=kubelet),
    )
    with caplog.at_level(logging.ERROR):
        agent._apply(sampler, fresh)
    assert not sampler.reload[0]
    assert sampler.interval_ns == old.sampling.interval_ns
    assert agent.settings is old
    assert "old ones stay in force" in caplog.text
    sampler.tick()


def test_two_reloads_in_a_row_are_each_compared_with_what_is_in_force(agent, sampler):
    """Two signals may be read before either is applied; the second undoes what the first did."""
    old = agent.settings
    usage = replace(old, attribution=replace(old.attribution, idle="memory"))
    before = agent._workloads
    agent._apply(sampler, usage)
    changed = agent._workloads
    agent._apply(sampler, old)
    assert changed is not before
    assert agent._workloads is not changed
    assert sampler.reload[0]


def carbon(settings: Settings, grams_per_kwh: float) -> Settings:
    intensity = IntensitySettings(provider="static", grams_per_kwh=grams_per_kwh)
    return replace(settings, carbon=CarbonSettings(intensity=intensity))


def test_another_price_holds_from_the_next_tick_on(agent, sampler):
    """Twice in a row, and the second time with a grid that was made for what is in force by then."""
    old = agent.settings
    agent._apply(sampler, carbon(old, 100))
    assert sampler.tick().price.intensity.grams_per_kwh == 100
    stale = agent._grid
    agent._apply(sampler, carbon(old, 200))
    assert sampler.tick().price.intensity.grams_per_kwh == 200
    agent._apply(sampler, carbon(old, 200), stale)
    assert sampler.tick().price.intensity.grams_per_kwh == 200
    agent._grid.watch.stop()


def test_a_budget_that_the_idle_floor_exceeds_is_refused(agent, sampler, caplog):
    """100 W at 1000 g/kWh are 2.4 kg a day: 2 kg leaves the old settings in force, 3 kg does not."""
    idle = replace(agent.settings.attribution, idle_watts={"cpu": 100.0})
    priced = replace(carbon(agent.settings, 1000), attribution=idle)
    small, large = (
        replace(priced, budgets=(BudgetSettings(name="day", period="day", limit_g=limit_g),))
        for limit_g in (2000, 3000)
    )
    with caplog.at_level(logging.ERROR):
        agent._apply(sampler, small)
    assert not sampler.reload[0]
    assert "= 2.4 kg, more than the limit of 2 kg" in caplog.records[-1].reason
    assert sampler.tick().budgets == ()
    agent._apply(sampler, large)
    assert [row.name for row in sampler.tick().budgets] == ["day"]
    agent._grid.watch.stop()


def test_a_reload_is_refused_where_the_next_start_would_be(agent, sampler, caplog):
    """A floor of 100 W was learned: 2 kg a day at 1000 g/kWh is too little for it."""
    wall_ns = agent._clock.wall_ns()
    sampler.ledger.idle.observe("cpu", wall_ns, 60 * S_NS, 6_000_000_000, 0.0)
    small = replace(
        carbon(agent.settings, 1000), budgets=(BudgetSettings(name="day", period="day", limit_g=2000),)
    )
    with caplog.at_level(logging.ERROR):
        agent._apply(sampler, small)
    assert not sampler.reload[0]
    assert "100 W idle" in caplog.records[-1].reason


def test_a_budget_in_force_that_cannot_be_kept_by_now_keeps_no_other_setting_out(agent, sampler):
    """Its floor was learned later; there is a warning for that, and a reload of the interval is no worse."""
    tight = replace(
        carbon(agent.settings, 1000), budgets=(BudgetSettings(name="day", period="day", limit_g=2000),)
    )
    agent._apply(sampler, tight)
    sampler.ledger.idle.observe("cpu", agent._clock.wall_ns(), 60 * S_NS, 6_000_000_000, 0.0)
    agent._apply(sampler, replace(tight, sampling=replace(tight.sampling, interval_ns=S_NS)))
    assert sampler.reload[0]
    assert sampler.interval_ns == S_NS
    agent._grid.watch.stop()


def test_idle_power_is_judged_by_the_lowest_pue_there_is():
    """A schedule that holds all week leaves nothing for the plain number, which is 2 here."""
    always = WeeklyRule(days=(0, 1, 2, 3, 4, 5, 6), start_minute=0, end_minute=24 * 60, value=1.1)
    assert lowest_pue(CarbonSettings(pue=2.0, pue_schedule=(always,))) == 1.1
    assert lowest_pue(CarbonSettings(pue=2.0, pue_schedule=(replace(always, days=(5, 6)),))) == 1.1
    assert lowest_pue(CarbonSettings(pue=1.3)) == 1.3


@pytest.mark.parametrize("wrong", ["budget", "sensor"])
def test_a_start_that_is_refused_leaves_no_thread_and_no_lock(tmp_path, wrong):
    """Whoever mends the settings can start at once."""
    host = CgroupHost(tmp_path, "v2")
    state = str(tmp_path / "state")
    settings = replace(
        carbon(Settings(paths=host.hostfs), 1000),
        storage=StorageSettings(path=state),
        attribution=AttributionSettings(idle_watts={"cpu": 100.0}),
        names=NameSettings(enabled=False),
    )
    if wrong == "budget":
        bad = replace(settings, budgets=(BudgetSettings(name="day", period="day", limit_g=1),))
    else:
        bad = replace(settings, sensors=SensorSettings(enabled={"none-such": True}))
    before = set(threading.enumerate())
    with pytest.raises(SettingsError):
        run(lambda: bad)
    assert {thread.name for thread in set(threading.enumerate()) - before} == set()
    build_sampler(settings).close()


def test_no_thread_is_left_of_a_grid_that_was_replaced_or_refused(agent, sampler):
    old = agent.settings
    before = {thread for thread in threading.enumerate() if thread.name == "carbon"}
    for grams in (100, 200, 300):
        fresh = carbon(old, grams)
        ready = build_grid_for(fresh, agent._clock)
        ready.watch.start(5)
        tight = replace(fresh, budgets=(BudgetSettings(name="day", period="day", limit_g=1e-9),))
        idle = replace(tight, attribution=replace(tight.attribution, idle_watts={"cpu": 100.0}))
        agent._apply(sampler, idle if grams == 200 else fresh, ready)
    agent._grid.watch.stop()
    left = [t for t in threading.enumerate() if t.name == "carbon" and t not in before]
    for thread in left:
        thread.join(10)
    assert not any(thread.is_alive() for thread in left)


def test_what_the_start_loaded_counts_as_the_first_reload(agent):
    """One that never was told to reload has its settings in force, since it began."""
    clock = ManualClock()
    sampler = build_sampler(agent.settings, clock=clock, workloads=agent._workloads)
    began_ns = clock.wall_ns()
    clock.advance(5)
    health = sampler.tick().health
    assert (health.config_reload_ok, health.config_reload_wall_ns) == (True, began_ns)
    sampler.close()


def test_settings_that_work_do_not_hide_a_web_configuration_that_does_not(agent, sampler):
    sampler.note_reload(WEB, False)
    agent._apply(sampler, agent.settings)
    assert not sampler.tick().health.config_reload_ok
    sampler.note_reload(WEB, True)
    assert sampler.tick().health.config_reload_ok


def test_only_what_differs_from_the_start_takes_a_restart(agent, sampler, caplog):
    """To another address, to it once more, and back to the one that is served: twice there is to say."""
    old = agent.settings
    other = replace(old, web=replace(old.web, listen_addresses=(":9",)))
    for wanted, told in ((other, 1), (other, 2), (old, 2)):
        agent._apply(sampler, wanted)
        assert caplog.text.count("a changed setting needs a restart") == told
        assert sampler.reload[0]


def test_until_the_restart_the_old_folders_are_used(agent, sampler, tmp_path):
    """What is rebuilt at a reload must not mix another host's files or state into the account."""
    old = agent.settings
    fresh = replace(
        old,
        paths=HostFS.at(str(tmp_path / "elsewhere")),
        storage=StorageSettings(path=str(tmp_path / "state"), retention_ns=S_NS),
        attribution=replace(old.attribution, idle="memory"),
    )
    agent._apply(sampler, fresh)
    assert sampler.reload[0]
    assert agent.settings.paths == old.paths
    assert (agent.settings.storage.path, agent.settings.storage.retention_ns) == (None, S_NS)
    assert agent._workloads._hostfs == old.paths
