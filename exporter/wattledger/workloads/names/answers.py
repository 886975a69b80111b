"""Answers of resolvers: labels made fit, and nothing where nothing is known."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...model import Workload
from ..naming import label
from .base import Names

PAUSE = "pause"
"""`container_name` of the container that only holds a pod's namespaces (`POD` to dockershim and cri-o)."""
SANDBOX_FACT = ("container_type", "sandbox")

ALLOWED_LABELS: Mapping[str, str] = {
    "com.docker.compose.project": "compose_project",
    "com.docker.compose.service": "compose_service",
    "com.docker.stack.namespace": "swarm_stack",
    "com.docker.swarm.service.name": "swarm_service",
}
"""Container labels that become facts, and what they are called there."""

_CONTAINER_ID = re.compile(r"[0-9a-f]{12,64}")


def answer(
    *,
    name: str = "",
    pod_namespace: str = "",
    pod_name: str = "",
    container_name: str = "",
    facts: Mapping[str, str] | None = None,
) -> Names | None:
    """Names with every value a valid label of at most 256 characters; None when all are empty."""
    kept = tuple((key, label(value)) for key, value in (facts or {}).items() if value)
    if not (name or pod_namespace or pod_name or container_name or kept):
        return None
    return Names(
        name=label(name),
        pod_namespace=label(pod_namespace),
        pod_name=label(pod_name),
        container_name=label(container_name),
        facts=kept,
    )


def pod_answer(
    *, pod_namespace: str, pod_name: str, container_name: str, sandbox: bool, facts: Mapping[str, str]
) -> Names | None:
    """The answer for a container of a pod; a sandbox is called `pause` and says so in its facts."""
    if sandbox:
        container_name = PAUSE
        facts = {**facts, SANDBOX_FACT[0]: SANDBOX_FACT[1]}
    return answer(pod_namespace=pod_namespace, pod_name=pod_name, container_name=container_name, facts=facts)


def allowed_facts(labels: Mapping[str, str] | None, allowed: Mapping[str, str]) -> dict[str, str]:
    """The facts that a container's labels give, those of the allow list only."""
    labels = labels or {}
    return {fact: labels[key] for key, fact in allowed.items() if labels.get(key)}


def container_id(workload: Workload) -> str:
    """The id that a runtime's files know the workload by; "" if it is no container with such an id."""
    if workload.kind == "container" and _CONTAINER_ID.fullmatch(workload.id):
        return workload.id
    return ""


def fact(workload: Workload, key: str) -> str:
    """One of the facts that the workload's cgroup path told, or ""."""
    return dict(workload.facts).get(key, "")


def outer_containers(workload: Workload) -> tuple[str, ...]:
    """The ids of the containers that the workload runs in, the outermost first."""
    chain = (entry.partition("/") for entry in fact(workload, "outer").split())
    return tuple(ident for kind, _, ident in chain if kind == "container" and _CONTAINER_ID.fullmatch(ident))
