"""What a resolver is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ...model import Workload

NAMED_KINDS = frozenset({"container", "pod", "vm", "job"})
"""Kinds whose ids say little to a person: their series wait for a name."""

ASKED_KINDS = NAMED_KINDS | {"session", "unit"}
"""Kinds that sources are asked about; units and sessions are called by their ids, but may have a user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A workload to be named.

    `cgroup` is its folder on this host as an absolute path below the cgroup root given by `--path.cgroupfs`,
    where `cgroup.procs` lists its processes; "" when it is not known.
    """

    workload: Workload
    cgroup: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What one resolver knows of a workload; empty fields are unknown.

    `name`, `pod_namespace`, `pod_name` and `container_name` are identity labels.
    `facts` are labels of `workload_info` (`image`, `runtime`, `user`, `account`, `unit`, allowed pod labels).
    """

    name: str = ""
    pod_namespace: str = ""
    pod_name: str = ""
    container_name: str = ""
    facts: tuple[tuple[str, str], ...] = ()


class NotYet(Exception):  # noqa: N818 - an outcome, not an error
    """The resolver is responsible for this workload and expects to know it soon: ask again later."""


class ResolverError(Exception):
    """The resolver itself does not work now (unreadable store, refused by the API, timeout).

    `reason` is a bounded word for a label: an errno's name, `timeout`, `tls`, `unauthorized`, `forbidden`,
    `http`, `parse`, `too_large`, `not_regular`. Secrets never appear in the message.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Resolver(Protocol):
    """One source of names. Runs on the resolver thread, never on the sampler's."""

    @property
    def name(self) -> str:
        """A short word: docker, podman, oci, kubernetes, kubelet, slurm, libvirt, users."""

    def resolve(self, subject: Subject) -> Names | None:
        """What is known of the subject; None when this source has nothing to say about it.

        Raises NotYet or ResolverError. A call takes a bounded time and reads a bounded amount.
        """
