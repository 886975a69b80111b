"""NVIDIA boards through NVML, which a worker process of its own asks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ..clock import Clock
from ..gpu.counter import ContinuedCounter, Value
from ..gpu.link import WorkerLink
from ..gpu.messages import HUNG, LOST, BoardReport, Report
from ..gpu.mig import NOBODY
from ..gpu.records import BoardUse, ProcessShare
from ..gpu.utilisation import RING_US, difference
from ..hostfs import HostFS
from ..model import Finding, Probe, Reading, Zone
from .nvidia_findings import SENSOR, describe

LIMIT_HEADROOM: Final = 1.5
"""Boards exceed their power limit for milliseconds; over a second never by half."""

UNKNOWN_LIMIT_W: Final = 1000.0


FOREIGN_PIDS: Final = Finding(
    sensor=SENSOR,
    subject="processes",
    status="denied",
    why="the agent runs in a pid namespace of its own, where the driver's pids may be those of others: "
    "boards are measured, but nobody is charged with them",
    fix="podman run --pid=host ...  (Kubernetes: hostPID: true)",
)

_INITIAL_PID_NAMESPACE: Final = "pid:[4026531836]"  # PROC_PID_INIT_INO, include/linux/proc_ns.h


def in_initial_pid_namespace() -> bool:
    """Whether this process sees the pids of the host; taken for granted where the kernel does not tell."""
    try:
        return os.readlink("/proc/self/ns/pid") == _INITIAL_PID_NAMESPACE
    except OSError:
        return True


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the last good reading of a board was made of; busy times of one generation can be subtracted.

    `taken_ns` is CLOCK_MONOTONIC, which stands still while the machine sleeps.
    """

    generation: str
    report: BoardReport
    taken_ns: int


@dataclass(slots=True)
class _Known:
    """One board, from its first report until it is taken out of the host."""

    report: BoardReport
    counter: ContinuedCounter
    zone: Zone
    described: BoardReport
    driver: str
    value: Value | None = None
    at_ns: int = 0
    taken_ns: int = 0
    restarted: bool = False
    generation: str = ""
    shown: _Shown | None = None
    base: _Shown | None = None


class Nvidia:
    """The `nvidia` collector. Neither `probe` nor `read` nor `use` ever waits: they show the newest report.

    Outside the host's pid namespace the driver's pids may be those of strangers, so what the boards'
    processes used is nobody's there.
    A worker is started at the first probe that finds a trace of NVIDIA's driver, or with
    `WATTLEDGER_NVML=force` in the environment. A board that restarted its energy counter gives one failed
    reading, `restarted`: what it drew between its last value and the restart is unknown.
    """

    def __init__(
        self,
        hostfs: HostFS,
        clock: Clock,
        environment: Mapping[str, str] = os.environ,
        *,
        host_pids: bool | None = None,
    ) -> None:
        self._host_pids = in_initial_pid_namespace() if host_pids is None else host_pids
        self._hostfs = hostfs
        self._clock = clock
        self._forced = environment.get("WATTLEDGER_NVML") == "force"
        self._link = WorkerLink(hostfs, clock, environment)
        self._boot_id = hostfs.boot_id()
        self._boards: dict[str, _Known] = {}
        self._taken: tuple[str, int] = ("", 0)
        self._probed: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return SENSOR

    @property
    def link(self) -> WorkerLink:
        """The worker: its process and state, for tests and for the log."""
        return self._link

    def probe(self) -> Probe:
        """The boards of the newest report, those that are down included; none before the first report."""
        if self._hinted():
            self._link.start()
        self._take()
        self._probed = tuple(self._boards)
        reports = [known.report for known in self._boards.values()]
        unnamed = self._link.newest.unnamed if self._link.newest is not None else ()
        findings = [*describe(self._link, reports, unnamed)]
        if self._boards and not self._host_pids:
            findings.append(FOREIGN_PIDS)
        return Probe(zones=tuple(known.zone for known in self._boards.values()), findings=tuple(findings))

    def settle(self, seconds: float) -> None:
        """Wait, at most so long, for the first report after the first probe; then probe again."""
        self._link.settle(seconds)

    def wants_probe(self) -> bool:
        """Whether boards came or went since the last probe; never waits."""
        self._take()
        return self._probed != tuple(self._boards)

    def read(self) -> Sequence[Reading]:
        """One reading per board of the last probe, as of the worker's newest look at it."""
        self._take()
        return [self._read(self._boards[uuid]) for uuid in self._probed if uuid in self._boards]

    def use(self) -> Sequence[BoardUse]:
        """Who used each board between the last two readings that had a value.

        A board whose last reading had none, or that does not know who used it, is left out; its use is told
        with the next reading that has one.
        """
        uses = []
        for known in self._boards.values():
            shown, before = known.shown, known.base
            if shown is not None and before is not None and shown.report.use_known:
                known.base = shown
                use = _use(known.zone.device, before, shown)
                uses.append(use if self._host_pids else _anonymous(use))
        return uses

    def release(self) -> None:
        """Let go of the device files: for a driver upgrade, a change of MIG instances or a reset."""
        self._link.release()

    def acquire(self) -> None:
        """Take the boards back after `release`."""
        self._link.acquire()

    def close(self) -> None:
        """End the worker, without waiting for it."""
        self._link.close()

    def _hinted(self) -> bool:
        """Whether anything speaks of NVIDIA; without it no process is started."""
        traces = (f"{self._hostfs.procfs}/driver/nvidia", f"{self._hostfs.rootfs}/dev/nvidiactl")
        return self._forced or any(os.path.exists(trace) for trace in traces)

    def _take(self) -> None:
        """Take over the newest report, once."""
        self._link.poll()
        report = self._link.newest
        if report is None or (report.generation, report.sequence) == self._taken:
            return
        self._taken = (report.generation, report.sequence)
        reported = {board.uuid for board in report.boards}
        for uuid in [uuid for uuid in self._boards if uuid not in reported]:
            if report.unnamed:
                self._boards[uuid].report = _lost(self._boards[uuid].report, report)
            else:
                del self._boards[uuid]
        for board in report.boards:
            self._take_board(board, report)

    def _take_board(self, board: BoardReport, report: Report) -> None:
        known = self._boards.get(board.uuid)
        if known is None:
            zone = _zone(board, report.driver)
            counter = ContinuedCounter(self._boot_id)
            known = _Known(board, counter, zone, described=board, driver=report.driver)
            self._boards[board.uuid] = known
        known.report = board
        if board.energy_uj is None:
            return
        if _identity(board) != _identity(known.described) or report.driver != known.driver:
            known.zone = _zone(board, report.driver)
            known.described, known.driver = board, report.driver
        known.at_ns = board.at_ns
        known.taken_ns = self._clock.monotonic_ns()
        known.value = known.counter.take(board.load, board.energy_uj, board.at_ns, known.zone.max_power_w)
        known.restarted = known.restarted or known.value.change == "restarted"
        known.generation = report.generation

    def _read(self, known: _Known) -> Reading:
        failure = self._failure(known)
        if failure or known.value is None:
            known.shown = None
            return Reading(known.zone, self._clock.boottime_ns(), None, "", failure or "no_data")
        known.shown = _Shown(known.generation, known.report, known.taken_ns)
        known.base = known.base or known.shown
        return Reading(known.zone, known.at_ns, known.value.energy_uj, known.value.lineage)

    def _failure(self, known: _Known) -> str:
        """Why a board has no value now, in a bounded word; "" if it has one."""
        if self._link.newest is None:
            return self._link.reason
        if self._link.silent:
            return HUNG
        if known.report.failure:
            return known.report.failure
        if known.restarted:
            known.restarted = False
            return "restarted"
        return ""


def _anonymous(use: BoardUse) -> BoardUse:
    """The same work without saying whose it is."""
    weight = sum(share.weight for share in use.shares)
    shares = (ProcessShare(NOBODY, weight),) if weight else ()
    return replace(use, shares=shares, holders=())


def _use(device: str, before: _Shown, shown: _Shown) -> BoardUse:
    """The work between two readings; a new worker's account begins with what the driver still remembers.

    Where the energy is that of a longer time (boards that were released, or hung), those who worked at its
    end have their part of it only, and the rest is nobody's.
    """
    report = shown.report
    same = before.generation == shown.generation
    done = difference(before.report.busy_us if same else {}, report.busy_us)
    watched_us = report.watched_us - (before.report.watched_us if same else 0)
    unwatched_us = (shown.taken_ns - before.taken_ns) // 1000 - watched_us
    if unwatched_us > RING_US:
        unknown = max(1, sum(done.values()) * unwatched_us // max(1, watched_us))
        done[NOBODY] = done.get(NOBODY, 0) + unknown
    return BoardUse(
        device=device,
        shares=tuple(ProcessShare(pid, weight) for pid, weight in sorted(done.items())),
        holders=report.holders,
        quality=report.quality,
        check_ratio=report.check_ratio,
        instances=report.instances,
    )


def _lost(board: BoardReport, report: Report) -> BoardReport:
    """The report of a board that is there but does not say its name any more."""
    failures = {place.where: place.failure for place in report.unnamed}
    return BoardReport(
        uuid=board.uuid,
        index=board.index,
        pci=board.pci,
        model=board.model,
        at_ns=board.at_ns,
        failure=failures.get(board.pci, LOST),
    )


def _identity(board: BoardReport) -> tuple[object, ...]:
    """What a board's zone is made of."""
    return (board.limit_mw, board.source, board.index, board.pci, board.model)


def _zone(board: BoardReport, driver: str) -> Zone:
    """The board as a counter. The power of a whole module contains a CPU, so it is only shown."""
    limit_w = board.limit_mw / 1000 if board.limit_mw else UNKNOWN_LIMIT_W
    return Zone(
        sensor=SENSOR,
        name="module" if board.source == "module" else "board",
        device=board.uuid,
        covers="" if board.source == "module" else "gpu",
        max_power_w=limit_w * LIMIT_HEADROOM,
        survives_suspend=False,
        attributes=(
            ("model", board.model),
            ("pci", board.pci),
            ("index", str(board.index)),
            ("driver", driver),
        ),
    )
