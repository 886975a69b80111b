"""One look at the whole host, for `wattledger check`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from .app import build_names, build_workloads
from .clock import Clock, SystemClock
from .model import Finding, Probe, Reading, Workload
from .sensing import FIRST_ZONES_S
from .sensors.base import Closable, Deferred, Sensor
from .sensors.cover import Cover, ZoneKey, choose_cover
from .sensors.registry import build_sensors
from .settings import Settings
from .snapshot import SourceHealth
from .storage import check_storage
from .workloads.names.base import ASKED_KINDS
from .workloads.names.service import NameService
from .workloads.scan import HostWorkloads

NAMES_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What `wattledger check` shows: the findings, what would be counted, the readings and their power."""

    findings: tuple[Finding, ...]
    cover: Cover
    readings: tuple[Reading, ...]
    power_w: Mapping[ZoneKey, float]


def inspect(settings: Settings, seconds: float, sleep: Callable[[float], None]) -> Inspection:
    """Probe every enabled sensor, read twice `seconds` apart, scan the workloads and look up their names."""
    clock = SystemClock()
    sensors = build_sensors(settings, clock)
    probes: list[tuple[Sensor, Probe]] = [(sensor, _probe(sensor)) for sensor in sensors]
    cover = choose_cover([(sensor.name, probe.zones) for sensor, probe in probes])
    before = {reading.zone.key: reading for sensor in sensors for reading in sensor.read()}
    sleep(seconds)
    after = tuple(reading for sensor in sensors for reading in sensor.read())
    workloads = build_workloads(settings, clock)
    findings = [
        *(finding for _, probe in probes for finding in probe.findings),
        *workloads.diagnose(),
        *_name_findings(settings, clock, workloads),
        *check_storage(settings.storage.path),
    ]
    for sensor in sensors:
        if isinstance(sensor, Closable):
            sensor.close()
    return Inspection(findings=tuple(findings), cover=cover, readings=after, power_w=_powers_w(before, after))


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


def _name_findings(settings: Settings, clock: Clock, workloads: HostWorkloads) -> list[Finding]:
    """Which sources know the names of what runs now, and why one does not answer."""
    try:
        born = workloads.scan().born
    except OSError:
        return []  # the findings on workloads tell why
    asked = [workload for workload in born if workload.kind in ASKED_KINDS]
    names = build_names(settings, clock, workloads)
    if names is None or not asked:
        why = "nothing runs here that needs a name" if names is not None else "switched off (names.enabled)"
        return [Finding(sensor="names", subject="sources", status="absent", why=why)]
    health = _ask(names, asked)
    found = [_source_finding(name, state) for name, state in health.items() if state.answers or state.errors]
    none = Finding(
        sensor="names",
        subject="sources",
        status="absent",
        why=f"no source knows any of the {len(asked)} workloads here; they are shown by their ids",
    )
    return found or [none]


def _ask(names: NameService, workloads: Collection[Workload]) -> dict[str, SourceHealth]:
    names.start()
    try:
        names.ask(workloads)
        names.settle(NAMES_TIMEOUT_S)
        return names.health()
    finally:
        names.stop()


def _source_finding(name: str, health: SourceHealth) -> Finding:
    if not health.errors:
        return Finding(
            sensor="names", subject=name, status="usable", why=f"knows {health.answers} of the workloads here"
        )
    reason = max(health.errors, key=lambda key: health.errors[key])
    denied = reason in {"eacces", "eperm", "unauthorized", "forbidden"}
    known = f"; it knows {health.answers} workloads all the same" if health.answers else ""
    return Finding(
        sensor="names",
        subject=name,
        status="denied" if denied else "failed",
        why=f"{health.error or reason}{known}",
        fix="setpriv --ambient-caps=+dac_read_search --inh-caps=+dac_read_search wattledger run"
        if reason == "eacces"
        else "",
    )
