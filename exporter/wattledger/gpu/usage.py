"""Who used one board and who holds memory on it, kept up to date from look to look."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ..errors import SensorError
from . import nvml
from .accounting import Accounted, ShortLived
from .instances import Activity, mig_devices
from .mig import Context, MigDevice, work
from .records import MigInstance
from .utilisation import RING_US, BusyTime, is_pid

P = ParamSpec("P")
T = TypeVar("T")

LISTS_EVERY_US = 4_500_000
"""The lists of processes change seldom, and only the idle policy `memory` and MIG need them."""

MAX_WINDOW_US = 10_000_000


class BoardUsage:
    """Cumulative work by process, contexts, and MIG instances of one board.

    Every kind of call that the board does not support is given up until the board is found anew.
    """

    def __init__(self, handle: nvml.Handle, procfs: str, wall_us: int) -> None:
        self._handle = handle
        self._procfs = procfs
        # What the ring still holds tells at once who works, to an agent whose last worker hung.
        self._busy = BusyTime(wall_us - RING_US)
        self._last_us = wall_us
        self._unsupported: set[str] = set()
        self._activity: Activity | None = None
        self._short_lived = ShortLived()
        self._contexts: list[Context] = []
        self._mps = False
        self._listed_us: int | None = None
        self.watched_us = RING_US
        self.mig = False
        self.known = False
        self.quality = ""
        self.instances: tuple[MigInstance, ...] = ()

    @property
    def busy_us(self) -> dict[int, int]:
        """Work by process so far; see `BoardReport`."""
        return self._busy.busy_us

    @property
    def holders(self) -> tuple[tuple[int, int], ...]:
        """(pid, bytes) of every process with a context, its instances together."""
        held: dict[int, int] = {}
        for pid, _, memory_bytes in self._contexts:
            held[pid] = held.get(pid, 0) + memory_bytes
        return tuple(held.items())

    def resume(self, before: BoardUsage) -> None:
        """Go on with the account of the same board, so that the driver's ring is not counted twice."""
        self._busy = before._busy
        self._last_us = before._last_us
        self._short_lived = before._short_lived
        self.watched_us = before.watched_us
        self.mig = before.mig
        self.known = before.known

    def look(self, now_us: int) -> None:
        """Bring everything up to `now_us` (Unix microseconds); raises SensorError when the board fails."""
        window_us = min(max(0, now_us - self._last_us), MAX_WINDOW_US)
        self._last_us = now_us
        self.watched_us += window_us
        mig = bool(self._try("mig", nvml.mig_enabled, self._handle))
        if mig != self.mig:
            self._change_mode(mig, now_us)
        if mig:
            self._look_at_instances(window_us, now_us)
        else:
            self._look_at_processes(window_us, now_us)

    def close(self) -> None:
        """Free what the driver keeps for us."""
        if self._activity is not None:
            self._activity.close()
            self._activity = None

    def _change_mode(self, mig: bool, now_us: int) -> None:
        """MIG was switched: what is supported changes with it, and the units of work do."""
        self.close()
        self.mig = mig
        self.instances = ()
        self.quality = ""
        self.known = False
        self._unsupported.clear()
        self._busy = BusyTime(now_us)
        self._short_lived = ShortLived()
        self._listed_us = None

    def _look_at_instances(self, window_us: int, now_us: int) -> None:
        found = self._try("instances", mig_devices, self._handle)
        if found is None:
            self.instances, self.known = (), False
            return
        devices = [device for device, _ in found]
        self.instances = tuple(device.instance for device in devices)
        if self._activity is None:
            self._activity = Activity(self._handle)
        self._list([(handle, device) for device, handle in found], now_us)
        activity, compared = self._activity.take(devices)
        done, self.quality = work(devices, activity, self._contexts, window_us)
        self.known = self.known or compared
        for pid, amount in done.items():
            self._busy.add(pid, amount, now_us)
        self._forget(now_us)

    def _look_at_processes(self, window_us: int, now_us: int) -> None:
        if self._listed_us is None or now_us - self._listed_us >= LISTS_EVERY_US or now_us < self._listed_us:
            self._list([], now_us)
            self._count_short_lived(now_us)
            self._forget(now_us)
        self.quality = "mps" if self._mps else ""
        since_us = self._busy.since_us(now_us)
        samples = self._try("samples", nvml.process_samples, self._handle, since_us)
        if samples is not None:
            self._busy.take(samples, now_us)
            self.known = True
        elif "samples" in self._unsupported:
            self._share_by_memory(window_us, now_us)

    def _share_by_memory(self, window_us: int, now_us: int) -> None:
        """Where the driver does not tell use by process: by what they hold, while the board works."""
        percent = self._try("utilisation", nvml.board_utilisation, self._handle)
        if percent is None:
            self.known = False
            return
        self.known = True
        self.quality = "holders"
        weights = dict(self.holders)
        if not all(weights.values()):
            weights = dict.fromkeys(weights, 1)
        total = sum(weights.values())
        for pid, weight in weights.items():
            if percent:
                self._busy.add(pid, percent * window_us * weight // (100 * total), now_us)

    def _count_short_lived(self, now_us: int) -> None:
        if self._try("accounting", nvml.accounting, self._handle):
            pids = self._try("accounting", nvml.accounted_pids, self._handle) or []
            for pid, busy_us in self._short_lived.take(pids, self._busy.busy_us, self._accounted).items():
                if is_pid(pid):
                    self._busy.add(pid, busy_us, now_us)

    def _accounted(self, pid: int) -> Accounted | None:
        try:
            return nvml.accounted(self._handle, pid)
        except SensorError as error:
            if error.reason == nvml.NOT_FOUND:
                return None
            raise

    def _list(self, instances: list[tuple[nvml.Handle, MigDevice]], now_us: int) -> None:
        """Read the lists of processes, of the board and, where that is not allowed, of each MIG device."""
        kept: dict[tuple[int, int], int] = {}
        self._mps = False
        for kind in nvml.PROCESS_LISTS:
            listed = self._try(kind, nvml.contexts, self._handle, kind)
            if listed is None and instances:
                listed = self._list_instances(instances, kind)
            for pid, gpu_instance, memory_bytes in listed or ():
                if is_pid(pid) and os.path.exists(f"{self._procfs}/{pid}"):
                    key = (pid, gpu_instance)
                    kept[key] = max(kept.get(key, 0), memory_bytes)
                    self._mps = self._mps or kind == "MPSCompute"
        self._contexts = [Context(pid, gpu_instance, held) for (pid, gpu_instance), held in kept.items()]
        self._listed_us = now_us

    def _list_instances(self, instances: list[tuple[nvml.Handle, MigDevice]], kind: str) -> list[Context]:
        found = []
        for handle, device in instances:
            listed = self._try(f"{kind} of instances", nvml.contexts, handle, kind)
            number = device.instance.gpu_instance
            found += [Context(pid, number, held) for pid, _, held in listed or ()]
        return found

    def _forget(self, now_us: int) -> None:
        """Let go of processes that ended."""
        living = {pid for pid in self._busy.busy_us if os.path.exists(f"{self._procfs}/{pid}")}
        self._busy.forget(living, now_us)

    def _try(self, what: str, read: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T | None:
        """The answer of a call that not every board or user is given; None without one.

        A refusal is final until `_change_mode`; raises SensorError when the whole board or driver fails.
        """
        if what in self._unsupported:
            return None
        try:
            return read(*arguments, **named)
        except SensorError as error:
            if error.reason in (*nvml.ENDED, *nvml.BOARD_FAILED):
                raise
            if error.reason in (*nvml.UNSUPPORTED, "no_permission"):
                self._unsupported.add(what)
            return None
