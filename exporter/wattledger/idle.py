"""The idle floor: what a component draws when nothing runs.

It is read off the calmest minute of the last seven days, corrected for the load that minute still had.
The shape of the correction is the standard load curve (Teads, RAPL-measured on cloud metal:
12, 32, 75 and 102 % of TDP at 0, 10, 50 and 100 % load), scaled between this node's own calmest and
busiest minutes. A node that is ever quiet thus shows its true idle power, and one that never is
gets a value between the curve's own idle share and its calmest minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import msgspec

from .model import J_UJ, S_NS, Component

FloorSource = Literal["configured", "estimated", "observed", "extrapolated"]

WINDOW_HOURS = 7 * 24
MINUTE_NS = 60 * S_NS
HOUR_NS = 3600 * S_NS
QUIET_UTILISATION = 0.02
MIN_SPREAD = 0.1
LOAD_CURVE = ((0.0, 0.12), (0.1, 0.32), (0.5, 0.75), (1.0, 1.02))


@dataclass(frozen=True, slots=True)
class Floor:
    """Idle power in watts and how it was found."""

    power_w: float
    source: FloorSource


class Minute(msgspec.Struct, frozen=True, array_like=True):
    """Mean power in watts and mean utilisation (0 to 1) of one minute."""

    power_w: float
    utilisation: float


class Hour(msgspec.Struct, array_like=True):
    """The calmest and the busiest minute of one wall-clock hour (hours since the epoch)."""

    hour: int
    calmest: Minute
    busiest: Minute


@dataclass(slots=True)
class _Running:
    """The minute being measured, and the hours kept."""

    span_ns: int = 0
    energy_uj: int = 0
    busy: float = 0.0
    hours: list[Hour] = field(default_factory=list)
    cached: Floor | None = None


def load_share(utilisation: float) -> float:
    """Power at `utilisation` as a share of nominal power, linear between the points of the load curve."""
    clamped = min(max(utilisation, 0.0), 1.0)
    for (low, at_low), (high, at_high) in pairwise(LOAD_CURVE):
        if clamped <= high:
            return at_low + (at_high - at_low) * (clamped - low) / (high - low)
    return LOAD_CURVE[-1][1]


def extrapolate(calmest: Minute, busiest: Minute, *, follows_cpu: bool) -> Floor:
    """The idle power that the two minutes tell of.

    With P(u) = idle + A * s(u), s being the load curve's rise, A follows from both minutes when they differ
    enough in load. Otherwise a quiet minute stands for itself, and so does any minute of a component that
    does not follow the CPU's load; for one that does, the curve's own idle share is taken.
    """
    quiet = calmest.utilisation <= QUIET_UTILISATION
    rise = load_share(calmest.utilisation) - load_share(0.0)
    spread = load_share(busiest.utilisation) - load_share(calmest.utilisation)
    lowest_w = calmest.power_w * load_share(0.0) / load_share(calmest.utilisation) if follows_cpu else 0.0
    if busiest.utilisation - calmest.utilisation >= MIN_SPREAD:
        slope_w = max(0.0, busiest.power_w - calmest.power_w) / spread
        power_w = max(lowest_w, calmest.power_w - slope_w * rise)
    else:
        power_w = lowest_w if follows_cpu and not quiet else calmest.power_w
    return Floor(power_w, "observed" if quiet else "extrapolated")


class IdleFloor:
    """The idle floors of a node's components, learned from its own minutes.

    A GPU board has a floor of its own, under the name `gpu/` and its device.
    `configured` watts win over anything observed.
    """

    def __init__(self, configured: Mapping[str, float] | None = None) -> None:
        self._configured = dict(configured or {})
        self._declared: dict[str, float] = {}
        self._running: dict[str, _Running] = {}

    def configure(self, configured: Mapping[str, float]) -> None:
        """Replace the configured floors (watts by component)."""
        self._configured = dict(configured)

    def declare(self, idle_power_w: Mapping[Component, float]) -> None:
        """Set the idle power of components whose source knows it, as an estimate does; replaces the last."""
        self._declared = {str(component): power_w for component, power_w in idle_power_w.items()}

    def observe(self, component: str, wall_ns: int, dt_ns: int, energy_uj: int, utilisation: float) -> None:
        """Add one interval of `dt_ns` that ended at `wall_ns` (wall time)."""
        if dt_ns <= 0:
            return
        running = self._running.setdefault(component, _Running())
        running.span_ns += dt_ns
        running.energy_uj += energy_uj
        running.busy += utilisation * dt_ns
        if running.span_ns >= MINUTE_NS:
            _keep(running.hours, wall_ns // HOUR_NS, _minute(running))
            running.span_ns = running.energy_uj = 0
            running.busy = 0.0
            running.cached = None

    def floor(self, component: str) -> Floor | None:
        """The floor now; None before anything was seen of the component."""
        if component in self._configured:
            return Floor(self._configured[component], "configured")
        if component in self._declared:
            return Floor(self._declared[component], "estimated")
        running = self._running.get(component)
        if running is None:
            return None
        if not running.hours:
            first = _minute(running)
            return extrapolate(first, first, follows_cpu=component == "cpu")
        if running.cached is None:
            running.cached = extrapolate(
                min((hour.calmest for hour in running.hours), key=_power),
                max((hour.busiest for hour in running.hours), key=_power),
                follows_cpu=component == "cpu",
            )
        return running.cached

    def dump(self) -> dict[str, list[Hour]]:
        """What must outlive the process and the boot."""
        return {component: list(running.hours) for component, running in self._running.items()}

    def load(self, saved: Mapping[str, list[Hour]], wall_ns: int) -> None:
        """Take up what an earlier process dumped; hours outside the window are dropped."""
        now = wall_ns // HOUR_NS
        for component, hours in saved.items():
            kept = [hour for hour in hours if now - WINDOW_HOURS < hour.hour <= now]
            if kept:
                self._running[component] = _Running(hours=kept)


def _minute(running: _Running) -> Minute:
    return Minute(
        running.energy_uj / J_UJ / (running.span_ns / S_NS),
        running.busy / running.span_ns,
    )


def _power(minute: Minute) -> float:
    return minute.power_w


def _keep(hours: list[Hour], hour: int, minute: Minute) -> None:
    """Fold a minute into its hour and forget hours that left the window."""
    if hours and hours[-1].hour == hour:
        last = hours[-1]
        last.calmest = min(last.calmest, minute, key=_power)
        last.busiest = max(last.busiest, minute, key=_power)
        return
    hours.append(Hour(hour, minute, minute))
    hours[:] = [kept for kept in hours if hour - WINDOW_HOURS < kept.hour <= hour]
