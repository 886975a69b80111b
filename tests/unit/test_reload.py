"""New settings come into force as a whole or not at all, and never end the agent."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from tests.cgroup_tree import CgroupHost
from wattledger.app import Agent, build_sampler, build_workloads
from wattledger.settings import KubeletSettings, NameSettings, Settings


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
