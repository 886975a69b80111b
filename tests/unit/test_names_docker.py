"""Docker's containers are found wherever dockerd keeps them."""

from __future__ import annotations

import pytest

from tests.host_copies import copy_host
from tests.name_hosts import fixture, host_resolvers, ident, outcome, subject
from wattledger.clock import ManualClock
from wattledger.workloads.names.files import file_resolvers
from wattledger.workloads.names.rooted import Rooted

WEB = subject(f"/docker/{ident('web')}")


def test_a_data_root_set_by_the_administrator(tmp_path):
    """`data-root` in daemon.json, also when it is changed later."""
    host = copy_host("names-docker", tmp_path)
    docker = host_resolvers(host)["docker"]
    assert docker.resolve(WEB).name == "web"
    (host / "srv").mkdir()
    (host / "var/lib/docker").rename(host / "srv/docker")
    (host / "etc/docker").mkdir()
    (host / "etc/docker/daemon.json").write_text('{"data-root": "/srv/docker", "debug": true, "x": [1]}')
    assert docker.resolve(WEB).name == "web"


def test_docker_from_a_snap(tmp_path):
    """Its data lies below /var/snap."""
    host = copy_host("names-docker", tmp_path)
    (host / "var/snap/docker/common").mkdir(parents=True)
    (host / "var/lib/docker").rename(host / "var/snap/docker/common/var-lib-docker")
    assert host_resolvers(host)["docker"].resolve(WEB).name == "web"


def test_a_file_that_comes_late(tmp_path):
    """Expected while dockerd has a data root, nobody's where it has none."""
    host = copy_host("names-docker", tmp_path)
    docker = host_resolvers(host)["docker"]
    folder = host / "var/lib/docker/containers" / ident("web")
    folder.rename(host / "late")
    assert outcome(docker, WEB) == "not yet"
    (host / "late").rename(folder)
    assert docker.resolve(WEB).name == "web"
    (host / "var").rename(host / "elsewhere")
    assert docker.resolve(WEB) is None


def test_docker_in_a_container_without_a_volume_for_it_is_not_waited_for():
    """Its files cannot be seen; but with the host's socket in it, what it starts is in the host's files."""
    docker = host_resolvers(fixture("names-docker"))["docker"]
    outer = f"/system.slice/docker-{ident('swarm')}.scope"
    assert outcome(docker, subject(f"{outer}/docker/{ident('other')}")) == ""
    assert docker.resolve(subject(f"{outer}/docker/{ident('web')}")).name == "web"
    volume = f"/system.slice/docker-{ident('dind')}.scope"
    assert outcome(docker, subject(f"{volume}/docker/{ident('other')}")) == "not yet"


@pytest.mark.parametrize(
    "path", [f"/machine.slice/libpod-{ident('web')}", "/lxc.payload.web", "/system.slice/a.service"]
)
def test_what_is_not_dockers_is_not_for_this_source(path):
    """Another runtime's container, even of the same id, and everything without such an id."""
    assert host_resolvers(fixture("names-docker"))["docker"].resolve(subject(path)) is None


def test_the_allow_list_of_labels_can_be_changed():
    """Only what it names becomes a fact, by the name it gives."""
    rooted = Rooted(str(fixture("names-docker")))
    docker = {r.name: r for r in file_resolvers(rooted, ManualClock(), {"secret.example/owner": "owner"})}[
        "docker"
    ]
    names = docker.resolve(subject(f"/docker/{ident('shop-api')}"))
    assert dict(names.facts) == {
        "runtime": "docker",
        "image": "registry.example/shop/api:2.4",
        "owner": "finance",
    }
