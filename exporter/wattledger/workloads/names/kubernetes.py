"""Names of pods and their containers without the Kubernetes API, from the kubelet's log files."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from ...clock import Clock
from ...model import S_NS, Workload
from .answers import answer, fact, outer_containers
from .base import Names, NotYet, ResolverError, Subject
from .mounts import Mounts
from .pod_logs import PodLog, PodLogs
from .rooted import Rooted

PATIENCE_NS = 3 * S_NS
"""A container without a log link for so long has none: it is the pod's sandbox, or its logs go elsewhere."""

_FOLDER = "/var/log"
_NODES = 64
_UNKNOWN = 4096


class KubernetesNames:
    """Resolver `kubernetes`: namespace, pod and container by `/var/log/containers` and `/var/log/pods`.

    A kubelet that runs in a container (kind, k3d) is found through that container's volumes.
    """

    name = "kubernetes"

    def __init__(self, rooted: Rooted, mounts: Mounts, clock: Clock) -> None:
        self._mounts = mounts
        self._clock = clock
        self._host = PodLogs(rooted, _FOLDER, clock)
        self._nodes: OrderedDict[str, PodLogs] = OrderedDict()
        self._asked_ns: OrderedDict[str, int] = OrderedDict()

    def resolve(self, subject: Subject) -> Names | None:
        """Names of a pod or of a container in one; None for everything else.

        NotYet for what is unknown, for three seconds; from then on a container without a log link has
        its pod's names only.
        """
        workload = subject.workload
        uid = fact(workload, "pod_uid") or fact(workload, "pod_config_hash")
        if not uid or workload.kind not in {"pod", "container"}:
            return None
        nodes = self._logs(outer_containers(workload))
        if workload.kind == "container":
            log = _first([node.container(workload.id) for node in nodes])
            if log is not None:
                self._asked_ns.pop(workload.id, None)
                return _answer(log)
        if not any(node.present() for node in nodes):
            return None
        log = _first([node.pod(uid) for node in nodes])
        if (workload.kind == "container" or log is None) and self._patient(workload):
            raise NotYet
        return _answer(log) if log is not None else None

    def _logs(self, outer: tuple[str, ...]) -> list[PodLogs]:
        """The folders to look in: that of the container around, then the host's (a container in a pod)."""
        if not outer:
            return [self._host]
        known = self._nodes.pop(outer[-1], None)
        if known is None:
            try:
                places = self._mounts.inside(outer, _FOLDER)
            except ResolverError:
                places = []  # that the outer container cannot be read is its own resolver's to say
            if not places:
                return [self._host]
            known = PodLogs(places[0].rooted, places[0].path, self._clock)
        self._nodes[outer[-1]] = known
        if len(self._nodes) > _NODES:
            self._nodes.popitem(last=False)
        return [known, self._host]

    def _patient(self, workload: Workload) -> bool:
        now_ns = self._clock.monotonic_ns()
        since_ns = self._asked_ns.setdefault(workload.id, now_ns)
        if len(self._asked_ns) > _UNKNOWN:
            self._asked_ns.popitem(last=False)
        return now_ns - since_ns < PATIENCE_NS


def _first(found: Sequence[PodLog | None]) -> PodLog | None:
    return next((log for log in found if log is not None), None)


def _answer(log: PodLog) -> Names | None:
    return answer(pod_namespace=log.namespace, pod_name=log.pod, container_name=log.container)
