"""A kubelet's list of pods as names by container id and by pod uid (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from .answers import answer, pod_answer
from .base import Names
from .parsed import decode_json

STATIC_HASH = "kubernetes.io/config.hash"
"""Annotation with the hash that names a static pod's cgroup (pkg/kubelet/types/constants.go)."""

_NOT_IN_LABEL = re.compile(r"[^a-zA-Z0-9_]")


class _Metadata(msgspec.Struct):
    name: str
    namespace: str
    uid: str = ""
    annotations: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class _ContainerSpec(msgspec.Struct):
    name: str = ""
    image: str = ""


class _ContainerStatus(msgspec.Struct, rename={"container_id": "containerID"}):
    name: str = ""
    image: str = ""
    container_id: str = ""


class _Spec(msgspec.Struct, rename="camel"):
    containers: list[_ContainerSpec] | None = None
    init_containers: list[_ContainerSpec] | None = None
    ephemeral_containers: list[_ContainerSpec] | None = None


class _Status(msgspec.Struct, rename="camel"):
    container_statuses: list[_ContainerStatus] | None = None
    init_container_statuses: list[_ContainerStatus] | None = None
    ephemeral_container_statuses: list[_ContainerStatus] | None = None


class _Pod(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


class _PodList(msgspec.Struct):
    items: list[msgspec.Raw] | None = None


@dataclass(frozen=True, slots=True)
class PodIndex:
    """Names by what a cgroup tells: a container's id, and a pod's uid or static configuration hash.

    `sandboxes` has, by the same keys as `pods`, the names for the container that only holds the pod.
    """

    containers: Mapping[str, Names] = field(default_factory=dict)
    pods: Mapping[str, Names] = field(default_factory=dict)
    sandboxes: Mapping[str, Names] = field(default_factory=dict)


def label_fact(name: str) -> str:
    """The fact that carries a pod label, such as `label_app_kubernetes_io_name`."""
    return "label_" + _NOT_IN_LABEL.sub("_", name)


def index_pods(body: bytes, labels: Sequence[str] = ()) -> PodIndex:
    """Read a v1 PodList; pod labels named in `labels` become facts, the first of two that clash.

    A pod that does not look like one is left out. Raises ResolverError("parse") when the whole is no list.
    """
    containers: dict[str, Names] = {}
    pods: dict[str, Names] = {}
    sandboxes: dict[str, Names] = {}
    for item in decode_json(body, _PodList).items or []:
        try:
            pod = msgspec.json.decode(item, type=_Pod)
        except (msgspec.DecodeError, RecursionError):
            continue
        facts = _label_facts(pod.metadata.labels or {}, labels)
        uids = (pod.metadata.uid, (pod.metadata.annotations or {}).get(STATIC_HASH, ""))
        _index(pods, uids, _pod_names(pod, facts))
        _index(sandboxes, uids, _container_names(pod, "", facts, sandbox=True))
        images = _images(pod.spec)
        for status in _statuses(pod.status):
            # "containerd://0123...": the scheme is the runtime. Empty until the container was made.
            ident = status.container_id.rpartition("://")[2]
            image = images.get(status.name) or status.image
            _index(containers, (ident,), _container_names(pod, status.name, {"image": image, **facts}))
    return PodIndex(containers, pods, sandboxes)


def _index(index: dict[str, Names], keys: Iterable[str], names: Names | None) -> None:
    if names is not None:
        index.update((key, names) for key in keys if key)


def _pod_names(pod: _Pod, facts: Mapping[str, str]) -> Names | None:
    return answer(pod_namespace=pod.metadata.namespace, pod_name=pod.metadata.name, facts=facts)


def _container_names(
    pod: _Pod, container: str, facts: Mapping[str, str], *, sandbox: bool = False
) -> Names | None:
    return pod_answer(
        pod_namespace=pod.metadata.namespace,
        pod_name=pod.metadata.name,
        container_name=container,
        sandbox=sandbox,
        facts=facts,
    )


def _images(spec: _Spec) -> dict[str, str]:
    """Images as the pod's author wrote them; a status may show a digest instead."""
    every = (spec.containers, spec.init_containers, spec.ephemeral_containers)
    return {container.name: container.image for some in every for container in some or ()}


def _statuses(status: _Status) -> Iterable[_ContainerStatus]:
    every = (
        status.container_statuses,
        status.init_container_statuses,
        status.ephemeral_container_statuses,
    )
    return (container for some in every for container in some or ())


def _label_facts(found: Mapping[str, str], allowed: Sequence[str]) -> dict[str, str]:
    facts: dict[str, str] = {}
    for name in allowed:
        if name in found:
            facts.setdefault(label_fact(name), found[name])
    return facts
