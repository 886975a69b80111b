"""A fleet in one real Prometheus with the shipped rules: recorded totals are the nodes' own figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.agent_process import REPOSITORY
from tests.ports import free_port
from tests.prometheus_server import PrometheusServer, needs_prometheus

pytestmark = [pytest.mark.e2e, needs_prometheus]

NODES = 20
RULES = [str(REPOSITORY / f"deploy/prometheus/wattledger.{name}.yml") for name in ("rules", "alerts")]


def measure(folder: Path, nodes: int, seconds: float, interval: str) -> dict[str, float]:
    """Scrape simulated nodes for some time; what the fleet's rules say, what the nodes say, and the cost."""
    address = f"127.0.0.1:{free_port()}"
    with (folder / "demo.log").open("wb") as log:
        demo = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "wattledger",
                "demo",
                f"--nodes={nodes}",
                f"--web.listen-address={address}",
            ],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY / "exporter")},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"http://{address}/sd", timeout=5) as answer:
                    assert len(json.load(answer)) > 0
                    break
            except OSError:
                time.sleep(0.1)
        job = {
            "job_name": "wattledger",
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "http_sd_configs": [{"url": f"http://{address}/sd", "refresh_interval": "5s"}],
        }
        with PrometheusServer(folder, scrape_configs=[job], rule_files=RULES) as prometheus:
            prometheus.wait_for(f"count(up == 1) >= {nodes}", 60)
            time.sleep(seconds)
            recorded = prometheus.wait_for("fleet:wattledger_node_energy_joules:rate5m", 90)
            series = prometheus.value('count({job="wattledger"})')
            power_w = prometheus.value('sum(rate(wattledger_node_energy_joules_total{job="wattledger"}[5m]))')
            with urllib.request.urlopen(f"{prometheus.url}/metrics", timeout=10) as answer:
                lines = [line for line in answer.read().decode().splitlines() if line[:1] != "#"]
            groups = [
                float(line.rpartition(" ")[2])
                for line in lines
                if line.startswith("prometheus_rule_group_last_duration_seconds{")
            ]
            (memory,) = [
                float(line.split()[1]) for line in lines if line.startswith("process_resident_memory_bytes ")
            ]
            return {
                "recorded_w": sum(sample.value for sample in recorded),
                "nodes_w": power_w,
                "series": series,
                "rules_s": sum(groups),
                "memory_mib": memory / 2**20,
            }
    finally:
        demo.terminate()
        demo.wait(20)


def test_fleet_totals_are_the_sum_of_the_nodes(tmp_path: Path) -> None:
    """Recorded once a minute, asked a moment later: within what a fleet's power changes meanwhile."""
    found = measure(tmp_path, NODES, 20, "2s")
    assert found["recorded_w"] == pytest.approx(found["nodes_w"], rel=0.05)
    assert found["series"] > NODES * 50
