"""A board's energy: continued over restarts, integrated from power, and cross-checked."""

from __future__ import annotations

import pytest

from wattledger.gpu.counter import ContinuedCounter
from wattledger.gpu.power import CrossCheck, PowerIntegral

S = 1_000_000_000
J = 1_000_000
MAX_W = 1000.0


def test_a_counter_that_runs_is_shown_as_it_is() -> None:
    """So that another process of this boot can go on from its checkpoint."""
    counter = ContinuedCounter("boot")
    first = counter.take("7", 5000 * J, 0, MAX_W)
    then = counter.take("7", 5300 * J, S, MAX_W)
    assert (first.energy_uj, then.energy_uj) == (5000 * J, 5300 * J)
    assert first.lineage == then.lineage == "boot/7"
    assert ContinuedCounter("boot").take("7", 5400 * J, 0, MAX_W).lineage == "boot/7"


def test_a_restart_is_continued() -> None:
    """5000 J, then a reload, then 40 J a second later: 5040 J, and nothing else is known."""
    counter = ContinuedCounter("boot")
    counter.take("7", 5000 * J, 0, MAX_W)
    value = counter.take("7", 40 * J, S, MAX_W)
    assert (value.energy_uj, value.change, value.lineage) == (5040 * J, "restarted", "boot/7")
    assert counter.take("7", 90 * J, 2 * S, MAX_W).energy_uj == 5090 * J


def test_a_reload_shows_even_when_the_new_counter_is_higher() -> None:
    """10 J before, 300 J ten minutes after the driver was loaded anew: 310 J, not 300 J."""
    counter = ContinuedCounter("boot")
    counter.take("7", 10 * J, 0, MAX_W)
    value = counter.take("8", 300 * J, 600 * S, MAX_W)
    assert (value.energy_uj, value.change) == (310 * J, "restarted")


def test_another_process_does_not_join_what_was_continued() -> None:
    """After a reload the hardware's own value is another counter."""
    counter = ContinuedCounter("boot")
    counter.take("7", 5000 * J, 0, MAX_W)
    continued = counter.take("8", 40 * J, S, MAX_W)
    assert ContinuedCounter("boot").take("8", 50 * J, 2 * S, MAX_W).lineage != continued.lineage


def test_a_fall_that_is_no_restart_begins_another_lineage() -> None:
    """From 9000 J to 8990 J in a second: 8990 J cannot have been drawn since, so nothing is added."""
    counter = ContinuedCounter("boot")
    first = counter.take("7", 9000 * J, 0, MAX_W)
    value = counter.take("7", 8990 * J, S, MAX_W)
    assert (value.energy_uj, value.change) == (8990 * J, "replaced")
    assert value.lineage != first.lineage
    assert counter.take("7", 9090 * J, 2 * S, MAX_W).lineage == value.lineage


def test_power_is_integrated_over_its_own_stamps() -> None:
    """100 W to 300 W within a second are 200 J, then 300 W for half a second 150 J."""
    integral = PowerIntegral()
    integral.take([(1_000_000, 100_000), (2_000_000, 300_000), (2_500_000, 300_000)])
    assert integral.energy_uj == 350 * J
    assert integral.covered_us == 1_500_000


def test_samples_seen_before_add_nothing() -> None:
    """The ring gives the same sample twice when it is asked with an older stamp."""
    integral = PowerIntegral()
    integral.take([(1_000_000, 100_000), (2_000_000, 100_000)])
    integral.take([(1_500_000, 100_000), (2_000_000, 100_000), (3_000_000, 100_000)])
    assert integral.energy_uj == 200 * J


def test_nothing_is_made_up_for_a_gap() -> None:
    """A worker that stalled for ten seconds knows nothing of them."""
    integral = PowerIntegral()
    integral.take([(1_000_000, 100_000), (11_000_000, 100_000), (12_000_000, 100_000)])
    assert integral.energy_uj == 100 * J


def test_a_power_that_cannot_be_is_no_sample() -> None:
    """The driver's 0xFFFFFFFF for "not available" would be 4 MW."""
    integral = PowerIntegral()
    integral.take([(1_000_000, 100_000), (1_500_000, 0xFFFFFFFF), (2_000_000, 100_000)])
    assert integral.energy_uj == 100 * J


def test_integration_goes_on_after_the_clock_was_set_back() -> None:
    """An hour back, and the next second counts."""
    integral = PowerIntegral()
    integral.take([(4_000_000_000, 100_000)])
    integral.rewind(400_000_000)
    integral.take([(400_000_000, 100_000), (401_000_000, 100_000)])
    assert integral.energy_uj == 100 * J


def test_the_cross_check_compares_whole_minutes() -> None:
    """A counter of 110 W beside samples of 100 W gives 1.1, once a minute is full."""
    integral, check = PowerIntegral(), CrossCheck()
    for second in range(61):
        integral.take([(second * 1_000_000 + 1, 100_000)])
        check.take(second * 1_000_000, second * 110 * J, integral)
        assert (check.ratio is None) == (second < 60)
    assert check.ratio == pytest.approx(1.1)


def test_a_restart_of_the_counter_begins_the_minute_anew() -> None:
    """Otherwise the ratio would be far off, or negative."""
    integral, check = PowerIntegral(), CrossCheck()
    for second in range(90):
        integral.take([(second * 1_000_000 + 1, 100_000)])
        check.take(second * 1_000_000, (second % 50) * 100 * J, integral)
    assert check.ratio is None
