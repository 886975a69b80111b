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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wattledger.settings import Settings, StorageSettings

from .daemon import DaemonCost, measure_daemon
from .fixture_meters import FixtureMeters
from .load import Load, NoLoadError, hierarchies
from .peers import LEAN, PeerCost, measure_process_exporter, measure_psutil
from .stages import FORMATS, STAGES, Bench, TickCost, percentile

AS_DOCUMENTED = Path(__file__).parent.parent.parent / "docs" / "speed.md"
SETTLE_S = 1.0  # between the pulse and the tick: every container has had its turn by then


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A host, and the budget it has: CPU time of a tick and of a render, memory of the daemon.

    With `pods`, the containers are in pods by twos, which the budget does not count.
    """

    processes: int
    containers: int
    pods: bool = False
    tick_ms: float
    render_ms: float
    rss_mib: float

    @property
    def label(self) -> str:
        pods = " in pods" if self.pods else ""
        return f"{self.processes:,} / {self.containers:,}{pods}"


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


@dataclass(slots=True, kw_only=True)
class Result:
    """Everything measured at one size; `ticks` by cgroup version."""

    size: Size
    ticks: dict[str, TickCost] = field(default_factory=dict)
    daemon: DaemonCost
    peers: list[PeerCost] = field(default_factory=list)


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

        ticks = {}
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
    return Result(size=size, ticks=ticks, daemon=daemon, peers=[peer for peer in peers if peer])


def report(results: Sequence[Result]) -> str:
    """The Markdown tables."""
    return "\n".join(
        (
            "## Against the budget\n",
            "CPU time in milliseconds, median with the 95th percentile in brackets; memory in MiB.\n",
            _budget_table(results),
            "\n## Where a tick goes\n",
            "Median CPU time in milliseconds.\n",
            _stage_table(results),
            "\n## One scrape\n",
            "Median CPU time in milliseconds of making the body, the standard process metrics included.\n",
            _render_table(results),
            "\n## The daemon as a whole\n",
            _daemon_table(results),
            "\n## Beside others\n",
            "CPU milliseconds of one look at the same processes, in the same run.\n",
            _peer_table(results),
            "",
        )
    )


def _budget_table(results: Iterable[Result]) -> str:
    rows = []
    for result in results:
        size = result.size
        for version, cost in result.ticks.items():
            daemon = result.daemon if version == next(iter(result.ticks)) else None
            rows.append(
                (
                    size.label,
                    version,
                    f"{cost.workloads:,} / {cost.active:,}",
                    _median_and_tail(cost.tick_ns),
                    f"{size.tick_ms:g}",
                    _median_and_tail(cost.render_ns["text"]),
                    f"{size.render_ms:g}",
                    f"{daemon.rss_mib:.1f}" if daemon else "",
                    f"{size.rss_mib:g}",
                )
            )
    return _table(
        (
            "processes / containers",
            "cgroups",
            "workloads / active",
            "tick",
            "budget",
            "render",
            "budget",
            "RSS",
            "budget",
        ),
        rows,
    )


def _stage_table(results: Sequence[Result]) -> str:
    columns = [
        (result.size.label, version, result.ticks[version]) for result in results for version in result.ticks
    ]
    heads = ("stage", *(f"{label} {version}" for label, version, _ in columns))
    return _table(
        heads,
        ((stage, *(_share(cost, stage) for _, _, cost in columns)) for stage in STAGES),
    )


def _share(cost: TickCost, stage: str) -> str:
    median_ms = percentile(cost.stage_ns[stage], 50)
    whole_ms = sum(percentile(cost.stage_ns[one], 50) for one in STAGES)
    return f"{median_ms:.2f} ({median_ms / whole_ms:.0%})"


def _render_table(results: Sequence[Result]) -> str:
    rows = []
    for result in results:
        cost = next(iter(result.ticks.values()))
        times = (f"{percentile(cost.render_ns[name], 50):.2f}" for name in FORMATS)
        rows.append((result.size.label, *times, f"{cost.body_bytes / 1024:,.0f} KiB"))
    return _table(("processes / containers", *FORMATS, "text body"), rows)


def _daemon_table(results: Sequence[Result]) -> str:
    return _table(
        (
            "processes / containers",
            "CPU per tick",
            "CPU per scrape with its tick",
            "of one core, no scrapes",
            "RSS",
            "ticks, scrapes",
        ),
        (
            (
                result.size.label,
                f"{result.daemon.tick_ms:.2f} ms",
                f"{result.daemon.scrape_ms:.2f} ms",
                f"{result.daemon.cpu_percent:.3f} % at {result.daemon.interval_s:g} s",
                f"{result.daemon.rss_mib:.1f} MiB",
                f"{result.daemon.ticks}, {result.daemon.scrapes}",
            )
            for result in results
        ),
    )


def _peer_table(results: Sequence[Result]) -> str:
    rows = []
    for result in results:
        label, ours = result.size.label, result.daemon
        name = "wattledger, one scrape with its tick"
        rows.append((label, name, f"{ours.scrape_ms:.1f}", "1", f"{ours.rss_mib:.0f}"))
        for peer in result.peers:
            rss = "" if peer.rss_mib is None else f"{peer.rss_mib:.0f}"
            times = f"{peer.scan_ms / ours.scrape_ms:.1f}"
            rows.append((label, peer.name, f"{peer.scan_ms:.1f}", times, rss))
    return _table(("processes / containers", "program", "CPU, ms", "times ours", "RSS, MiB"), rows)


def _median_and_tail(values_ns: Sequence[int]) -> str:
    return f"{percentile(values_ns, 50):.2f} ({percentile(values_ns, 95):.2f})"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


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
A tick comes after a pause of a second, as in production, when little of it is in the processor's caches:
a loop of a thousand rounds took {pace} on this machine.
The peers are measured in the same way, on the same processes, in the same run.
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
