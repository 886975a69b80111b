"""The split: how one interval's energy is apportioned to workloads (pure).

For each component with energy E over an interval of length dt::

    I = min(E, idle floor * dt)        idle part, by the idle policy
    D = E - I                          dynamic part, by CPU time used

Everything is integer microjoules; the shares of a component sum to E exactly.
Splitting by a proxy is an allocation, not a measurement: see docs/method.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from .model import COMPONENTS, EXITED, IDLE, J_UJ, S_NS, UNATTRIBUTED, Component, Share, Usage, Workload
from .settings import IdlePolicy

K = TypeVar("K")


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One GPU board's interval: its energy, its idle floor, who used it and who holds memory on it.

    `use` are relative weights, `holders` bytes; both may be empty.
    """

    device: str
    energy_uj: int
    span_ns: int
    idle_floor_w: float = 0.0
    use: Mapping[Workload, int] = field(default_factory=dict)
    holders: Mapping[Workload, int] = field(default_factory=dict)

    @property
    def idle_uj(self) -> int:
        """The idle part: what the floor explains, never more than there is."""
        return _idle_uj(self.energy_uj, self.idle_floor_w, self.span_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One interval: what the meters saw and what the workloads used.

    `start_ns` and `end_ns` are boot time. `energy_uj` is what is attributed; `recovered_uj` was drawn while
    the agent was not running and belongs to nobody.
    `span_ns` is how much time the energy of a component covers where that differs from the
    interval (a late reading covers more, one of two sockets missing covers less).
    `carried` is CPU time of earlier intervals whose energy only arrives now.
    `idle_floor_w` holds the idle power per component; a missing one counts as 0.
    `boards` make up the energy of the component `gpu`, each with its own floor and users.
    """

    start_ns: int
    end_ns: int
    energy_uj: Mapping[Component, int]
    recovered_uj: Mapping[Component, int] = field(default_factory=dict)
    span_ns: Mapping[Component, int] = field(default_factory=dict)
    carried: Mapping[Component, Mapping[Workload, int]] = field(default_factory=dict)
    idle_floor_w: Mapping[Component, float] = field(default_factory=dict)
    usage: Usage
    boards: tuple[Board, ...] = ()

    def idle_uj(self, component: Component) -> int:
        """The idle part of a component's energy: what its floor explains, never more than there is."""
        span_ns = self.span_ns.get(component, self.end_ns - self.start_ns)
        return _idle_uj(self.energy_uj.get(component, 0), self.idle_floor_w.get(component, 0.0), span_ns)

    def dynamic_uj(self, component: Component) -> int:
        """What is drawn above the idle floor."""
        return self.energy_uj.get(component, 0) - self.idle_uj(component)


def apportion(energy_uj: int, weights: Mapping[K, int]) -> dict[K, int]:
    """Split a non-negative integer by non-negative integer weights, exactly.

    Largest-remainder rounding: no share is a whole microjoule away from its exact value and the
    shares sum to `energy_uj`. With no positive weight there is nobody to give to: the result is empty.
    """
    total = sum(weights.values())
    if total <= 0:
        return {}
    parts = [divmod(energy_uj * weight, total) for weight in weights.values()]
    shares = [share for share, _ in parts]
    left = energy_uj - sum(shares)
    if left:
        remainders = [remainder for _, remainder in parts]
        for largest in sorted(range(len(parts)), key=remainders.__getitem__, reverse=True)[:left]:
            shares[largest] += 1
    return dict(zip(weights, shares, strict=True))


def attribute(frame: Frame, policy: IdlePolicy = "unallocated") -> list[Share]:
    """Apportion a frame; per component the shares sum to `energy_uj` plus `recovered_uj`."""
    shares: list[Share] = []
    for component in COMPONENTS:
        recovered_uj = frame.recovered_uj.get(component, 0)
        if recovered_uj:
            shares.append(Share(UNATTRIBUTED, component, "", recovered_uj))
        if component == "gpu":
            for board in frame.boards:
                dynamic_uj = board.energy_uj - board.idle_uj
                holders = _board_idle_weights(board, policy)
                shares += _split(component, dynamic_uj, board.idle_uj, board.use, holders)
        elif component in frame.energy_uj:
            idle_uj, use = frame.idle_uj(component), _use(frame, component)
            idle_weights = _idle_weights(frame, component, policy, use)
            shares += _split(component, frame.dynamic_uj(component), idle_uj, use, idle_weights)
    return shares


def _split(
    component: Component,
    dynamic_uj: int,
    idle_uj: int,
    use: Mapping[Workload, int],
    idle_weights: Mapping[Workload, int],
) -> list[Share]:
    """The dynamic part by use, else unattributed; the idle part by its weights, else to `idle`."""
    dynamic = apportion(dynamic_uj, use)
    shares = [
        Share(workload, component, "" if workload is UNATTRIBUTED else "dynamic", uj)
        for workload, uj in dynamic.items()
        if uj
    ]
    if not dynamic and dynamic_uj:
        shares.append(Share(UNATTRIBUTED, component, "", dynamic_uj))
    if idle_uj:
        idle = apportion(idle_uj, idle_weights) or {IDLE: idle_uj}
        shares += [Share(workload, component, "idle", uj) for workload, uj in idle.items() if uj]
    return shares


def _idle_uj(energy_uj: int, floor_w: float, span_ns: int) -> int:
    return min(energy_uj, max(0, round(floor_w * span_ns * J_UJ / S_NS)))


def _use(frame: Frame, component: Component) -> Mapping[Workload, int]:
    """Who used the component, in nanoseconds of CPU time."""
    carried = frame.carried.get(component)
    if not carried:
        return frame.usage.cpu_ns
    use = dict(carried)
    for workload, cpu_ns in frame.usage.cpu_ns.items():
        use[workload] = use.get(workload, 0) + cpu_ns
    return use


def _idle_weights(
    frame: Frame, component: Component, policy: IdlePolicy, use: Mapping[Workload, int]
) -> Mapping[Workload, int]:
    """Weights of the idle part; empty means that nobody holds it and it stays with `idle`."""
    if policy == "usage":
        return use
    if policy == "memory" and component == "dram":
        return frame.usage.memory_bytes
    if policy == "requests":
        return _reserved(frame.usage)
    return {}


def _board_idle_weights(board: Board, policy: IdlePolicy) -> Mapping[Workload, int]:
    """Who is charged with a board's idle part.

    By use or by memory as for the rest; `requests` charges a board to the one workload that holds it alone,
    whatever processes came and went beside it.
    """
    if policy == "usage":
        return board.use
    if policy == "memory":
        return board.holders
    if policy == "requests":
        holding = (board.use.keys() | board.holders.keys()) - {EXITED}
        return dict.fromkeys(holding, 1) if len(holding) == 1 else {}
    return {}


def _reserved(usage: Usage) -> Mapping[Workload, int]:
    """Reserved CPUs in thousandths; what nobody reserved is `idle`'s share.

    Reservations beyond the machine are scaled down by the apportionment itself.
    """
    weights = {workload: round(cpus * 1000) for workload, cpus in usage.reserved_cpus.items() if cpus > 0}
    free = usage.cpus * 1000 - sum(weights.values())
    if free > 0:
        weights[IDLE] = free
    return weights
