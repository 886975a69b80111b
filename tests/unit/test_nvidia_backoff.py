"""How long a worker that failed is left alone, and a board on which workers hang."""

from __future__ import annotations

from wattledger.gpu.backoff import Backoff, Quarantine

S = 1_000_000_000


def test_waiting_doubles_to_five_minutes() -> None:
    """5 s, 10 s, ... 300 s, and 5 s again once all was well."""
    backoff = Backoff()
    assert [backoff.next_ns() // S for _ in range(8)] == [5, 10, 20, 40, 80, 160, 300, 300]
    backoff.reset()
    assert backoff.next_ns() == 5 * S


def test_a_board_is_avoided_from_its_second_hang_on() -> None:
    """One may be the machine's own trouble."""
    quarantine = Quarantine()
    quarantine.blame("0000:1b:00.0", 0)
    assert quarantine.avoided(15 * S) == ()
    quarantine.blame("0000:1b:00.0", 30 * S)
    assert quarantine.avoided(40 * S) == ("0000:1b:00.0",)
    assert not quarantine.is_over(89 * S)


def test_an_avoided_board_gets_another_chance_ever_later() -> None:
    """After a minute, then two."""
    quarantine = Quarantine()
    for _ in range(2):
        quarantine.blame("a", 0)
    assert quarantine.is_over(60 * S)
    assert quarantine.avoided(60 * S) == ()
    assert not quarantine.is_over(60 * S)
    quarantine.blame("a", 75 * S)
    assert quarantine.avoided(194 * S) == ("a",)
    assert quarantine.is_over(195 * S)


def test_a_worker_that_is_well_clears_the_boards_it_touches() -> None:
    """Not those it was told to avoid."""
    quarantine = Quarantine()
    quarantine.blame("touched", 0)
    for _ in range(2):
        quarantine.blame("avoided", 0)
    quarantine.absolve()
    quarantine.blame("touched", 100 * S)
    assert quarantine.avoided(10 * S) == ("avoided",)


def test_a_hang_on_no_board_blames_none() -> None:
    """NVML itself hung."""
    quarantine = Quarantine()
    quarantine.blame("", 0)
    quarantine.blame("", 0)
    assert quarantine.avoided(0) == ()
