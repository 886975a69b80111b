"""Builds small hosts with a cgroup tree and a /proc in a folder, and lets them run by hand."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal

from wattledger.clock import ManualClock
from wattledger.hostfs import HostFS

MS = 1_000_000
TICK = 10 * MS
PF_KTHREAD = 0x00200000


class CgroupHost:
    """A host whose cgroups use exactly the CPU time that a test burns in them.

    `layout` is `v2`, `v1` (cpuacct, cpu and memory mounted apart) or `hybrid` (v1 with the v2 tree beside
    it under `unified`), or `unified` (v2 there, no v1 cpuacct).
    A cgroup's usage contains that of its children; the root's is the host's busy time.
    """

    def __init__(self, root: Path, layout: Literal["v2", "v1", "hybrid", "unified"] = "v2") -> None:
        self.root = root
        self.layout = layout
        self.clock = ManualClock()
        self.hostfs = HostFS.at(str(root))
        base = root / "sys/fs/cgroup"
        self.version = 1 if layout in {"v1", "hybrid"} else 2
        self.tree = {"v2": base, "v1": base / "cpuacct", "hybrid": base / "cpu,cpuacct"}.get(
            layout, base / "unified"
        )
        self.proc = root / "proc"
        self.proc.mkdir(parents=True)
        self.usage_ns: dict[str, int] = {"": 0}
        self.irq_ns = 0
        self.steal_ns = 0
        self.forks: int | None = 100
        self.cpus = 2
        self._namespace = ""
        self._mkdir(self.tree)
        if self.version == 1:
            (self.tree / "release_agent").write_text("\n")
            for controller in ("cpu", "memory"):
                self._mkdir(base / controller)
            (base / "cpu/cpu.shares").write_text("1024\n")
        else:
            (self.tree / "cgroup.controllers").write_text("cpu memory\n")
        if layout == "hybrid":
            self._mkdir(base / "unified")
            (base / "unified/cgroup.controllers").write_text("\n")
        self._show("")
        self._show_stat()

    @staticmethod
    def _mkdir(path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        (path / "cgroup.procs").write_text("")

    def _show(self, path: str, lag_ns: int = 0) -> None:
        shown = self.usage_ns[path] - lag_ns
        if self.version == 1:
            (self.tree / path / "cpuacct.usage").write_text(f"{shown}\n")
        else:
            usec = shown // 1000
            (self.tree / path / "cpu.stat").write_text(
                f"usage_usec {usec}\nuser_usec {usec}\nsystem_usec 0\nnr_periods 0\n"
            )
            if not path:
                (self.tree / "cgroup.stat").write_text(
                    f"nr_descendants {len(self.usage_ns) - 1}\nnr_dying_descendants 7\n"
                )

    def _show_stat(self) -> None:
        busy = self.usage_ns[""] // TICK
        irq = self.irq_ns // TICK
        lines = [f"cpu  {busy - irq} 0 0 99999 50 {irq} 0 {self.steal_ns // TICK} 0 0"]
        lines += [f"cpu{cpu} 1 0 0 1 0 0 0 0 0 0" for cpu in range(self.cpus)]
        lines += ["intr 12 0 3", "ctxt 5", "btime 1767225600"]
        if self.forks is not None:
            lines.append(f"processes {self.forks}")
        (self.proc / "stat").write_text("\n".join([*lines, "procs_running 1", ""]))

    def create(self, path: str, *, forks: int = 1) -> None:
        """Make a cgroup and those above it; `forks` processes are started on the way."""
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            part = "/".join(parts[:depth])
            if part not in self.usage_ns:
                self._mkdir(self.tree / part)
                self.usage_ns[part] = 0
                self._show(part)
        if self.forks is not None:
            self.forks += forks
        self._show("")
        self._show_stat()

    def remove(self, path: str) -> None:
        """Remove a cgroup and those below it; what it used stays with its parents."""
        path = path.strip("/")
        for counter in [*(self.tree / path).rglob("cpu.stat"), *(self.tree / path).rglob("cpuacct.usage")]:
            counter.write_text("")  # a held descriptor reads nothing any more
        shutil.rmtree(self.tree / path)
        for known in [known for known in self.usage_ns if known == path or known.startswith(f"{path}/")]:
            del self.usage_ns[known]
        self._show("")

    def burn(self, path: str, ms: int) -> None:
        """Use CPU time in this cgroup (multiples of 10 ms, where /proc/stat is to be exact)."""
        parts = path.strip("/").split("/") if path.strip("/") else []
        for depth in range(len(parts) + 1):
            part = "/".join(parts[:depth])
            self.usage_ns[part] += ms * MS
            self._show(part)
        self._show_stat()

    def lag(self, path: str, ms: int) -> None:
        """Let one cgroup's counter be seen as it was `ms` of CPU time ago."""
        self._show(path.strip("/"), ms * MS)

    def write(self, path: str, file: str, text: str, controller: str = "") -> None:
        """Write one file of a cgroup; in v1 `controller` names the hierarchy."""
        tree = self.root / "sys/fs/cgroup" / controller if self.version == 1 and controller else self.tree
        folder = tree / path.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)

    def populate(self, path: str, *pids: int) -> None:
        """Say which processes live in a cgroup."""
        self.write(path, "cgroup.procs", "".join(f"{pid}\n" for pid in pids))

    def process(
        self,
        pid: int,
        path: str = "/",
        *,
        comm: bytes = b"work",
        cpu_ms: int = 0,
        start: int = 1,
        kernel_thread: bool = False,
    ) -> None:
        """Add a process or move its figures on; `start` in clock ticks since boot."""
        folder = self.proc / str(pid)
        folder.mkdir(exist_ok=True)
        flags = PF_KTHREAD if kernel_thread else 0x400000
        ticks = cpu_ms // 10
        path = self.told(path)
        head = f"S 1 1 1 0 -1 {flags} 0 0 0 0 {ticks} 0 0 0 20 0 1 0 {start} 0 0"
        (folder / "stat").write_bytes(b"%d (%s) " % (pid, comm) + head.encode())
        (folder / "cgroup").write_bytes(os.fsencode(self._memberships(path)))

    def _memberships(self, path: str) -> str:
        if self.version == 1:
            return f"9:name=systemd:/\n3:memory:/elsewhere\n2:cpu,cpuacct:{path}\n0::/\n"
        return f"0::{path}\n"

    def enclose(self, path: str, *, mounted: bool = True) -> None:
        """Let a cgroup namespace begin at this cgroup, and the host be looked at from there.

        Processes that are added later are told from it. `mounted`: the runtime mounted the cgroups of
        the namespace, at a place with a space in its name.
        """
        self._namespace = path.strip("/")
        depth = len(self._namespace.split("/"))
        kind = "cgroup2" if self.version == 2 else "cgroup"
        table = [
            "21 1 0:20 / / rw,relatime - overlay overlay rw",
            f"32 21 0:29 {'/..' * depth} {self._point(self.tree)} ro,relatime shared:3 - {kind} cgroup rw",
        ]
        if mounted:
            own = self.root / "own cgroups"
            own.unlink(missing_ok=True)
            own.symlink_to(self.tree / self._namespace)
            table.append(f"33 21 0:29 / {self._point(own)} ro,relatime - {kind} cgroup rw")
        (self.proc / "self").mkdir(exist_ok=True)
        (self.proc / "self/mountinfo").write_text("\n".join([*table, ""]))
        (self.proc / "self/cgroup").write_text(self._memberships("/"))

    @staticmethod
    def _point(path: Path) -> str:
        return str(path).replace(" ", "\\040")

    def told(self, path: str) -> str:
        """What the kernel calls this cgroup when asked from the namespace."""
        if not self._namespace:
            return path
        way = os.path.relpath(path, f"/{self._namespace}")
        return "/" if way == "." else f"/{way}"

    def exit(self, pid: int) -> None:
        """End a process."""
        shutil.rmtree(self.proc / str(pid))
