"""The running total and the health of every zone, from raw readings to energy per component."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .counters import CounterState, advance
from .model import S_NS, Calibration, Component, Reading, Zone
from .sensors.cover import Cover, Envelope, ZoneKey
from .snapshot import SensorRow


@dataclass(slots=True)
class Meter:
    """One zone over time. `energy_uj` only grows; `state` is None until a first value was read.

    `restored` says that `state` is an earlier process's, so that the next step spans its absence.
    """

    zone: Zone
    state: CounterState | None = None
    energy_uj: int = 0
    up: bool = False
    power_w: float | None = None
    wraps: int = 0
    read_errors: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    restored: bool = False

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

    `reach_ns` is how far its energy, what was recovered included, reaches back: to the oldest last value.
    A component none of whose zones gave a value is missing. `recovered_uj` spans the absence of the agent.
    `restarted` are components without energy whose meter began anew: what was drawn before is not to come.
    `boards` are the GPUs one by one, as energy and
    time by device; they sum to the component `gpu`. `changes` are zones whose health changed,
    as (zone, what happened), for the log.
    """

    energy_uj: dict[Component, int]
    span_ns: dict[Component, int]
    reach_ns: dict[Component, int]
    boards: dict[str, tuple[int, int]]
    changes: list[tuple[Zone, str]]
    recovered_uj: dict[Component, int]
    restarted: frozenset[Component]


PATIENCE_NS = 60 * S_NS
"""How long the `other` component waits for a failing meter whose energy would else be booked twice."""


class Meters:
    """Every meter of the host, and the component totals drawn from those that count."""

    def __init__(self) -> None:
        self._calibrations: dict[str, Calibration] = {}
        self._meters: dict[ZoneKey, Meter] = {}
        self._cover = Cover()
        self._envelope = Envelope()
        self._followed: frozenset[ZoneKey] = frozenset()
        self._shown: tuple[Meter, ...] = ()
        self._held_ns = 0

    @property
    def cover(self) -> Cover:
        return self._cover

    def calibrate(self, calibrations: Mapping[str, Calibration]) -> None:
        """Correct what the zones of these devices draw from now on."""
        self._calibrations = dict(calibrations)

    def follow(self, zones: Iterable[Zone], cover: Cover, lost: Callable[[Zone], bool]) -> None:
        """Take the zones of a fresh probe; of others, only what is `lost` is still shown, as down.

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
        self._followed = frozenset(present)
        self._shown = tuple([m for key, m in self._meters.items() if key in present or lost(m.zone)])

    def take(self, readings: Iterable[Reading], suspended_ns: int) -> Intake:
        """Advance every meter by one reading and sum the steps per component."""
        steps: dict[ZoneKey, tuple[int, int]] = {}
        recovered: set[ZoneKey] = set()
        restarted: set[ZoneKey] = set()
        changes: list[tuple[Zone, str]] = []
        unread = set(self._followed)
        now_ns = 0
        for reading in readings:
            meter = self._meters.get(reading.zone.key)
            if meter is None:
                continue
            unread.discard(reading.zone.key)
            now_ns = max(now_ns, reading.at_ns)
            if reading.raw_uj is None:
                _fail(meter, reading.failure, changes)
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
                delta_uj = step.delta_uj
                calibration = self._calibrations.get(reading.zone.device)
                if calibration is not None:
                    delta_uj = calibration.correct(delta_uj, span_ns)
                meter.energy_uj += delta_uj
                if span_ns > 0:
                    meter.power_w = delta_uj * (S_NS / 1e6) / span_ns
                steps[reading.zone.key] = (delta_uj, span_ns)
                if meter.restored:
                    recovered.add(reading.zone.key)
            else:
                restarted.add(reading.zone.key)
            meter.restored = False
        for key in unread:  # its sensor failed as a whole
            _fail(self._meters[key], "missing", changes)
        return self._sum(steps, recovered, restarted, changes, now_ns)

    def rows(self) -> tuple[SensorRow, ...]:
        """The zones that are read, and those lost in this boot, in the order of appearance."""
        return tuple([meter.row() for meter in self._shown])

    def _sum(
        self,
        steps: dict[ZoneKey, tuple[int, int]],
        recovered: set[ZoneKey],
        restarted: set[ZoneKey],
        changes: list[tuple[Zone, str]],
        now_ns: int,
    ) -> Intake:
        energy_uj: dict[Component, int] = {}
        span_ns: dict[Component, int] = {}
        reach_ns: dict[Component, int] = {}
        recovered_uj: dict[Component, int] = {}
        began_anew: set[Component] = set()
        for component, zones in self._cover.components.items():
            got = [steps[zone.key] for zone in zones if zone.key in steps and zone.key not in recovered]
            late = [steps[zone.key][0] for zone in zones if zone.key in recovered]
            if got:
                energy_uj[component] = sum(delta_uj for delta_uj, _ in got)
                span_ns[component] = sum(span for _, span in got) // self._expected(zones, steps, now_ns)
            elif late or any(zone.key in restarted for zone in zones):
                began_anew.add(component)
            if late:
                recovered_uj[component] = sum(late)
            if got or late:
                reach_ns[component] = max(steps[zone.key][1] for zone in zones if zone.key in steps)
        if self._cover.node:
            node = self._cover.node
            self._envelope.rest(sum(energy_uj.values()) + sum(recovered_uj.values()))
            got = [steps[zone.key] for zone in node if zone.key in steps]
            metered_uj = sum(delta_uj for delta_uj, _ in got)
            span = self._held_ns + sum(span for _, span in got) // len(node)
            if got and self._awaited(steps, restarted, now_ns):
                self._envelope.hold(metered_uj)
                self._held_ns = span
            elif got:
                late_too = any(zone.key in recovered for zone in node)
                (recovered_uj if late_too else energy_uj)["other"] = self._envelope.meter(metered_uj)
                span_ns["other"] = span
                reach_ns["other"] = max(span, *[step[1] for step in got])
                self._held_ns = 0
            elif any(zone.key in restarted for zone in node):
                self._envelope.skip()
                began_anew.add("other")
                self._held_ns = 0
        gpus = self._cover.components.get("gpu", ())
        boards = {z.device: steps[z.key] for z in gpus if z.key in steps and z.key not in recovered}
        return Intake(
            energy_uj=energy_uj,
            span_ns=span_ns,
            reach_ns=reach_ns,
            boards=boards,
            changes=changes,
            recovered_uj=recovered_uj,
            restarted=frozenset(began_anew),
        )

    def _expected(self, zones: Iterable[Zone], steps: Mapping[ZoneKey, tuple[int, int]], now_ns: int) -> int:
        """How many zones a component has, without those that were silent for so long that they are lost.

        While one of two is awaited, what the other gives covers half of the time; once it is lost, the other
        is all there is.
        """
        present = 0
        for zone in zones:
            state = self._meters[zone.key].state
            if zone.key in steps or (state is not None and now_ns - state.at_ns <= PATIENCE_NS):
                present += 1
        return present

    def _awaited(self, steps: dict[ZoneKey, tuple[int, int]], restarted: set[ZoneKey], now_ns: int) -> bool:
        """Whether a zone that counts failed lately, so that its energy is still to come."""
        for zones in self._cover.components.values():
            for zone in zones:
                state = self._meters[zone.key].state
                unread = zone.key not in steps and zone.key not in restarted
                if unread and state is not None and now_ns - state.at_ns <= PATIENCE_NS:
                    return True
        return False

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
        """Take up a dump, before the first `follow`; zones that no longer exist keep their totals."""
        self._envelope = Envelope(*saved["envelope"])
        present = {zone.key: zone for zone in zones}
        for (sensor, name, device), energy_uj, wraps, errors, dropped, state in saved["meters"]:
            key = (sensor, name, device)
            zone = present.get(key) or Zone(sensor=sensor, name=name, device=device, covers="")
            meter = Meter(zone, energy_uj=energy_uj, wraps=wraps, read_errors=errors, dropped=dropped)
            if state is not None:
                meter.state = CounterState(*state)
                meter.restored = True
            self._meters[key] = meter


def _fail(meter: Meter, failure: str, changes: list[tuple[Zone, str]]) -> None:
    """Note that a zone gave no value this time."""
    if meter.up or failure not in meter.read_errors:
        changes.append((meter.zone, failure))
    meter.read_errors[failure] = meter.read_errors.get(failure, 0) + 1
    meter.up = False
    meter.power_w = None
