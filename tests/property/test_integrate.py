"""Integrated power loses nothing to rounding, whatever the moments of its samples."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from wattledger.sensors.integrate import PowerIntegral, SampledPower

HOUR_NS = 3600 * 10**9
POWERS_UW = st.integers(min_value=0, max_value=20_000 * 10**6)
STEPS_NS = st.lists(st.integers(min_value=1, max_value=60 * 10**9), min_size=1, max_size=200)


@given(power_uw=POWERS_UW, steps_ns=STEPS_NS)
def test_constant_power_is_power_times_time(power_uw: int, steps_ns: list[int]) -> None:
    """P for t is exactly floor(P * t), so less than a microjoule is ever missing."""
    sampled = SampledPower(max_gap_ns=60 * 10**9)
    now_ns = 5
    sampled.sample(now_ns, power_uw)
    for step_ns in steps_ns:
        now_ns += step_ns
        sampled.sample(now_ns, power_uw)
    assert sampled.energy_uj == power_uw * sum(steps_ns) // 10**9
    assert sampled.gaps == 0


@given(
    start_uw=POWERS_UW,
    end_uw=POWERS_UW,
    cuts_ns=st.lists(st.integers(min_value=1, max_value=HOUR_NS - 1), unique=True, max_size=50),
)
def test_an_hour_in_pieces_is_the_hour(start_uw: int, end_uw: int, cuts_ns: list[int]) -> None:
    """A step of power halfway through, cut anywhere else, is the sum of its two halves within 1 uJ."""
    half_ns = HOUR_NS // 2
    edges = sorted({0, half_ns, HOUR_NS, *cuts_ns})
    integral = PowerIntegral()
    for left, right in pairwise(edges):
        power_uw = start_uw if right <= half_ns else end_uw
        integral.accrue(power_uw, power_uw, right - left)
    assert integral.energy_uj == (start_uw + end_uw) * half_ns // 10**9


@given(samples=st.lists(st.tuples(st.integers(0, 200 * 10**9), POWERS_UW), max_size=100))
def test_energy_never_falls(samples: list[tuple[int, int]]) -> None:
    """Samples that repeat, jump ahead or come out of order never take energy back."""
    sampled = SampledPower(max_gap_ns=60 * 10**9)
    seen_uj = 0
    for at_ns, power_uw in samples:
        sampled.sample(at_ns, power_uw)
        assert sampled.energy_uj >= seen_uj
        seen_uj = sampled.energy_uj


@given(samples=st.lists(st.tuples(st.integers(1, 120 * 10**9), POWERS_UW), min_size=1, max_size=100))
def test_energy_is_the_trapezoids_without_the_gaps(samples: list[tuple[int, int]]) -> None:
    """What is integrated is the trapezoids no wider than the longest gap; the wider ones are counted."""
    sampled = SampledPower(max_gap_ns=60 * 10**9)
    now_ns, before_uw = 0, 0
    sampled.sample(now_ns, before_uw)
    doubled, gaps = 0, 0
    for step_ns, power_uw in samples:
        now_ns += step_ns
        sampled.sample(now_ns, power_uw)
        if step_ns <= 60 * 10**9:
            doubled += (before_uw + power_uw) * step_ns
        else:
            gaps += 1
        before_uw = power_uw
    assert sampled.energy_uj == doubled // (2 * 10**9)
    assert sampled.gaps == gaps
