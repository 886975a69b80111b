"""Writes down what NVML answers on this host and what each call costs, as JSON lines.

The first line is of kind `host`, then per board one of kind `board`, then `call` lines:
`at_ns` (CLOCK_BOOTTIME before the call), `board` (UUID), `call`, `cost_us`, and `answer` or `error`.
The last line, of kind `summary`, has the count, errors and cost of each call, and per board the
millijoules of the energy counter beside those of each power reading integrated over the same time.
"""

from __future__ import annotations

import ctypes
import json
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any, TextIO

from .. import __version__
from ..errors import SensorError
from . import nvml
from .instances import Activity, mig_devices
from .mig import MigDevice
from .power import PowerIntegral

FAST_EVERY_S = 0.05
"""Often enough to see the steps of an energy counter, which are 20 to 100 ms long."""

SLOW_EVERY_S = 1.0
POWER_CALLS = ("power", "power_average", "power_instant")

Answer = Callable[[], Any]


class Recorder:
    """Records into `out`. Raises SensorError when NVML cannot be opened."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._costs_us: dict[str, list[float]] = {}
        self._errors: dict[str, dict[str, int]] = {}
        self._energy_mj: dict[str, list[tuple[int, int]]] = {}
        self._power: dict[tuple[str, str], PowerIntegral] = {}

    def run(self, seconds: float, sleep: Callable[[float], None]) -> dict[str, Any]:
        """Record for so long and return the summary; KeyboardInterrupt ends it early."""
        nvml.start()
        try:
            boards = self._open()
            end_s = time.monotonic() + seconds
            slow_s = 0.0
            try:
                while time.monotonic() < end_s:
                    for board in boards:
                        board.fast(self)
                    if time.monotonic() >= slow_s:
                        slow_s = time.monotonic() + SLOW_EVERY_S
                        for board in boards:
                            board.slow(self)
                    sleep(FAST_EVERY_S)
            except KeyboardInterrupt:
                pass
            summary = self._summary()
            self._write({"kind": "summary", **summary})
            return summary
        finally:
            nvml.stop()

    def ask(self, board: str, call: str, read: Answer) -> Any:
        """Make one call, write it down and return its answer; None when it failed."""
        at_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        line: dict[str, Any] = {"kind": "call", "at_ns": at_ns, "board": board, "call": call}
        begun_ns = time.perf_counter_ns()
        answer = None
        try:
            answer = read()
        except SensorError as error:
            line["error"] = error.reason
            errors = self._errors.setdefault(call, {})
            errors[error.reason] = errors.get(error.reason, 0) + 1
        cost_us = (time.perf_counter_ns() - begun_ns) / 1000
        self._costs_us.setdefault(call, []).append(cost_us)
        line["cost_us"] = round(cost_us, 1)
        if "error" not in line:
            line["answer"] = plain(answer)
        self._write(line)
        if answer is not None and call == "energy":
            self._energy_mj.setdefault(board, []).append((at_ns, answer))
        if answer is not None and call in POWER_CALLS:
            self._power.setdefault((board, call), PowerIntegral()).take([(at_ns // 1000, answer)])
        return answer

    def _open(self) -> list[_Board]:
        host = {"driver": nvml.driver_version(), "wattledger": __version__, "boards": nvml.count()}
        self._write({"kind": "host", "wall_ns": time.time_ns(), **host})
        boards = []
        for index in range(nvml.count()):
            handle = self.ask(f"#{index}", "handle", partial(nvml.by_index, index))
            uuid = None if handle is None else self.ask(f"#{index}", "uuid", partial(nvml.uuid, handle))
            if uuid is not None:
                boards.append(_Board(uuid, handle))
                boards[-1].facts(self)
        return boards

    def _summary(self) -> dict[str, Any]:
        calls = {
            call: {
                "count": len(costs),
                "errors": self._errors.get(call, {}),
                "median_us": round(statistics.median(costs), 1),
                "max_us": round(max(costs), 1),
            }
            for call, costs in self._costs_us.items()
        }
        return {"calls": calls, "boards": {uuid: self._of_board(uuid) for uuid in self._energy_mj}}

    def _of_board(self, uuid: str) -> dict[str, Any]:
        """Counter against integrals, and how the counter steps."""
        points = self._energy_mj[uuid]
        changes = [now for before, now in pairwise(points) if now[1] != before[1]]
        steps_ms = [(b[0] - a[0]) / 1e6 for a, b in pairwise(changes)]
        return {
            "seconds": (points[-1][0] - points[0][0]) / 1e9,
            "counter_mj": points[-1][1] - points[0][1],
            "counter_step_ms": round(statistics.median(steps_ms), 1) if steps_ms else None,
            "integrated_mj": {
                call: integral.energy_uj // 1000
                for (board, call), integral in self._power.items()
                if board == uuid
            },
        }

    def _write(self, line: Mapping[str, Any]) -> None:
        self._out.write(json.dumps(line) + "\n")


class _Board:
    """The calls that are made of one board."""

    def __init__(self, uuid: str, handle: nvml.Handle) -> None:
        self._uuid = uuid
        self._handle = handle
        self._activity: Activity | None = None

    def facts(self, recorder: Recorder) -> None:
        """What does not change."""
        reads: dict[str, Callable[[nvml.Handle], Any]] = {
            "model": nvml.model,
            "pci": nvml.pci_address,
            "index": nvml.index_of,
            "persistence": nvml.persistent,
            "power_limit": nvml.power_limit_mw,
            "accounting": nvml.accounting,
            "mig": nvml.mig_enabled,
            "gpm": nvml.gpm_supported,
        }
        for call, read in reads.items():
            self._ask(recorder, call, read, self._handle)

    def fast(self, recorder: Recorder) -> None:
        """Energy and power."""
        self._ask(recorder, "energy", nvml.energy_mj, self._handle)
        self._ask(recorder, "power", nvml.power_mw, self._handle)
        self._ask(recorder, "power_average", nvml.power_field_mw, self._handle, nvml.POWER_AVERAGE)
        self._ask(recorder, "power_instant", nvml.power_field_mw, self._handle, nvml.POWER_INSTANT)

    def slow(self, recorder: Recorder) -> None:
        """Who uses the board."""
        since_us = time.time_ns() // 1000 - 1_000_000
        self._ask(recorder, "power_samples", nvml.power_samples, self._handle, since_us)
        self._ask(recorder, "process_samples", nvml.process_samples, self._handle, since_us)
        self._ask(recorder, "utilisation", nvml.board_utilisation, self._handle)
        for scope in (nvml.MODULE_SCOPE, nvml.MEMORY_SCOPE):
            call = f"power_instant_scope_{scope}"
            self._ask(recorder, call, nvml.power_field_mw, self._handle, nvml.POWER_INSTANT, scope)
        for kind in nvml.PROCESS_LISTS:
            self._ask(recorder, f"contexts_{kind}", nvml.contexts, self._handle, kind)
        self._ask(recorder, "accounted_pids", nvml.accounted_pids, self._handle)
        if self._ask(recorder, "mig", nvml.mig_enabled, self._handle):
            found = self._ask(recorder, "mig_devices", mig_devices, self._handle) or []
            self._look_at_activity(recorder, [device for device, _ in found])

    def _look_at_activity(self, recorder: Recorder, devices: list[MigDevice]) -> None:
        if self._activity is None:
            self._activity = Activity(self._handle)
        self._ask(recorder, "mig_activity", self._activity.take, devices)

    def _ask(self, recorder: Recorder, call: str, read: Callable[..., Any], *arguments: Any) -> Any:
        return recorder.ask(self._uuid, call, partial(read, *arguments))


def plain(answer: Any) -> Any:
    """An answer as JSON knows it; handles are left out."""
    if isinstance(answer, tuple | list):
        return [plain(part) for part in answer if not isinstance(part, ctypes._SimpleCData | ctypes._Pointer)]
    if isinstance(answer, dict):
        return {str(key): plain(part) for key, part in answer.items()}
    if isinstance(answer, bool | int | float | str) or answer is None:
        return answer
    fields = getattr(answer, "__struct_fields__", None)
    if fields is not None:
        return {name: plain(getattr(answer, name)) for name in fields}
    return None
