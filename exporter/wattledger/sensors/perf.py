"""RAPL counters through perf_event_open(2) and the kernel's `power` PMU."""

from __future__ import annotations

import os
import struct
import uuid
from collections.abc import Sequence
from typing import Final

from ..clock import Clock
from ..hostfs import HostFS, reason_of
from ..model import Finding, Probe, Reading
from .perf_event import OpenEvent, open_event
from .place import ON_HOST, Place
from .power_pmu import SENSOR, PmuEvent, survey

CLOSED: Final = -1
DENIED: Final = ("eacces", "eperm")

GRANT_PERF = r"""# as a service:
sudo mkdir -p /etc/systemd/system/wattledger.service.d
printf '%s\n' '[Service]' \
  CapabilityBoundingSet='CAP_PERFMON CAP_DAC_READ_SEARCH' AmbientCapabilities=CAP_PERFMON \
  SystemCallFilter='@system-service perf_event_open' SystemCallFilter='~@privileged @resources' \
  | sudo tee /etc/systemd/system/wattledger.service.d/perf.conf
sudo systemctl daemon-reload && sudo systemctl restart wattledger
# or, for every user (this opens all of perf to them):
sudo sysctl kernel.perf_event_paranoid=0"""


class Perf:
    """The `perf` collector: for hosts where powercap may not be read but CAP_PERFMON is there.

    `open_event` is a parameter because virtual machines do not have this PMU.
    """

    def __init__(
        self, hostfs: HostFS, clock: Clock, open_event: OpenEvent = open_event, place: Place = ON_HOST
    ) -> None:
        self._hostfs = hostfs
        self._place = place
        self._clock = clock
        self._open_event = open_event
        self._counters: dict[tuple[str, str, str], _Counter] = {}

    @property
    def name(self) -> str:
        return SENSOR

    def probe(self) -> Probe:
        """Find the events anew; those already counting go on, for a counter opened again starts at zero.

        An event that cannot be read now stays among the zones if it could be before, or if another that
        covers the same can.
        """
        found = survey(self._hostfs)
        boot_id = self._hostfs.boot_id()
        counters = []
        for event in found.events:
            counter = self._counters.pop(event.zone.key, None) or _Counter(self._open_event, boot_id)
            counter.event = event
            counters.append(counter)
        failures = [counter.read(self._clock).failure for counter in counters]
        covered = {counter.event.zone.covers for counter in counters if counter.is_open} - {""}
        self.close()
        self._counters = {
            counter.event.zone.key: counter
            for counter in counters
            if counter.proven or counter.event.zone.covers in covered
        }
        return Probe(
            zones=tuple([counter.event.zone for counter in self._counters.values()]),
            findings=(*_verdicts(found.events, failures, self._place), *found.findings),
        )

    def read(self) -> Sequence[Reading]:
        """One reading per event of the last probe; a failed one has the errno's name as its reason."""
        clock = self._clock
        return [counter.read(clock) for counter in self._counters.values()]

    def close(self) -> None:
        """Close the events; the next read opens them again, from zero and with another lineage."""
        for counter in self._counters.values():
            counter.close()


class _Counter:
    """One event, held open. The kernel accumulates it in 64 bits, so it never wraps."""

    __slots__ = ("_boot_id", "_fd", "_lineage", "_open_event", "event", "proven")

    event: PmuEvent

    def __init__(self, open_event: OpenEvent, boot_id: str) -> None:
        self._open_event = open_event
        self._boot_id = boot_id
        self._fd = CLOSED
        self._lineage = ""
        self.proven = False

    @property
    def is_open(self) -> bool:
        return self._fd != CLOSED

    def read(self, clock: Clock) -> Reading:
        event = self.event
        try:
            if self._fd == CLOSED:
                self._fd = self._open_event(event.pmu_type, event.config, event.cpu)
                self._lineage = f"{self._boot_id}/{uuid.uuid4().hex}"
            (count,) = struct.unpack("=Q", os.read(self._fd, 8))
        except OSError as error:
            failure = reason_of(error)
        except struct.error:  # the kernel answers a read with nothing once an event has failed
            failure = "enodata"
        else:
            unit = event.uj_per_count
            self.proven = True
            raw_uj = count * unit.numerator // unit.denominator
            return Reading(event.zone, clock.boottime_ns(), raw_uj, self._lineage)
        self.close()
        return Reading(event.zone, clock.boottime_ns(), None, "", failure)

    def close(self) -> None:
        if self._fd != CLOSED:
            os.close(self._fd)
            self._fd = CLOSED


def _verdicts(events: Sequence[PmuEvent], failures: Sequence[str], place: Place) -> list[Finding]:
    """One finding per event, those that lack permission in one, for one fix serves them all."""
    findings = []
    judged = list(zip(events, failures, strict=True))
    denied = ", ".join(event.subject for event, failure in judged if failure in DENIED)
    if denied:
        why = "counting on a whole CPU needs CAP_PERFMON or kernel.perf_event_paranoid of 0 or less"
        fix = place.to_hold("PERFMON", GRANT_PERF)
        findings.append(Finding(sensor=SENSOR, subject=denied, status="denied", why=why, fix=fix))
    for event, failure in judged:
        if not failure:
            covers = event.zone.covers
            why = f"counts towards {covers}" if covers else "shown, not added: inside its package"
            findings.append(Finding(sensor=SENSOR, subject=event.subject, status="usable", why=why))
        elif failure not in DENIED:
            why = f"perf_event_open or the read after it fails with {failure.upper()}"
            findings.append(Finding(sensor=SENSOR, subject=event.subject, status="failed", why=why))
    return findings
