"""One board of the fake driver: what it is, who uses it, and what goes wrong with it."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field, replace
from pathlib import Path
from typing import Any

from .accounting import Accounting
from .history import FULL, NO_INSTANCE, Activity, History, Segment, Use

DEFAULT_CONTEXT_BYTES = 512 << 20
_MULTIPROCESSORS = {1: 16, 2: 32, 3: 60, 4: 64, 7: 132}


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A MIG device: compute instance `ci` of GPU instance `gi`, in place `slot` of the board.

    Its SMs are those an H200 gives to as many slices.
    """

    slot: int
    gi: int
    profile: str = "1g.18gb"
    ci: int = 0
    uuid: str = ""

    @property
    def multiprocessors(self) -> int:
        return _MULTIPROCESSORS[self._slices]

    def line(self, board_uuid: str, board_name: str) -> str:
        uuid = self.uuid or f"MIG-{board_uuid.removeprefix('GPU-')}-{self.gi}-{self.ci}"
        memory_mb = int(self.profile.partition(".")[2].removesuffix("gb")) * 1024
        sizes = f"{self.multiprocessors} {self._slices} {self._slices} {memory_mb}"
        return f"instance {self.slot} {uuid} {self.gi} {self.ci} {sizes} {board_name} MIG {self.profile}"

    @property
    def _slices(self) -> int:
        return int(self.profile.partition("g")[0])


@dataclass(slots=True)
class _Followed:
    gain: float
    gi: int | None
    spent_ns: int


def _locked(method: Callable[..., Any]) -> Callable[..., Any]:
    """Keep a live driver's thread out while a board is changed or asked."""

    @functools.wraps(method)
    def call(board: FakeBoard, *args: Any, **kwargs: Any) -> Any:
        with board.lock:
            return method(board, *args, **kwargs)

    return call


@dataclass(kw_only=True)
class FakeBoard:
    """Change it through its methods; each takes effect at once for every process that reads the state file.

    A share is a number in 0..1 of the board, or of the GPU instance `gi`.
    """

    uuid: str
    name: str
    architecture: str
    pci: str
    minor: int
    idle_w: float
    max_w: float
    memory_bytes: int
    multiprocessors: int
    now_us: Callable[[], int]
    """The instant at which a change begins."""
    changed: Callable[[], None]
    """Called after every change, to have it written."""
    lock: threading.RLock
    """The driver's."""
    accounting_at_first: InitVar[bool]
    accounting_mode_file: InitVar[Path]

    pci_id: int = 0x233510DE
    persistence: bool = True
    energy_step_us: int = 100_000

    history: History = field(init=False)
    accounting: Accounting = field(init=False)
    _power_gain_ppm: int = 1_000_000
    _extra_mw: tuple[int, int] = (0, 0)
    _pinned_mw: int | None = None
    _given: dict[int, Use] = field(default_factory=dict)
    _followed: dict[int, _Followed] = field(default_factory=dict)
    _activities: dict[int, dict[str, int]] = field(default_factory=dict)
    _contexts: dict[tuple[str, int], tuple[int, int, int]] = field(default_factory=dict)
    _instances: tuple[Instance, ...] | None = None
    _faults: list[str] = field(default_factory=list)
    _garbage: int = 0

    def __post_init__(self, accounting_at_first: bool, accounting_mode_file: Path) -> None:
        self.history = History(idle_mw=_milliwatts(self.idle_w), start_us=self.now_us())
        self.accounting = Accounting(accounting_mode_file, accounting_at_first)

    @_locked
    def set_power(self, watts: float | None) -> None:
        """Draw so much whatever is done on it; None: again idle + (max - idle) * utilisation."""
        self._pinned_mw = None if watts is None else _milliwatts(watts)
        self._change()

    @_locked
    def set_gains(self, *, power: float = 1.0, energy: float = 1.0) -> None:
        """From now on show so much of the true power in power readings, of the energy in the counter."""
        self.history.fold(self.now_us())
        self.history.gain_ppm, self._power_gain_ppm = round(energy * 1e6), round(power * 1e6)
        self.changed()

    @_locked
    def set_scopes(self, *, module_extra_w: float = 0.0, memory_w: float = 0.0) -> None:
        """What a Grace module draws beside the board, and the power shown for the memory; 0: unsupported."""
        self._extra_mw = (_milliwatts(module_extra_w), _milliwatts(memory_w))
        self.changed()

    @_locked
    def restart_counter(self, energy_mj: int = 0) -> None:
        """Let the energy counter begin anew, as after a driver reload or a reset."""
        self.history.restart(self.now_us(), energy_mj)
        self.changed()

    @_locked
    def set_use(
        self,
        pid: int,
        share: float,
        *,
        memory: float | None = None,
        encoder: float = 0.0,
        decoder: float = 0.0,
        gi: int | None = None,
        memory_bytes: int = DEFAULT_CONTEXT_BYTES,
    ) -> None:
        """Let a process take a share from now on, with a compute context if it has none."""
        bandwidth = share / 2 if memory is None else memory
        parts = [round(part * FULL) for part in (share, bandwidth, encoder, decoder)]
        self._given[pid] = Use(pid, *parts, gi)
        self._contexts.setdefault(("c", pid), (memory_bytes, *_place(gi, 0)))
        self._change()

    @_locked
    def follow(
        self, pid: int, *, gain: float = 1.0, gi: int | None = None, memory_bytes: int = DEFAULT_CONTEXT_BYTES
    ) -> None:
        """Let a process take `gain` times the CPU time that it truly uses. Needs a live driver."""
        self._followed[pid] = _Followed(gain, gi, cpu_time_ns(pid) or 0)
        self._contexts.setdefault(("c", pid), (memory_bytes, *_place(gi, 0)))
        self.changed()

    @_locked
    def leave(self, pid: int) -> None:
        """Take the process off the board, its contexts too."""
        self._given.pop(pid, None)
        self._followed.pop(pid, None)
        self._contexts = {key: held for key, held in self._contexts.items() if key[1] != pid}
        self._change()

    @_locked
    def hold(
        self, pid: int, memory_bytes: int, *, kind: str = "compute", gi: int | None = None, ci: int = 0
    ) -> None:
        """Give a process a context (`compute`, `graphics` or `mps`) with so much memory."""
        self._contexts[(kind[0], pid)] = (memory_bytes, *_place(gi, ci))
        self.changed()

    @_locked
    def set_garbage(self, pairs: int) -> None:
        """Add so many pairs of impossible entries to every answer about processes."""
        self._garbage = pairs
        self.changed()

    @_locked
    def set_mig(self, instances: list[Instance] | None) -> None:
        """Partition the board; None: MIG off. What ran in instances that are gone has left."""
        self._instances = None if instances is None else tuple(instances)
        kept = {None, *(instance.gi for instance in instances or ())}
        self._activities = {gi: a for gi, a in self._activities.items() if gi in kept}
        self._given = {pid: use for pid, use in self._given.items() if use.gi in kept}
        self._followed = {pid: f for pid, f in self._followed.items() if f.gi in kept}
        self._contexts = {k: c for k, c in self._contexts.items() if c[1] in {NO_INSTANCE, *kept}}
        self._change()

    @_locked
    def set_activity(
        self,
        gi: int,
        graphics: float,
        *,
        sm: float | None = None,
        occupancy: float | None = None,
        tensor: float = 0.0,
        dram: float | None = None,
    ) -> None:
        """What GPM says of a GPU instance from now on, whatever its processes do."""
        shares = {
            "graphics": graphics,
            "sm": graphics if sm is None else sm,
            "occupancy": graphics / 2 if occupancy is None else occupancy,
            "tensor": tensor,
            "dram": graphics / 2 if dram is None else dram,
        }
        self._activities[gi] = {name: round(share * FULL) for name, share in shares.items()}
        self._change()

    @_locked
    def answer(self, call: str, code: int) -> None:
        """Answer a call (its symbol, `field:ID:SCOPE`, or `*` for all) with an nvmlReturn_t."""
        self._faults.append(f"answer {call} {code}")
        self.changed()

    @_locked
    def delay(self, call: str, seconds: float) -> None:
        """Let a call take so long."""
        self._faults.append(f"delay {call} {round(seconds * 1e6)}")
        self.changed()

    @_locked
    def hang(self, call: str) -> None:
        """Let callers of it wait for ever; only SIGKILL ends them."""
        self._faults.append(f"delay {call} -1")
        self.changed()

    def lose(self) -> None:
        """As after Xid 79: every call answers GPU_IS_LOST."""
        self.answer("*", 15)

    @_locked
    def heal(self) -> None:
        """End all answers, delays and hangs prescribed for this board."""
        self._faults.clear()
        self.changed()

    @_locked
    def true_joules(self) -> float:
        """Energy drawn since the board was added."""
        self.history.settle(self.now_us())
        return self.history.total_j

    @_locked
    def worked_joules(self, pid: int) -> float:
        """The part above idle that is a process's: at each instant its share of all shares."""
        self.history.settle(self.now_us())
        return self.history.worked_j.get(pid, 0.0)

    @_locked
    def instance_joules(self, gi: int) -> float:
        """The part above idle that is a GPU instance's: SM activity times SMs."""
        self.history.settle(self.now_us())
        return self.history.instance_j.get(gi, 0.0)

    def step(self, since_us: int, until_us: int) -> None:
        """Write down what truly ran in an interval. Processes that are gone used nothing of it."""
        uses = [use for use in self._given.values() if cpu_time_ns(use.pid) is not None]
        for pid, followed in self._followed.items():
            spent_ns = cpu_time_ns(pid)
            if spent_ns is None:
                continue
            rate = (spent_ns - followed.spent_ns) / ((until_us - since_us) * 1000)
            followed.spent_ns = spent_ns
            share = round(min(1.0, followed.gain * rate) * FULL)
            uses.append(Use(pid, share, share // 2, gi=followed.gi))
        self._append(since_us, uses)

    def lines(self, wall_offset_us: int) -> list[str]:
        """The board's part of the state file."""
        lines = [
            f"board {self.uuid}",
            f"name {self.name}",
            f"architecture {self.architecture}",
            f"pci {self.pci} {self.pci_id:x}",
            f"minor {self.minor}",
            f"multiprocessors {self.multiprocessors}",
            f"persistence {int(self.persistence)}",
            f"memory_bytes {self.memory_bytes} {self.memory_bytes >> 7}",
            f"power_limit_mw {_milliwatts(self.max_w)}",
            f"module_mw {self._extra_mw[0]}",
            f"memory_mw {self._extra_mw[1]}",
            f"power_gain_ppm {self._power_gain_ppm}",
            f"energy_step_us {self.energy_step_us}",
            f"garbage {self._garbage}",
        ]
        if self.architecture in ("ga100", "hopper", "blackwell"):
            on = int(self._instances is not None)
            lines.append(f"mig {on} {on} 7")
        lines += [instance.line(self.uuid, self.name) for instance in self._instances or ()]
        for (kind, pid), (memory_bytes, gi, ci) in self._contexts.items():
            lines.append(f"context {kind} {pid} {memory_bytes} {gi} {ci}")
        lines += self.accounting.lines(self.now_us(), wall_offset_us)
        return lines + self.history.lines() + self._faults

    def _change(self) -> None:
        """The shares given hold from now on. In a live driver the next step says so or otherwise."""
        self._append(self.now_us(), list(self._given.values()))
        self.changed()

    def _append(self, start_us: int, uses: list[Use]) -> None:
        fitting = tuple(_at_most_full(uses))
        activities = self._all_activities(fitting)
        self.history.append(Segment(start_us, self._power_mw(activities), fitting, activities))
        held = {pid: memory_bytes for (_, pid), (memory_bytes, _, _) in self._contexts.items()}
        self.accounting.run(start_us, fitting, held)

    def _all_activities(self, uses: tuple[Use, ...]) -> tuple[tuple[int, Activity], ...]:
        """By GPU instance, or of the whole board without MIG."""
        places: dict[int | None, float] = {None: 1.0}
        if self._instances is not None:
            places = {i.gi: i.multiprocessors / self.multiprocessors for i in self._instances}
        activities = []
        for gi, weight in places.items():
            busy = min(FULL, sum(use.sm for use in uses if use.gi == gi))
            shares = {"graphics": busy, "sm": busy, "occupancy": busy // 2, "tensor": 0, "dram": busy // 2}
            key = NO_INSTANCE if gi is None else gi
            activities.append((key, Activity(**self._activities.get(key, shares), weight=weight)))
        return tuple(activities)

    def _power_mw(self, activities: tuple[tuple[int, Activity], ...]) -> int:
        if self._pinned_mw is not None:
            return self._pinned_mw
        busy = min(1.0, sum(activity.sm / FULL * activity.weight for _, activity in activities))
        idle_mw = _milliwatts(self.idle_w)
        return idle_mw + round((_milliwatts(self.max_w) - idle_mw) * busy)


def cpu_time_ns(pid: int) -> int | None:
    """CPU time of a process with all its threads, from the kernel's clock of it; None: there is none."""
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return None


def _milliwatts(watts: float) -> int:
    return round(watts * 1000)


def _place(gi: int | None, ci: int) -> tuple[int, int]:
    return (NO_INSTANCE, NO_INSTANCE) if gi is None else (gi, ci)


def _at_most_full(uses: list[Use]) -> list[Use]:
    """Shares of one place that exceed it together are cut in proportion."""
    totals: dict[int | None, int] = {}
    for use in uses:
        totals[use.gi] = totals.get(use.gi, 0) + use.sm
    return [
        replace(use, sm=use.sm * FULL // totals[use.gi], memory=use.memory * FULL // totals[use.gi])
        if totals[use.gi] > FULL
        else use
        for use in uses
    ]
