"""What the agent costs at three sizes of host, beside other programs on the same processes.

    python -m tests.bench.speed            measures for ten minutes and writes docs/speed.md
    python -m tests.bench.speed --quick    the smallest size only, in some seconds, and writes nothing

Needs root (it makes cgroups), busybox, and for the comparison Debian's prometheus-process-exporter.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wattledger.settings import Settings, StorageSettings

from .daemon import measure_daemon
from .fixture_meters import FixtureMeters
from .floor import measure_floor
from .load import Load, NoLoadError, hierarchies
from .peers import LEAN, measure_process_exporter, measure_psutil
from .speed_report import Result, Size, report
from .stages import Bench

AS_DOCUMENTED = Path(__file__).parent.parent.parent / "docs" / "speed.md"
SETTLE_S = 1.0  # between the pulse and the tick: every container has had its turn by then


SIZES = (
    Size(processes=500, containers=50, tick_ms=1, render_ms=1, rss_mib=45),
    Size(processes=2_000, containers=200, tick_ms=3, render_ms=2, rss_mib=50),
    Size(processes=5_000, containers=500, tick_ms=8, render_ms=5, rss_mib=60),
    Size(processes=5_000, containers=500, pods=True, tick_ms=8, render_ms=5, rss_mib=60),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How often each thing is done; `settle_s` is the time between two ticks in this process."""

    ticks: int = 30
    settle_s: float = SETTLE_S
    daemon_ticks: int = 12
    daemon_interval_s: float = 5.0
    scrapes: int = 20
    peer_scrapes: int = 5


QUICK = Effort(ticks=5, settle_s=0.3, daemon_ticks=3, daemon_interval_s=1.0, scrapes=2, peer_scrapes=2)


def measure(size: Size, effort: Effort, folder: Path) -> Result:
    """Set the host up, measure everything on it and take it down. Raises NoLoadError where that cannot be."""
    meters = FixtureMeters(folder / "host")
    mounted = hierarchies()
    with Load(size.processes, size.containers, pods=size.pods) as load:

        def work() -> None:
            load.pulse()
            meters.advance()

        def between() -> None:
            work()
            time.sleep(effort.settle_s)

        ticks, floor_ms = {}, {}
        for one in mounted:
            settings = Settings(
                paths=meters.host(one.cgroupfs),
                storage=StorageSettings(path=str(folder / f"state-{one.version}")),
            )
            bench = Bench(settings)
            try:
                ticks[one.version] = bench.measure(effort.ticks, between)
            finally:
                bench.close()
            floor_ms[one.version] = measure_floor(
                load.cgroups(one), one.version, rounds=effort.peer_scrapes, between=between
            )
        daemon = measure_daemon(
            meters.arguments(mounted[0].cgroupfs),
            folder,
            ticks=effort.daemon_ticks,
            scrapes=effort.scrapes,
            interval_s=effort.daemon_interval_s,
            work=work,
        )
        peers = [
            measure_process_exporter(folder, scrapes=effort.peer_scrapes, work=load.pulse, flags=flags)
            for flags in ((), LEAN)
        ]
        peers.append(measure_psutil(rounds=effort.peer_scrapes))
    measured = [peer for peer in peers if peer]
    return Result(size=size, ticks=ticks, floor_ms=floor_ms, daemon=daemon, peers=measured)


def pace() -> str:
    """How much slower this machine runs the same code after a pause, which every tick comes after."""

    def loop() -> float:
        began_ns = time.thread_time_ns()
        for _ in range(1000):
            pass
        return (time.thread_time_ns() - began_ns) / 1e3

    at_once = statistics.median(loop() for _ in range(200))
    paused = []
    for _ in range(10):
        time.sleep(0.5)
        paused.append(loop())
    return f"{at_once:.0f} µs at once and {statistics.median(paused):.0f} µs after half a second of sleep"


def machine() -> str:
    """This machine in a line."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return (
        f"{os.cpu_count()} x {model or platform.machine()}, Linux {platform.release()}, "
        f"CPython {platform.python_version()}"
    )


PAGE = """\
# Speed

Measured on {date} on {machine}.
`./dev bench speed`, as root, makes this page anew; it takes ten minutes.

The processes and cgroups are real; only the RAPL counters are files that the benchmark moves.
Every container works a little between two ticks, so every one is booked in every tick.
Pods have a cgroup and a workload of their own, which the budget does not count.
The peers are measured in the same way, on the same processes, in the same run.

A tick comes after a pause of a second, as in production, when little of it is in the processor's caches.
A loop of a thousand rounds took {pace} on this machine, and code that touches more memory suffers more.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit status is 2 where it cannot be run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the smallest size only; writes nothing")
    quick = parser.parse_args(arguments).quick
    results = []
    for size in SIZES[:1] if quick else SIZES:
        print(f"speed: {size.label} processes / containers", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            try:
                results.append(measure(size, QUICK if quick else Effort(), Path(folder)))
            except NoLoadError as error:
                print(f"speed: skipped: {error}", file=sys.stderr)
                return 2
    tables = report(results)
    print(tables)
    if not quick:
        date = datetime.datetime.now(tz=datetime.UTC).date()
        AS_DOCUMENTED.write_text(PAGE.format(date=date, machine=machine(), pace=pace()) + "\n" + tables)
    return 0


if __name__ == "__main__":
    sys.exit(main())
