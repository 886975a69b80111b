"""Busy time of processes from the driver's utilisation samples."""

from __future__ import annotations

from wattledger.gpu.utilisation import BusyTime, Sample, difference, plausible

NOW = 1_700_000_000_000_000
SECOND = 1_000_000


def test_a_mean_over_a_window_is_busy_time() -> None:
    """75 % and 25 % of two seconds are 1.5 s and 0.5 s."""
    busy = BusyTime(NOW)
    then = NOW + 2 * SECOND
    busy.take([Sample(10, then, 75, 0, 0), Sample(11, then, 25, 0, 0)], then)
    assert busy.busy_us == {10: 1_500_000, 11: 500_000}


def test_windows_join_at_the_newest_sample() -> None:
    """The process that was seen last sets the stamp, so no sample is counted twice and none is lost."""
    busy = BusyTime(NOW)
    busy.take([Sample(10, NOW + 600_000, 50, 0, 0), Sample(11, NOW + 900_000, 50, 0, 0)], NOW + SECOND)
    assert busy.since_us(NOW + SECOND) == NOW + 900_000
    busy.take([Sample(10, NOW + 1_900_000, 100, 0, 0)], NOW + 2 * SECOND)
    assert busy.busy_us == {10: 450_000 + 1_000_000, 11: 450_000}


def test_a_late_look_asks_for_no_more_than_the_ring() -> None:
    """After a stall of a minute only ten seconds are left, and count as ten."""
    busy = BusyTime(NOW)
    later = NOW + 60 * SECOND
    busy.take([Sample(10, later, 100, 0, 0)], later)
    assert busy.busy_us == {10: 10 * SECOND}


def test_an_idle_board_moves_the_window_along() -> None:
    """Otherwise the first work after an idle hour would be a mean over the ring, rounded to nothing."""
    busy = BusyTime(NOW)
    busy.take([], NOW + 5 * SECOND)
    assert busy.since_us(NOW + 5 * SECOND) == NOW + 4 * SECOND


def test_a_clock_set_back_does_not_stop_the_account() -> None:
    """Samples stamped an hour before the last one are new all the same."""
    busy = BusyTime(NOW)
    earlier = NOW - 3600 * SECOND
    assert busy.since_us(earlier) == earlier
    busy.take([Sample(10, earlier + SECOND, 100, 0, 0)], earlier + SECOND)
    assert busy.busy_us == {10: SECOND}


def test_garbage_is_left_out() -> None:
    """Percentages above 100, pids that cannot be, and stamps outside the window."""
    good = Sample(10, NOW + SECOND, 100, 0, 0)
    samples = [
        good,
        Sample(0, NOW + SECOND, 50, 0, 0),
        Sample(0xFFFFFFFF, NOW + SECOND, 50, 0, 0),
        Sample(11, NOW + SECOND, 101, 0, 0),
        Sample(12, NOW + SECOND, 1, 4_000_000, 0),
        Sample(13, NOW, 50, 0, 0),
        Sample(14, 0, 50, 0, 0),
        Sample(15, NOW + 60 * SECOND, 50, 0, 0),
    ]
    assert plausible(samples, NOW, NOW + SECOND) == [good]


def test_a_transcoder_counts_where_nobody_computes() -> None:
    """The encoder's use alone is a board's work; beside computing it is none."""
    busy = BusyTime(NOW)
    busy.take([Sample(10, NOW + SECOND, 0, 40, 10)], NOW + SECOND)
    assert busy.busy_us == {10: 400_000}
    then = NOW + 2 * SECOND
    busy.take([Sample(10, then, 0, 100, 0), Sample(11, then, 10, 0, 0)], then)
    assert busy.busy_us == {10: 400_000, 11: 100_000}


def test_the_ended_are_forgotten_after_a_minute() -> None:
    """Their work stays long enough to be read, the living stay for ever."""
    busy = BusyTime(NOW)
    busy.take([Sample(10, NOW + SECOND, 50, 0, 0), Sample(11, NOW + SECOND, 50, 0, 0)], NOW + SECOND)
    busy.forget({11}, NOW + 60 * SECOND)
    assert set(busy.busy_us) == {10, 11}
    busy.forget({11}, NOW + 62 * SECOND)
    assert set(busy.busy_us) == {11}


def test_the_difference_of_two_accounts() -> None:
    """New processes count whole, as do those whose account began anew; idle ones are left out."""
    assert difference({1: 100, 2: 50, 3: 70}, {1: 130, 2: 50, 3: 20, 4: 5}) == {1: 30, 3: 20, 4: 5}
