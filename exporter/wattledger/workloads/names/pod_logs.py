"""An index of a node's pods and containers, read off the names of the kubelet's log files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ...clock import Clock
from ...model import S_NS
from .rooted import Rooted

REFRESH_NS = S_NS
_CONTAINERS = "containers"
_PODS = "pods"
# <pod>_<namespace>_<container>-<id>.log; the kubelet cuts the name, and with it the id, to 255 bytes.
_LINK = re.compile(r"(?P<pod>[^_/]+)_(?P<namespace>[^_/]+)_(?P<container>[^_/]+)-(?P<id>[0-9a-f]{8,64})\.log")
_FOLDER = re.compile(r"(?P<namespace>[^_/]+)_(?P<pod>[^_/]+)_(?P<uid>[0-9a-f-]{32,36})")
_ID_DIGITS = 64
_CUT_LENGTH = 255


class PodLog(NamedTuple):
    """What a log's name says; `container` is "" where it names a pod only."""

    namespace: str
    pod: str
    container: str = ""


class PodLogs:
    """The logs below one folder, usually `/var/log`.

    Its two directories are listed when something unknown is asked for, at most once a second.
    Every question raises ResolverError if a directory cannot be listed.
    """

    def __init__(self, rooted: Rooted, folder: str, clock: Clock) -> None:
        self._rooted = rooted
        self._folder = folder
        self._clock = clock
        self._listed_ns: int | None = None
        self._present = False
        self._containers: Mapping[str, PodLog] = {}
        self._cut: Sequence[tuple[str, PodLog]] = ()
        self._pods: Mapping[str, PodLog] = {}

    def present(self) -> bool:
        """Whether there is a kubelet's folder at all."""
        self._refresh()
        return self._present

    def container(self, ident: str) -> PodLog | None:
        """The container of this id."""
        found = self._container(ident)
        if found is None and self._refresh():
            found = self._container(ident)
        return found

    def pod(self, uid: str) -> PodLog | None:
        """The pod of this uid; a static pod's is the hash of its configuration."""
        found = self._pods.get(uid)
        if found is None and self._refresh():
            found = self._pods.get(uid)
        return found

    def _container(self, ident: str) -> PodLog | None:
        found = self._containers.get(ident)
        if found is None and self._cut:
            found = next((log for start, log in self._cut if ident.startswith(start)), None)
        return found

    def _refresh(self) -> bool:
        """List both directories unless that was done within the last second."""
        now_ns = self._clock.monotonic_ns()
        if self._listed_ns is not None and now_ns - self._listed_ns < REFRESH_NS:
            return False
        self._listed_ns = now_ns
        links = self._list(_CONTAINERS)
        folders = self._list(_PODS)
        self._present = links is not None or folders is not None
        self._read_links(links or ())
        matches = (_FOLDER.fullmatch(name) for name in folders or ())
        self._pods = {match["uid"]: PodLog(match["namespace"], match["pod"]) for match in matches if match}
        return True

    def _read_links(self, links: Sequence[str]) -> None:
        containers: dict[str, PodLog] = {}
        cut: list[tuple[str, PodLog]] = []
        for link in links:
            match = _LINK.fullmatch(link)
            if match is None:
                continue
            log = PodLog(match["namespace"], match["pod"], match["container"])
            if len(match["id"]) == _ID_DIGITS:
                containers[match["id"]] = log
            elif len(link) == _CUT_LENGTH:
                cut.append((match["id"], log))
        self._containers, self._cut = containers, cut

    def _list(self, name: str) -> list[str] | None:
        try:
            return self._rooted.listdir(f"{self._folder}/{name}")
        except FileNotFoundError:
            return None
