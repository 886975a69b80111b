"""Real podman containers get the names that podman shows, from the files it really writes."""

from __future__ import annotations

from pathlib import Path

import pytest

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
        root = podman._folder
        (root / "etc/containers").mkdir(parents=True)
        (root / "etc/containers/storage.conf").write_text(
            '[storage]\ndriver = "vfs"\ngraphroot = "/storage"\nrunroot = "/run"\n'
        )
        resolvers = host_resolvers(root)
        names = resolvers["podman"].resolve
        first = podman.run("sleep 600", "--name=first")
        assert question(first).workload.id == first.id
        assert names(question(first)).name == "first"
        assert dict(names(question(first)).facts) == {"runtime": "podman", "image": IMAGE}
        second = podman.run("sleep 600", "--name=second", "--rm")
        assert names(question(second)).name == "second"
        podman._podman("rename", "first", "renamed")
        assert names(question(first)).name == "renamed"
        unnamed = podman.run("sleep 600")
        assert names(question(unnamed)).name == podman._podman("inspect", "--format={{.Name}}", unnamed.id)
        asked = question(second)
        podman.remove(second)
        with pytest.raises(NotYet):
            names(asked)
        others = [name for name in resolvers if name != "podman"]
        assert [resolvers[name].resolve(question(first)) for name in others] == [None] * len(others)
