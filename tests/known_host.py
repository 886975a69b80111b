"""A fixture host whose true energy is known: two sockets with memory, and the mmio twins of all four.

Truth is counted in whole microjoules beside the files; the files show it modulo the counter's range,
as the kernel does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from tests.cgroup_tree import CgroupHost
from tests.powercap_tree import INTEL_RANGE_UJ, PowercapTree, PowercapZone
from tests.scripted import expired_uj, node_uj, workload_uj
from wattledger.app import build_sampler
from wattledger.clock import ManualClock
from wattledger.hostfs import HostFS
from wattledger.settings import AttributionSettings, NameSettings, Settings, StorageSettings
from wattledger.snapshot import Snapshot

J = 1_000_000


class Counter:
    """One counter of the host with the truth about it, and the twin that shows it once more if it has one."""

    def __init__(self, zone: PowercapZone, twin: PowercapZone | None, range_uj: int, start_uj: int) -> None:
        self.zone = zone
        self.twin = twin
        self.range_uj = range_uj
        self.true_uj = 0
        self._start_uj = start_uj

    @property
    def raw_uj(self) -> int:
        """What the kernel would show."""
        return (self._start_uj + self.true_uj) % self.range_uj

    def draw(self, energy_uj: int) -> None:
        """Draw energy, and show it."""
        self.true_uj += energy_uj
        self.show()

    def draw_unseen(self, energy_uj: int) -> None:
        """Draw energy while the files are away or cannot be written."""
        self.true_uj += energy_uj

    def reset(self) -> None:
        """The hardware clears the counter, as it may in suspend."""
        self._start_uj = -self.true_uj
        self.show()

    def show(self) -> None:
        self.zone.set_energy(self.raw_uj)
        if self.twin is not None:
            self.twin.set_energy(self.raw_uj)


class KnownHost:
    """The host's root folder with its counters by name: `package-0`, `package-1`, `dram-0`, `dram-1`.

    `start_uj` is what the counters hold since boot; nobody has drawn it. `cgroups` has the CPU time.
    """

    def __init__(
        self,
        root: Path,
        *,
        sockets: int = 2,
        range_uj: int = INTEL_RANGE_UJ,
        start_uj: int = 0,
        mmio: bool = True,
        memory: bool = True,
        cgroups: Callable[[Path], CgroupHost] = CgroupHost,
    ) -> None:
        self.root = root
        self.cgroups = cgroups(root)
        self.tree = PowercapTree(root)
        self.range_uj = range_uj
        self.counters: dict[str, Counter] = {}
        for socket in range(sockets):
            self._add(socket, "package", f"package-{socket}", f"intel-rapl:{socket}", start_uj, mmio)
            if memory:
                self._add(socket, "dram", "dram", f"intel-rapl:{socket}:0", start_uj, mmio)

    def _add(self, socket: int, what: str, name: str, entry: str, start_uj: int, mmio: bool) -> None:
        raw_uj = start_uj % self.range_uj
        zone = self.tree.add_zone(entry, name, energy_uj=raw_uj, range_uj=self.range_uj)
        twin = None
        if mmio:
            twin = self.tree.add_zone(
                entry.replace("intel-rapl", "intel-rapl-mmio"), name, energy_uj=raw_uj, range_uj=self.range_uj
            )
        self.counters[f"{what}-{socket}"] = Counter(zone, twin, self.range_uj, start_uj)

    def true_uj(self, what: str) -> int:
        """The truth about `package` or `dram`, over all sockets."""
        return sum(c.true_uj for name, c in self.counters.items() if name.startswith(f"{what}-"))


class FixtureHost(Protocol):
    """Any builder of a host in a folder."""

    @property
    def root(self) -> Path: ...


class KnownNode:
    """The agent's whole data path on a fixture host, ticked by hand: real sensors, split and ledger.

    With a `folder` it keeps its state there, and `restart()` is a new process of the same boot.
    `attribution` are fields of AttributionSettings.
    """

    def __init__(self, host: FixtureHost, folder: Path | None = None, **attribution: Any) -> None:
        self.host = host
        self.folder = folder
        self.clock = ManualClock()
        self.attribution = AttributionSettings(**attribution)
        self.start()

    def start(self) -> None:
        settings = Settings(
            paths=HostFS.at(str(self.host.root)),
            storage=StorageSettings(path=str(self.folder / "state") if self.folder else None),
            attribution=self.attribution,
            names=NameSettings(enabled=False),  # names come by another thread's leave
        )
        self.sampler = build_sampler(settings, clock=self.clock, node_info={})
        self.ledger = self.sampler.ledger
        self.snapshot = self.sampler.tick()

    def restart(self) -> None:
        """The process is gone without a word; another one starts."""
        self.ledger._checkpoint.close()
        self._let_go()
        self.start()

    def _let_go(self) -> None:
        """What the end of a process does by itself: its descriptors are given back."""
        self.sampler.sensing.close()
        self.sampler._workloads.close()

    def tick(self, seconds: float = 5.0) -> Snapshot:
        """Let time pass and take one sample."""
        self.clock.advance(seconds)
        self.snapshot = self.sampler.tick()
        return self.snapshot

    def wraps(self) -> int:
        return sum(row.wraps for row in self.snapshot.sensors)

    def dropped(self) -> dict[str, int]:
        """Dropped intervals by reason."""
        counts: dict[str, int] = {}
        for row in self.snapshot.sensors:
            for reason, count in row.dropped.items():
                counts[reason] = counts.get(reason, 0) + count
        return counts

    def errors(self) -> dict[str, int]:
        """Failed reads by reason."""
        counts: dict[str, int] = {}
        for row in self.snapshot.sensors:
            for reason, count in row.read_errors.items():
                counts[reason] = counts.get(reason, 0) + count
        return counts

    def check(self, *, missing_cpu_uj: int = 0, missing_dram_uj: int = 0) -> None:
        """Node energy is the truth, and every microjoule of it is on exactly one workload."""
        assert node_uj(self.snapshot, "cpu") == self.host.true_uj("package") - missing_cpu_uj
        assert node_uj(self.snapshot, "dram") == self.host.true_uj("dram") - missing_dram_uj
        assert workload_uj(self.snapshot) + expired_uj(self.snapshot) == node_uj(self.snapshot)
