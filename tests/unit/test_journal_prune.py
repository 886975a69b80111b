"""Retention: old hours go, by a clock that can be trusted, and the file shrinks."""

import contextlib
import sqlite3

import pytest

from tests.journal_batches import DAY_NS, DB, WEB, J, Totals, at, by_hour, node_uj, write
from wattledger.ledger.journal import Journal
from wattledger.ledger.journal_file import open_file
from wattledger.ledger.journal_prune import Retention, prune
from wattledger.ledger.journal_read import open_for_reading
from wattledger.ledger.journal_schema import HOUR_NS
from wattledger.ledger.journal_write import Writer
from wattledger.model import Workload

HOUR_S = 3600


def cutoffs(retention, *steps):
    """The cutoff in hours after the start, at batches of (hours sampled since boot, hour on the wall)."""
    totals = Totals()
    found = []
    for covered, hour in steps:
        totals.covered_ns = round(covered * HOUR_NS)
        batch = totals.batch(at(hour))
        cutoff = retention.cutoff(batch)
        found.append(None if cutoff is None else cutoff - at(0) // HOUR_NS)
        if cutoff is not None:
            retention.done(batch)
    return found


def test_pruned_after_an_hour_and_then_once_a_day():
    steps = [(0, 100), (0.5, 100.5), (1, 101), (2, 102), (24, 124), (25, 125), (26, 126)]
    assert cutoffs(Retention(48 * HOUR_NS), *steps) == [None, None, 53, None, None, 77, None]


def test_a_clock_that_jumps_ahead_deletes_nothing():
    """Ten years for half an hour, then back."""
    steps = [(0, 100), (0.9, 100.9), (1.0, 90_000), (1.5, 90_000.5), (1.6, 101.6), (2.5, 102.5), (2.7, 102.7)]
    assert cutoffs(Retention(48 * HOUR_NS), *steps) == [None] * 6 + [54]


def test_another_retention_is_applied_at_once():
    retention = Retention(48 * HOUR_NS)
    assert cutoffs(retention, (0, 100), (1, 101)) == [None, 53]
    retention.configure(24 * HOUR_NS)
    assert cutoffs(retention, (1.1, 101.1), (1.2, 101.2)) == [77, None]
    retention.configure(24 * HOUR_NS)
    assert cutoffs(retention, (1.3, 101.3)) == [None]


@pytest.fixture
def file(tmp_path):
    opened = open_file(str(tmp_path))
    yield opened
    opened.close()


def booked(file, totals, hours):
    """A journal of so many hours, each with a workload of its own and one that is always there."""
    writer = Writer(file.connection, created=file.created)
    for hour in hours:
        totals.use(WEB, J, embodied_g=0.1).use(Workload(kind="unit", id=f"u{hour}"), 10 * J).pass_time(60)
        writer.write(totals.batch(at(hour)))
        totals.drop(Workload(kind="unit", id=f"u{hour}"))
    return writer


def test_what_is_too_old_goes_from_every_table(file):
    """Of ten hours the last three stay, with their workloads and the one that is alive."""
    booked(file, Totals(), range(10))
    assert prune(file.connection, at(7) // HOUR_NS)
    with open_for_reading(file.path) as reader:
        assert reader.span() == (at(7), at(10))
        assert {w.id for w in reader.workloads().values()} == {"web", "u7", "u8", "u9"}
        assert reader.nodes(0, at(99))["cpu"].energy_uj == 33 * J
        assert [s.energy_uj for s in reader.sources(0, at(99))] == [33 * J]
        assert len(reader.cover(0, at(99))) == 3
    embodied = file.connection.execute("SELECT count(*) FROM hour_embodied").fetchone()
    assert embodied == (3,)


def test_marks_outlive_the_hours(file):
    """A workload with old hours only goes on where it stopped."""
    totals = Totals()
    writer = booked(file, totals, range(3))
    assert prune(file.connection, at(3) // HOUR_NS)
    writer.forget_rows()
    writer.write(totals.use(WEB, 5 * J).batch(at(3)))
    assert by_hour(file.path, WEB) == {3: 5}
    assert node_uj(file.path) == 5 * J


def test_much_is_pruned_in_pieces(file):
    """A thousand hours, a week at a time; nothing that is young enough is touched in between."""
    booked(file, Totals(), range(1000))
    pieces = 1
    while not prune(file.connection, at(990) // HOUR_NS):
        pieces += 1
        assert by_hour(file.path, WEB)[990] == 1
    assert pieces == 6
    assert sorted(by_hour(file.path, WEB)) == list(range(990, 1000))


def test_the_file_shrinks(file):
    """Down to what is left and an eighth."""
    totals = Totals()
    writer = Writer(file.connection, created=True)
    for hour in range(40):
        for number in range(200):
            totals.use(Workload(kind="unit", id=f"u{number}"), J)
        writer.write(totals.batch(at(hour)))
    pages = file.connection.execute("PRAGMA page_count").fetchone()[0]
    assert prune(file.connection, at(39) // HOUR_NS)
    left = file.connection.execute("PRAGMA page_count").fetchone()[0]
    assert left < pages / 2
    assert file.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_journal_prunes_by_itself(tmp_path):
    """Kept for two days: what is three days old goes once the agent has run for an hour."""
    journal = write(tmp_path, Totals(boot_id="old").use(WEB, J).use(DB, J).batch(at(0)))
    journal = Journal(str(tmp_path), retention_ns=2 * DAY_NS, pending_hours=9)
    journal.open()
    totals = Totals()
    for hour in (72, 73, 74):
        journal.offer(totals.use(WEB, 10 * J).pass_time(HOUR_S).batch(at(hour)))
    journal.start()
    assert journal.stop(20)
    assert by_hour(journal.path, WEB) == {72: 10, 73: 10, 74: 10}
    assert by_hour(journal.path, DB) == {}
    with contextlib.closing(sqlite3.connect(journal.path)) as shell:
        assert shell.execute("PRAGMA auto_vacuum").fetchone() == (2,)
