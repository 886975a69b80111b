"""Embodied emissions: the total, the rate, and the split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger.carbon.embodied import between, rate_g_per_s, split, total_g
from wattledger.model import IDLE, KERNEL, Workload
from wattledger.settings import EmbodiedSettings

HOUR_NS = 3600 * 10**9
YEAR_NS = 365 * 24 * HOUR_NS
TON = EmbodiedSettings(total_g=1e6)
A, B, C = (Workload(kind="container", id=name) for name in "abc")


def test_the_example_of_the_sci_specification() -> None:
    """1000 kg over 4 years, one hour: 28.5 g."""
    assert between(TON, 0, HOUR_NS) == pytest.approx(28.5, abs=0.05)
    rate = rate_g_per_s(TON)
    assert rate is not None
    assert rate * 3600 == pytest.approx(between(TON, 0, HOUR_NS), rel=1e-12)


@pytest.mark.parametrize(
    ("components", "kilograms"),
    [
        ({}, 1000.0),
        ({"cpus": 1, "memory_gb": 16}, 1000.0),
        ({"cpus": 2}, 1100.0),
        ({"memory_gb": 116}, 1138.8),
        ({"memory_gb": 8}, 1000.0),
        ({"ssds": 2, "hdds": 4}, 1400.0),
        ({"gpus": 8}, 2200.0),
        ({"cpus": 2, "memory_gb": 1016, "ssds": 1, "hdds": 1, "gpus": 1}, 2788.0),
    ],
)
def test_the_simple_model_by_components(components: dict[str, float], kilograms: float) -> None:
    """1000 kg with one CPU and 16 GB; what is beyond that adds up, what is less takes nothing away."""
    assert total_g(EmbodiedSettings(components=components)) == pytest.approx(kilograms * 1000)


def test_a_configured_total_wins_over_components() -> None:
    """The manufacturer knows better."""
    assert total_g(EmbodiedSettings(total_g=5e5, components={"gpus": 8})) == 5e5


def test_nothing_configured_is_nothing() -> None:
    """Off, not zero."""
    assert total_g(EmbodiedSettings()) is None
    assert rate_g_per_s(EmbodiedSettings()) is None
    assert between(EmbodiedSettings(), 0, HOUR_NS) == 0.0


def test_the_life_of_a_machine_adds_up_to_its_total() -> None:
    """In service from 100 h on, for 4 years: nothing before, nothing after, 1000 kg between."""
    machine = EmbodiedSettings(total_g=1e6, in_service_ns=100 * HOUR_NS)
    end_ns = 100 * HOUR_NS + 4 * YEAR_NS
    assert between(machine, 0, 100 * HOUR_NS) == 0.0
    assert between(machine, end_ns, end_ns + HOUR_NS) == 0.0
    assert between(machine, 0, end_ns + YEAR_NS) == 1e6
    assert between(machine, 99 * HOUR_NS, 101 * HOUR_NS) == pytest.approx(28.5, abs=0.05)
    assert between(machine, end_ns - HOUR_NS, end_ns + HOUR_NS) == pytest.approx(28.5, abs=0.05)


def test_the_rate_of_a_moment_is_nothing_out_of_its_life() -> None:
    """Without a moment it is that of any within; without a day in service it never ends."""
    machine = EmbodiedSettings(total_g=1e6, in_service_ns=100 * HOUR_NS)
    end_ns = 100 * HOUR_NS + 4 * YEAR_NS
    assert [rate_g_per_s(machine, at_ns) for at_ns in (0, end_ns)] == [0.0, 0.0]
    assert rate_g_per_s(machine, 100 * HOUR_NS) == rate_g_per_s(machine, end_ns - 1) == rate_g_per_s(machine)
    assert rate_g_per_s(TON, 1 << 62) == rate_g_per_s(TON)


def test_a_clock_that_was_set_back_takes_nothing_back() -> None:
    """An interval that runs backwards has no grams."""
    assert between(TON, HOUR_NS, 0) == 0.0


def test_reservations_and_use_share_the_machine() -> None:
    """8 CPUs for 10 s: a reserved 4 (half), b used 20 of 80 CPU seconds (a quarter), the rest is idle."""
    shares = split(100.0, {A: 4.0}, {A: 1, B: 20 * 10**9}, 8, 10 * 10**9)
    assert shares == {A: 50.0, B: 25.0, IDLE: 25.0}


def test_a_reservation_counts_used_or_not() -> None:
    """That is what reserving means (SCI: hardware reserved, not just used)."""
    assert split(100.0, {A: 2.0}, {}, 8, 10**9) == {A: 25.0, IDLE: 75.0}


def test_reservations_beyond_the_machine_are_scaled_down_together() -> None:
    """12 and 4 of 8 CPUs are three quarters and one, and nothing is left for who reserved nothing."""
    assert split(100.0, {A: 12.0, B: 4.0}, {C: 10**9}, 8, 10**9) == {A: 75.0, B: 25.0}


def test_use_beyond_what_is_unreserved_is_scaled_down_together() -> None:
    """a reserved 6 of 8; b and c used 4 CPUs' time of the 2 that are left: an eighth each."""
    shares = split(100.0, {A: 6.0}, {B: 2 * 10**9, C: 2 * 10**9}, 8, 10**9)
    assert shares == {A: 75.0, B: 12.5, C: 12.5}


def test_what_nobody_reserved_or_used_is_idle() -> None:
    """All of it on a machine at rest, and where nothing is known of the machine."""
    assert split(100.0, {}, {}, 8, 10**9) == {IDLE: 100.0}
    assert split(100.0, {}, {KERNEL: 10**9}, 0, 0) == {IDLE: 100.0}
    assert split(0.0, {A: 1.0}, {}, 8, 10**9) == {}


MANY = [Workload(kind="container", id=str(number)) for number in range(8)]


@given(
    st.floats(1e-9, 1e9),
    st.dictionaries(st.sampled_from(MANY), st.floats(0, 64)),
    st.dictionaries(st.sampled_from([*MANY, IDLE]), st.integers(0, 10**12)),
    st.integers(1, 128),
    st.integers(1, 10**11),
)
def test_the_shares_add_up_to_the_last_bit(
    grams: float, reserved: dict[Workload, float], used: dict[Workload, int], cpus: int, interval_ns: int
) -> None:
    """In any order, all above zero."""
    shares = split(grams, reserved, used, cpus, interval_ns)
    assert sum(shares.values()) == sum(reversed(shares.values())) == grams
    assert min(shares.values()) > 0


@given(st.lists(st.floats(0, 16), min_size=2, max_size=2), st.integers(1, 16))
def test_the_share_of_a_reservation_is_its_part(amounts: list[float], cpus: int) -> None:
    """Of the machine, or of all reservations when these are more."""
    shares = split(1000.0, {A: amounts[0], B: amounts[1]}, {}, cpus, 10**9)
    whole = max(cpus, sum(amounts))
    assert shares.get(A, 0.0) == pytest.approx(1000.0 * amounts[0] / whole, abs=1e-9)
    assert shares.get(B, 0.0) == pytest.approx(1000.0 * amounts[1] / whole, abs=1e-9)
