"""Twenty simulated nodes in one real Prometheus: what the recording rules add up is what the fleet drew.

The benchmark `tests/bench/fleet.py` does the same with two hundred, and measures the cost.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from tests.demo_fleet import (
    DEPLOY,
    EMISSIONS,
    ENERGY,
    MINUTE_S,
    WORKLOADS,
    Fleet,
    Reading,
    own_metrics,
    running,
    truth,
    wait_until,
)
from tests.prometheus_server import needs_prometheus

NODES = 20
SCRAPE_S = 1
BEFORE_S = 5
"""Scrapes that the first of the two evaluations has to look back on."""
RESOLUTION = 2 * SCRAPE_S / MINUTE_S
"""An increase knows when a minute began and ended to a scrape each."""
NODE_GROUP, WORKLOAD_GROUP = "wattledger-node", "wattledger-workload"

pytestmark = [pytest.mark.e2e, needs_prometheus]


@dataclass(frozen=True, kw_only=True)
class Minute:
    """A fleet over the minute between two evaluations of a group, and what the nodes said at both."""

    fleet: Fleet
    begin: float
    end: float
    before: Reading
    after: Reading

    def recorded(self, expression: str) -> float:
        """What an expression over recorded series gives at the end."""
        return self.fleet.prometheus.value(expression, self.end + 1)

    def grown(self, recorded: str) -> float:
        """What an increase of the last hour grew by; all there is lies within that hour."""
        at_begin, at_end = (self.fleet.prometheus.value(recorded, at + 1) for at in (self.begin, self.end))
        return at_end - at_begin

    def said(self, family: str, having: str = "") -> float:
        """What the nodes' own counters grew by."""
        return sum(self.after.gained(self.before, family, node, having) for node in self.fleet.nodes)


@pytest.fixture(scope="module")
def minutes(tmp_path_factory):
    """By group, for each is evaluated at its own second of the minute."""
    with running(tmp_path_factory.mktemp("fleet"), NODES, scrape_s=SCRAPE_S) as fleet:
        begins = fleet.next_evaluations((NODE_GROUP, WORKLOAD_GROUP), BEFORE_S)
        readings = {}
        for moment in sorted(at for begin in begins.values() for at in (begin, begin + MINUTE_S)):
            wait_until(moment)
            readings[moment] = fleet.read()
        for group, begin in begins.items():
            while fleet.last_evaluation(group) < begin + MINUTE_S / 2:  # it may still be at it
                time.sleep(0.2)
        yield {
            group: Minute(
                fleet=fleet,
                begin=begin,
                end=begin + MINUTE_S,
                before=readings[begin],
                after=readings[begin + MINUTE_S],
            )
            for group, begin in begins.items()
        }


@pytest.fixture
def minute(minutes):
    return minutes[NODE_GROUP]


def test_the_fleet_is_the_sum_of_its_nodes(minute):
    """Of values of the same moment, so to the last digits."""
    nodes = minute.fleet.prometheus.by(
        "instance", "instance:wattledger_node_energy_joules:rate5m", minute.end + 1
    )
    assert set(nodes) == set(minute.fleet.nodes)
    assert minute.recorded("fleet:wattledger_nodes:count") == NODES
    assert minute.recorded("fleet:wattledger_node_energy_joules:rate5m") == pytest.approx(
        sum(nodes.values()), rel=1e-12
    )


@pytest.mark.parametrize(
    ("recorded", "family"),
    [
        ("fleet:wattledger_node_energy_joules:increase1h", ENERGY),
        ("fleet:wattledger_node_emissions_grams:increase1h", EMISSIONS),
    ],
)
def test_the_rules_count_what_the_nodes_count(minute, recorded, family):
    """Within two scrapes of a minute."""
    assert minute.said(family) > 0
    assert minute.grown(recorded) == pytest.approx(minute.said(family), rel=RESOLUTION)


def test_the_rules_count_what_the_simulated_meters_saw(minute):
    """On nodes whose meters are whole; the twins of the hosts begin within a second of them."""
    then, now = truth(minute.fleet, (minute.begin, minute.end))
    assert 10 < len(now) < NODES
    whole = "|".join(now)
    true_j = sum(now.values()) - sum(then.values())
    grown = minute.grown(f'sum(instance:wattledger_node_energy_joules:increase1h{{instance=~"{whole}"}})')
    assert grown == pytest.approx(true_j, rel=RESOLUTION)


@pytest.mark.parametrize("name", ["shop", "ml", "media"])
def test_a_namespace_is_added_up_over_its_nodes(minutes, name):
    """What a pod drew before its first scrape is missing, but none of these is born in a minute."""
    minute = minutes[WORKLOAD_GROUP]
    having = f'pod_namespace="{name}"'
    grown = minute.grown(f"namespace:wattledger_workload_energy_joules:increase1h{{{having}}}")
    assert grown == pytest.approx(minute.said(WORKLOADS, having), rel=RESOLUTION)


def test_no_rule_fails_and_no_group_is_late(minute):
    metrics = own_metrics(minute.fleet.prometheus)
    groups = metrics.select("prometheus_rule_group_rules")
    assert len([key for key in groups if str(DEPLOY) in str(key)]) >= 5
    assert metrics.sum("prometheus_rule_evaluation_failures_total") == 0
    assert metrics.sum("prometheus_rule_group_iterations_missed_total") == 0
