"""GPU time of processes from the DRM clients that /proc/PID/fdinfo shows.

The keys are those of Documentation/gpu/drm-usage-stats.rst. One client is one opened device: descriptors that
were duplicated or inherited show the same client, which is counted once, for the process found first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ..clock import Clock
from ..hostfs import HostFS, read_bytes
from ..model import Finding
from .device_files import DeviceFiles
from .records import BoardUse, ProcessShare

GRANT_PTRACE = r"""sudo mkdir -p /etc/systemd/system/wattledger.service.d
printf '%s\n' '[Service]' \
  CapabilityBoundingSet='CAP_SYS_PTRACE CAP_DAC_READ_SEARCH' AmbientCapabilities=CAP_SYS_PTRACE \
  | sudo tee /etc/systemd/system/wattledger.service.d/gpu-processes.conf
sudo systemctl daemon-reload && sudo systemctl restart wattledger"""

_UNITS = {b"": 1, b"KiB": 1 << 10, b"MiB": 1 << 20, b"GiB": 1 << 30}
_BOARD_MEMORY = (b"vram", b"local")  # amdgpu, xe: vram, vram0; i915: local0


@dataclass(frozen=True, slots=True)
class EngineCount:
    """How long a client kept an engine class busy: nanoseconds, or cycles out of `total` if that is not 0.

    `capacity` is the number of engines in the class, which may all be busy at once.
    """

    busy: int
    total: int = 0
    capacity: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientInfo:
    """One client as its fdinfo shows it; `memory_bytes` is what it holds of the board's own memory."""

    driver: str
    pci: str
    client_id: int
    engines: Mapping[str, EngineCount]
    memory_bytes: int = 0


def parse_fdinfo(data: bytes) -> ClientInfo | None:
    """Parse the text of an fdinfo file; None if it is not of a DRM client, or of one without an identity.

    Numbers that are none are left out. Engine time goes before cycles where a driver shows both; cycles
    without their total (`drm-maxfreq-`) say nothing. Of memory, what is resident goes before what is mapped.
    """
    texts: dict[bytes, bytes] = {}
    for line in data.splitlines():
        if line.startswith(b"drm-"):
            key, _, value = line.partition(b":")
            texts[key[4:]] = value.strip()
    driver, pci, client_id = texts.get(b"driver"), texts.get(b"pdev"), texts.get(b"client-id", b"")
    if not driver or not pci or not client_id.isdigit():
        return None
    engines: dict[str, EngineCount] = {}
    memory: dict[bytes, tuple[int, int]] = {}
    for key, value in texts.items():
        kind, _, name = key.partition(b"-")
        number, _, unit = value.partition(b" ")
        if not name or not number.isdigit():
            continue
        if kind == b"engine" and unit == b"ns":
            capacity = texts.get(b"engine-capacity-" + name, b"1")
            engines[name.decode("utf-8", "replace")] = EngineCount(int(number), 0, _positive(capacity))
        elif kind == b"cycles" and b"engine-" + name not in texts:
            total = _positive(texts.get(b"total-cycles-" + name, b""), 0)
            if total:
                engines[name.decode("utf-8", "replace")] = EngineCount(int(number), total)
        elif kind in _MEMORY_RANK and name.startswith(_BOARD_MEMORY):
            size = (_MEMORY_RANK[kind], int(number) * _UNITS.get(unit, 1))
            memory[name] = max(memory.get(name, (0, 0)), size)
    return ClientInfo(
        driver=driver.decode("utf-8", "replace"),
        pci=pci.decode("utf-8", "replace"),
        client_id=int(client_id),
        engines=engines,
        memory_bytes=sum(size for _, size in memory.values()),
    )


_MEMORY_RANK = {b"resident": 3, b"memory": 2, b"total": 1}


def _positive(text: bytes, otherwise: int = 1) -> int:
    return int(text) if text.isdigit() and int(text) > 0 else otherwise


@dataclass(slots=True)
class DeviceUse:
    """The use of one device: engine nanoseconds since the previous call and bytes held, by process."""

    busy_ns: dict[int, int] = field(default_factory=dict)
    memory_bytes: dict[int, int] = field(default_factory=dict)

    def add(self, pid: int, busy_ns: int, memory_bytes: int) -> None:
        """Add one client's part to its process's."""
        self.busy_ns[pid] = self.busy_ns.get(pid, 0) + busy_ns
        self.memory_bytes[pid] = self.memory_bytes.get(pid, 0) + memory_bytes


def board_use(device: str, uses: Iterable[DeviceUse], quality: str = "") -> BoardUse:
    """One board's use from several sources; what two of them know of a process's memory is counted once."""
    busy_ns: dict[int, int] = {}
    held: dict[int, int] = {}
    for use in uses:
        for pid, step_ns in use.busy_ns.items():
            busy_ns[pid] = busy_ns.get(pid, 0) + step_ns
        for pid, memory_bytes in use.memory_bytes.items():
            held[pid] = max(held.get(pid, 0), memory_bytes)
    return BoardUse(
        device=device,
        shares=tuple(ProcessShare(pid, weight) for pid, weight in sorted(busy_ns.items()) if weight > 0),
        holders=tuple(sorted(held.items())),
        quality=quality,
    )


@dataclass(slots=True)
class _Client:
    """The highest counts a client ever showed, and when it was read."""

    at_ns: int
    engines: dict[str, EngineCount] = field(default_factory=dict)
    memory_bytes: int = 0


class DrmClients:
    """The clients of some drivers over time. `start()` once, then `use()` once per interval."""

    def __init__(self, hostfs: HostFS, clock: Clock, drivers: Collection[str]) -> None:
        self._procfs = hostfs.procfs
        self._clock = clock
        self._drivers = frozenset(drivers)
        self._files = DeviceFiles(hostfs, clock)
        self._keys: dict[int, dict[int, tuple[str, int] | None]] = {}
        self._clients: dict[tuple[str, int], _Client] = {}
        self._previous_ns: int | None = None

    @property
    def denied(self) -> int:
        """How many processes could not be looked into at their last look."""
        return self._files.denied

    def findings(self, sensor: str, fix: str = GRANT_PTRACE) -> list[Finding]:
        """What `wattledger check` has to say of the processes: nothing, if all can be looked into.

        `fix` is what grants it where the agent runs.
        """
        if not self.denied:
            return []
        why = (
            f"{self.denied} processes cannot be looked into: without CAP_SYS_PTRACE, GPU energy of other "
            "users' processes is unattributed and the idle power of the boards is not learned"
        )
        subject = "GPU processes"
        return [Finding(sensor=sensor, subject=subject, status="denied", why=why, fix=fix)]

    def start(self) -> None:
        """Find every client there is; what they used until now is nobody's of the first interval."""
        self._files.start()
        self._collect(())

    def use(self, asleep: Collection[str] = ()) -> dict[str, DeviceUse]:
        """What each client's process used since the previous call, by PCI address.

        Clients of devices that are `asleep` are not read, for xe would wake its device, and used nothing.
        Counts may go back for a moment: only what exceeds the highest so far is counted. A client that is
        seen for the first time counts from its opening, but no more than the interval can hold; one that
        counts cycles counts from its second call on. A client that closed in between is not seen.
        """
        for pid in self._files.scan():
            self._keys.pop(pid, None)
        return self._collect(asleep)

    def _collect(self, asleep: Collection[str]) -> dict[str, DeviceUse]:
        now_ns = self._clock.boottime_ns()
        uses: dict[str, DeviceUse] = {}
        seen: set[tuple[str, int]] = set()
        for pid, descriptors in self._files.open_files.items():
            keys = self._keys.setdefault(pid, {})
            for descriptor in descriptors:
                key = known = keys.get(descriptor)
                if (known is None and descriptor in keys) or known in seen:
                    continue
                busy_ns = 0
                if known is None or known[0] not in asleep:
                    info = self._read(pid, descriptor)
                    keys[descriptor] = key = (info.pci, info.client_id) if info else None
                    if known is not None and key != known:
                        self._files.recheck(pid)
                    if info is None or key is None or key in seen:
                        continue
                    busy_ns = self._advance(key, info, now_ns)
                if key is not None:
                    seen.add(key)
                    uses.setdefault(key[0], DeviceUse()).add(pid, busy_ns, self._clients[key].memory_bytes)
        for key in self._clients.keys() - seen:
            del self._clients[key]
        for pid in self._keys.keys() - self._files.open_files.keys():
            del self._keys[pid]
        self._previous_ns = now_ns
        return uses

    def _read(self, pid: int, descriptor: int) -> ClientInfo | None:
        """The client of a descriptor; None if it is of another driver, or gone."""
        try:
            info = parse_fdinfo(read_bytes(f"{self._procfs}/{pid}/fdinfo/{descriptor}", 16384))
        except OSError:
            self._files.recheck(pid)
            return None
        return info if info is not None and info.driver in self._drivers else None

    def _advance(self, key: tuple[str, int], info: ClientInfo, now_ns: int) -> int:
        """Take the counts of a client; returns the engine nanoseconds since it was read before."""
        client = self._clients.get(key)
        new = client is None
        if client is None:
            began_ns = now_ns if self._previous_ns is None else self._previous_ns
            client = self._clients[key] = _Client(at_ns=began_ns)
        interval_ns = max(0, now_ns - client.at_ns)
        busy_ns = 0
        for name, count in info.engines.items():
            before = client.engines.get(name)
            counted = before.busy if before else 0
            step = max(0, count.busy - counted)
            if count.total:
                passed = count.total - before.total if before else 0
                busy_ns += step * interval_ns // passed if passed > 0 else 0
            else:
                busy_ns += min(step, interval_ns * count.capacity) if new else step
            client.engines[name] = EngineCount(counted + step, count.total, count.capacity)
        client.at_ns = now_ns
        client.memory_bytes = info.memory_bytes
        return busy_ns
