"""The running total and the health of every zone, from raw readings to energy per component."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .counters import CounterState, advance
from .model import S_NS, Component, Reading, SensorRow, Zone
from .sensors.cover import Cover, Envelope, ZoneKey


@dataclass(slots=True)
class Meter:
    """One zone over time. `energy_uj` only grows; `state` is None until a first value was read."""

    zone: Zone
    state: CounterState | None = None
    energy_uj: int = 0
    up: bool = False
    power_w: float | None = None
    wraps: int = 0
    read_errors: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)

    def row(self) -> SensorRow:
        """The zone as a snapshot shows it."""
        return SensorRow(
            zone=self.zone,
            up=self.up,
            energy_uj=self.energy_uj,
            power_w=self.power_w,
            read_errors=dict(self.read_errors),
            wraps=self.wraps,
            dropped=dict(self.dropped),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Energy per component since the last intake, over `span_ns` of time.

    A component none of whose zones gave a value is missing. `boards` are the GPUs one by one, as energy and
    time by device; they sum to the component `gpu`. `changes` are zones whose health changed,
    as (zone, what happened), for the log.
    """

    energy_uj: dict[Component, int]
    span_ns: dict[Component, int]
    boards: dict[str, tuple[int, int]]
    changes: list[tuple[Zone, str]]


class Meters:
    """Every meter of the host, and the component totals drawn from those that count."""

    def __init__(self) -> None:
        self._meters: dict[ZoneKey, Meter] = {}
        self._cover = Cover()
        self._envelope = Envelope()
        self._suspended_ns: int | None = None

    @property
    def cover(self) -> Cover:
        return self._cover

    def follow(self, zones: Iterable[Zone], cover: Cover) -> None:
        """Take the zones of a fresh probe.

        A zone that is gone or no longer counts loses its starting point, so that energy which another
        source covered meanwhile is not counted again when it returns. What it drew since its last value
        is unknown then: an interval dropped as `gone`.
        """
        present = {zone.key: zone for zone in zones}
        newly_counted = cover.counted - self._cover.counted
        first = not self._cover.counted
        for key, meter in self._meters.items():
            if key not in present:
                if meter.state is not None:
                    meter.dropped["gone"] = meter.dropped.get("gone", 0) + 1
                meter.state = None
                meter.up = False
                meter.power_w = None
            elif key in newly_counted and not first:
                meter.state = None
        for key, zone in present.items():
            if key in self._meters:
                self._meters[key].zone = zone
            else:
                self._meters[key] = Meter(zone)
        self._cover = cover

    def take(self, readings: Iterable[Reading], suspended_ns: int) -> Intake:
        """Advance every meter by one reading and sum the steps per component."""
        steps: dict[ZoneKey, tuple[int, int]] = {}
        restarted: set[ZoneKey] = set()
        changes: list[tuple[Zone, str]] = []
        for reading in readings:
            meter = self._meters.get(reading.zone.key)
            if meter is None:
                continue
            if reading.raw_uj is None:
                if meter.up or reading.failure not in meter.read_errors:
                    changes.append((reading.zone, reading.failure))
                meter.read_errors[reading.failure] = meter.read_errors.get(reading.failure, 0) + 1
                meter.up = False
                meter.power_w = None
                continue
            previous = meter.state
            meter.state, step = advance(reading.zone, previous, reading, suspended_ns)
            if not meter.up and meter.read_errors:
                changes.append((reading.zone, "recovered"))
            meter.up = True
            if step.outcome == "wrapped":
                meter.wraps += 1
            elif step.outcome not in ("first", "advanced"):
                meter.dropped[step.outcome] = meter.dropped.get(step.outcome, 0) + 1
                changes.append((reading.zone, step.outcome))
            meter.power_w = None
            if step.delta_uj is not None and previous is not None:
                span_ns = reading.at_ns - previous.at_ns
                meter.energy_uj += step.delta_uj
                if span_ns > 0:
                    meter.power_w = step.delta_uj * (S_NS / 1e6) / span_ns
                steps[reading.zone.key] = (step.delta_uj, span_ns)
            else:
                restarted.add(reading.zone.key)
        energies, spans = self._sum(steps, restarted)
        gpus = self._cover.components.get("gpu", ())
        boards = {zone.device: steps[zone.key] for zone in gpus if zone.key in steps}
        return Intake(energy_uj=energies, span_ns=spans, boards=boards, changes=changes)

    def rows(self) -> tuple[SensorRow, ...]:
        """Every zone ever seen in this boot, in the order of appearance."""
        return tuple([meter.row() for meter in self._meters.values()])

    def _sum(
        self, steps: dict[ZoneKey, tuple[int, int]], restarted: set[ZoneKey]
    ) -> tuple[dict[Component, int], dict[Component, int]]:
        energy_uj: dict[Component, int] = {}
        span_ns: dict[Component, int] = {}
        for component, zones in self._cover.components.items():
            got = [steps[zone.key] for zone in zones if zone.key in steps]
            if got:
                energy_uj[component] = sum(delta_uj for delta_uj, _ in got)
                span_ns[component] = sum(span for _, span in got) // len(zones)
        if self._cover.node:
            self._envelope.rest(sum(energy_uj.values()))
            got = [steps[zone.key] for zone in self._cover.node if zone.key in steps]
            if got:
                energy_uj["other"] = self._envelope.meter(sum(delta_uj for delta_uj, _ in got))
                span_ns["other"] = sum(span for _, span in got) // len(self._cover.node)
            elif any(zone.key in restarted for zone in self._cover.node):
                self._envelope.skip()
        return energy_uj, span_ns

    def dump(self) -> dict[str, Any]:
        """What a later process of the same boot needs to go on without losing a microjoule."""
        return {
            "envelope": [self._envelope.balance_uj, self._envelope.rest_uj],
            "meters": [
                [
                    list(key),
                    meter.energy_uj,
                    meter.wraps,
                    meter.read_errors,
                    meter.dropped,
                    None
                    if meter.state is None
                    else [
                        meter.state.lineage,
                        meter.state.raw_uj,
                        meter.state.at_ns,
                        meter.state.suspended_ns,
                    ],
                ]
                for key, meter in self._meters.items()
            ],
        }

    def load(self, saved: dict[str, Any], zones: Iterable[Zone]) -> None:
        """Take up a dump; zones that no longer exist keep their totals and show as down."""
        self._envelope = Envelope(*saved["envelope"])
        present = {zone.key: zone for zone in zones}
        for (sensor, name, device), energy_uj, wraps, errors, dropped, state in saved["meters"]:
            key = (sensor, name, device)
            zone = present.get(key) or Zone(sensor=sensor, name=name, device=device, covers="")
            meter = Meter(zone, energy_uj=energy_uj, wraps=wraps, read_errors=errors, dropped=dropped)
            if state is not None:
                meter.state = CounterState(*state)
            self._meters[key] = meter
