"""Real podman containers get the names that podman shows, from the files it really writes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.agent_process import AgentProcess
from tests.name_hosts import host_resolvers, subject
from tests.podman_containers import IMAGE, Podman, needs_podman
from wattledger.hostfs import HostFS
from wattledger.workloads.hierarchy import find_hierarchy
from wattledger.workloads.names.base import NotYet

pytestmark = [pytest.mark.e2e, needs_podman]


def question(container):
    """The question about a running container, by its cgroup as the kernel names it."""
    path = find_hierarchy(HostFS()).path_of(Path(f"/proc/{container.pid}/cgroup").read_text())
    return subject(path)


def test_names_of_real_containers():
    """Unnamed, named before and after the first question, renamed, with --rm, removed."""
    with Podman() as podman:
        resolvers = host_resolvers(podman.configure_root())
        names = resolvers["podman"].resolve
        first = podman.run("sleep 600", "--name=first")
        assert question(first).workload.id == first.id
        assert names(question(first)).name == "first"
        assert dict(names(question(first)).facts) == {"runtime": "podman", "image": IMAGE}
        second = podman.run("sleep 600", "--name=second", "--rm")
        assert names(question(second)).name == "second"
        podman.rename("first", "renamed")
        assert names(question(first)).name == "renamed"
        unnamed = podman.run("sleep 600")
        assert names(question(unnamed)).name == podman.name_of(unnamed)
        asked = question(second)
        podman.remove(second)
        with pytest.raises(NotYet):
            names(asked)
        others = [name for name in resolvers if name != "podman"]
        assert [resolvers[name].resolve(question(first)) for name in others] == [None] * len(others)


def test_the_agent_names_real_containers_without_splitting_their_series(tmp_path):
    """Started before or after the agent, renamed, brief, removed: right names, one series, exact sums."""
    with Podman() as podman:
        root = podman.configure_root()
        burn = "while :; do :; done"
        before = podman.run(burn, "--name=before", "--cpus=0.1")
        options = (f"--path.rootfs={root}", "--sampling.interval=1s", "--names.refresh=1s")
        with AgentProcess(*options, folder=tmp_path) as agent:
            after = podman.run(burn, "--name=after", "--cpus=0.1")
            brief = podman.run("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sleep 3", "--name=brief")
            wait_for(agent, lambda s: all(energy_of(s, c) for c in (before, after, brief)))
            podman.rename("before", "renamed")
            podman.remove(brief)
            renamed = wait_for(agent, lambda s: info_of(s, before).get("name") == "renamed")
            names = {c: {labels["name"] for labels in energy_of(renamed, c)} for c in (before, after, brief)}
            assert names == {before: {"before"}, after: {"after"}, brief: {"brief"}}
            assert info_of(renamed, after)["image"] == IMAGE
            for one in (before, after, brief):
                keys = [tuple(sorted(labels.items())) for labels in energy_of(renamed, one)]
                assert len(keys) == len(set(keys)) == 1
            booked = renamed.sum_uj("wattledger_workload_energy_joules_total")
            unshown = renamed.sum_uj("wattledger_workload_expired_energy_joules")
            assert booked + unshown == renamed.sum_uj("wattledger_node_energy_joules_total")


def energy_of(scrape, container):
    """The labels of a container's energy series."""
    found = scrape.select("wattledger_workload_energy_joules_total", kind="container", id=container.id)
    return [scrape.labels[key] for key in found]


def info_of(scrape, container):
    """The labels of a container's info series; there is at most one."""
    found = scrape.select("wattledger_workload_info", kind="container", id=container.id)
    assert len(found) <= 1
    return next((scrape.labels[key] for key in found), {})


def wait_for(agent, condition, timeout_s=60.0):
    """The first scrape for which the condition holds."""
    deadline = time.monotonic() + timeout_s
    while True:
        scrape = agent.scrape()
        if condition(scrape):
            return scrape
        assert time.monotonic() < deadline, agent.log
        time.sleep(0.5)
