"""Fixture hosts whose workloads have names, and what the file resolvers say of each.

The 64-digit id of everything in them is the SHA-256 of a word: `ident("web")`.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from tests.host_copies import HOSTS
from wattledger.clock import Clock, ManualClock
from wattledger.workloads.identity import identify
from wattledger.workloads.names.base import Names, NotYet, Resolver, ResolverError, Subject
from wattledger.workloads.names.files import file_resolvers
from wattledger.workloads.names.rooted import Rooted

UID = "2c9f8a79-5391-454b-88cb-86190881cb96"
STATIC = "d76e26fba3bf2bfd215eb29011d55250"
PODS = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice"
STATIC_POD = f"/kubepods/burstable/pod{STATIC}"
ALICE = "/user.slice/user-1000.slice"
BOB = "/user.slice/user-1001.slice"
KUBELET = "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{}.slice"


def ident(word: str) -> str:
    """The id that the fixture hosts give to what is called `word` here."""
    return hashlib.sha256(word.encode()).hexdigest()


def nested(node: str, uid: str) -> str:
    """The cgroup of a pod in a cluster that runs in the container `node`."""
    return f"/system.slice/docker-{ident(node)}.scope/" + KUBELET.format(uid.replace("-", "_"))


CGROUPS: dict[str, Sequence[str]] = {
    "names-docker": (
        f"/system.slice/docker-{ident('web')}.scope",
        f"/docker/{ident('shop-api')}",
        f"/system.slice/docker-{ident('swarm')}.scope",
        f"/kubepods/pod{UID}/{ident('k8s-web')}",
        f"/kubepods/pod{UID}/{ident('k8s-pod')}",
        f"{ALICE}/user@1000.service/user.slice/docker-{ident('alice-db')}.scope",
        f"/system.slice/docker-{ident('dind')}.scope",
        f"/system.slice/docker-{ident('dind')}.scope/docker/{ident('dind-job')}",
        f"/system.slice/docker-{ident('not there')}.scope",
    ),
    "names-podman": (
        f"/machine.slice/libpod-{ident('p-web')}.scope/container",
        f"/machine.slice/libpod-conmon-{ident('p-web')}.scope",
        f"/system.slice/cache.service/libpod-payload-{ident('p-quadlet')}",
        f"/machine.slice/libpod-{ident('p-rm')}.scope",
        f"/machine.slice/machine-libpod_pod_{ident('pod')}.slice/libpod-{ident('p-pod')}.scope",
        f"/machine.slice/libpod-{ident('p-rootfs')}.scope",
        f"{ALICE}/user@1000.service/user.slice/libpod-{ident('p-alice')}.scope/container",
        f"{BOB}/session-7.scope/libpod-{ident('p-bob')}",
        f"/machine.slice/libpod-{ident('not there')}.scope",
    ),
    "names-containerd": (
        f"{PODS}/cri-containerd-{ident('c-web')}.scope",
        f"{PODS}/cri-containerd-{ident('c-pause')}.scope",
        f"{STATIC_POD}/{ident('c-etcd')}",
        f"/system.slice/nerdctl-{ident('c-nerd')}.scope",
        f"/kubepods/besteffort/pod7b1c2d3e-4f50-4e21-9d1b-0d5f0a5e9d1b/{ident('c-k3s')}",
        f"/docker/{ident('c-moby')}",
        f"{PODS}/cri-containerd-{ident('not there')}.scope",
    ),
    "names-crio": (
        f"{PODS}/crio-{ident('o-router')}.scope",
        f"{PODS}/crio-{ident('o-router')}.scope/container",
        f"{PODS}/crio-{ident('o-pod')}.scope",
        f"{PODS}/crio-conmon-{ident('o-router')}.scope",
        f"{STATIC_POD}/crio-{ident('o-api')}",
        f"/kubepods/pod{UID}/{ident('o-router')}",
    ),
    "names-kubernetes": (
        PODS,
        f"{PODS}/cri-containerd-{ident('l-web-0')}.scope",
        f"{PODS}/cri-containerd-{ident('l-web-1')}.scope",
        f"{PODS}/cri-containerd-{ident('l-ship')}.scope",
        f"{PODS}/cri-containerd-{ident('l-pause')}.scope",
        STATIC_POD,
        f"{STATIC_POD}/{ident('l-etcd')}",
        f"/kubepods/besteffort/pod7b1c2d3e-4f50-4e21-9d1b-0d5f0a5e9d1b/{ident('l-job')}",
        f"{PODS}/crio-conmon-{ident('l-web-0')}.scope",
        f"{PODS}/cri-containerd-{ident('l-web-1')}.scope/docker/{ident('in a pod')}",
    ),
    "names-kind": (
        f"/system.slice/docker-{ident('kind-node')}.scope",
        f"/system.slice/docker-{ident('kind-node')}.scope/kubelet.slice",
        nested("kind-node", "0d5f0a5e-9d1b-4f4c-8e21-7b1c2d3e4f50"),
        nested("kind-node", "0d5f0a5e-9d1b-4f4c-8e21-7b1c2d3e4f50")
        + f"/cri-containerd-{ident('kind-hello')}.scope",
        f"/docker/{ident('kind-node')}/kubelet/kubepods/burstable/pod{STATIC}/{ident('kind-etcd')}",
        nested("k3d-node", "1d5f0a5e-9d1b-4f4c-8e21-7b1c2d3e4f50") + f"/{ident('k3d-api')}",
    ),
    "names-users": (
        f"{ALICE}/session-3.scope",
        f"{BOB}/session-7.scope",
        f"{ALICE}/user@1000.service/app.slice/editor.service",
        "/slurm/uid_1001/job_4824887/step_0/task_0",
        "/oar/alice_77",
        "/oar/carol_78",
        "/user.slice/user-4242.slice/session-9.scope",
        "/system.slice/nginx.service",
    ),
}
"""The cgroups on each host, as the kernel would name them."""


def subject(cgroup: str) -> Subject:
    """The question about the workload that owns a cgroup."""
    workload = identify(cgroup)
    assert workload is not None
    return Subject(workload=workload)


def host_resolvers(root: Path, clock: Clock | None = None) -> dict[str, Resolver]:
    """The file resolvers of a host, by name, in the order in which their answers count."""
    resolvers = file_resolvers(Rooted(str(root)), clock or ManualClock())
    return {resolver.name: resolver for resolver in resolvers}


def describe(root: Path, cgroups: Sequence[str]) -> str:
    """What each resolver says of each cgroup's workload, first at once and then when four seconds passed."""
    clock = ManualClock()
    resolvers = host_resolvers(root, clock)
    lines: list[str] = []
    for cgroup in cgroups:
        question = subject(cgroup)
        lines.append(f"{cgroup} ({question.workload.kind})")
        for name, resolver in resolvers.items():
            said = outcome(resolver, question)
            if said == "not yet":
                clock.advance(4)
                said = f"not yet, then {outcome(resolver, question)}"
            if said:
                lines.append(f"  {name}: {said}")
    return "\n".join(lines) + "\n"


def outcome(resolver: Resolver, question: Subject) -> str:
    """An answer in one line, "" for None."""
    try:
        names = resolver.resolve(question)
    except NotYet:
        return "not yet"
    except ResolverError as error:
        return f"error {error.reason}"
    return "" if names is None else _line(names)


def _line(names: Names) -> str:
    identity = {key: getattr(names, key) for key in ("name", "pod_namespace", "pod_name", "container_name")}
    shown = [f"{key}={value}" for key, value in identity.items() if value]
    return " ".join([*shown, *(f"[{key}={value}]" for key, value in names.facts)])


def fixture(name: str) -> Path:
    """The root of a fixture host, not to be changed."""
    return HOSTS / name


def write_podman_database(path: Path) -> None:
    """A `db.sql` of a newer podman: a container with a pod and labels, and one without an image."""
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        CREATE TABLE IDNamespace(ID TEXT PRIMARY KEY NOT NULL);
        CREATE TABLE PodConfig(ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, JSON TEXT NOT NULL);
        CREATE TABLE ContainerConfig(
            ID TEXT PRIMARY KEY NOT NULL, Name TEXT UNIQUE NOT NULL, PodID TEXT, JSON TEXT NOT NULL,
            FOREIGN KEY (PodID) REFERENCES PodConfig(ID)
        );
        """
    )
    connection.execute("INSERT INTO PodConfig VALUES (?, ?, ?)", (ident("pod"), "shop", "{}"))
    config = {
        "id": ident("p-pod"),
        "rootfsImageName": "localhost/shop/api:7",
        "labels": {"com.docker.compose.project": "shop", "secret.example/owner": "finance"},
    }
    connection.execute(
        "INSERT INTO ContainerConfig VALUES (?, ?, ?, ?)",
        (ident("p-pod"), "shop-api", ident("pod"), json.dumps(config)),
    )
    connection.execute(
        "INSERT INTO ContainerConfig VALUES (?, ?, NULL, ?)",
        (ident("p-rootfs"), "chroot", json.dumps({"id": ident("p-rootfs"), "rootfs": "/srv/tree"})),
    )
    connection.commit()
    connection.close()
