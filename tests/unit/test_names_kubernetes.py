"""Pods and containers get their names from the names of their log files."""

from __future__ import annotations

import pytest

from tests.host_copies import copy_host
from tests.name_hosts import (
    PODS,
    STATIC,
    UID,
    fixture,
    host_resolvers,
    ident,
    nested,
    outcome,
    subject,
)
from wattledger.clock import ManualClock
from wattledger.workloads.identity import identify
from wattledger.workloads.names.answers import outer_containers
from wattledger.workloads.names.base import NotYet, ResolverError
from wattledger.workloads.names.pod_logs import PodLogs
from wattledger.workloads.names.rooted import Rooted

HELLO = "0d5f0a5e-9d1b-4f4c-8e21-7b1c2d3e4f50"


@pytest.fixture
def clock():
    """Time stands still unless a test moves it."""
    return ManualClock()


@pytest.fixture
def host(tmp_path):
    """A node whose kubelet is the only source of names."""
    return copy_host("names-kubernetes", tmp_path)


def container(word):
    return subject(f"{PODS}/cri-containerd-{ident(word)}.scope")


def add_link(host, word, name="late"):
    (host / f"var/log/containers/web-5f7_prod_{name}-{ident(word)}.log").symlink_to("/var/log/pods/x")


def test_a_container_is_known_once_the_kubelet_linked_its_log(host, clock):
    """Not yet, and a second later by name."""
    kubernetes = host_resolvers(host, clock)["kubernetes"]
    assert outcome(kubernetes, container("new")) == "not yet"
    add_link(host, "new")
    clock.advance(1)
    assert outcome(kubernetes, container("new")) == "pod_namespace=prod pod_name=web-5f7 container_name=late"


def test_directories_are_listed_once_a_second(host, clock):
    """However many unknown containers are asked for within it."""
    kubernetes = host_resolvers(host, clock)["kubernetes"]
    assert outcome(kubernetes, container("first")) == "not yet"
    add_link(host, "second")
    clock.advance(0.9)
    assert outcome(kubernetes, container("second")) == "not yet"
    clock.advance(0.1)
    assert outcome(kubernetes, container("second")).endswith("container_name=late")


def test_what_is_known_needs_no_listing(host, clock):
    """Known containers are answered from memory although the directory cannot be read any more."""
    kubernetes = host_resolvers(host, clock)["kubernetes"]
    known = outcome(kubernetes, container("l-web-1"))
    (host / "var/log/containers").rename(host / "var/log/elsewhere")
    (host / "var/log/containers").symlink_to("containers")
    clock.advance(60)
    assert outcome(kubernetes, container("l-web-1")) == known
    assert outcome(kubernetes, container("new")) == "error eloop"


def test_a_container_without_a_log_has_its_pods_names_after_three_seconds(host, clock):
    """Sandboxes never get a log; nobody waits for them for ever."""
    kubernetes = host_resolvers(host, clock)["kubernetes"]
    assert outcome(kubernetes, container("sandbox")) == "not yet"
    clock.advance(2.9)
    assert outcome(kubernetes, container("sandbox")) == "not yet"
    clock.advance(0.1)
    assert outcome(kubernetes, container("sandbox")) == "pod_namespace=prod pod_name=web-5f7"


def test_a_pod_without_a_log_has_no_name(host, clock):
    """It may come for three seconds, then there is nothing to say."""
    kubernetes = host_resolvers(host, clock)["kubernetes"]
    gone = subject(f"/kubepods/pod{HELLO}")
    assert outcome(kubernetes, gone) == "not yet"
    clock.advance(3)
    assert outcome(kubernetes, gone) == ""


def test_no_kubelet_no_answer(tmp_path, clock):
    """Pods on a host without its logs (another log driver) are nobody's here: no waiting."""
    kubernetes = host_resolvers(tmp_path, clock)["kubernetes"]
    assert outcome(kubernetes, container("any")) == ""
    assert outcome(kubernetes, subject(PODS)) == ""


@pytest.mark.parametrize(
    "path", [f"/docker/{ident('web')}", "/system.slice/kubelet.service", "/user.slice/x"]
)
def test_what_is_in_no_pod_is_not_for_this_source(host, path):
    """Containers outside pods, units and plain cgroups."""
    assert outcome(host_resolvers(host)["kubernetes"], subject(path)) == ""


def test_names_that_the_kubelet_cut_are_found_by_the_rest_of_the_id(host, clock):
    """A link's name has at most 255 bytes; the id at its end is what gets lost."""
    pod, name = "p" * 150, "c" * 40
    full = f"{pod}_prod_{name}-{ident('long')}"
    cut = f"{full[:251]}.log"
    assert len(cut) == 255
    assert not cut.endswith(f"{ident('long')}.log")
    (host / "var/log/containers" / cut).symlink_to("/var/log/pods/x")
    kubernetes = host_resolvers(host, clock)["kubernetes"]
    names = kubernetes.resolve(container("long"))
    assert (names.pod_name, names.pod_namespace, names.container_name) == (pod, "prod", name)


@pytest.mark.parametrize(
    "link",
    [
        f"web_prod_{ident('odd')}.log",
        f"web-prod-c-{ident('odd')}.log",
        f"web_prod_c-{ident('odd')}.txt",
        f"web_prod_c-{ident('odd')[:40]}.log",
        f"a_b_c_d-{ident('odd')}.log",
        f"_prod_c-{ident('odd')}.log",
    ],
)
def test_other_files_among_the_logs_name_nothing(link, host, clock):
    """What is not called as the kubelet calls its links is passed over."""
    (host / "var/log/containers" / link).touch()
    kubernetes = host_resolvers(host, clock)["kubernetes"]
    with pytest.raises(NotYet):
        kubernetes.resolve(container("odd"))


def test_a_fifo_in_place_of_the_folder_is_absence(host, clock):
    """Nothing waits for it, and the pods' folders still tell the pod."""
    containers = host / "var/log/containers"
    for link in containers.iterdir():
        link.unlink()
    containers.rmdir()
    containers.touch()
    kubernetes = host_resolvers(host, clock)["kubernetes"]
    assert outcome(kubernetes, subject(PODS)) == "pod_namespace=prod pod_name=web-5f7"


def test_too_many_logs_are_an_error_not_a_long_list(host, clock):
    """The listing is bounded."""

    class Narrow(Rooted):
        def listdir(self, path, limit=3):
            return super().listdir(path, limit)

    logs = PodLogs(Narrow(str(host)), "/var/log", clock)
    with pytest.raises(ResolverError) as caught:
        logs.container(ident("l-web-1"))
    assert caught.value.reason == "too_large"


def test_a_nested_cluster_is_found_on_its_nodes_volume(tmp_path, clock):
    """A container that starts later in a kind node is found there as well."""
    host = copy_host("names-kind", tmp_path)
    kubernetes = host_resolvers(host, clock)["kubernetes"]
    path = f"{nested('kind-node', HELLO)}/cri-containerd-{ident('later')}.scope"
    assert outcome(kubernetes, subject(path)) == "not yet"
    logs = next((host / "var/lib/docker/volumes").glob("*/_data/log/containers"))
    (logs / f"hello-6c_default_side-{ident('later')}.log").symlink_to("/var/log/pods/x")
    clock.advance(1)
    assert outcome(kubernetes, subject(path)).endswith("pod_name=hello-6c container_name=side")


def test_a_volume_cannot_point_at_the_hosts_logs(tmp_path, clock):
    """A link that a container planted in its volume ends in that volume."""
    host = copy_host("names-kind", tmp_path)
    logs = next((host / "var/lib/docker/volumes").glob("*/_data/log"))
    logs.rename(tmp_path / "stolen")
    target = host / "var/log"
    (tmp_path / "stolen").rename(target)
    logs.symlink_to("/../../../../../../var/log")
    kubernetes = host_resolvers(host, clock)["kubernetes"]
    kubernetes._host = PodLogs(Rooted(str(tmp_path)), "/none", clock)
    path = f"{nested('kind-node', HELLO)}/cri-containerd-{ident('kind-hello')}.scope"
    assert outcome(kubernetes, subject(path)) == ""


def test_a_cluster_in_a_cluster_in_a_container_is_not_guessed(clock):
    """Two containers around: the host's runtimes know nothing of the inner one's volumes."""
    workload = identify(f"/docker/{ident('kind-node')}/docker/{ident('inner')}/kubepods/pod{HELLO}")
    assert len(outer_containers(workload)) == 2
    path = f"/docker/{ident('kind-node')}/docker/{ident('inner')}/kubepods/pod{HELLO}"
    assert outcome(host_resolvers(fixture("names-kind"), clock)["kubernetes"], subject(path)) == ""


def test_static_pods_go_by_the_hash_of_their_configuration(clock):
    """Their cgroup and their log folder have it; it is no uid of the API."""
    workload = identify(f"/kubepods/burstable/pod{STATIC}")
    assert dict(workload.facts) == {"pod_config_hash": STATIC, "qos": "burstable"}
    kubernetes = host_resolvers(fixture("names-kubernetes"), clock)["kubernetes"]
    assert kubernetes.resolve(subject(f"/kubepods/burstable/pod{STATIC}")).pod_name == "etcd-node1"
    assert kubernetes.resolve(subject(f"/kubepods/pod{UID}")).pod_name == "web-5f7"
