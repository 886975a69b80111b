"""The samples of the small families, as finished lines by sample name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..snapshot import BoardRow, ProcessRow, SensorRow, Snapshot, SourceHealth
from .carbon_samples import add_carbon
from .catalogue import BY_SAMPLE_NAME
from .lines import Lines
from .values import flag, joules, number, optional, point_in_time, seconds

FAILURES = ("eacces", "eio", "enodata", "enodev", "enoent", "missing", "parse")
"""Reasons for which any sensor may fail; those of one sensor alone appear with the first failure."""
DROPPED = ("ambiguous", "gone", "implausible", "replaced", "reset", "suspended")
"""Every reason for which an interval is dropped: the outcomes in `counters`, and `gone` of `meters`."""


def add_all(lines: Lines, snapshot: Snapshot, build: Mapping[str, str], own: Mapping[str, float]) -> None:
    """Add every sample of the snapshot except those of workload series.

    `build` holds the labels of `build_info`, `own` the standard process metrics by name.
    """
    _add_nodes(lines, snapshot)
    _add_processes(lines, snapshot.processes)
    _add_gpus(lines, snapshot.sensors)
    _add_boards(lines, snapshot.boards)
    _add_sensors(lines, snapshot.sensors)
    add_carbon(lines, snapshot)
    lines.add("build_info", "1", build.items())
    _add_name_sources(lines, snapshot.health.name_sources)
    _add_health(lines, snapshot)
    for name, value in own.items():
        if name in BY_SAMPLE_NAME:
            lines.add_standard(name, number(value))


def _add_nodes(lines: Lines, snapshot: Snapshot) -> None:
    for row in snapshot.nodes:
        component = (("component", row.component),)
        lines.add("node_energy_joules_total", joules(row.energy_uj), component)
        lines.add("node_emissions_grams_total", number(row.emissions_g), component)
        lines.add("node_market_emissions_grams_total", optional(row.market_g), component)
        lines.add("node_water_liters_total", optional(row.water_l), component)
        lines.add("node_power_watts", optional(row.power_w), component)
        source = (*component, ("source", row.idle_source))
        lines.add("node_idle_power_watts", optional(row.idle_power_w), source)
        lines.add("workload_expired_energy_joules", joules(row.expired_uj), component)
        lines.add("workload_expired_emissions_grams", number(row.expired_g), component)
    if snapshot.embodied_g is not None:
        lines.add("node_embodied_emissions_grams_total", number(snapshot.embodied_g))
        lines.add("workload_expired_embodied_emissions_grams", number(snapshot.expired_embodied_g))
    lines.add("node_info", "1", snapshot.node_info.items())


def _add_processes(lines: Lines, rows: Iterable[ProcessRow]) -> None:
    for row in rows:
        labels = (("pid", str(row.pid)), ("comm", row.comm), ("kind", row.kind), ("id", row.id))
        lines.add("process_energy_joules_total", joules(row.energy_uj), labels)
        lines.add("process_emissions_grams_total", number(row.emissions_g), labels)


def _add_gpus(lines: Lines, rows: Iterable[SensorRow]) -> None:
    """A GPU is what the zones that cover it say together; its power is known when all of theirs is."""
    boards: dict[str, list[SensorRow]] = {}
    for row in rows:
        if row.zone.covers == "gpu":
            boards.setdefault(row.zone.device, []).append(row)
    for uuid, zones in boards.items():
        labels = (("gpu_uuid", uuid),)
        lines.add("gpu_energy_joules_total", joules(sum(row.energy_uj for row in zones)), labels)
        powers_w = [row.power_w for row in zones if row.power_w is not None]
        if len(powers_w) == len(zones):
            lines.add("gpu_power_watts", number(sum(powers_w)), labels)
        attributes = {name: value for row in zones for name, value in row.zone.attributes}
        known = [(name, attributes.pop(name, "")) for name in ("model", "pci", "index", "driver")]
        lines.add("gpu_info", "1", (*labels, *known, *attributes.items()))


def _add_boards(lines: Lines, boards: Iterable[BoardRow]) -> None:
    for board in boards:
        labels = (("gpu_uuid", board.device),)
        lines.add("gpu_idle_power_watts", optional(board.idle_power_w), labels)
        lines.add("gpu_energy_check_ratio", optional(board.check_ratio), labels)
        if board.quality:
            lines.add("gpu_split_info", "1", (*labels, ("quality", board.quality)))
        for instance in board.instances:
            known = (
                ("mig_uuid", instance.uuid),
                ("profile", instance.profile),
                ("gpu_instance", str(instance.gpu_instance)),
                ("compute_instance", str(instance.compute_instance)),
            )
            lines.add("gpu_mig_info", "1", (*labels, *known))


def _add_sensors(lines: Lines, rows: Iterable[SensorRow]) -> None:
    wraps: dict[str, int] = {}
    errors: dict[tuple[str, str], int] = {}
    dropped: dict[tuple[str, str], int] = {}
    for row in rows:
        zone = row.zone
        labels = (("sensor", zone.sensor), ("zone_name", zone.name), ("device", zone.device))
        lines.add("sensor_energy_joules_total", joules(row.energy_uj), labels)
        lines.add("sensor_up", flag(row.up), labels)
        attributes = () if zone.covers == "gpu" else zone.attributes
        facts = (("method", zone.method), ("covers", zone.covers), *attributes)
        lines.add("sensor_info", "1", (*labels, *facts))
        lines.add("sensor_uncertainty_ratio", number(zone.uncertainty_ratio), labels)
        if zone.sensor not in wraps:
            wraps[zone.sensor] = 0
            errors |= {(zone.sensor, reason): 0 for reason in FAILURES}
            dropped |= {(zone.sensor, reason): 0 for reason in DROPPED}
        wraps[zone.sensor] += row.wraps
        for counts, sums in ((row.read_errors, errors), (row.dropped, dropped)):
            for reason, count in counts.items():
                sums[zone.sensor, reason] = sums.get((zone.sensor, reason), 0) + count
    for sensor, count in wraps.items():
        lines.add("sensor_wraps_total", str(count), (("sensor", sensor),))
    for name, sums in (("sensor_read_errors_total", errors), ("sensor_dropped_intervals_total", dropped)):
        for (sensor, reason), count in sorted(sums.items()):
            lines.add(name, str(count), (("sensor", sensor), ("reason", reason)))


def _add_name_sources(lines: Lines, sources: Mapping[str, SourceHealth]) -> None:
    for source, health in sources.items():
        labels = (("source", source),)
        lines.add("name_source_up", flag(health.up), labels)
        lines.add("name_source_answers_total", str(health.answers), labels)
        for reason, count in sorted(health.errors.items()):
            lines.add("name_source_errors_total", str(count), (*labels, ("reason", reason)))


def _add_health(lines: Lines, snapshot: Snapshot) -> None:
    health = snapshot.health
    lines.add("sampler_interval_seconds", seconds(health.interval_ns))
    lines.add("sampler_duration_seconds", seconds(health.duration_ns))
    lines.add("sampler_ticks_total", str(health.ticks))
    lines.add("sampler_failures_total", str(health.failures))
    lines.add("sampler_overruns_total", str(health.overruns))
    lines.add("sampler_last_success_timestamp_seconds", point_in_time(health.last_success_wall_ns))
    lines.add("series", str(health.series))
    lines.add("series_limited_total", str(health.series_limited))
    lines.add("self_energy_joules_total", joules(health.self_energy_uj))
    lines.add("checkpoint_errors_total", str(health.checkpoint_errors))
    lines.add("journal_errors_total", str(health.journal_errors))
    lines.add("journal_last_success_timestamp_seconds", point_in_time(health.journal_written_wall_ns))
    lines.add("config_last_reload_successful", flag(health.config_reload_ok))
    lines.add("config_last_reload_success_timestamp_seconds", point_in_time(health.config_reload_wall_ns))
