"""The simulated host under any way of looking at it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from wattledger.clock import ManualClock
from wattledger.model import COMPONENTS
from wattledger.simulation import physics
from wattledger.simulation.faces import SimulatedSensor, SimulatedWorkloads
from wattledger.simulation.host import SimulatedHost
from wattledger.simulation.profile import fleet

PROFILES = fleet(6)
works = st.builds(
    physics.Work,
    activity=st.floats(0.3, 2.0),
    gb_per_cpu_s=st.floats(0.0, 12.0),
    wakes_per_cpu_s=st.floats(0.0, 4000.0),
    vector=st.floats(0.0, 1.0),
)


@settings(max_examples=10, deadline=None)
@given(
    profile=st.sampled_from(PROFILES),
    seed=st.integers(0, 5),
    looks_ms=st.lists(st.integers(1, 20_000), min_size=1, max_size=12),
)
def test_looking_does_not_change_the_host(profile, seed, looks_ms):
    """Two hosts of one seed agree to the microjoule, however often one of them was read in between."""
    clock = ManualClock()
    watched, left_alone = (SimulatedHost(profile, clock, seed) for _ in range(2))
    sensor, source = SimulatedSensor(watched), SimulatedWorkloads(watched)
    shown = dict.fromkeys(COMPONENTS, 0)
    for look_ms in looks_ms:
        clock.advance(look_ms / 1000)
        sensor.read()
        source.scan()
        now = watched.energy_uj()
        assert all(now[component] >= shown[component] for component in COMPONENTS)
        shown = now
    left_alone.advance()

    assert left_alone.energy_uj() == shown
    assert left_alone.truth().idle_uj == watched.truth().idle_uj
    assert list(left_alone.truth().dynamic_uj.values()) == list(watched.truth().dynamic_uj.values())


@settings(max_examples=10, deadline=None)
@given(
    profile=st.sampled_from(PROFILES),
    seed=st.integers(0, 50),
    gaps_s=st.lists(st.integers(1, 120), max_size=6),
)
def test_everything_drawn_belongs_to_somebody(profile, seed, gaps_s):
    """Truth sums to the counters per component, up to a microjoule per workload and second."""
    clock = ManualClock()
    host = SimulatedHost(profile, clock, seed)
    for gap_s in gaps_s:
        clock.advance(gap_s)
    host.advance()
    truth, shown = host.truth(), host.energy_uj()

    slack_uj = 50 * (sum(gaps_s) + 1)
    for component in COMPONENTS:
        assert abs(truth.node_uj(component) - shown[component]) <= slack_uj
        assert all(parts[component] >= 0 for parts in truth.dynamic_uj.values())


@given(data=st.data(), tasks=st.integers(1, 5))
def test_a_socket_never_pays_back(data, tasks):
    """Any placement of any work: powers are not negative, and no core runs more than its two threads."""
    kinds = data.draw(st.lists(works, min_size=tasks, max_size=tasks))
    load = data.draw(st.lists(st.floats(0.0, 1.0), min_size=tasks, max_size=tasks))
    thread = st.lists(st.integers(0, tasks - 1), max_size=3).map(tuple)
    layout = data.draw(st.lists(st.tuples(thread, thread), max_size=6))
    heat = [0.0] * tasks
    draw = physics.socket_draw(
        physics.Socket(6, 150.0), layout, load=load, works=kinds, heat=heat, room_c=24.0, dt_s=1.0
    )

    assert all(watts >= 0.0 for watts in (*draw.cpu_w, *draw.dram_w, *heat))
    assert sum(draw.ran) <= 2 * len(layout) + 1e-9
    assert all(watts > 0.0 for watts, cpu in zip(draw.cpu_w, draw.ran, strict=True) if cpu > 0.0)


@given(first_w=st.floats(0.01, 20.0), second_w=st.floats(0.01, 20.0))
def test_a_shared_core_is_paid_in_full(first_w, second_w):
    """The Shapley values of two threads sum to the larger power plus 27 % of the smaller."""
    first, second = physics.share_core(first_w, second_w)
    larger, smaller = max(first_w, second_w), min(first_w, second_w)
    assert abs(first + second - (larger + 0.27 * smaller)) < 1e-9
    assert first > 0
    assert second > 0
