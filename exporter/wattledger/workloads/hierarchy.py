"""Which cgroup hierarchy of this host tells CPU time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from ..hostfs import HostFS
from .viewpoint import HOST, Viewpoint

_V1_MOUNTS = ("cpu,cpuacct", "cpuacct", "cpuacct,cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """One cgroup hierarchy.

    `complete` says that `root` is the real root of the hierarchy; in a private cgroup namespace
    without the host's mount it is only the part the agent lives in.
    `memory_root` and `cpu_root` are where the memory and cpu controllers show the same paths,
    "" where they are not mounted.
    """

    version: Literal[1, 2]
    root: str
    complete: bool
    memory_root: str
    cpu_root: str

    @property
    def usage_file(self) -> str:
        """The file that holds a cgroup's CPU time."""
        return "cpuacct.usage" if self.version == 1 else "cpu.stat"

    @property
    def exact_total(self) -> bool:
        """True if the root itself tells the exact sum over the hierarchy.

        v1 charges the root like any other cgroup; a v2 root shows the tick-sampled
        kernel_cpustat plus steal (root_cgroup_cputime in kernel/cgroup/rstat.c), so the total
        is then taken from /proc/stat. Below the real root v2 is exact, too.
        """
        return self.version == 1 or not self.complete

    def usage_ns(self, raw: bytes) -> int:
        """Parse the start of a usage file; raises ValueError."""
        if self.version == 1:
            return int(raw)
        if raw[:11] != b"usage_usec ":
            raise ValueError(raw)
        return int(raw[11 : raw.index(b"\n")]) * 1000

    def path_of(self, membership: str, view: Viewpoint = HOST) -> str | None:
        """The path in this hierarchy out of the text of `/proc/PID/cgroup`, as read from `view`.

        None if there is none, or if it cannot be told from there.
        """
        for line in membership.split("\n"):
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if self.version == 2:
                mine = number == "0" and not controllers
            else:
                mine = "cpuacct" in controllers.split(",")
            if mine:
                return view.resolve(path.removesuffix(" (deleted)"))
        return None


def find_hierarchy(hostfs: HostFS) -> Hierarchy | None:
    """Pure v2 if the cgroup root is one, else v1 cpuacct, else the v2 side of a hybrid host, else None."""
    base = hostfs.cgroupfs
    if os.path.exists(f"{base}/cgroup.controllers"):
        return _v2(base)
    for name in _V1_MOUNTS:
        root = f"{base}/{name}"
        if os.path.exists(f"{root}/cpuacct.usage"):
            return Hierarchy(
                version=1,
                root=root,
                # release_agent exists in the real root only (CFTYPE_ONLY_ON_ROOT).
                complete=os.path.exists(f"{root}/release_agent"),
                memory_root=_mounted(f"{base}/memory"),
                cpu_root=_mounted(root, f"{base}/cpu", needs="cpu.shares"),
            )
    if os.path.exists(f"{base}/unified/cgroup.controllers"):
        return _v2(f"{base}/unified")
    return None


def _v2(root: str) -> Hierarchy:
    # cgroup.type exists in every cgroup but the real root (CFTYPE_NOT_ON_ROOT).
    complete = not os.path.exists(f"{root}/cgroup.type")
    return Hierarchy(version=2, root=root, complete=complete, memory_root=root, cpu_root=root)


def _mounted(*candidates: str, needs: str = "cgroup.procs") -> str:
    return next((path for path in candidates if os.path.exists(f"{path}/{needs}")), "")
