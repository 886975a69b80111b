"""The resolvers that need nothing but files of the host."""

from __future__ import annotations

from collections.abc import Mapping

from ...clock import Clock
from .answers import ALLOWED_LABELS
from .base import Resolver
from .docker import DockerNames, DockerStore
from .kubernetes import KubernetesNames
from .mounts import Mounts
from .oci import OciNames, OciStore
from .podman import PodmanNames
from .rooted import Rooted
from .storage import StorageConfig
from .users import Passwd, UserNames


def file_resolvers(
    rooted: Rooted, clock: Clock, allowed: Mapping[str, str] = ALLOWED_LABELS
) -> tuple[Resolver, ...]:
    """Those of docker, podman, oci, kubernetes and users, in the order in which their answers count.

    `allowed` are the container labels that become facts, and the names of these.
    """
    passwd = Passwd(rooted)
    storage = StorageConfig(rooted)
    docker = DockerStore(rooted, passwd)
    oci = OciStore(rooted, storage)
    mounts = Mounts(rooted, (docker.mounts, oci.mounts))
    return (
        OciNames(oci, allowed),
        KubernetesNames(rooted, mounts, clock),
        DockerNames(docker, mounts, allowed),
        PodmanNames(rooted, storage, passwd, mounts, allowed),
        UserNames(passwd),
    )
