"""Names of containerd and cri-o containers, from the annotations of their OCI runtime specs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from .answers import (
    ALLOWED_LABELS,
    allowed_facts,
    answer,
    container_id,
    fact,
    outer_containers,
    pod_answer,
)
from .base import Names, NotYet, ResolverError, Subject
from .parsed import decode_json
from .rooted import Rooted
from .storage import StorageConfig

_CONTAINERD_STATES = (
    "/run/containerd",
    "/run/k3s/containerd",
    "/run/k0s/containerd",
    "/var/snap/microk8s/common/run/containerd",
)
_TASKS = ("io.containerd.runtime.v2.task", "io.containerd.runtime.v1.linux")
_NAMESPACES = 64
_CRI = "io.kubernetes.cri."
_CRIO = "io.kubernetes.cri-o."
_POD_UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Mount(msgspec.Struct, frozen=True):
    """A mount; `source` is a path of the host if it is a bind mount."""

    destination: str = ""
    source: str = ""
    type: str = ""
    options: list[str] | None = None

    @property
    def is_bind(self) -> bool:
        """Whether the source is a folder or file of the host."""
        return self.type == "bind" or not {"bind", "rbind"}.isdisjoint(self.options or ())


class Spec(msgspec.Struct, frozen=True):
    """What counts of config.json (opencontainers/runtime-spec)."""

    annotations: dict[str, str] | None = None
    mounts: list[Mount] | None = None


class OciStore:
    """The specs that containerd, cri-o and podman keep of their containers while they run."""

    def __init__(self, rooted: Rooted, storage: StorageConfig) -> None:
        self._rooted = rooted
        self._storage = storage

    def spec(self, ident: str, runtime: str = "") -> Spec | None:
        """The spec of a container, None if no store has it; raises ResolverError.

        `runtime` is `containerd` or `cri-o` where it is known whose container it is.
        """
        failure: ResolverError | None = None
        for folder in self._folders(runtime):
            try:
                path = folder.format(id=ident)
                return decode_json(self._rooted.read(path), Spec, path)
            except FileNotFoundError:
                continue
            except ResolverError as error:
                failure = error
        if failure is not None:
            raise failure
        return None

    def present(self, runtime: str) -> bool:
        """Whether the runtime keeps specs here at all."""
        return next(self._folders(runtime), "") != ""

    def mounts(self, ident: str) -> Mapping[str, str]:
        """What of the host is mounted where in a container, by the path there; raises ResolverError."""
        spec = self.spec(ident)
        mounts = spec.mounts if spec is not None else None
        return {mount.destination: mount.source for mount in mounts or () if mount.is_bind and mount.source}

    def _folders(self, runtime: str) -> Iterator[str]:
        if runtime in {"", "containerd"}:
            for state in _CONTAINERD_STATES:
                for tasks in _TASKS:
                    yield from self._namespaces(f"{state}/{tasks}")
        if runtime in {"", "cri-o"}:
            roots = self._storage.rootful()
            for storage in (roots.run, roots.graph):
                for driver in roots.drivers:
                    folder = f"{storage}/{driver}-containers"
                    if self._rooted.exists(folder):
                        yield f"{folder}/{{id}}/userdata/config.json"

    def _namespaces(self, folder: str) -> Iterator[str]:
        try:
            names = self._rooted.listdir(folder)
        except FileNotFoundError:
            return
        for name in sorted(names, key=lambda name: name != "k8s.io")[:_NAMESPACES]:
            yield f"{folder}/{name}/{{id}}/config.json"


class OciNames:
    """Resolver `oci`: pod, container and image of a container of containerd or cri-o; nerdctl's names.

    A pod's sandbox has `pause` as its container name and the fact container_type="sandbox".
    """

    name = "oci"

    def __init__(self, store: OciStore, allowed: Mapping[str, str] = ALLOWED_LABELS) -> None:
        self._store = store
        self._allowed = allowed

    def resolve(self, subject: Subject) -> Names | None:
        """What the annotations say; None for what other runtimes started or what runs in a container.

        NotYet while the file is missing from a runtime's folder that exists.
        """
        workload = subject.workload
        ident = container_id(workload)
        runtime = fact(workload, "runtime")
        if not ident or runtime not in {"", "containerd", "cri-o"} or outer_containers(workload):
            return None
        spec = self._store.spec(ident, runtime)
        if spec is not None:
            return self._answer(spec.annotations or {})
        if runtime and self._store.present(runtime):
            raise NotYet
        return None

    def _answer(self, notes: Mapping[str, str]) -> Names | None:
        facts = allowed_facts(notes, self._allowed)
        if notes.get(f"{_CRI}container-type"):
            return pod_answer(
                pod_namespace=notes.get(f"{_CRI}sandbox-namespace", ""),
                pod_name=notes.get(f"{_CRI}sandbox-name", ""),
                container_name=notes.get(f"{_CRI}container-name", ""),
                sandbox=notes[f"{_CRI}container-type"] == "sandbox",
                facts={
                    "runtime": "containerd",
                    "image": notes.get(f"{_CRI}image-name") or notes.get(f"{_CRI}podsandbox.image-name", ""),
                    **_pod_uid(notes.get(f"{_CRI}sandbox-uid", "")),
                    **facts,
                },
            )
        if notes.get("io.kubernetes.pod.name") and notes.get(f"{_CRIO}ContainerType"):
            return pod_answer(
                pod_namespace=notes.get("io.kubernetes.pod.namespace", ""),
                pod_name=notes["io.kubernetes.pod.name"],
                container_name=notes.get("io.kubernetes.container.name", ""),
                sandbox=notes[f"{_CRIO}ContainerType"] == "sandbox",
                facts={
                    "runtime": "cri-o",
                    "image": notes.get(f"{_CRIO}ImageName") or notes.get(f"{_CRIO}Image", ""),
                    **_pod_uid(notes.get("io.kubernetes.pod.uid", "")),
                    **facts,
                },
            )
        if notes.get("nerdctl/name"):
            return answer(name=notes["nerdctl/name"], facts={"runtime": "containerd", **facts})
        return answer(facts=facts)


def _pod_uid(uid: str) -> dict[str, str]:
    """The uid by which the API server knows a pod; that of a static pod is a hash of its configuration."""
    return {"pod_uid": uid} if _POD_UID.fullmatch(uid) else {}
