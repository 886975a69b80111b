"""A fleet in one real Prometheus with every rule that is shipped: is it right, and what does it cost?

    python -m tests.bench.fleet [NODES]

runs for about ten minutes and, with 200 nodes, writes docs/fleet.md. The nodes are those of the demo, found
by its service discovery and scraped every 15 s; the past that rules over hours and days read is made up
(`fleet_past`).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from tests.agent_process import Scrape
from tests.bench.fleet_page import AS_DOCUMENTED, page
from tests.bench.fleet_past import lines_of, write_past
from tests.bench.fleet_result import Check, Figures, Group, Outcome, Rule
from tests.demo_fleet import (
    EMISSIONS,
    ENERGY,
    INTENSITY,
    JOB,
    POLL_S,
    WORKLOADS,
    Fleet,
    Reading,
    own_metrics,
    running,
    truth,
    wait_until,
)
from tests.prometheus_server import PrometheusServer

DOCUMENTED_NODES = 200
SCRAPE_S = 15
SETTLE_S = 180
"""Blocks of the past are compacted in the first minutes."""
WINDOW_S = 300
PROCESSORS = 2
MEMORY_DISK = Path("/dev/shm")
"""Where blocks need not be read from a disk, as with a page cache that is large enough."""
NODE_GROUP = "wattledger-node"
RESIDENT = "process_resident_memory_bytes"


class Watch:
    """What is seen of the rules and of the memory, looked at every few seconds."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._evaluations: dict[tuple[str, str], dict[str, Any]] = {}
        self.most_bytes = 0.0

    def look(self) -> None:
        with urllib.request.urlopen(f"{self._fleet.prometheus.url}/api/v1/rules", timeout=30) as answer:
            for group in json.load(answer)["data"]["groups"]:
                # A later look may find some of its rules at the next evaluation already.
                self._evaluations.setdefault((group["name"], group["lastEvaluation"]), group)
        self.most_bytes = max(self.most_bytes, own_metrics(self._fleet.prometheus).value(RESIDENT))

    def groups(self, since: float) -> list[Group]:
        """What evaluations took since a moment; a group that had none is told by its last."""
        by_name: dict[str, list[dict[str, Any]]] = {}
        for _, group in sorted(self._evaluations.items()):
            if _when(group) > 0:
                by_name.setdefault(group["name"], []).append(group)
        return [
            _group([one for one in seen if _when(one) >= since] or seen[-1:]) for seen in by_name.values()
        ]


def _when(group: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(group["lastEvaluation"]).timestamp()


def _group(seen: list[dict[str, Any]]) -> Group:
    last = seen[-1]
    failed = [rule["lastError"] for rule in last["rules"] if rule["health"] != "ok"]
    if failed:
        raise RuntimeError(f"rules failed: {failed}")
    return Group(
        name=last["name"],
        interval_s=last["interval"],
        evaluations=len(seen),
        median_s=median(one["evaluationTime"] for one in seen),
        most_s=max(one["evaluationTime"] for one in seen),
        rules=[
            Rule(
                rule["name"],
                rule.get("labels") or {},
                median(one["rules"][number]["evaluationTime"] for one in seen),
            )
            for number, rule in enumerate(last["rules"])
        ],
    )


def measure(folder: Path, nodes: int) -> Outcome:
    """Run the fleet for nine minutes and judge it; needs `prometheus` and `promtool`."""
    with PrometheusServer(folder / "empty") as empty:
        empty_bytes = own_metrics(empty).value(RESIDENT)
    past_samples = 0

    def past(expositions: Mapping[str, str], at: Path) -> Path:
        nonlocal past_samples
        data, past_samples = write_past(
            lines_of(expositions, JOB), at, end_s=int(time.time()), step_s=SCRAPE_S
        )
        return data

    with running(folder, nodes, scrape_s=SCRAPE_S, past=past, processors=PROCESSORS) as fleet:
        watch = Watch(fleet)
        wait_until(time.time() + SETTLE_S, watch.look)
        begin = fleet.next_evaluations([NODE_GROUP], POLL_S)[NODE_GROUP]
        end = begin + WINDOW_S
        wait_until(begin, watch.look)
        before, early, early_s = fleet.read(), own_metrics(fleet.prometheus), time.monotonic()
        wait_until(end, watch.look)
        after, late, late_s = fleet.read(), own_metrics(fleet.prometheus), time.monotonic()
        wait_until(end + 2 * POLL_S, watch.look)
        texts = fleet.expositions()
        zipped = [fleet.demo.get(path, {"Accept-Encoding": "gzip"}).body for path in fleet.paths.values()]
        return Outcome(
            nodes=nodes,
            scrape_s=SCRAPE_S,
            past_samples=past_samples,
            checks=checks(fleet, before, after, (begin, end)),
            groups=watch.groups(begin - 1),
            figures=_figures(fleet, early, late, late_s - early_s, watch.most_bytes, empty_bytes),
            samples_of_nodes=sorted(len(list(_lines(text))) for text in texts.values()),
            recorded=_recorded(fleet),
            families=Counter(line.partition("{")[0] for text in texts.values() for line in _lines(text)),
            most_labels=max(line.count('="') for text in texts.values() for line in _lines(text)),
            scrape_bytes=sum(map(len, texts.values())) / nodes,
            scrape_zipped_bytes=sum(map(len, zipped)) / nodes,
        )


def checks(fleet: Fleet, before: Reading, after: Reading, window: tuple[float, float]) -> list[Check]:
    """The rules' figures of five minutes against those of the nodes and of the simulator."""
    asked = window[1] + 1

    def recorded(expression: str) -> float:
        return fleet.prometheus.value(expression, asked)

    watts = {node: after.per_s(before, ENERGY, [node]) for node in fleet.nodes}
    then, now = truth(fleet, window)
    whole = "|".join(now)
    weighted = sum(watts[node] * after.value(INTENSITY, node) for node in fleet.nodes)
    return [
        Check("nodes", "", recorded("fleet:wattledger_nodes:count"), len(fleet.nodes)),
        Check("power", "W", recorded("fleet:wattledger_node_energy_joules:rate5m"), sum(watts.values())),
        Check(
            f"power of the {len(now)} nodes that are fully metered",
            "W",
            recorded(f'sum(instance:wattledger_node_energy_joules:rate5m{{instance=~"{whole}"}})'),
            sum(watts[node] for node in now),
            (sum(now.values()) - sum(then.values())) / (window[1] - window[0]),
        ),
        Check(
            "emissions",
            "g/h",
            3600 * recorded("fleet:wattledger_node_emissions_grams:rate5m"),
            3600 * after.per_s(before, EMISSIONS, fleet.nodes),
        ),
        Check(
            "power of all namespaces",
            "W",
            recorded("sum(namespace:wattledger_workload_energy_joules:rate5m)"),
            after.per_s(before, WORKLOADS, fleet.nodes, 'pod_namespace="'),
        ),
        Check(
            "intensity, weighted by power",
            "g/kWh",
            recorded("fleet:wattledger_grid_carbon_intensity_grams_per_kilowatt_hour:weighted5m"),
            weighted / sum(watts.values()),
        ),
    ]


def _figures(
    fleet: Fleet, early: Scrape, late: Scrape, took_s: float, most_bytes: float, empty_bytes: float
) -> Figures:
    ask = fleet.prometheus.value

    def gained(name: str) -> float:
        return late.sum(name) - early.sum(name)

    return Figures(
        head_series=round(late.value("prometheus_tsdb_head_series")),
        samples_per_s=gained("prometheus_tsdb_head_samples_appended_total") / took_s,
        cpu_cores=gained("process_cpu_seconds_total") / took_s,
        resident_bytes=most_bytes,
        heap_bytes=late.value("go_memstats_heap_inuse_bytes"),
        empty_bytes=empty_bytes,
        compactions=round(gained("prometheus_tsdb_compactions_total")),
        missed=round(gained("prometheus_rule_group_iterations_missed_total")),
        failed_scrapes=round(
            ask(f'sum(count_over_time(up{{job="{JOB}"}}[5m]) - sum_over_time(up{{job="{JOB}"}}[5m]))')
        ),
        scrape_median_s=ask(f'quantile(0.5, scrape_duration_seconds{{job="{JOB}"}})'),
        scrape_most_s=ask(f'max(scrape_duration_seconds{{job="{JOB}"}})'),
    )


def _recorded(fleet: Fleet) -> Counter[str]:
    found = fleet.prometheus.by("__name__", 'count by (__name__) ({__name__=~".+:wattledger_.+"})')
    return Counter({name: round(count) for name, count in found.items()})


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line and not line.startswith("#"))


def main() -> None:
    """Measure, print the page, and write it where the number of nodes is that of the documentation."""
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else DOCUMENTED_NODES
    with tempfile.TemporaryDirectory(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None) as folder:
        text = page(measure(Path(folder), nodes))
    print(text)
    if nodes == DOCUMENTED_NODES:
        AS_DOCUMENTED.write_text(text)


if __name__ == "__main__":
    main()
