"""One look at the whole host, for `wattledger check`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from ..app import build_workloads
from ..clock import SystemClock
from ..model import Finding, Probe, Reading
from ..sensing import FIRST_ZONES_S
from ..sensors.base import Closable, Deferred, Sensor
from ..sensors.cover import Cover, ZoneKey, choose_cover
from ..sensors.registry import build_sensors
from ..settings import Settings
from ..storage import check_storage
from .budgets import budget_findings
from .grid import look_at_grid
from .journal import journal_findings
from .names import name_findings
from .web import web_findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What `wattledger check` shows: the findings, what would be counted, the readings and their power.

    `refusals` are the reasons for which an agent with these settings would not start.
    """

    findings: tuple[Finding, ...]
    cover: Cover
    readings: tuple[Reading, ...]
    power_w: Mapping[ZoneKey, float]
    refusals: tuple[str, ...] = ()


def inspect(settings: Settings, seconds: float, sleep: Callable[[float], None]) -> Inspection:
    """Probe every enabled sensor, read twice `seconds` apart, scan the workloads and look up their names.

    Every source of intensity is asked once, the budgets are judged by what is drawn and priced now, and
    state directory, journal and web addresses are tried. Raises SettingsError for sources that cannot be
    made.
    """
    clock = SystemClock()
    sensors = build_sensors(settings, clock)
    probes: list[tuple[Sensor, Probe]] = [(sensor, _probe(sensor)) for sensor in sensors]
    cover = choose_cover([(sensor.name, probe.zones) for sensor, probe in probes])
    before = {reading.zone.key: reading for sensor in sensors for reading in sensor.read()}
    sleep(seconds)
    after = tuple(reading for sensor in sensors for reading in sensor.read())
    workloads = build_workloads(settings, clock)
    powers_w = _powers_w(before, after)
    grid = look_at_grid(settings, clock)
    of_budgets, refusals = budget_findings(settings, _drawn_w(cover, powers_w), grid.price, grid.now_ns)
    findings = [
        *(finding for _, probe in probes for finding in probe.findings),
        *workloads.diagnose(),
        *name_findings(settings, clock, workloads),
        *grid.findings,
        *of_budgets,
        *check_storage(settings.storage.path),
        *journal_findings(settings.storage.path),
        *web_findings(settings.web),
    ]
    for sensor in sensors:
        if isinstance(sensor, Closable):
            sensor.close()
    return Inspection(
        findings=tuple(findings),
        cover=cover,
        readings=after,
        power_w=powers_w,
        refusals=refusals,
    )


def _probe(sensor: Sensor) -> Probe:
    probe = sensor.probe()
    if not isinstance(sensor, Deferred):
        return probe
    sensor.settle(FIRST_ZONES_S)
    return sensor.probe()


def _powers_w(before: Mapping[ZoneKey, Reading], after: Collection[Reading]) -> dict[ZoneKey, float]:
    """Mean power between the two reads of each zone that gave two values; a wrap is undone."""
    powers_w = {}
    for reading in after:
        earlier = before.get(reading.zone.key)
        if earlier and earlier.raw_uj is not None and reading.raw_uj is not None:
            moved_uj, took_ns = reading.raw_uj - earlier.raw_uj, reading.at_ns - earlier.at_ns
            if moved_uj < 0 and reading.zone.range_uj:
                moved_uj += reading.zone.range_uj
            if took_ns > 0 and moved_uj >= 0:
                powers_w[reading.zone.key] = moved_uj * 1000 / took_ns
    return powers_w


def _drawn_w(cover: Cover, powers_w: Mapping[ZoneKey, float]) -> float | None:
    """What the node draws, as far as it is counted; None where a zone that counts has no power."""
    zones = cover.node or [zone for zones in cover.components.values() for zone in zones]
    known = [powers_w[zone.key] for zone in zones if zone.key in powers_w]
    return sum(known) if zones and len(known) == len(zones) else None
