"""One scan of the host: who runs, and what each used."""

from __future__ import annotations

from collections.abc import Collection

from ..clock import Clock
from ..hostfs import HostFS
from ..model import KERNEL, UNATTRIBUTED, Finding, Usage, Workload
from .busy import HostStat, read_stat
from .cgroups import Cgroups
from .cputime import ProcessTimes
from .demand import Demand
from .descriptors import fd_budget, raise_descriptor_limit
from .findings import diagnose
from .hierarchy import find_hierarchy
from .identity import plain_cgroup
from .namespace import CgroupNamespace
from .processes import Processes
from .residents import Residents
from .roster import Roster

__all__ = ["HostWorkloads", "raise_descriptor_limit"]

_OWED_LIMIT_NS = 10_000_000_000


class HostWorkloads:
    """The workloads of a host, by its cgroups.

    Pseudo-workloads `kernel` and `exited` appear in `cpu_ns` without being born, and where only a part of
    the hierarchy is seen `unattributed`: what the host used beyond it is somebody else's.
    `top` bounds `Usage.processes` to four times as many, for the ledger to choose from.
    Descriptors of cgroup counters are held within the soft limit of open files as it is at construction.
    """

    def __init__(
        self,
        hostfs: HostFS,
        clock: Clock,
        *,
        processes: bool = False,
        want_memory: bool = False,
        want_reservations: bool = False,
        top: int = 50,
    ) -> None:
        self._hostfs = hostfs
        self._clock = clock
        self._roster = Roster()
        self._times = ProcessTimes(hostfs)
        self._hierarchy = find_hierarchy(hostfs)
        self._namespace: CgroupNamespace | None = None
        self._cgroups: Cgroups | None = None
        self._demand: Demand | None = None
        if self._hierarchy is not None:
            self._namespace = CgroupNamespace(hostfs, self._hierarchy)
            self._cgroups = Cgroups(self._hierarchy, self._roster, fd_budget=fd_budget())
            if want_memory or want_reservations:
                self._demand = Demand(self._hierarchy, memory=want_memory, reservations=want_reservations)
        self._residents = Residents(hostfs, self._namespace, self._times)
        self._processes: Processes | None = None
        if processes:
            self._processes = Processes(
                hostfs, self._times, top=top, path_of=self._path_of, owner_of=self._owner_of
            )
        self._before: HostStat | None = None
        self._at_ns = 0
        self._owed_ns = 0
        self._root: Workload | None = None

    @property
    def debt_ns(self) -> int:
        """CPU time credited so far beyond what the hierarchy's total showed (read skew); set off later."""
        return self._cgroups.debt_ns if self._cgroups else 0

    def close(self) -> None:
        """Give back every descriptor; no scan after it."""
        if self._cgroups:
            self._cgroups.close()

    def diagnose(self) -> list[Finding]:
        """What can be seen of this host's workloads, for `wattledger check`."""
        return diagnose(self._hostfs, self._namespace, self._times)

    def folders(self, workloads: Collection[Workload]) -> dict[Workload, str]:
        """The cgroup folder of each of these workloads that has one."""
        if self._cgroups is None:
            return {}
        # By identity: the ledger's objects of the same workloads carry names.
        root, wanted = self._cgroups.hierarchy.root, {workload.key: workload for workload in workloads}
        return {
            wanted[node.workload.key]: f"{root}/{node.path}"
            for node in self._cgroups.tree.nodes
            if node.workload is not None and node.workload.key in wanted
        }

    def owners(self, pids: Collection[int]) -> dict[int, Workload]:
        """The workload of each of these processes that is alive and whose cgroup is known."""
        found: dict[int, Workload] = {}
        for pid in pids:
            path = self._path_of(self._times.membership(pid))
            workload = self._owner_of(path, False) if path else None
            if workload is not None:
                found[pid] = workload
        return found

    def scan(self) -> Usage:
        """Take one scan; raises OSError when the host's own counters cannot be read.

        The first scan reports what is there as born and no CPU time.
        """
        now_ns = self._clock.boottime_ns()
        stat = read_stat(self._hostfs.procfs)
        first = self._before is None
        before = self._before or stat
        busy_ns = max(0, stat.busy_ns - before.busy_ns)
        cpu_ns: dict[Workload, int] = {}
        rest_ns = busy_ns
        if self._namespace:
            self._namespace.check(now_ns)
        if self._cgroups:
            self._cgroups.read()
            self._cgroups.discover(forks=stat.forks, interval_ns=now_ns - self._at_ns)
            cpu_ns, rest_ns = self._cgroups.book(self._total_ns(self._cgroups, stat))
        irq_ns = max(0, stat.irq_ns - before.irq_ns)
        kernel_ns, root_ns = self._split(rest_ns, irq_ns, now_ns)
        if not first:
            _add(cpu_ns, KERNEL, kernel_ns)
            if self._root is not None:
                _add(cpu_ns, self._root, root_ns)
            if self._hierarchy is not None and not self._hierarchy.complete:
                _add(cpu_ns, UNATTRIBUTED, busy_ns - sum(cpu_ns.values()))
        memory, reserved = self._ask_demand(now_ns)
        processes = self._processes.scan(now_ns, stat.forks) if self._processes else ()
        born, ended = self._roster.drain()
        self._before, self._at_ns = stat, now_ns
        return Usage(
            at_ns=now_ns,
            cpus=stat.cpus,
            busy_ns=busy_ns,
            cpu_ns=cpu_ns,
            born=born,
            ended=ended,
            memory_bytes=memory,
            reserved_cpus=reserved,
            processes=processes,
        )

    def _total_ns(self, cgroups: Cgroups, stat: HostStat) -> int:
        if not cgroups.hierarchy.exact_total:
            return stat.busy_ns
        try:
            return cgroups.root_usage_ns()
        except ValueError as error:
            raise OSError(f"{cgroups.hierarchy.root}: {error}") from None

    def _split(self, rest_ns: int, irq_ns: int, now_ns: int) -> tuple[int, int]:
        """What the kernel and the cgroup `/` used of `rest_ns`, which is theirs together.

        The kernel's part is what its threads and, where the total contains them, interrupts used.
        What does not fit because of different sampling is owed to it, up to 10 s.
        """
        hierarchy = self._hierarchy
        if hierarchy is not None and not hierarchy.complete:
            self._see_root()
            return 0, rest_ns
        self._owed_ns += self._residents.kernel_ns(now_ns)
        if hierarchy is None or not hierarchy.exact_total:
            self._owed_ns += irq_ns
        if not self._residents.has_users:
            self._owed_ns = 0
            return rest_ns, 0
        self._see_root()
        kernel_ns = min(rest_ns, self._owed_ns)
        self._owed_ns = min(self._owed_ns - kernel_ns, _OWED_LIMIT_NS)
        return kernel_ns, rest_ns - kernel_ns

    def _see_root(self) -> None:
        if self._root is None:
            self._root = self._roster.retain(plain_cgroup("/"))

    def _ask_demand(self, now_ns: int) -> tuple[dict[Workload, int], dict[Workload, float]]:
        if self._demand is None or self._cgroups is None:
            return {}, {}
        return self._demand.read(self._cgroups.tree.nodes, now_ns)

    def _path_of(self, membership: str) -> str | None:
        return self._namespace.path_of(membership) if self._namespace else "/"

    def _owner_of(self, path: str, kernel_thread: bool) -> Workload | None:
        if path == "/":
            return KERNEL if kernel_thread else self._root
        return self._cgroups.tree.owner(path).workload if self._cgroups else None


def _add(cpu_ns: dict[Workload, int], workload: Workload, ns: int) -> None:
    if ns > 0:
        cpu_ns[workload] = cpu_ns.get(workload, 0) + ns
