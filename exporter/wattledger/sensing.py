"""The sensors of a host: probed, chosen among, and read, each behind a guard."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from .gpu.records import BoardUse, GpuUsageSource
from .model import S_NS, Reading, Zone
from .sensors.base import Closable, Deferred, Releasable, Sensor
from .sensors.cover import Cover, ZoneKey, choose_cover

log = logging.getLogger(__name__)

PROBE_EVERY_NS = 60 * S_NS
FIRST_ZONES_S = 5.0
"""How long the first tick waits for zones that are learned elsewhere, such as those of a GPU driver."""

Guard = Callable[[str, Callable[[], Any]], Any]


class Sensing:
    """Which sensors there are and which are read.

    `guard` runs a call to a source and returns None where it raises. A sensor of which nothing counts,
    because another one covers the same, is not read until it does.
    """

    def __init__(self, sensors: Sequence[Sensor], guard: Guard) -> None:
        self._guard = guard
        self._follow(sensors)
        self._active: list[Sensor] = []
        self._offered: frozenset[ZoneKey] = frozenset()
        self._probed_ns: int | None = None
        self._hurried = False
        self._settled = False

    @property
    def sensors(self) -> tuple[Sensor, ...]:
        """Those that are probed."""
        return tuple(self._sensors)

    def replace(self, sensors: Sequence[Sensor]) -> None:
        """Take other sensors, among which may be present ones; they are probed next."""
        kept = {id(sensor) for sensor in sensors}
        self._close([sensor for sensor in self._sensors if id(sensor) not in kept])
        self._follow(sensors)
        self._probed_ns = None

    def _follow(self, sensors: Sequence[Sensor]) -> None:
        self._sensors = list(sensors)
        # Asked once: whether an object has the methods of a protocol takes 7 us to find out.
        self._deferred = [sensor for sensor in sensors if isinstance(sensor, Deferred)]

    def close(self) -> None:
        """Have every sensor give back what it holds."""
        self._close(self._sensors)

    def _close(self, sensors: Sequence[Sensor]) -> None:
        for sensor in sensors:
            if isinstance(sensor, Closable):
                self._guard(sensor.name, sensor.close)

    def hurry(self) -> None:
        """A zone that counts is gone: look for what can take its place at the next tick."""
        self._hurried = True

    def due(self, now_ns: int) -> bool:
        """Whether it is time for a probe."""
        if self._probed_ns is None or self._hurried or now_ns - self._probed_ns >= PROBE_EVERY_NS:
            return True
        return any(self._guard(sensor.name, sensor.wants_probe) for sensor in self._deferred)

    def probe(self, now_ns: int) -> tuple[list[Zone], Cover]:
        """Look at the hardware anew: the zones of the sensors that are read from now on, and what counts."""
        first, self._settled = not self._settled, True  # later, ticks and scrapes wait behind this one
        found = [(sensor, self._zones(sensor, first)) for sensor in self._sensors]
        cover = choose_cover([(sensor.name, zones) for sensor, zones in found])
        used = [(sensor, zones) for sensor, zones in found if any(z.key in cover.counted for z in zones)]
        self._active = [sensor for sensor, _ in used]
        self._offered = frozenset(zone.key for _, zones in found for zone in zones)
        self._probed_ns = now_ns
        self._hurried = False
        return [zone for _, zones in used for zone in zones], cover

    def lost(self, zone: Zone) -> bool:
        """Whether a zone is missing: its sensor is switched on, and the last probe did not find it any more.

        One of a sensor that was switched off, or that is not read as another one covers the same, is not.
        """
        return zone.key not in self._offered and any(sensor.name == zone.sensor for sensor in self._sensors)

    def _zones(self, sensor: Sensor, first: bool) -> Sequence[Zone]:
        probe = self._guard(sensor.name, sensor.probe)
        if first and isinstance(sensor, Deferred):
            deferred: Deferred = sensor
            self._guard(sensor.name, lambda: deferred.settle(FIRST_ZONES_S))
            probe = self._guard(sensor.name, sensor.probe)
        return probe.zones if probe else ()

    def read(self) -> list[Reading]:
        """One reading of every zone that is read; a sensor that raises loses its own."""
        readings: list[Reading] = []
        for sensor in self._active:
            readings.extend(self._guard(sensor.name, sensor.read) or ())
        return readings

    def uses(self) -> list[BoardUse]:
        """Who used the GPU boards, as far as the sensors can tell."""
        uses: list[BoardUse] = []
        for sensor in self._active:
            if isinstance(sensor, GpuUsageSource):
                uses.extend(self._guard(f"{sensor.name} use", sensor.use) or ())
        return uses

    def release(self) -> None:
        """Have the sensors close the device files that an operator may need."""
        for sensor in self._sensors:
            if isinstance(sensor, Releasable):
                self._guard(sensor.name, sensor.release)
                log.info("device files released", extra={"sensor": sensor.name})

    def acquire(self) -> None:
        """Have them take the device files back."""
        for sensor in self._sensors:
            if isinstance(sensor, Releasable):
                self._guard(sensor.name, sensor.acquire)
                log.info("device files taken back", extra={"sensor": sensor.name})


def log_cover(cover: Cover) -> None:
    """Say once which meters count; a host with none is told what that means."""
    counted = {
        component: ",".join(f"{zone.sensor}:{zone.device}" for zone in zones)
        for component, zones in (*cover.components.items(), ("node", cover.node))
        if zones
    }
    if counted:
        log.info("meters in use", extra=counted)
    else:
        log.warning("no meter found and no estimate enabled: no energy will be booked")


def log_changes(changes: Sequence[tuple[Zone, str]]) -> None:
    """Say of each zone what happened to it."""
    for zone, what in changes:
        log.log(
            logging.INFO if what == "recovered" else logging.WARNING,
            "sensor recovered" if what == "recovered" else "sensor reading lost",
            extra={"sensor": zone.sensor, "zone": zone.name, "device": zone.device, "reason": what},
        )
