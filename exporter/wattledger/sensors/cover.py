"""Which zones make up each component: the overlap rules between sensors (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..model import COMPONENTS, Component, Zone

ZoneKey = tuple[str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """The zones whose energies are summed per component, and those of the whole-node meter.

    No two zones in it measure the same energy, apart from `node`, which contains all the others.
    """

    components: Mapping[Component, tuple[Zone, ...]] = field(default_factory=dict)
    node: tuple[Zone, ...] = ()

    @property
    def measured(self) -> bool:
        """Whether anything counted comes from a meter rather than from an estimate."""
        zones = [zone for zones in self.components.values() for zone in zones]
        return any(zone.method == "measured" for zone in (*zones, *self.node))

    @property
    def counted(self) -> frozenset[ZoneKey]:
        """The keys of every zone that counts towards something."""
        keys = {zone.key for zones in self.components.values() for zone in zones}
        return frozenset(keys | {zone.key for zone in self.node})


def choose_cover(zones_by_sensor: Sequence[tuple[str, Sequence[Zone]]]) -> Cover:
    """Choose, from the usable zones of each sensor in probe order.

    A component is covered by the first sensor that measures it, else by the first that estimates it;
    two sensors are never added, except for GPUs, which are boards of their own and added by device.
    A dedicated whole-node meter goes before RAPL's psys, whose extent is platform-defined.
    """
    components: dict[Component, tuple[Zone, ...]] = {}
    for component in COMPONENTS:
        candidates = [[zone for zone in zones if zone.covers == component] for _, zones in zones_by_sensor]
        if component == "gpu":
            boards = {zone.device: zone for zones in reversed(candidates) for zone in zones}
            chosen = tuple(sorted(boards.values(), key=lambda zone: zone.device))
        else:
            chosen = _first(candidates)
        if chosen:
            components[component] = chosen
    meters = [[zone for zone in zones if zone.covers == "node"] for _, zones in zones_by_sensor]
    dedicated = [[zone for zone in zones if not zone.name.startswith("psys")] for zones in meters]
    return Cover(components=components, node=_first(dedicated) or _first(meters))


def _first(candidates: Sequence[Sequence[Zone]]) -> tuple[Zone, ...]:
    for method in ("measured", "estimated"):
        for zones in candidates:
            chosen = tuple(zone for zone in zones if zone.method == method)
            if chosen:
                return chosen
    return ()


@dataclass(slots=True)
class Envelope:
    """The `other` component: a whole-node meter minus the rest, as a monotone envelope.

    The two sides are read at slightly different moments and with different errors, so their difference
    may dip; only its new maxima are booked, and what was booked never exceeds what the meter showed.
    `balance_uj` is the difference not yet booked and may be negative; `rest_uj` is what the other
    components drew since the meter's last value.
    """

    balance_uj: int = 0
    rest_uj: int = 0

    def rest(self, energy_uj: int) -> None:
        """Add energy of the other components."""
        self.rest_uj += energy_uj

    def meter(self, energy_uj: int) -> int:
        """Add energy of the whole-node meter over the same time; returns what `other` is booked."""
        self.balance_uj += energy_uj - self.rest_uj
        self.rest_uj = 0
        booked_uj = max(0, self.balance_uj)
        self.balance_uj -= booked_uj
        return booked_uj

    def hold(self, energy_uj: int) -> None:
        """Add energy of the node meter, but book nothing: that of another component is still to come."""
        self.balance_uj += energy_uj - self.rest_uj
        self.rest_uj = 0

    def skip(self) -> None:
        """The meter started anew: what the others drew meanwhile has nothing to be compared with."""
        self.rest_uj = 0
