"""What two reads of a counter say, with numbers one can check in the head."""

import pytest

from wattledger.counters import CounterState, Step, advance
from wattledger.model import J_UJ, S_NS, Reading, Zone

RANGE_UJ = 262_143_328_850
ZONE = Zone(
    sensor="powercap",
    name="package-0",
    device="package-0",
    covers="cpu",
    range_uj=RANGE_UJ,
    max_power_w=1000.0,
    survives_suspend=False,
)
NO_RANGE = Zone(sensor="perf", name="package-0", device="package-0", covers="cpu", survives_suspend=False)
STEADY = Zone(sensor="hwmon", name="board", device="acpi", covers="node")


def state(raw_uj: int, at_s: float = 0, *, lineage: str = "boot/1", suspended_ns: int = 0) -> CounterState:
    return CounterState(lineage, raw_uj, round(at_s * S_NS), suspended_ns)


def step(zone: Zone, before_uj: int, after_uj: int, seconds: float) -> Step:
    """The step from one raw value to another of the same counter."""
    reading = Reading(zone, round(seconds * S_NS), after_uj, "boot/1")
    return advance(zone, state(before_uj), reading, 0)[1]


def test_the_first_reading_gives_no_energy():
    """What the counter showed before anybody looked was not measured by us."""
    new, first = advance(ZONE, None, Reading(ZONE, 7, 5 * J_UJ, "boot/1"), 3)
    assert first == Step(None, "first")
    assert new == CounterState("boot/1", 5 * J_UJ, 7, 3)


def test_forwards_is_the_difference():
    assert step(ZONE, 100 * J_UJ, 300 * J_UJ, 10) == Step(200 * J_UJ, "advanced")


def test_standing_still_is_zero_and_not_a_failure():
    assert step(ZONE, 100 * J_UJ, 100 * J_UJ, 5) == Step(0, "advanced")


def test_backwards_past_the_top_is_a_wrap():
    """50 J below the top, then 150 J above zero: 200 J in 10 s."""
    assert step(ZONE, RANGE_UJ - 50 * J_UJ, 150 * J_UJ, 10) == Step(200 * J_UJ, "wrapped")


def test_backwards_from_the_middle_is_a_reset():
    """100 kJ to 0 as a wrap would be 162 kJ in 10 s: 16 kW from a socket of 1 kW at most."""
    assert step(ZONE, 100_000 * J_UJ, 0, 10) == Step(None, "reset")


def test_backwards_without_a_range_is_a_reset():
    """With no modulus there is nothing to wrap at."""
    assert step(NO_RANGE, 100 * J_UJ, 99 * J_UJ, 10) == Step(None, "reset")


def test_backwards_from_beyond_the_range_is_a_reset():
    """A counter above its own stated range does not wrap to a negative energy."""
    assert step(ZONE, RANGE_UJ + 2 * J_UJ, J_UJ, 10) == Step(None, "reset")


def test_forwards_beyond_what_the_zone_can_draw_is_implausible():
    """1000 W for 10 s are 10 kJ; 11 J of slack are for the counter's steps and the reader's delay."""
    assert step(ZONE, 0, 10_011 * J_UJ, 10) == Step(10_011 * J_UJ, "advanced")
    assert step(ZONE, 0, 10_012 * J_UJ, 10) == Step(None, "implausible")


def test_another_lineage_is_another_counter():
    """A zone that went and came back has a value that means nothing beside the old one."""
    reading = Reading(ZONE, 5 * S_NS, 101 * J_UJ, "boot/2")
    assert advance(ZONE, state(100 * J_UJ), reading, 0)[1] == Step(None, "replaced")


def test_suspend_drops_the_interval_of_a_counter_it_may_clear():
    reading = Reading(ZONE, 60 * S_NS, 101 * J_UJ, "boot/1")
    new, dropped = advance(ZONE, state(100 * J_UJ), reading, 30 * S_NS)
    assert dropped == Step(None, "suspended")
    later = Reading(ZONE, 61 * S_NS, 111 * J_UJ, "boot/1")
    assert advance(ZONE, new, later, 30 * S_NS)[1] == Step(10 * J_UJ, "advanced")


def test_suspend_leaves_a_counter_that_survives_it():
    reading = Reading(STEADY, 60 * S_NS, 101 * J_UJ, "boot/1")
    assert advance(STEADY, state(100 * J_UJ), reading, 30 * S_NS)[1] == Step(J_UJ, "advanced")


def test_ten_milliseconds_between_the_clocks_are_no_suspend():
    reading = Reading(ZONE, 5 * S_NS, 101 * J_UJ, "boot/1")
    assert advance(ZONE, state(100 * J_UJ), reading, 10_000_000)[1].outcome == "advanced"
    assert advance(ZONE, state(100 * J_UJ), reading, 10_000_001)[1].outcome == "suspended"


@pytest.mark.parametrize(("before_j", "after_j", "certain_j"), [(1000, 3000, 2000), (262_000, 857, 1000)])
def test_a_gap_long_enough_for_a_whole_turn_books_the_certain_part(before_j, after_j, certain_j):
    """At 1000 W a 262 kJ counter may turn over in 262 s; after 300 s only the remainder is certain."""
    before_uj = before_j * J_UJ
    after_uj = (before_uj + certain_j * J_UJ) % RANGE_UJ
    assert abs(after_uj - after_j * J_UJ) < J_UJ
    assert step(ZONE, before_uj, after_uj, 300) == Step(certain_j * J_UJ, "ambiguous")


def test_a_gap_just_too_short_for_a_whole_turn_is_exact():
    """262 s at 1000 W are 262.0 kJ, less than the range of 262.1 kJ."""
    assert step(ZONE, 0, 200_000 * J_UJ, 262).outcome == "advanced"
    assert step(ZONE, 0, 200_000 * J_UJ, 262.2).outcome == "ambiguous"


@pytest.mark.parametrize("at_s", [0, -5])
def test_no_time_or_time_going_back_is_harmless(at_s):
    """Two reads at one instant: no energy is fine, 100 J is not."""
    assert step(ZONE, 100 * J_UJ, 100 * J_UJ, at_s) == Step(0, "advanced")
    assert step(ZONE, 100 * J_UJ, 200 * J_UJ, at_s) == Step(None, "implausible")
    assert step(ZONE, 200 * J_UJ, 100 * J_UJ, at_s) == Step(None, "reset")


def test_after_any_dropped_interval_the_next_one_counts_again():
    """A spike costs the two intervals it touches, and nothing after them."""
    spike, dropped = advance(ZONE, state(0), Reading(ZONE, 5 * S_NS, 90_000 * J_UJ, "boot/1"), 0)
    assert dropped.outcome == "implausible"
    back, dropped = advance(ZONE, spike, Reading(ZONE, 10 * S_NS, 200 * J_UJ, "boot/1"), 0)
    assert dropped.outcome == "reset"
    assert advance(ZONE, back, Reading(ZONE, 15 * S_NS, 300 * J_UJ, "boot/1"), 0)[1] == Step(
        100 * J_UJ, "advanced"
    )


def test_a_reading_without_a_value_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="with a value"):
        advance(ZONE, None, Reading(ZONE, 0, None, "", "eio"), 0)
