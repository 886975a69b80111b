"""Builds powercap trees as the kernel lays them out, for fixture hosts and for tests that move counters."""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path

INTEL_RANGE_UJ = 262_143_328_850
AMD_RANGE_UJ = 65_532_610_987
DRAM_RANGE_UJ = 65_712_999_613
WIDTH = 20

CPUINFO = """\
processor	: 0
vendor_id	: {vendor}
cpu family	: {family}
model name	: {model_name}
flags		: fpu vme de pse tsc msr{flags}
"""


class PowercapZone:
    """One zone folder. `folder` is the real one, `link` the one in the class folder."""

    def __init__(self, entry: str, folder: Path, link: Path) -> None:
        self.entry = entry
        self.folder = folder
        self.link = link

    @property
    def energy_path(self) -> Path:
        return self.folder / "energy_uj"

    def set_energy(self, energy_uj: int) -> None:
        """Change the counter in place: files held open see it, as in sysfs."""
        fd = os.open(self.energy_path, os.O_WRONLY)
        try:
            os.pwrite(fd, f"{energy_uj:<{WIDTH}}\n".encode(), 0)
        finally:
            os.close(fd)

    def write(self, file: str, text: str) -> None:
        (self.folder / file).write_text(text + "\n")

    def break_(self, code: int) -> None:
        """Make the counter fail with ENOENT, EIO or EACCES (the last only for others than root).

        A held file goes empty, for a plain file cannot answer with an errno; see raplfs for that.
        """
        if code == errno.EACCES:
            self.energy_path.chmod(0)
            return
        _put_aside(self.energy_path)
        if code == errno.EIO:
            self.energy_path.symlink_to("/proc/self/mem")  # reading its offset 0 is EIO
        elif code != errno.ENOENT:
            raise ValueError(f"a plain tree cannot fail with {errno.errorcode[code]}")

    def mend(self, energy_uj: int) -> None:
        """Let the counter come back as a new file, as after a hot-unplug."""
        _put_aside(self.energy_path)
        self.energy_path.write_text(f"{energy_uj}\n")


class PowercapTree:
    """A host root with powercap zones: `HostFS.at(root)` reads it."""

    def __init__(
        self,
        root: Path | str,
        *,
        vendor: str = "GenuineIntel",
        family: int = 6,
        model_name: str = "fixture",
        flags: str = "",
        boot_id: str = "11111111-2222-3333-4444-555555555555",
    ) -> None:
        self.root = Path(root)
        self.class_dir = self.root / "sys/class/powercap"
        self.class_dir.mkdir(parents=True)
        kernel = self.root / "proc/sys/kernel/random"
        kernel.mkdir(parents=True)
        (kernel / "boot_id").write_text(boot_id + "\n")
        self.cpuinfo = self.root / "proc/cpuinfo"
        self.cpuinfo.write_text(
            CPUINFO.format(vendor=vendor, family=family, model_name=model_name, flags=flags)
        )

    def add_control_type(self, name: str) -> Path:
        """The folder of a control type with its link in the class folder."""
        folder = self.root / "sys/devices/virtual/powercap" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "enabled").write_text("1\n")
            (self.class_dir / name).symlink_to(f"../../devices/virtual/powercap/{name}")
        return folder

    def add_zone(
        self,
        entry: str,
        name: str,
        *,
        energy_uj: int | None = 0,
        range_uj: int | None = INTEL_RANGE_UJ,
        limits_w: tuple[tuple[str, int, int], ...] = (),
    ) -> PowercapZone:
        """Add the zone `intel-rapl:0`, `intel-rapl:0:1`, ...; its parent must be there already.

        `limits_w` are constraints as (name, maximum, present limit) in watts. None leaves a file out.
        """
        parent, _, _ = entry.rpartition(":")
        control_type = self.add_control_type(entry.partition(":")[0])
        above = (self.class_dir / parent).resolve() if ":" in parent else control_type
        folder = above / entry
        folder.mkdir()
        zone = PowercapZone(entry, folder, self.class_dir / entry)
        zone.write("name", name)
        zone.write("enabled", "0")
        if range_uj is not None:
            zone.write("max_energy_range_uj", str(range_uj))
        if energy_uj is not None:
            zone.write("energy_uj", str(energy_uj))
            zone.energy_path.chmod(0o400)
        for index, (constraint, maximum_w, limit_w) in enumerate(limits_w):
            zone.write(f"constraint_{index}_name", constraint)
            zone.write(f"constraint_{index}_max_power_uw", str(maximum_w * 1_000_000))
            zone.write(f"constraint_{index}_power_limit_uw", str(limit_w * 1_000_000))
        zone.link.symlink_to(f"../../{os.path.relpath(folder, self.root / 'sys')}")
        return zone

    def remove_zone(self, zone: PowercapZone) -> None:
        """Take the zone out as a hot-unplug does, the folders below it first."""
        for below in (*zone.folder.glob(f"{zone.entry}:*"), zone.folder):
            (self.class_dir / below.name).unlink()
            _put_aside(below / "energy_uj")
        zone.folder.rename(self.root / f"removed-{next(_SERIAL)}")


_SERIAL = itertools.count()


def _put_aside(file: Path) -> None:
    """Empty a file and move it away.

    Files held open must not go on showing the old value, and a file deleted would leave its inode number
    to the next one, which the kernel's sysfs does not do.
    """
    if file.is_symlink():
        file.unlink()
    elif file.exists():
        os.truncate(file, 0)
        file.rename(file.with_name(f"removed-{next(_SERIAL)}"))
