"""ROCm processes, which DRM's fdinfo does not show, from /sys/class/kfd.

A compute queue is fed by the process itself, past the kernel, so there is no count of busy time. What there
is: how many compute units a process's waves occupy at this moment (`stats_GPU/cu_occupancy`, CDNA and Vega),
taken at both ends of the interval. Where the driver cannot tell (RDNA: EINVAL), the processes that have
queues on a device are taken to share it evenly. The pids are those of the host's pid namespace.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from ..clock import Clock
from ..errors import SensorError
from ..hostfs import HostFS, read_int, read_text
from ..model import Finding
from .cards import listing, text_of
from .drm import DeviceUse

BY_OCCUPANCY = "kfd-occupancy"
BY_QUEUES = "kfd-queues"


@dataclass(frozen=True, slots=True, kw_only=True)
class KfdNode:
    """A GPU, or one partition of it, of the KFD topology; `with_cpu` tells an APU of older kernels."""

    gpu_id: str
    pci: str
    compute_units: int
    with_cpu: bool


def parse_node(gpu_id: str, properties: str) -> KfdNode | None:
    """Parse the `properties` of a topology node; None for a CPU.

    `location_id` is bus, device and function in its low 16 bits; bits 28 to 31 number the partitions
    of a device (`kfd_topology_add_device`, kfd_topology.c).
    """
    values: dict[str, int] = {}
    for line in properties.splitlines():
        name, _, value = line.partition(" ")
        if value.strip().isdecimal():
            values[name] = int(value)
    simds, location = values.get("simd_count", 0), values.get("location_id", 0)
    if simds <= 0 or not gpu_id.isdecimal() or gpu_id == "0":
        return None
    place = f"{values.get('domain', 0):04x}:{location >> 8 & 0xFF:02x}:{location >> 3 & 0x1F:02x}"
    return KfdNode(
        gpu_id=gpu_id,
        pci=f"{place}.{location & 7}",
        compute_units=max(1, simds // max(1, values.get("simd_per_cu", 4))),
        with_cpu=values.get("cpu_cores_count", 0) > 0,
    )


class KfdProcesses:
    """The ROCm processes over time. `probe()` now and then, `use()` once per interval.

    Where the device cgroup keeps the agent from a GPU, so does KFD: nothing is known of its processes.
    """

    def __init__(self, hostfs: HostFS, clock: Clock) -> None:
        self._folder = f"{hostfs.sysfs}/class/kfd/kfd"
        self._clock = clock
        self._nodes: tuple[KfdNode, ...] = ()
        self._units: dict[str, int] = {}
        self._occupied: dict[tuple[str, int], int] = {}
        self._previous_ns: int | None = None
        self._nodes_denied = False
        self._processes_denied = False

    @property
    def denied(self) -> bool:
        """Whether something could not be read for lack of permission."""
        return self._nodes_denied or self._processes_denied

    def probe(self, cards: Collection[str]) -> tuple[KfdNode, ...]:
        """Find the topology nodes of the cards at these PCI addresses, and follow them from now on.

        Before Linux 6.6 the number of a partition stood where the function is: such an address, which no
        card has, is that of function 0.
        """
        nodes = []
        self._nodes_denied = False
        for entry in listing(f"{self._folder}/topology/nodes"):
            folder = f"{self._folder}/topology/nodes/{entry}"
            try:
                node = parse_node(read_text(f"{folder}/gpu_id", 64), read_text(f"{folder}/properties"))
            except PermissionError:
                self._nodes_denied = True
                continue
            except OSError:
                continue
            if node is not None and node.pci not in cards:
                node = replace(node, pci=f"{node.pci[:-1]}0")
            if node is not None and node.pci in cards:
                nodes.append(node)
        self._nodes = tuple(nodes)
        self._units = {}
        for node in nodes:
            self._units[node.pci] = self._units.get(node.pci, 0) + node.compute_units
        return self._nodes

    def findings(self, sensor: str) -> list[Finding]:
        """What `wattledger check` has to say of the ROCm processes: nothing, if they can be read."""
        if not self.denied:
            return []
        why = "the device cgroup keeps the agent from KFD: energy of ROCm processes is unattributed"
        fix = "start the container with --device=/dev/kfd --device=/dev/dri"
        return [Finding(sensor=sensor, subject="ROCm processes", status="denied", why=why, fix=fix)]

    def use(self, asleep: Collection[str] = ()) -> tuple[dict[str, DeviceUse], Mapping[str, str]]:
        """What each process used since the previous call, and how that was found, by PCI address.

        Use is the part of the device's compute units it occupied, mean of both ends, times the interval:
        nanoseconds of the whole device. The first call has no interval and shows memory only.
        A process without memory on a device is not on it.
        """
        now_ns = self._clock.boottime_ns()
        interval_ns = 0 if self._previous_ns is None else now_ns - self._previous_ns
        self._previous_ns = now_ns
        self._processes_denied = False
        uses: dict[str, DeviceUse] = {}
        quality: dict[str, str] = {}
        queued: dict[str, set[int]] = {}
        occupied: dict[tuple[str, int], int] = {}
        processes = f"{self._folder}/proc"
        for pid in map(int, filter(str.isdecimal, listing(processes))) if self._nodes else ():
            for node in self._nodes:
                held = self._number(f"{processes}/{pid}/vram_{node.gpu_id}")
                if not held:
                    continue
                use = uses.setdefault(node.pci, DeviceUse())
                use.add(pid, 0, held)
                if node.pci in asleep:
                    continue
                units = self._number(f"{processes}/{pid}/stats_{node.gpu_id}/cu_occupancy")
                if units is not None:
                    occupied[node.gpu_id, pid] = units
                    both = units + self._occupied.get((node.gpu_id, pid), 0)
                    use.add(pid, both * interval_ns // (2 * self._units[node.pci]), 0)
                    quality.setdefault(node.pci, BY_OCCUPANCY)
                elif _has_queue(f"{processes}/{pid}/queues", node.gpu_id):
                    queued.setdefault(node.pci, set()).add(pid)
        for pci, pids in queued.items():
            quality[pci] = BY_QUEUES
            for pid in sorted(pids):
                uses[pci].add(pid, interval_ns // len(pids), 0)
        self._occupied = occupied
        return uses, quality

    def _number(self, path: str) -> int | None:
        try:
            return read_int(path)
        except SensorError as error:
            self._processes_denied = self._processes_denied or error.reason in {"eperm", "eacces"}
            return None


def _has_queue(folder: str, gpu_id: str) -> bool:
    return any(text_of(f"{folder}/{queue}/gpuid") == gpu_id for queue in listing(folder))
