"""Grams are the integral of power times intensity, whatever happens in between."""

from __future__ import annotations

import pytest

from tests.bench.pricing import AS_DOCUMENTED, DAY_S, LOADS, STEP_S, Course, grams_per_kwh, measure, page
from tests.prometheus_server import needs_prometheus
from tests.scripted import S, ScriptedNode, container, package
from wattledger.carbon.pricing import Pricing

WATTS = 360
WAY = "`increase(emissions)`, priced as drawn"


@pytest.mark.e2e
@needs_prometheus
def test_a_days_grams_are_the_integral_and_prometheus_tells_them(tmp_path):
    """To 1e-9 in the agent, to 1e-4 (two scrapes of a day) through `increase()`; the page is what it says."""
    days, errors = measure(tmp_path)
    for load, day in days.items():
        assert day.booked_g == pytest.approx(day.true_g, rel=1e-9)
        assert abs(errors[WAY, load]) < 5e-4
    assert abs(errors["`increase(joules) * last(intensity)`", "busy by day"]) > 1
    assert len(days) == len(LOADS)
    assert AS_DOCUMENTED.read_text() == page(days, errors)


def integral_g(node: ScriptedNode, start_ns: int, end_ns: int, watts: float = WATTS) -> float:
    """What `watts` emit between two moments of wall time."""
    grams, at_ns = 0.0, start_ns
    while at_ns < end_ns:
        to_ns = min((at_ns // (STEP_S * S) + 1) * STEP_S * S, end_ns)
        grams += watts * (to_ns - at_ns) / S / 3.6e6 * grams_per_kwh(at_ns)
        at_ns = to_ns
    return grams


def draw(node: ScriptedNode, seconds: float) -> None:
    node.sensor.spend(node.sensor.zones[0], round(WATTS * seconds * 1e6))


@pytest.fixture
def node(tmp_path):
    return ScriptedNode([package()], folder=str(tmp_path), pricing=Pricing(intensity=Course()))


def test_energy_that_arrives_late_costs_what_the_grid_was_when_it_was_drawn(node):
    """A meter that fails for ten minutes, over a change of intensity, and then tells all at once."""
    worker = node.workloads.bear(container(1))
    node.clock.advance(STEP_S - 300 - node.clock.wall_ns() / 1e9 % STEP_S)
    start_ns = node.clock.wall_ns()
    node.sampler.tick()
    for tick in range(140):
        draw(node, 5)
        node.workloads.use({worker: 5 * S})
        node.sensor.failing = {node.sensor.zones[0].key: "eio"} if 10 <= tick < 130 else {}
        snapshot = node.step(5)
    assert snapshot.nodes[0].emissions_g == pytest.approx(
        integral_g(node, start_ns, node.clock.wall_ns()), rel=1e-9
    )


def test_energy_recovered_after_a_restart_costs_what_the_grid_was_meanwhile(node):
    """Three hours without an agent: nobody's energy, at the mean of these three hours."""
    node.clock.advance(DAY_S - node.clock.wall_ns() / 1e9 % DAY_S + 6 * 3600)
    start_ns = node.clock.wall_ns()
    node.sampler.tick()
    draw(node, 5)
    node.step(5)
    node.clock.advance(600)
    draw(node, 605)
    node.restart()
    snapshot = node.step(5)
    assert snapshot.nodes[0].energy_uj == WATTS * 610 * 1_000_000
    assert snapshot.nodes[0].emissions_g == pytest.approx(
        integral_g(node, start_ns, node.clock.wall_ns()), rel=1e-9
    )


def test_a_step_of_the_wall_clock_prices_no_time_twice(node):
    """The clock jumps an hour ahead: the next interval is still five seconds long."""
    node.sampler.tick()
    node.clock.epoch_ns += 3600 * S
    draw(node, 5)
    snapshot = node.step(5)
    end_ns = node.clock.wall_ns()
    assert snapshot.nodes[0].emissions_g == pytest.approx(integral_g(node, end_ns - 5 * S, end_ns), rel=1e-9)
