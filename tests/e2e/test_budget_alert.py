"""A budget that burns too fast reaches a person: demo, Prometheus with the shipped rules, Alertmanager."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.agent_process import REPOSITORY, Scrape
from tests.alertmanager_server import Alertmanager, Webhook, needs_alertmanager
from tests.ports import free_port
from tests.prometheus_server import PrometheusServer, import_openmetrics, needs_prometheus, scrape_config

pytestmark = [pytest.mark.e2e, needs_prometheus, needs_alertmanager]

RULES = REPOSITORY / "deploy/prometheus/wattledger.alerts.yml"
CONSUMED, LIMIT = "wattledger_budget_consumed_grams", "wattledger_budget_limit_grams"
FAST = "WattledgerBudgetBurnFast"
HISTORY_S = 660
DELIVERED_WITHIN_S = 300

# A node of some kilowatts at 600 g/kWh emits 40 to 80 g a minute: 15 % of this limit in about a minute.
SETTINGS = """\
carbon: {intensity: {provider: static, grams_per_kwh: 600, grid_zone: TEST}}
budgets: [{name: runaway, period: day, limit: 250 g}]
"""


@contextmanager
def demo(folder: Path, name: str, *arguments: str) -> Iterator[str]:
    """`wattledger demo` as a process of its own; its address."""
    address = f"127.0.0.1:{free_port()}"
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "wattledger", "demo", f"--web.listen-address={address}", *arguments],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY / "exporter")},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield address
    finally:
        process.terminate()
        process.wait(10)


def scrape(address: str) -> Scrape:
    """The exposition, as soon as there is a first sample."""
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
                return Scrape.of_text(answer.read().decode())
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError(f"{address}: nothing served within 20 s")


def history(first: dict[str, Scrape]) -> Iterator[str]:
    """Ten minutes in which every budget stood where the live process begins: nobody burnt anything."""
    end_s = int(time.time())
    for name in (CONSUMED, LIMIT):
        yield f"# TYPE {name} gauge"
        for address, one in first.items():
            for key, value in one.select(name).items():
                own = ",".join(f'{label}="{text}"' for label, text in sorted(one.labels[key].items()))
                for at_s in range(end_s - HISTORY_S, end_s, 15):
                    yield f'{name}{{instance="{address}",job="wattledger",{own}}} {value!r} {at_s}'


def test_a_fast_burn_is_delivered_and_an_ordinary_day_is_not(tmp_path: Path) -> None:
    """One node at five times its load, with a small budget; another as it is; the rule file as shipped.

    What is shortened is the past: ten flat minutes are put before the live ones, so that the
    windows of the rule have something to look back on.
    """
    settings = tmp_path / "runaway.yaml"
    settings.write_text(SETTINGS)
    with (
        Webhook() as webhook,
        Alertmanager(tmp_path, webhook.url) as alertmanager,
        demo(tmp_path, "runaway", "--load=5", f"--config.file={settings}") as runaway,
        demo(tmp_path, "ordinary") as ordinary,
    ):
        first = {address: scrape(address) for address in (runaway, ordinary)}
        assert first[ordinary].select(CONSUMED)
        data = import_openmetrics(history(first), tmp_path)
        job = scrape_config(runaway, interval="2s")
        job["static_configs"][0]["targets"].append(ordinary)
        with PrometheusServer(
            tmp_path,
            scrape_configs=[job],
            rule_files=[str(RULES)],
            data=data,
            alertmanagers=[alertmanager.address],
        ) as prometheus:
            alert = webhook.wait_for(
                lambda one: one["labels"]["alertname"] == FAST and one["labels"]["instance"] == runaway,
                DELIVERED_WITHIN_S,
            )
            burnt = prometheus.query(f'{CONSUMED}{{instance="{runaway}"}} / {LIMIT}')
            assert alert is not None, f"not delivered; consumed over limit: {burnt}"
            assert prometheus.value(f'count({CONSUMED}{{instance="{ordinary}"}} offset 5m)') >= 2
    assert alert["status"] == "firing"
    assert alert["labels"]["budget"] == "runaway"
    assert alert["labels"]["period"] == "day"
    assert alert["labels"]["severity"] == "warning"
    assert "runaway" in alert["annotations"]["summary"] + alert["annotations"]["description"]
    assert "{{" not in alert["annotations"]["description"]
    runbook = alert["annotations"]["runbook_url"].rpartition("/docs/")[2]
    assert (REPOSITORY / "docs" / runbook).is_file()
    fast = [one["labels"] for one in webhook.alerts if one["labels"]["alertname"] == FAST]
    assert [labels for labels in fast if labels["instance"] == ordinary] == []
