"""Two RAPL sockets with memory that count while a benchmark runs; the rest of the host is the real one."""

from __future__ import annotations

from pathlib import Path

from tests.powercap_tree import PowercapTree
from wattledger.hostfs import HostFS

STEP_UJ = 50_000_000  # 50 J a step and zone; far below what a package may draw in the time between two


class FixtureMeters:
    """The zones `package-0`, `package-1` and a `dram` in each, under `folder`."""

    def __init__(self, folder: Path) -> None:
        self._tree = PowercapTree(folder)
        self._zones = []
        for number in range(2):
            entry = f"intel-rapl:{number}"
            self._zones.append(self._tree.add_zone(entry, f"package-{number}"))
            self._zones.append(self._tree.add_zone(f"{entry}:0", "dram"))
        self._energy_uj = 0

    def advance(self) -> None:
        """Every zone draws a little."""
        self._energy_uj += STEP_UJ
        for zone in self._zones:
            zone.set_energy(self._energy_uj)

    def host(self, cgroupfs: Path) -> HostFS:
        """The real processes and cgroups of this machine beside these meters."""
        return HostFS(sysfs=str(self._tree.root / "sys"), cgroupfs=str(cgroupfs), rootfs=str(self._tree.root))

    def arguments(self, cgroupfs: Path) -> tuple[str, ...]:
        """The flags that make the agent read the same."""
        return (
            f"--path.sysfs={self._tree.root}/sys",
            f"--path.rootfs={self._tree.root}",
            f"--path.cgroupfs={cgroupfs}",
        )
