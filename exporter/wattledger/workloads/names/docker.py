"""Names of Docker containers, from the files that dockerd keeps of each."""

from __future__ import annotations

from collections.abc import Mapping

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
from .mounts import Mounts, Place
from .parsed import Parsed, decode_json
from .rooted import Rooted
from .users import Passwd

_DATA_ROOT = "/var/lib/docker"
_SNAP_ROOT = "/var/snap/docker/common/var-lib-docker"
_DAEMON_CONFIG = "/etc/docker/daemon.json"
_POD_NAMESPACE = "io.kubernetes.pod.namespace"
_POD_NAME = "io.kubernetes.pod.name"
_CONTAINER_NAME = "io.kubernetes.container.name"
_TYPE = "io.kubernetes.docker.type"


class DaemonConfig(msgspec.Struct, frozen=True, rename="kebab"):
    """What counts of `/etc/docker/daemon.json`."""

    data_root: str = ""


class ContainerConfig(msgspec.Struct, frozen=True, rename="pascal"):
    """The member `Config` of config.v2.json."""

    image: str = ""
    labels: dict[str, str] | None = None


class MountPoint(msgspec.Struct, frozen=True, rename="pascal"):
    """A volume or bind mount; `source` is a path of the host."""

    source: str = ""
    destination: str = ""


class Container(msgspec.Struct, frozen=True, rename="pascal"):
    """What counts of config.v2.json."""

    name: str = ""
    config: ContainerConfig | None = None
    mount_points: dict[str, MountPoint] | None = None


class DockerStore:
    """The containers of this host's dockerd, of its snap, and of rootless ones in homes."""

    def __init__(self, rooted: Rooted, passwd: Passwd) -> None:
        self._rooted = rooted
        self._passwd = passwd
        self._daemon: Parsed[DaemonConfig] = Parsed(
            rooted, _DAEMON_CONFIG, lambda data: decode_json(data, DaemonConfig)
        )

    def places(self, user: str) -> list[Place]:
        """Where containers may be kept, for a container of `user` (a uid, a name or "")."""
        daemon = self._daemon.get()
        roots = [daemon.data_root if daemon and daemon.data_root else _DATA_ROOT, _SNAP_ROOT]
        account = self._passwd.of(user) if user else None
        if account is not None:
            roots.append(f"{account.home}/.local/share/docker")
        return [Place(self._rooted, root) for root in roots]

    def mounts(self, ident: str) -> Mapping[str, str]:
        """Where a container's volumes lie on the host, by their path in the container; raises as Rooted."""
        for place in self.places(""):
            try:
                points = (read_container(place, ident).mount_points or {}).values()
            except FileNotFoundError:
                continue
            return {point.destination: point.source for point in points if point.source}
        return {}


def read_container(place: Place, ident: str) -> Container:
    """One container of one data root; raises FileNotFoundError or ResolverError."""
    path = f"{place.path}/containers/{ident}/config.v2.json"
    return decode_json(place.rooted.read(path), Container, path)


class DockerNames:
    """Resolver `docker`: the container's name and image, and of its labels those in `allowed`.

    A container that cri-dockerd or dockershim made for a pod has the pod's names instead of its own.
    """

    name = "docker"

    def __init__(
        self, store: DockerStore, mounts: Mounts, allowed: Mapping[str, str] = ALLOWED_LABELS
    ) -> None:
        self._store = store
        self._mounts = mounts
        self._allowed = allowed

    def resolve(self, subject: Subject) -> Names | None:
        """Names of a container of Docker, also of one in a container that has a volume for /var/lib/docker.

        NotYet while its file is missing from a data root that exists.
        """
        workload = subject.workload
        ident = container_id(workload)
        runtime = fact(workload, "runtime")
        if not ident or runtime not in {"", "docker"}:
            return None
        outer = outer_containers(workload)
        places = self._mounts.inside(outer, _DATA_ROOT)
        # With the host's socket in it, what a container starts is a container of the host.
        foreign = bool(outer) and not places
        failure: ResolverError | None = None
        expected = False
        for place in places or self._store.places(fact(workload, "user")):
            try:
                return self._answer(read_container(place, ident))
            except FileNotFoundError:
                expected = expected or place.rooted.exists(f"{place.path}/containers")
            except ResolverError as error:
                failure = error
        if failure is not None and runtime == "docker":
            raise failure
        if expected and runtime == "docker" and not foreign:
            raise NotYet
        return None

    def _answer(self, container: Container) -> Names | None:
        config = container.config or ContainerConfig()
        labels = config.labels or {}
        facts = {
            "runtime": "docker",
            "image": config.image,
            **allowed_facts(labels, self._allowed),
        }
        if labels.get(_POD_NAME):
            return pod_answer(
                pod_namespace=labels.get(_POD_NAMESPACE, ""),
                pod_name=labels[_POD_NAME],
                container_name=labels.get(_CONTAINER_NAME, ""),
                sandbox=labels.get(_TYPE) == "podsandbox" or labels.get(_CONTAINER_NAME) == "POD",
                facts=facts,
            )
        return answer(name=container.name.removeprefix("/"), facts=facts)
