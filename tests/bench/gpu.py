"""What eight GPU boards with forty processes cost: the agent per tick, and the worker beside it.

    python -m tests.bench.gpu

Prints Markdown. The boards are the fake driver's, so that calls of the driver cost what the fake's cost;
the binding, the worker, the pipe, the processes and their cgroups are real.
Needs a C compiler, and what `load.py` needs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.bench.load import Load, NoLoadError, hierarchies
from tests.bench.own_cost import cpu_ns, rss_mib
from tests.fake_nvml_driver import FakeDriver, missing
from wattledger.attribution import Frame, attribute
from wattledger.boards import Boards
from wattledger.clock import SystemClock
from wattledger.gpu.messages import encode
from wattledger.hostfs import HostFS
from wattledger.idle import IdleFloor
from wattledger.meters import Meters
from wattledger.model import S_NS
from wattledger.sensors.cover import choose_cover
from wattledger.sensors.nvidia import Nvidia
from wattledger.workloads.scan import HostWorkloads

STAGES = {
    "read": "take the worker's newest report, one reading a board",
    "count": "unwrap the counters, sum the boards",
    "use": "work by process since the last reading",
    "join": "map processes to workloads",
    "split": "apportion each board's energy",
}
START_S = 30.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Medians over the ticks: CPU microseconds of the agent by stage; and what the worker took meanwhile.

    `processes` are those that hold memory on a board, `report_bytes` is the size of the last report.
    """

    boards: int
    processes: int
    ticks: int
    stage_us: dict[str, float]
    worst_us: float
    report_bytes: int
    worker_cpu_ms_per_s: float
    worker_rss_mib: float


class _Stopwatch:
    """CPU time of this thread by stage, tick by tick."""

    def __init__(self) -> None:
        self.ticks: list[dict[str, int]] = []

    def begin(self) -> None:
        """The next tick begins."""
        self.ticks.append({})

    def timed(self, stage: str, call: Callable[[], T]) -> T:
        began_ns = time.thread_time_ns()
        value = call()
        self.ticks[-1][stage] = time.thread_time_ns() - began_ns
        return value


def measure(boards: int, processes: int, ticks: int, folder: Path, *, interval_s: float = 1.0) -> Cost:
    """So many ticks, so far apart; raises NoLoadError where the processes cannot be had."""
    if missing():
        raise NoLoadError(missing())
    mounted = hierarchies()
    with Load(processes, max(1, processes // 4)) as load, FakeDriver(folder / "nvidia") as driver:
        hostfs = HostFS(cgroupfs=str(mounted[0].cgroupfs))
        pids = [pid for cgroup in load.cgroups(mounted[0]) for pid in _pids(cgroup)]
        for number in range(boards):
            board = driver.add_board()
            for pid in pids[number::boards]:
                board.set_use(pid, 0.9 * boards / len(pids))
        clock = SystemClock()
        host = HostWorkloads(hostfs, clock)
        sensor = Nvidia(hostfs, clock, driver.environment() | {"WATTLEDGER_NVML": "force"})
        try:
            return _measure(sensor, host, clock, ticks, interval_s)
        finally:
            sensor.close()
            host.close()


def _measure(sensor: Nvidia, host: HostWorkloads, clock: SystemClock, ticks: int, interval_s: float) -> Cost:
    sensor.probe()
    sensor.settle(START_S)
    zones = sensor.probe().zones
    meters, joined, idle, watch = Meters(), Boards(), IdleFloor(), _Stopwatch()
    meters.follow(zones, choose_cover([(sensor.name, zones)]), lambda _: False)
    host.scan()
    worker = sensor.link.pid
    if worker is None or sensor.link.newest is None:
        raise NoLoadError(f"the worker did not start: {sensor.link.detail}")
    for number in range(ticks + 2):
        if number == 2:  # the first reading has nothing to compare with, and what follows it is young
            watch.ticks.clear()
            began_ns, worker_ns = time.monotonic_ns(), cpu_ns(worker)
        time.sleep(interval_s)
        watch.begin()
        readings = watch.timed("read", sensor.read)
        intake = watch.timed("count", lambda: meters.take(readings, 0))  # noqa: B023 - called at once
        uses = watch.timed("use", sensor.use)
        parts = watch.timed(
            "join",
            lambda: joined.join(intake.boards, uses, host.owners, idle, clock.wall_ns()),  # noqa: B023
        )
        now_ns = clock.boottime_ns()
        frame = Frame(
            start_ns=now_ns - round(interval_s * S_NS),
            end_ns=now_ns,
            energy_uj=intake.energy_uj,
            usage=host.scan(),
            boards=parts,
        )
        watch.timed("split", lambda: attribute(frame))  # noqa: B023 - called at once
    elapsed_ns, worker_ns = time.monotonic_ns() - began_ns, cpu_ns(worker) - worker_ns
    totals_us = [sum(stages.values()) / 1e3 for stages in watch.ticks]
    return Cost(
        boards=len(zones),
        processes=sum(len(use.holders) for use in uses),
        ticks=ticks,
        stage_us={name: statistics.median(tick[name] for tick in watch.ticks) / 1e3 for name in STAGES}
        | {"all": statistics.median(totals_us)},
        worst_us=max(totals_us),
        report_bytes=len(encode(sensor.link.newest)),
        worker_cpu_ms_per_s=worker_ns / elapsed_ns * 1e3,
        worker_rss_mib=rss_mib(worker),
    )


def _pids(cgroup: Path) -> list[int]:
    return [int(pid) for pid in (cgroup / "cgroup.procs").read_text().split()]


def report(cost: Cost) -> str:
    """The figures as Markdown tables."""
    lines = [
        f"CPU time per tick with {cost.boards} boards and {cost.processes} processes on them:",
        "",
        "| stage | what it does | µs |",
        "|---|---|--:|",
        *(f"| {name} | {what} | {cost.stage_us[name]:.0f} |" for name, what in STAGES.items()),
        f"| all | median of {cost.ticks} ticks, at most {cost.worst_us:.0f} | {cost.stage_us['all']:.0f} |",
        "",
        "| the worker | |",
        "|---|--:|",
        f"| CPU time, ms per second | {cost.worker_cpu_ms_per_s:.1f} |",
        f"| resident memory, MiB | {cost.worker_rss_mib:.0f} |",
        f"| one report, bytes | {cost.report_bytes} |",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status is 2 where it cannot be run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--boards", type=int, default=8)
    parser.add_argument("--processes", type=int, default=40)
    parser.add_argument("--ticks", type=int, default=30)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        try:
            print(report(measure(given.boards, given.processes, given.ticks, Path(folder))))
        except NoLoadError as error:
            print(f"gpu: skipped: {error}", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
