"""New settings come into force as a whole or not at all, and never end the agent."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from tests.cgroup_tree import CgroupHost
from wattledger.app import build_sampler, build_workloads
from wattledger.app.agent import Agent
from wattledger.settings import (
    BudgetSettings,
    CarbonSettings,
    IntensitySettings,
    KubeletSettings,
    NameSettings,
    Settings,
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
    assert sampler.reload == (False, 0)
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
