"""Where the agent runs, and thereby what lets it read a meter."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..hostfs import HostFS

_MARKS = ("run/.containerenv", ".dockerenv")
"""What Podman and Docker put into the root of a container."""

_AS_ROOT = {
    "container": "# uid 0 owns what it reads, and needs no capability:\n"
    "podman run --user 0:0 --cap-drop all ...  # docker: the same words",
    "pod": "# uid 0 owns what it reads, and needs no capability; in the container of the DaemonSet:\n"
    "securityContext: {runAsUser: 0, runAsGroup: 0, runAsNonRoot: false, capabilities: {drop: [ALL]}}",
}
_AS_THE_HOSTS_ROOT = {
    "container": "# uid 0 is somebody else in a user namespace, and SELinux may keep it out, too:\n"
    "sudo podman run --userns host --security-opt label=disable ...",
    "pod": "# uid 0 is somebody else in a user namespace; in the pod of the DaemonSet:\n"
    "hostUsers: true  # with SELinux also securityContext: {seLinuxOptions: {type: spc_t}}",
}


@dataclass(frozen=True, slots=True)
class Place:
    """On the host itself, in a container, or in a Kubernetes pod; and whether as its uid 0."""

    kind: Literal["host", "container", "pod"] = "host"
    superuser: bool = False

    def to_read(self, on_host: str) -> str:
        """What lets the agent read a file that only root may read: `on_host` unless it is in a container."""
        if self.kind == "host":
            return on_host
        return (_AS_THE_HOSTS_ROOT if self.superuser else _AS_ROOT)[self.kind]

    def to_hold(self, capability: str, on_host: str) -> str:
        """What gives the agent a capability, such as `PERFMON`: `on_host` unless it is in a container.

        Neither Docker nor Kubernetes gives it to another user than uid 0.
        """
        if self.kind == "host":
            return on_host
        if self.kind == "pod":
            added = f"{{runAsUser: 0, capabilities: {{drop: [ALL], add: [{capability}]}}}}"
            return f"securityContext: {added}  # in the container of the DaemonSet"
        return f"podman run --user 0:0 --cap-drop all --cap-add {capability} ...  # docker: the same words"


ON_HOST = Place()


def find_place(hostfs: HostFS, root: str = "/", environment: Mapping[str, str] = os.environ) -> Place:
    """Where the agent is, by what runtimes leave under its own `root` and in its environment.

    Where none of them did, a host's root elsewhere than at `/` tells as much. A host whose /proc is no
    file system of its own is a recording, in which nobody runs.
    """
    if not os.path.ismount(hostfs.procfs):
        return ON_HOST
    superuser = os.geteuid() == 0
    if "KUBERNETES_SERVICE_HOST" in environment:
        return Place("pod", superuser)
    marked = any(os.path.exists(os.path.join(root, mark)) for mark in _MARKS)
    return Place("container" if marked or hostfs.rootfs != "/" else "host", superuser)
