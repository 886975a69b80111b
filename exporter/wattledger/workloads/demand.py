"""What workloads reserve and occupy, for the idle policies `requests` and `memory`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from ..hostfs import read_bytes
from ..model import Workload
from .hierarchy import Hierarchy
from .tree import Node

_REFRESH_NS = 30_000_000_000
_CPU_PERIOD_US = 100_000

_Number = TypeVar("_Number", int, float)


class Demand:
    """Memory in use and reserved cores per workload, renewed every 30 s.

    What nested workloads have is subtracted from the one around them.
    A figure that cannot be read is left out.
    """

    def __init__(self, hierarchy: Hierarchy, *, memory: bool, reservations: bool) -> None:
        self._hierarchy = hierarchy
        self._want_memory = memory
        self._want_reservations = reservations
        self._refreshed_ns: int | None = None
        self._memory_bytes: dict[Workload, int] = {}
        self._reserved_cpus: dict[Workload, float] = {}

    def read(self, nodes: Iterable[Node], now_ns: int) -> tuple[dict[Workload, int], dict[Workload, float]]:
        """Memory bytes and reserved cores of the workloads behind `nodes`."""
        if self._refreshed_ns is None or now_ns - self._refreshed_ns >= _REFRESH_NS:
            self._refreshed_ns = now_ns
            owned = [node for node in nodes if node.read and node.workload is not None]
            if self._want_memory and self._hierarchy.memory_root:
                memory = {node: size for node in owned if (size := self._memory(node)) is not None}
                self._memory_bytes = _exclusive(memory)
            if self._want_reservations and self._hierarchy.cpu_root:
                cpus = {node: value for node in owned if (value := self._reserved(node)) is not None}
                self._reserved_cpus = _exclusive(cpus)
        return self._memory_bytes, self._reserved_cpus

    def _memory(self, node: Node) -> int | None:
        file = "memory.usage_in_bytes" if self._hierarchy.version == 1 else "memory.current"
        words = _words(f"{self._hierarchy.memory_root}/{node.path}/{file}")
        return int(words[0]) if words and words[0].isdigit() else None

    def _reserved(self, node: Node) -> float | None:
        """Cores set aside: the CPU request of pods and their containers, else a CPU quota if there is one.

        A request of one core is 1024 shares. The kubelet and the runtimes map shares to the v2 weight by
        `weight = 1 + (shares - 2) * 9999 / 262142`, undone here; runc from 1.3.2 maps otherwise, and its
        containers then seem to reserve more.
        """
        workload = node.workload
        base = f"{self._hierarchy.cpu_root}/{node.path}"
        facts = dict(workload.facts) if workload else {}
        if "pod_uid" in facts or "pod_config_hash" in facts:
            file = "cpu.shares" if self._hierarchy.version == 1 else "cpu.weight"
            words = _words(f"{base}/{file}")
            if not words or not words[0].isdigit():
                return None
            value = int(words[0])
            shares = float(value) if self._hierarchy.version == 1 else 2 + (value - 1) * 262142 / 9999
            return shares / 1024
        if self._hierarchy.version == 1:
            quota = [*_words(f"{base}/cpu.cfs_quota_us"), *_words(f"{base}/cpu.cfs_period_us")]
        else:
            quota = _words(f"{base}/cpu.max")
        if not quota or not quota[0].isdigit():
            return None  # "max", or -1 in v1
        period_us = int(quota[1]) if len(quota) > 1 and quota[1].isdigit() else _CPU_PERIOD_US
        return int(quota[0]) / period_us if period_us else None


def _words(path: str) -> list[str]:
    try:
        return read_bytes(path, 128).decode("ascii", "replace").split()
    except OSError:
        return []


def _exclusive(values: dict[Node, _Number]) -> dict[Workload, _Number]:
    """Per workload, without what the nearest ones nested in it have; never below zero."""
    own = dict(values)
    for node, value in values.items():
        up = node.up
        while up is not None and up not in own:
            up = up.up
        if up is not None:
            own[up] -= value
    result: dict[Workload, _Number] = {}
    for node, value in own.items():
        if node.workload is not None and value > 0:
            before = result.get(node.workload)
            result[node.workload] = value if before is None else before + value
    return result
