"""The idle floor: true on any node that is ever quiet, sane on one that never is."""

import pytest

from wattledger.idle import IdleFloor, Minute, extrapolate, load_share

MINUTE = 60 * 1_000_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WALL = 20_000 * DAY


def watch(floor, start_ns, watts, utilisation, minutes=1, component="cpu"):
    for minute in range(minutes):
        floor.observe(component, start_ns + minute * MINUTE, MINUTE, round(watts * 60e6), utilisation)


def test_nothing_seen_means_no_floor():
    assert IdleFloor().floor("cpu") is None


def test_the_standard_load_curve_passes_through_its_points():
    expected = [0.12, 0.12, 0.32, 0.75, 1.02, 1.02]
    assert [load_share(u) for u in (-1, 0, 0.1, 0.5, 1, 2)] == pytest.approx(expected)
    assert load_share(0.3) == pytest.approx(0.535)


def test_a_quiet_minute_is_the_floor():
    floor = IdleFloor()
    watch(floor, WALL, 100.0, 0.6)
    watch(floor, WALL + MINUTE, 40.0, 0.0)
    watch(floor, WALL + 2 * MINUTE, 90.0, 0.5)
    assert floor.floor("cpu").power_w == pytest.approx(40.0)
    assert floor.floor("cpu").source == "observed"


def test_the_residual_load_of_the_calmest_minute_is_taken_off():
    """Idle 40 W, 100 W more at full load: seen only at 10 % and 100 %, it still comes out as 40."""

    def at(u):
        return Minute(40 + 100 * (load_share(u) - load_share(0)) / (load_share(1) - load_share(0)), u)

    found = extrapolate(at(0.1), at(1.0), follows_cpu=True)
    assert found.power_w == pytest.approx(40.0)
    assert found.source == "extrapolated"


def test_a_node_that_is_never_quiet_gets_a_sane_floor():
    """Always at 80 %: between the curve's idle share and what it draws."""
    floor = IdleFloor()
    watch(floor, WALL, 200.0, 0.8, minutes=30)
    found = floor.floor("cpu")
    assert 200 * 0.12 / 0.92 < found.power_w < 200
    assert found.source == "extrapolated"


def test_other_components_are_not_judged_by_the_cpus_curve():
    floor = IdleFloor()
    watch(floor, WALL, 12.0, 0.8, component="dram")
    assert floor.floor("dram").power_w == pytest.approx(12.0)


def test_a_calm_minute_is_forgotten_after_seven_days():
    floor = IdleFloor()
    watch(floor, WALL, 40.0, 0.0)
    watch(floor, WALL + 6 * DAY, 60.0, 0.0)
    assert floor.floor("cpu").power_w == pytest.approx(40.0)
    watch(floor, WALL + 8 * DAY, 70.0, 0.0)
    assert floor.floor("cpu").power_w == pytest.approx(60.0)


def test_the_floor_survives_a_restart():
    before = IdleFloor()
    watch(before, WALL, 40.0, 0.0)
    after = IdleFloor()
    after.load(before.dump(), WALL + HOUR)
    assert after.floor("cpu").power_w == pytest.approx(40.0)
    late = IdleFloor()
    late.load(before.dump(), WALL + 8 * DAY)
    assert late.floor("cpu") is None


def test_configured_watts_win_and_a_known_curve_comes_next():
    floor = IdleFloor({"cpu": 33.0})
    floor.declare({"cpu": 5.0, "dram": 2.0})
    assert (floor.floor("cpu").power_w, floor.floor("cpu").source) == (33.0, "configured")
    assert (floor.floor("dram").power_w, floor.floor("dram").source) == (2.0, "estimated")


def test_before_the_first_whole_minute_the_interval_so_far_stands_in():
    floor = IdleFloor()
    floor.observe("cpu", WALL, 5 * 1_000_000_000, 200_000_000, 0.0)
    assert floor.floor("cpu").power_w == pytest.approx(40.0)
