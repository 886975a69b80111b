"""Names of pods and containers, with chosen labels, as the node's kubelet tells them."""

from __future__ import annotations

from collections.abc import Sequence

from ...clock import Clock
from ...model import S_NS
from .base import Names, NotYet, ResolverError, Subject
from .kubelet_client import KubeletClient
from .kubelet_pods import PodIndex, index_pods

POLL_NS = 15 * S_NS
SANDBOX_POLLS = 2
"""After so many polls without it, a container of a pod that is listed counts as the pod's sandbox."""
_ASKED_LIMIT = 10_000

_POD_FACTS = ("pod_uid", "pod_config_hash")


class KubeletNames:
    """Resolves by the kubelet's list of pods.

    The list is fetched when a pod or container that it does not contain is asked for, at most every 15 s:
    on a quiet node never. A failed fetch is one ResolverError and counts as a poll.
    Pod labels named in `labels` become facts `label_<name>`.
    """

    def __init__(self, client: KubeletClient, clock: Clock, *, labels: Sequence[str] = ()) -> None:
        self._client = client
        self._clock = clock
        self._labels = tuple(labels)
        self._index = PodIndex()
        self._polled_ns: int | None = None
        self._polls = 0
        self._asked: dict[str, int] = {}  # how many polls there had been when it was first asked for

    @property
    def name(self) -> str:
        return "kubelet"

    def resolve(self, subject: Subject) -> Names | None:
        """Names of a pod or of a container of one; None for everything else.

        A container that its pod's status never shows is the pod's sandbox, called `pause`.
        """
        workload = subject.workload
        if workload.kind not in {"pod", "container"}:
            return None
        facts = dict(workload.facts)
        pod = next((facts[key] for key in _POD_FACTS if key in facts), "")
        if not pod:
            return self._index.containers.get(workload.id)
        found = self._find(workload.kind, workload.id, pod)
        if found is None and self._poll():
            found = self._find(workload.kind, workload.id, pod)
        if found is None:
            raise NotYet
        return found

    def _find(self, kind: str, ident: str, pod: str) -> Names | None:
        if kind == "pod":
            return self._index.pods.get(pod)
        found = self._index.containers.get(ident)
        if found is not None:
            self._asked.pop(ident, None)
            return found
        if ident not in self._asked and len(self._asked) >= _ASKED_LIMIT:
            self._asked.pop(next(iter(self._asked)))
        asked = self._asked.setdefault(ident, self._polls)
        return self._index.sandboxes.get(pod) if self._polls - asked >= SANDBOX_POLLS else None

    def _poll(self) -> bool:
        """Fetch the list if it is time to; raises ResolverError."""
        now_ns = self._clock.monotonic_ns()
        if self._polled_ns is not None and now_ns - self._polled_ns < POLL_NS:
            return False
        self._polled_ns = now_ns
        body = self._client.pods()
        try:
            self._index = index_pods(body, self._labels)
        except ResolverError as error:
            raise ResolverError(error.reason, f"kubelet's list of pods: {error}") from None
        self._polls += 1
        return True
