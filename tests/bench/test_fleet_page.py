"""The page of the fleet's benchmark, from figures that are made up, over the rules that are shipped."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import yaml

from tests.bench.fleet_page import DROPS, page
from tests.bench.fleet_past import lines_of, write_past
from tests.bench.fleet_result import Check, Figures, Group, Outcome, Rule
from tests.demo_fleet import DEPLOY
from tests.prometheus_server import PrometheusServer, needs_prometheus


def shipped_groups() -> list[Group]:
    """Every shipped group and one of a budget over many nodes, each rule taking 10 ms of a minute."""
    found = []
    groups = [{"name": "wattledger-budget-shop-month", "rules": [{"record": "budget:x:y"}]}]
    for kind in ("rules", "alerts"):
        groups += yaml.safe_load((DEPLOY / f"wattledger.{kind}.yml").read_text())["groups"]
    for group in groups:
        rules = [
            Rule(rule.get("record") or rule["alert"], rule.get("labels") or {}, 0.01)
            for rule in group["rules"]
        ]
        took_s = 0.01 * len(rules)
        found.append(
            Group(
                name=group["name"],
                interval_s=60.0,
                evaluations=5,
                median_s=took_s,
                most_s=2 * took_s,
                rules=rules,
            )
        )
    return found


def outcome(groups: list[Group]) -> Outcome:
    mib = 1024 * 1024
    return Outcome(
        nodes=200,
        scrape_s=15,
        past_samples=21_000_000,
        checks=[Check("power", "W", 990.0, 1000.0, 1100.0), Check("nodes", "", 200, 200)],
        groups=groups,
        figures=Figures(
            head_series=50_000,
            samples_per_s=3000.0,
            cpu_cores=0.05,
            resident_bytes=440 * mib,
            heap_bytes=220 * mib,
            empty_bytes=40 * mib,
            compactions=0,
            missed=0,
            failed_scrapes=0,
            scrape_median_s=0.004,
            scrape_most_s=0.016,
        ),
        samples_of_nodes=[100] * 100 + [300] * 100,
        families=Counter({"wattledger_workload_info": 10_000, "wattledger_up": 30_000}),
        recorded=Counter({"fleet:wattledger_nodes:count": 1}),
        most_labels=9,
        scrape_bytes=20_000.0,
        scrape_zipped_bytes=4000.0,
    )


def test_the_page_tells_what_was_found():
    text = page(outcome(shipped_groups()))
    assert "| power, W | 990 | 1,000 | -1.00 % | 1,100 | -10.00 % |" in text
    assert "| nodes | 200 | 200 | +0.00 % |  |  |" in text
    assert "| series exposed | 40,000 | 200 |" in text
    assert "| memory, resident at most | 440 MiB | 2,048 KiB |" in text
    assert "| `wattledger_up` | 30,000 | 75 % |" in text
    assert "| samples a second | 3,000 | 15,000 | 150,000 |" in text


@pytest.mark.parametrize("drop", DROPS, ids=[drop.what for drop in DROPS])
def test_whatever_can_be_left_out_is_shipped(drop):
    """Without its rules the page is refused, so that it never advises to drop what is gone."""
    groups = shipped_groups()
    assert f"| {drop.what} | " in page(outcome(groups))
    left = [
        replace(group, rules=kept)
        for group in groups
        if (kept := [rule for rule in group.rules if not drop.means(group, rule)])
    ]
    with pytest.raises(ValueError, match="no rule is meant by"):
        page(outcome(left))


@needs_prometheus
def test_the_past_reaches_as_far_back_as_rules_read(tmp_path):
    """A counter of a node a day, a month budget a week, all else an hour; counters grow, gauges stay."""
    text = (
        "# TYPE wattledger_node_energy_joules_total counter\n"
        'wattledger_node_energy_joules_total{component="cpu"} 5\n'
        'wattledger_budget_consumed_grams{budget="team",period="month"} 7\n'
        "wattledger_build_info 1\n"
    )
    end_s = 1_760_000_000
    lines = lines_of({"node-1": text}, "wattledger")
    data, samples = write_past(lines, tmp_path / "past", end_s=end_s, step_s=300)
    assert samples == (24 + 7 * 24 + 1) * 12 == 2316
    having = 'job="wattledger",instance="node-1"'
    with PrometheusServer(tmp_path / "prometheus", data=data) as prometheus:

        def hours(selector: str) -> float:
            return prometheus.value(f"count_over_time({selector}[30d])", end_s) / 12

        energy = f'wattledger_node_energy_joules_total{{{having},component="cpu"}}'
        assert hours(energy) == 24
        assert hours(f"wattledger_budget_consumed_grams{{{having}}}") == 7 * 24
        assert hours(f"wattledger_build_info{{{having}}}") == 1
        assert prometheus.value(f"rate({energy}[1h])", end_s) == pytest.approx(0.01)
        assert prometheus.value(f"changes(wattledger_build_info{{{having}}}[1h])", end_s) == 0
