"""A budget that burns too fast reaches a person: demo, Prometheus with the shipped rules, Alertmanager."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.agent_process import REPOSITORY, AgentProcess, Scrape
from tests.alertmanager_server import Alertmanager, Webhook, needs_alertmanager
from tests.prometheus_server import PrometheusServer, import_openmetrics, needs_prometheus
from wattledger.app.demo import build_demo
from wattledger.cli.load import load_settings
from wattledger.clock import ManualClock
from wattledger.model import S_NS

pytestmark = [pytest.mark.e2e, needs_alertmanager]

RULES = [str(REPOSITORY / f"deploy/prometheus/wattledger.{kind}.yml") for kind in ("alerts", "rules")]
FAST, EXCEEDED = "WattledgerBudgetBurnFast", "WattledgerBudgetExceeded"
CONSUMED = "wattledger_budget_consumed_grams"
LIVE_S = 120
"""`for` of the rule."""
DELIVERED_WITHIN_S = 220
HISTORY_S, SCRAPE_S = 65 * 60, 15
NODES, NODE = 8, "node-05"
LOADS = {"raised": 5.0, "normal": 1.0}
MORNING_HOUR = 6

# The pods in `media` on node-05 draw about 100 W: 60 g an hour, 6 % of the limit. Five times the work: 360 W.
SETTINGS = """\
carbon: {{intensity: {{provider: static, grams_per_kwh: 600}}}}
budgets:
  - {{name: media-day, period: day, limit: 1 kg, timezone: {timezone}, select: {{pod_namespace: media}}}}
"""


def morning_zone(now_s: float) -> str:
    """Where it is past six: the day is far from its turn, and the budget far from its limit."""
    offset = MORNING_HOUR - int(now_s) // 3600 % 24
    if offset < -12:
        offset += 24
    return f"Etc/GMT{-offset:+d}" if offset else "UTC"  # POSIX signs: east is negative


def hour_before(settings_file: Path, load: float, end_s: float) -> list[tuple[int, float]]:
    """What the agent of the same simulated node at the same load counts in an hour, by seconds to its end."""
    clock = ManualClock()
    clock.epoch_ns = round((end_s - HISTORY_S) * S_NS) - clock.now_ns
    settings = load_settings({"config.file": str(settings_file)}, {})
    (node,) = (one for one in build_demo(settings, NODES, clock, load) if one.name == NODE)
    counted = []
    for passed_s in range(0, HISTORY_S + 1, SCRAPE_S):
        (budget,) = node.sampler.tick().budgets
        counted.append((HISTORY_S - passed_s, budget.consumed_g))
        clock.advance(SCRAPE_S)
    return counted


def history(settings_file: Path, first: dict[str, tuple[float, float]]) -> Iterator[str]:
    """The hour before the live processes, by the time and the consumption with which each of them begins."""
    yield f"# TYPE {CONSUMED} gauge"
    for cluster, (at_s, consumed_g) in first.items():
        counted = hour_before(settings_file, LOADS[cluster], at_s)
        labels = f'job="wattledger",cluster="{cluster}",instance="{NODE}",budget="media-day",period="day"'
        for left_s, grams in counted:
            yield f"{CONSUMED}{{{labels}}} {consumed_g + grams - counted[-1][1]!r} {at_s - left_s:.3f}"


def scrape_job(cluster: str, demo: AgentProcess) -> dict[str, Any]:
    """All nodes of a demo, as its service discovery tells them."""
    return {
        "job_name": f"of {cluster}",
        "scrape_interval": "5s",
        "scrape_timeout": "5s",
        "http_sd_configs": [{"url": f"{demo.url}/sd"}],
        "relabel_configs": [
            {"target_label": "job", "replacement": "wattledger"},
            {"target_label": "cluster", "replacement": cluster},
        ],
    }


def consumed(demo: AgentProcess) -> tuple[float, float]:
    """When, and what the budget of the node stands at."""
    at_s = time.time()
    answer = demo.get(f"/nodes/{NODE}/metrics")
    return at_s, Scrape.of_text(answer.body.decode()).value(CONSUMED)


@needs_prometheus
def test_a_fast_burn_is_delivered_and_a_normal_load_is_not(tmp_path):
    """Two fleets with the same budgets, one at five times the load; one alert of one node arrives.

    Real are the rule files, Prometheus, Alertmanager with the documented configuration, and the two minutes
    and more in which the rule has to hold. The hour before them is played: the same simulator and agent on a
    manual clock, counting up to where each live process begins.
    """
    settings = tmp_path / "wattledger.yaml"
    settings.write_text(SETTINGS.format(timezone=morning_zone(time.time())))
    folders = {cluster: tmp_path / cluster for cluster in LOADS}
    for folder in folders.values():
        folder.mkdir()
    demos = {
        cluster: AgentProcess(
            f"--nodes={NODES}",
            f"--load={load}",
            f"--config.file={settings}",
            folder=folders[cluster],
            command="demo",
        )
        for cluster, load in LOADS.items()
    }
    with (
        Webhook() as webhook,
        Alertmanager(tmp_path, webhook.url) as alertmanager,
        demos["raised"],
        demos["normal"],
    ):
        first = {cluster: consumed(demo) for cluster, demo in demos.items()}
        data = import_openmetrics(history(settings, first), tmp_path)
        with PrometheusServer(
            tmp_path,
            scrape_configs=[scrape_job(cluster, demo) for cluster, demo in demos.items()],
            rule_files=RULES,
            data=data,
            alertmanagers=[alertmanager.address],
        ) as prometheus:
            alert = webhook.wait_for(lambda one: True, DELIVERED_WITHIN_S)
            node = f'instance="{NODE}"'
            used = prometheus.by(
                "cluster",
                f"({CONSUMED} - min_over_time({CONSUMED}{{{node}}}[1h])) / wattledger_budget_limit_grams",
            )
            assert alert is not None, (
                f"not delivered; used of the limit: {used}; {prometheus.query('ALERTS')}"
            )
            live = f"5 * count_over_time(up{{{node}}}[10m])"
            prometheus.wait_for(f"count({live} >= {LIVE_S}) == {len(LOADS)}")  # each has its own seconds
            live_s = prometheus.by("cluster", live)
            active = {
                sample.labels["cluster"] for sample in prometheus.query(f'ALERTS{{alertname="{FAST}"}}')
            }

    assert webhook.alerts == [alert]
    assert alert["status"] == "firing"
    assert alert["labels"] == {
        "alertname": FAST,
        "budget": "media-day",
        "cluster": "raised",
        "instance": NODE,
        "job": "wattledger",
        "period": "day",
        "severity": "warning",
        "window": "1h",
    }
    assert "much faster than it can last" in alert["annotations"]["summary"]
    told = re.fullmatch(
        r"Budget media-day of node-05 used ([\d.]+)% of its limit for the day within the last 1h, "
        r"more than 15%\.",
        alert["annotations"]["description"],
    )
    assert told is not None, alert["annotations"]["description"]
    assert float(told[1]) / 100 == pytest.approx(used["raised"], abs=0.01)
    runbook = alert["annotations"]["runbook_url"].rpartition("/blob/main/")[2]
    assert (REPOSITORY / runbook).is_file()

    assert 0.18 < used["raised"] < 0.3
    assert 0.03 < used["normal"] < 0.1
    assert active == {"raised"}
    assert min(live_s.values()) >= LIVE_S
    assert datetime.fromisoformat(alert["startsAt"]).timestamp() - first["raised"][0] >= LIVE_S


BUDGET = {"cluster": "eu", "job": "wattledger", "instance": "a", "budget": "node-day", "period": "day"}
TARGET = {"cluster": "eu", "job": "wattledger", "instance": "a"}


@pytest.mark.parametrize(
    ("cause", "effect", "labels"),
    [
        (EXCEEDED, FAST, BUDGET),
        (EXCEEDED, "WattledgerBudgetBurnSlow", BUDGET),
        (EXCEEDED, "WattledgerBudgetProjectedOverrun", BUDGET),
        (FAST, "WattledgerBudgetBurnSlow", BUDGET),
        ("WattledgerAgentDown", "WattledgerSensorLost", TARGET),
        ("WattledgerIntensityFallback", "WattledgerIntensitySourceFailing", TARGET),
    ],
)
def test_an_alert_that_explains_another_is_delivered_alone(tmp_path, cause, effect, labels):
    """With the documented configuration; what would come in the same notification of another node does."""
    elsewhere = labels | {"instance": "b"}
    posted = [
        labels | {"alertname": cause},
        labels | {"alertname": effect},
        elsewhere | {"alertname": effect},
    ]
    with Webhook() as webhook, Alertmanager(tmp_path, webhook.url, wait="1s") as alertmanager:
        alertmanager.post(posted)
        for labels_of_one in (posted[0], posted[2]):
            assert webhook.wait_for(lambda one, wanted=labels_of_one: one["labels"] == wanted, 30)
    assert posted[1] not in [one["labels"] for one in webhook.alerts]
