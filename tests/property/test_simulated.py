"""The simulated host under any way of looking at it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from wattledger.clock import ManualClock
from wattledger.model import COMPONENTS
from wattledger.simulation import physics
from wattledger.simulation.faces import SimulatedSensor, SimulatedWorkloads
from wattledger.simulation.grid import SimulatedGrid
from wattledger.simulation.host import SimulatedHost
from wattledger.simulation.profile import fleet
from wattledger.simulation.weather import forecast, grams_per_kwh
from wattledger.simulation.zones import SITES

PROFILES = [*fleet(6), *fleet(5, load=4.0)]
S = 1_000_000_000
HOUR_NS = 3600 * S
mixes = st.sampled_from([site.mix for site in SITES.values()])
moments = st.integers(1_700_000_000 * S, 1_900_000_000 * S)
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


@given(mix=mixes, seed=st.integers(0, 9), start_ns=moments, lengths=st.lists(st.integers(1, 3 * 86_400 * S)))
def test_the_mean_over_an_interval_is_its_integral(mix, seed, start_ns, lengths):
    """Of each piece and of all together: what a constant kilowatt emits, to 1e-9."""
    grid, at_ns, pieces_g = SimulatedGrid(mix, ManualClock(), seed), start_ns, 0.0
    for length_ns in lengths:
        mean = grid.over(at_ns, at_ns + length_ns).grams_per_kwh
        grams = grid.integral(at_ns, at_ns + length_ns, 1000.0)
        assert abs(mean * length_ns / HOUR_NS - grams) <= 1e-9 * grams
        assert 20 <= mean <= 900
        at_ns, pieces_g = at_ns + length_ns, pieces_g + grams
    whole_g = grid.integral(start_ns, at_ns, 1000.0)
    assert abs(pieces_g - whole_g) <= 1e-9 * whole_g


@given(mix=mixes, seed=st.integers(0, 9), made=st.integers(900_000, 1_100_000), ahead=st.integers(0, 96))
def test_a_forecast_errs_within_its_horizon(mix, seed, made, ahead):
    """By at most 15 % times the square root of the days ahead, and a tenth of a gram; never out of bounds."""
    told, real = forecast(mix, seed, made + ahead, made), grams_per_kwh(mix, seed, made + ahead)
    assert 20 <= told <= 900
    assert abs(told - real) <= 0.15 * (ahead / 48) ** 0.5 * real + 0.1
    assert told == forecast(mix, seed, made + ahead, made)


@settings(max_examples=10, deadline=None)
@given(now_ns=moments, behind_h=st.integers(0, 400), ahead_h=st.integers(1, 100))
def test_a_series_is_whole_and_within_what_was_asked_for(now_ns, behind_h, ahead_h):
    """Any span: points without gaps, inside it, within a week and two days, and known up to now only."""
    grid = SimulatedGrid(SITES["DEMO-A"].mix, ManualClock(now_ns=now_ns, epoch_ns=0))
    start_ns, end_ns = now_ns - behind_h * HOUR_NS, now_ns + ahead_h * HOUR_NS
    points = grid.series(start_ns, end_ns).points
    assert points
    for one, two in pairwise(points):
        assert one.end_ns == two.start_ns
    assert points[-1].end_ns >= min(end_ns, now_ns + 48 * HOUR_NS)
    for point in points:
        assert point.end_ns > max(start_ns, now_ns - 169 * HOUR_NS)
        assert point.start_ns < min(end_ns, now_ns + 49 * HOUR_NS)
        assert point.estimated == (point.start_ns > now_ns)
