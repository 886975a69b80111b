"""Intel and AMD RAPL counters through the powercap class of sysfs."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Final, Literal

from ..clock import Clock
from ..hostfs import HostFS, read_text, reason_of
from ..model import Finding, Probe, Reading, Zone
from .place import ON_HOST, Place
from .rapl_zones import SENSOR, RaplZone, survey

CLOSED: Final = -1
DENIED: Final = ("eacces", "eperm")

GRANT_READ = r"""# as a service:
sudo mkdir -p /etc/systemd/system/wattledger.service.d
printf '[Service]\nCapabilityBoundingSet=CAP_DAC_READ_SEARCH\nAmbientCapabilities=CAP_DAC_READ_SEARCH\n' \
  | sudo tee /etc/systemd/system/wattledger.service.d/rapl.conf
sudo systemctl daemon-reload && sudo systemctl restart wattledger
# or, for members of a group, now and at every boot:
sudo groupadd --system --force powercap
echo 'SUBSYSTEM=="powercap", KERNEL=="intel-rapl*:*", ACTION=="add",' \
  'RUN+="/bin/chgrp powercap /sys%p/energy_uj", RUN+="/bin/chmod g+r /sys%p/energy_uj"' \
  | sudo tee /etc/udev/rules.d/90-powercap.rules
sudo udevadm control --reload && sudo udevadm trigger --action=add --subsystem-match=powercap
sudo usermod --append --groups powercap "$USER"  # and log in again"""
"""How to let others than root read the counters.

Never everybody: that would re-open CVE-2020-8694 (PLATYPUS) to every local user.
"""


class Powercap:
    """The `powercap` collector; see `rapl_zones` for what is read and what counts."""

    def __init__(self, hostfs: HostFS, clock: Clock, place: Place = ON_HOST) -> None:
        self._hostfs = hostfs
        self._place = place
        self._clock = clock
        self._counters: tuple[_Counter, ...] = ()
        self._proven: set[tuple[str, str, str]] = set()

    @property
    def name(self) -> str:
        return SENSOR

    def probe(self) -> Probe:
        """Find the zones anew.

        A zone that cannot be read now stays among the zones if it could be read before, or if another zone
        that covers the same can: it then shows as down instead of silently missing from the sum.
        """
        found = survey(self._hostfs)
        boot_id = self._hostfs.boot_id()
        counters = [_Counter(rapl, boot_id) for rapl in found.zones]
        failures = [counter.read(self._clock).failure for counter in counters]
        good = [counter for counter, failure in zip(counters, failures, strict=True) if not failure]
        self._proven |= {counter.zone.key for counter in good}
        covered = {counter.zone.covers for counter in good} - {""}
        kept = [c for c in counters if c.zone.key in self._proven or c.zone.covers in covered]
        for counter in (*self._counters, *(c for c in counters if c not in kept)):
            counter.close()
        self._counters = tuple(kept)
        return Probe(
            zones=tuple(counter.zone for counter in kept),
            findings=(*_verdicts(found.zones, failures, self._place), *found.findings),
        )

    def read(self) -> Sequence[Reading]:
        """One reading per zone of the last probe; a failed one has the errno's name as its reason."""
        clock = self._clock
        return [counter.read(clock) for counter in self._counters]

    def close(self) -> None:
        """Close the files; the next read opens them again."""
        for counter in self._counters:
            counter.close()


class _Counter:
    """The `energy_uj` of one zone, held open.

    The kernel makes the value anew at each read of a held file. After any failure the file is closed and
    the next read opens it again, so a zone that comes back is found; sysfs gives it another inode,
    and thereby another lineage.
    """

    __slots__ = ("_boot_id", "_fd", "_lineage", "_rapl", "zone")

    def __init__(self, rapl: RaplZone, boot_id: str) -> None:
        self._rapl = rapl
        self._boot_id = boot_id
        self._fd = CLOSED
        self._lineage = ""
        self.zone: Zone = rapl.zone

    def read(self, clock: Clock) -> Reading:
        try:
            if self._fd == CLOSED:
                self._open()
            raw_uj = int(os.pread(self._fd, 32, 0))
            return Reading(self.zone, clock.boottime_ns(), raw_uj, self._lineage)
        except OSError as error:
            failure = reason_of(error)
        except ValueError:
            failure = "parse"
        self.close()
        return Reading(self.zone, clock.boottime_ns(), None, "", failure)

    def _open(self) -> None:
        """Open the file if the folder is still that of the same zone; raises OSError."""
        for path, content in self._rapl.identity:
            if read_text(path, 256) != content:
                raise FileNotFoundError(errno.ENOENT, "the folder now belongs to another zone", path)
        self._fd = os.open(self._rapl.energy_path, os.O_RDONLY | os.O_CLOEXEC)
        self._lineage = f"{self._boot_id}/{os.fstat(self._fd).st_ino}"

    def close(self) -> None:
        if self._fd != CLOSED:
            os.close(self._fd)
            self._fd = CLOSED


def _verdicts(zones: Sequence[RaplZone], failures: Sequence[str], place: Place) -> list[Finding]:
    """One finding per zone, those that lack permission in one, for one fix serves them all."""
    findings = []
    denied = [rapl.subject for rapl, failure in zip(zones, failures, strict=True) if failure in DENIED]
    if denied:
        why = "energy_uj may be read by root only (the kernel's default since CVE-2020-8694)"
        fix = place.to_read(GRANT_READ)
        findings.append(Finding(sensor=SENSOR, subject=", ".join(denied), status="denied", why=why, fix=fix))
    for rapl, failure in zip(zones, failures, strict=True):
        if not failure:
            status: Literal["usable", "ignored"] = "usable" if rapl.added else "ignored"
            findings.append(Finding(sensor=SENSOR, subject=rapl.subject, status=status, why=rapl.note))
        elif failure not in DENIED:
            why = f"reading {rapl.energy_path} fails with {failure.upper()}"
            findings.append(Finding(sensor=SENSOR, subject=rapl.subject, status="failed", why=why))
    return findings
