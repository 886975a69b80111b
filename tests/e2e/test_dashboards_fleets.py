"""What dashboards say of awkward fleets: two clusters, replaced pods, no agent left, young data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.dashboard_queries import query_of
from tests.prometheus_server import PrometheusServer, Sample, import_openmetrics, needs_prometheus

END = 1_700_000_400
POWER = "instance:wattledger_node_energy_joules:rate5m"
INTENSITY = "instance:wattledger_grid_carbon_intensity_grams_per_kilowatt_hour:max"
EVERYTHING = {"cluster": ".*", "job": ".+", "instance": ".+", "budget": ".+"} | {
    "__range": "1h",
    "__rate_interval": "5m",
}

pytestmark = [pytest.mark.e2e, needs_prometheus]


@contextmanager
def stored(tmp_path: Path, series: dict[str, list[tuple[int, float]]]) -> Iterator[PrometheusServer]:
    """A Prometheus that knows some series."""
    families: dict[str, list[str]] = {}
    for name, points in series.items():
        family = families.setdefault(name.partition("{")[0], [])
        family += [f"{name} {value} {at}" for at, value in points]
    lines = (line for family in families.values() for line in family)
    data = import_openmetrics(lines, tmp_path)
    with PrometheusServer(tmp_path / "prometheus", data=data) as prometheus:
        yield prometheus


def asked(
    tmp_path: Path, series: dict[str, list[tuple[int, float]]], *questions: tuple[str, str, int]
) -> list[list[Sample]]:
    """The answers to panels' queries at the end of some series."""
    with stored(tmp_path, series) as prometheus:
        return [
            prometheus.query(query_of(*question).filled(**EVERYTHING), at=END + 1) for question in questions
        ]


def constant(value: float, since: int = END - 600, until: int = END) -> list[tuple[int, float]]:
    """One value, every minute."""
    return [(at, value) for at in range(since, until + 1, 60)]


def test_nodes_of_two_clusters_may_have_one_name(tmp_path):
    """100 W and 300 W are two nodes, not one of 400 W."""
    (most,) = asked(
        tmp_path,
        {
            f'{POWER}{{cluster="north",job="wattledger",instance="a"}}': constant(100),
            f'{POWER}{{cluster="south",job="wattledger",instance="a"}}': constant(300),
        },
        ("Fleet", "Most power", 0),
    )
    assert [(s.labels["cluster"], s.value) for s in most] == [("south", 300), ("north", 100)]


def test_a_node_whose_pod_was_replaced_is_one_node(tmp_path):
    """For five minutes it has two rates, which add up; 100 W at 400 and 300 W at 200 g/kWh are 250 g/kWh."""
    a, b = ('job="wattledger",instance="a"', 'job="wattledger",instance="b"')
    mean, most = asked(
        tmp_path,
        {
            f'{POWER}{{{a},pod="old"}}': constant(60),
            f'{POWER}{{{a},pod="new"}}': constant(40),
            f"{POWER}{{{b}}}": constant(300),
            f'{INTENSITY}{{{a},pod="old"}}': constant(400),
            f'{INTENSITY}{{{a},pod="new"}}': constant(400),
            f"{INTENSITY}{{{b}}}": constant(200),
        },
        ("Fleet", "Grid intensity", 0),
        ("Fleet", "Most power", 0),
    )
    assert [sample.value for sample in mean] == [250]
    assert [(s.labels["instance"], s.value) for s in most] == [("b", 300), ("a", 100)]


@pytest.mark.parametrize("panel", [("Node", "Idle against dynamic"), ("GPU", "Used, idle and unattributed")])
def test_idle_energy_that_nobody_known_bears_is_stacked_once(tmp_path, panel):
    """Allocated by usage, idle energy may fall to use that has no name: of 100 W, 30 W + 4 W are idle."""
    target, name = 'job="wattledger",instance="a",component="gpu"', "wattledger_workload_energy_joules_total"
    watts = {
        f'{name}{{{target},kind="unit",id="a.service",mode="dynamic"}}': 60,
        f'{name}{{{target},kind="unit",id="a.service",mode="idle"}}': 30,
        f'{name}{{{target},kind="unattributed"}}': 6,
        f'{name}{{{target},kind="unattributed",mode="idle"}}': 4,
    }
    growing = {
        series: [(at, power * (at - END + 600)) for at in range(END - 600, END + 1, 60)]
        for series, power in watts.items()
    }
    answers = asked(tmp_path, growing, *((*panel, index) for index in range(3)))
    assert [round(sample.value) for samples in answers for sample in samples] == [34, 60, 6]


def test_what_is_not_ranked_is_shown_before_any_ranked_workload_lived(tmp_path):
    """A job of 60 W began ten minutes ago on a node of 100 W: 40 W are the rest now, and all before."""
    node = 'wattledger_node_energy_joules_total{job="wattledger",instance="a",component="cpu"}'
    job = (
        'wattledger_workload_energy_joules_total{job="wattledger",instance="a",component="cpu",'
        'kind="job",id="7",mode="dynamic"}'
    )
    series = {
        node: [(at, 100 * (at - END + 3600)) for at in range(END - 3600, END + 1, 60)],
        job: [(at, 60 * (at - END + 600)) for at in range(END - 600, END + 1, 60)],
    }
    rest = query_of("Node", "Workloads", 1).filled(**EVERYTHING)
    with stored(tmp_path, series) as prometheus:
        (line,) = prometheus.query_range(rest, END - 1799, END + 1, 1800)
    assert [round(watts) for _, watts in line.points] == [100, 40]


def test_the_last_agent_that_goes_down_is_missed(tmp_path):
    """Nothing of its own is left then, so its job is known by name; other jobs do not count."""
    missing, up = asked(
        tmp_path,
        {
            'up{job="wattledger",instance="a"}': constant(0),
            'up{job="node",instance="a"}': constant(0),
            'wattledger_build_info{job="wattledger",instance="a"}': constant(1, END - 3600, END - 1200),
        },
        ("Fleet", "Targets that do not answer", 0),
        ("Exporter health", "Agents up", 0),
    )
    assert [sample.value for sample in missing] == [1]
    assert [sample.value for sample in up] == [0]


def test_a_projection_does_not_take_what_it_does_not_know_for_a_pause(tmp_path):
    """In two hours before noon a day's budget rose from 500 to 600 g: 50 g/h, so 1.2 kg at midnight."""
    labels = '{job="wattledger",instance="a",budget="day",period="day"}'
    began = END - 7200
    (projected,) = asked(
        tmp_path,
        {
            f"wattledger_budget_limit_grams{labels}": constant(1000, began),
            f"wattledger_budget_period_start_timestamp_seconds{labels}": constant(END - 43_200, began),
            f"wattledger_budget_period_end_timestamp_seconds{labels}": constant(END + 43_200, began),
            f"wattledger_budget_consumed_grams{labels}": [
                (at, 500 + (at - began) / 72) for at in range(began, END + 1, 60)
            ],
        },
        ("Carbon and budgets", "Budgets", 4),
    )
    assert [sample.value for sample in projected] == [pytest.approx(1200, rel=0.01)]
