"""The results of the speed benchmark, and how they are shown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .daemon import DaemonCost
from .peers import PeerCost
from .stages import FORMATS, STAGES, TickCost, percentile


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


@dataclass(slots=True, kw_only=True)
class Result:
    """Everything measured at one size.

    `ticks` and `floor_ms`, the kernel's part of them, are by cgroup version.
    """

    size: Size
    ticks: dict[str, TickCost] = field(default_factory=dict)
    floor_ms: dict[str, float] = field(default_factory=dict)
    daemon: DaemonCost
    peers: list[PeerCost] = field(default_factory=list)


def report(results: Sequence[Result]) -> str:
    """The Markdown tables."""
    return "\n".join(
        (
            "## Against the budget\n",
            "CPU time in milliseconds, median with the 95th percentile in brackets; memory in MiB.\n",
            _budget_table(results),
            "",
            *_findings(results),
            "\n## Where a tick goes\n",
            "Median CPU time in milliseconds.",
            "The kernel's part is a `pread` of every cgroup's usage file and nothing else, measured apart.",
            "Repeated at once: a whole tick right after two others, all in the caches and little to book.\n",
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


def _findings(results: Sequence[Result]) -> list[str]:
    """Where the budget is missed, and what part of a tick does not depend on the host's size."""
    missed = []
    points: dict[str, list[tuple[int, float]]] = {}
    for result in results:
        size = result.size
        for version, cost in result.ticks.items():
            tick_ms, render_ms = percentile(cost.tick_ns, 50), percentile(cost.render_ns["text"], 50)
            if tick_ms > size.tick_ms:
                missed.append(f"tick at {size.label} with {version}: {tick_ms:.2f} of {size.tick_ms:g} ms")
            if render_ms > size.render_ms:
                missed.append(
                    f"render at {size.label} with {version}: {render_ms:.2f} of {size.render_ms:g} ms"
                )
            if not size.pods:
                points.setdefault(version, []).append((size.containers, tick_ms))
        if result.daemon.rss_mib > size.rss_mib:
            missed.append(f"memory at {size.label}: {result.daemon.rss_mib:.1f} of {size.rss_mib:g} MiB")
    lines = [f"Over the budget: {'; '.join(missed)}." if missed else "Nothing is over the budget."]
    for version, line in points.items():
        if len(line) > 1:
            slope_ms, fixed_ms = statistics.linear_regression(*zip(*line, strict=True))
            lines.append(
                f"With {version} a tick costs {fixed_ms:.2f} ms and {slope_ms * 1000:.1f} µs"
                " for each active container."
            )
    return lines


def _stage_table(results: Sequence[Result]) -> str:
    columns = [
        (f"{result.size.label}, {version}", cost, result.floor_ms[version])
        for result in results
        for version, cost in result.ticks.items()
    ]
    rows = [(stage, *(_share(cost, stage) for _, cost, _ in columns)) for stage in STAGES]
    repeats = (f"{percentile(cost.repeat_ns, 50):.2f}" for _, cost, _ in columns)
    rows.append(("(the kernel's part)", *(f"{floor_ms:.2f}" for _, _, floor_ms in columns)))
    rows.append(("(repeated at once)", *repeats))
    return _table(("stage", *(label for label, _, _ in columns)), rows)


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
