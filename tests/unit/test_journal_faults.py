"""Whatever happens to the journal's file, the agent goes on and figures are neither lost nor doubled."""

import contextlib
import logging
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.journal_batches import DB, WEB, J, Totals, at, by_hour, node_uj, sums, until, write
from tests.unprivileged import as_nobody
from wattledger.errors import StorageError
from wattledger.ledger.journal import Journal
from wattledger.ledger.journal_file import open_file
from wattledger.ledger.journal_read import find_journal, open_for_reading
from wattledger.ledger.journal_schema import HOUR_NS, STEPS
from wattledger.model import Workload

NEWER = (*STEPS, ("CREATE TABLE later (x)",))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite3"


@pytest.fixture
def open_folder():
    """A folder that everybody can enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def asides(folder):
    return [name for name in os.listdir(folder) if ".unreadable-" in name and not name.endswith("-wal")]


def running(folder):
    journal = Journal(str(folder), retention_ns=400 * 24 * HOUR_NS)
    journal.open()
    journal.start()
    return journal


def offer(journal, batch):
    """Hand a batch over and wait until it is written."""
    journal.offer(batch)
    until(lambda: journal.written_wall_ns == batch.wall_ns)


def fail(journal, batch):
    """Hand a batch over and wait until that has failed."""
    before = journal.errors
    journal.offer(batch)
    until(lambda: journal.errors > before)


@pytest.mark.parametrize(
    "content", [b"not a database at all\n" * 400, b"SQLite format 3\0" + b"\xff" * 5000, b"x"]
)
def test_what_is_no_database_is_moved_aside(tmp_path, path, content):
    path.write_bytes(content)
    write(tmp_path, Totals().use(WEB, J).batch(at(0)))
    assert sums(path) == {WEB.key: J}
    (aside,) = asides(tmp_path)
    assert (tmp_path / aside).read_bytes() == content


def test_another_programs_database_is_moved_aside(tmp_path, path):
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE workload (x)")
        other.execute("INSERT INTO workload VALUES (7)")
        other.commit()
    write(tmp_path, Totals().use(WEB, J).batch(at(0)))
    assert sums(path) == {WEB.key: J}
    (aside,) = asides(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / aside)) as other:
        assert other.execute("SELECT x FROM workload").fetchall() == [(7,)]


def test_an_empty_file_is_filled(tmp_path, path):
    """It is what a crash leaves that comes right after the file was made."""
    path.touch()
    write(tmp_path, Totals().use(WEB, J).batch(at(0)))
    assert sums(path) == {WEB.key: J}
    assert asides(tmp_path) == []


def test_a_journal_without_its_tables_is_moved_aside(tmp_path, path):
    totals = Totals()
    write(tmp_path, totals.use(WEB, J).batch(at(0)))
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE mark_energy")
    write(tmp_path, totals.use(WEB, J).batch(at(1)))
    assert len(asides(tmp_path)) == 1
    assert sums(path) == {WEB.key: 2 * J}


def test_a_batch_is_on_the_disk_before_it_counts_as_written(tmp_path):
    """No power cut takes back what was told to be written: every commit waits for the disk (2 is FULL)."""
    file = open_file(str(tmp_path))
    with contextlib.closing(file.connection) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_newer_journal_is_left_alone(tmp_path, path, caplog):
    """A file of this version's own is used beside it, and again after a restart."""
    assert find_journal(str(tmp_path)) == str(path)
    open_file(str(tmp_path), NEWER).close()
    assert find_journal(str(tmp_path)) == str(path)
    before = path.read_bytes()
    totals = Totals()
    with caplog.at_level(logging.ERROR):
        write(tmp_path, totals.use(WEB, J).batch(at(0)), totals.use(WEB, J).batch(at(1)))
    assert path.read_bytes() == before
    assert by_hour(tmp_path / "journal-1.sqlite3", WEB) == {0: 1, 1: 1}
    assert find_journal(str(tmp_path)) == str(tmp_path / "journal-1.sqlite3")
    assert "newer version and is left alone" in caplog.text
    with pytest.raises(StorageError, match=r"newer version of Wattledger \(schema 2.*journal-1\.sqlite3"):
        open_for_reading(str(path))


def test_an_older_journal_is_brought_up_to_date(tmp_path, path):
    """With what is in it."""
    write(tmp_path, Totals().use(WEB, J).batch(at(0)))
    open_file(str(tmp_path), NEWER).close()
    with contextlib.closing(sqlite3.connect(path)) as newer:
        assert newer.execute("PRAGMA user_version").fetchone() == (2,)
        assert newer.execute("SELECT count(*) FROM later").fetchone() == (0,)
        assert newer.execute("SELECT energy_uj FROM hour_energy").fetchall() == [(J,)]


def test_a_step_that_fails_leaves_the_old_version_whole(tmp_path, path):
    write(tmp_path, Totals().use(WEB, J).batch(at(0)))
    with pytest.raises(sqlite3.OperationalError):
        open_file(str(tmp_path), (*STEPS, ("CREATE TABLE later (x)", "CREATE TABLE workload (x)")))
    assert sums(path) == {WEB.key: J}


@pytest.fixture
def crashed(tmp_path):
    """The files of an agent that died after 30 batches of 10 J, all of them still in the write-ahead log."""
    folder = tmp_path / "crashed"
    folder.mkdir()
    journal = running(folder)
    totals = Totals()
    for minute in range(30):
        totals.use(WEB, 7 * J).use(DB, 3 * J)
        for number in range(5):
            totals.use(Workload(kind="unit", id=f"{minute}-{number}"), J)
        offer(journal, totals.batch(at(0) + minute))
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("journal.sqlite3", "journal.sqlite3-wal"):
        shutil.copy(folder / name, copy)
    assert journal.stop(20)
    return copy, folder / "journal.sqlite3", totals


@pytest.mark.parametrize("part", [0.0, 0.001, 0.1, 0.33, 0.5, 0.77, 0.95, 0.9999])
def test_a_write_that_was_cut_off_is_made_up_for(tmp_path, crashed, part):
    """The log ends anywhere: what is left is a whole number of batches, and the next one has the rest."""
    copy, _, totals = crashed
    wal = copy / "journal.sqlite3-wal"
    os.truncate(wal, int(wal.stat().st_size * part))
    write(copy, totals.use(WEB, 1 * J).batch(at(1)))
    assert asides(copy) == []
    assert sums(copy / "journal.sqlite3")[WEB.key] == 211 * J
    assert sums(copy / "journal.sqlite3")[DB.key] == 90 * J
    assert node_uj(copy / "journal.sqlite3") == 451 * J


@pytest.mark.parametrize("part", [0.05, 0.3, 0.6, 0.95])
def test_a_log_with_garbage_in_it_is_used_up_to_there(tmp_path, crashed, part):
    copy, _, totals = crashed
    wal = copy / "journal.sqlite3-wal"
    with open(wal, "r+b") as file:
        file.seek(int(wal.stat().st_size * part))
        file.write(b"\x5a" * 3000)
    write(copy, totals.use(WEB, 1 * J).batch(at(1)))
    assert asides(copy) == []
    assert node_uj(copy / "journal.sqlite3") == 451 * J


@pytest.mark.parametrize("pages", [1, 5, 11, 17])
def test_a_merge_of_the_log_that_was_cut_off_is_done_again(tmp_path, crashed, pages):
    """Some pages of the file are new already, the others not yet; the log is still there."""
    copy, merged, totals = crashed
    with open(copy / "journal.sqlite3", "r+b") as file:
        file.write(merged.read_bytes()[: pages * 4096])
    write(copy, totals.use(WEB, 1 * J).batch(at(1)))
    assert asides(copy) == []
    assert node_uj(copy / "journal.sqlite3") == 451 * J


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_file_never_stops_the_journal(tmp_path, seed):
    """Cut at any length, or with pages overwritten: in the end there is a file with the newest figures."""
    chance = random.Random(seed)
    path = tmp_path / "journal.sqlite3"
    totals = Totals()
    for number in range(60):
        totals.use(Workload(kind="unit", id=f"{number}"), J)
    write(tmp_path, totals.use(WEB, J).batch(at(0)))
    size = path.stat().st_size
    if seed % 2:
        os.truncate(path, chance.randrange(size))
    else:
        with open(path, "r+b") as file:
            for _ in range(3):
                file.seek(chance.randrange(size // 4096) * 4096 + chance.choice((0, 100)))
                file.write(chance.randbytes(800))
    journal = running(tmp_path)
    offer(journal, totals.use(WEB, 5 * J).batch(at(1)))
    offer(journal, totals.use(WEB, 3 * J).batch(at(2)))
    assert journal.stop(20)
    assert by_hour(path, WEB)[2] == 3
    assert os.path.getsize(path) > 0


def test_a_file_that_is_replaced_by_garbage_while_open_costs_nothing(tmp_path, path, caplog):
    """What was booked stays in the file moved aside; the new one goes on from there."""
    journal = running(tmp_path)
    totals = Totals().pass_time(9 * 3600)
    offer(journal, totals.batch(at(0)))
    offer(journal, totals.use(WEB, 10 * J).use(DB, J).batch(at(1)))
    (tmp_path / "garbage").write_bytes(b"\x07" * 10_000)
    os.replace(tmp_path / "garbage", path)
    for suffix in ("-wal", "-shm"):
        os.unlink(f"{path}{suffix}")
    with caplog.at_level(logging.ERROR):
        offer(journal, totals.use(WEB, 5 * J).pass_time(60).batch(at(2)))
    offer(journal, totals.use(WEB, 2 * J).use(DB, 4 * J).batch(at(3)))
    assert journal.stop(20)
    assert by_hour(path, WEB) == {2: 5, 3: 2}
    assert by_hour(path, DB) == {3: 4}
    assert len(asides(tmp_path)) == 1
    assert "journal is no longer where it was" in caplog.text
    write(tmp_path, totals.batch(at(4)))
    assert node_uj(path) == 11 * J


def test_a_folder_that_vanishes_is_waited_for(tmp_path):
    """Nothing can be written until it is back; then only what is new is booked."""
    folder = tmp_path / "state"
    journal = running(folder)
    totals = Totals()
    offer(journal, totals.use(WEB, 10 * J).batch(at(0)))
    shutil.rmtree(folder)
    fail(journal, totals.use(WEB, 5 * J).batch(at(1)))
    fail(journal, totals.use(WEB, 5 * J).batch(at(1.5)))
    assert not folder.exists()
    folder.mkdir()
    offer(journal, totals.use(WEB, 2 * J).batch(at(2)))
    assert journal.stop(20)
    assert by_hour(folder / "journal.sqlite3", WEB) == {1: 10, 2: 2}


def test_a_lock_held_for_long_is_an_error_said_once(tmp_path, path, caplog):
    """Every batch counts; the log has one line, and one when it is over."""
    journal = running(tmp_path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    totals = Totals()
    with caplog.at_level(logging.INFO):
        fail(journal, totals.use(WEB, 10 * J).batch(at(0)))
        fail(journal, totals.use(WEB, 10 * J).batch(at(1)))
        other.execute("ROLLBACK")
        other.close()
        offer(journal, totals.use(WEB, 10 * J).batch(at(2)))
    assert journal.stop(20)
    assert caplog.text.count("journal cannot be written") == 1
    assert caplog.text.count("journal is written again") == 1
    assert by_hour(path, WEB) == {0: 10, 1: 10, 2: 10}


def test_a_full_disk_is_waited_out(tmp_path, path):
    """No byte more may be written for two hours; then everything is, to the hours it belongs to."""
    journal = running(tmp_path)
    totals = Totals()
    offer(journal, totals.use(WEB, 10 * J).batch(at(0)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))  # any file of this process
    try:
        fail(journal, totals.use(WEB, 20 * J).batch(at(1)))
        fail(journal, totals.use(DB, 30 * J).batch(at(2)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    offer(journal, totals.use(WEB, 40 * J).batch(at(3)))
    assert journal.stop(20)
    assert by_hour(path, WEB) == {0: 10, 1: 20, 3: 40}
    assert by_hour(path, DB) == {2: 30}
    assert asides(tmp_path) == []


def test_old_hours_that_cannot_be_deleted_do_not_stop_new_ones(tmp_path, path, caplog):
    """Something holds on to the first hour: an error a day, and the batches are written."""
    write(tmp_path, Totals(boot_id="old").use(WEB, J).batch(at(0)))
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute(
            "CREATE TRIGGER keep BEFORE DELETE ON hour_node BEGIN SELECT raise(ABORT, 'held on to'); END"
        )
    journal = Journal(str(tmp_path), retention_ns=24 * HOUR_NS)
    journal.open()
    journal.start()
    totals = Totals()
    with caplog.at_level(logging.ERROR):
        for hour in range(72, 90):
            offer(journal, totals.use(WEB, J).pass_time(3600).batch(at(hour)))
    assert journal.stop(20)
    assert journal.errors == 1
    assert [record.reason for record in caplog.records] == ["held on to"]
    assert sum(by_hour(path, WEB).values()) == 19


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 400 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_file_system_that_fills_up_is_waited_out(small_disk):
    """Until somebody makes room."""
    journal = running(small_disk)
    totals = Totals()
    offer(journal, totals.use(WEB, 10 * J).batch(at(0)))
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 512)
    for number in range(300):
        totals.use(Workload(kind="unit", id=f"unit-{number}.service"), J)
    fail(journal, totals.batch(at(1)))
    fail(journal, totals.use(WEB, 5 * J).batch(at(2)))
    filler.unlink()
    offer(journal, totals.use(WEB, 7 * J).batch(at(3)))
    assert journal.stop(20)
    path = small_disk / "journal.sqlite3"
    assert by_hour(path, WEB) == {0: 10, 2: 5, 3: 7}
    assert node_uj(path) == 322 * J
    assert asides(small_disk) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a folder of another user")
def test_a_folder_that_may_not_be_written_is_an_error(open_folder):
    """Counted, not raised; nothing is made there."""

    def agent():
        journal = running(open_folder)
        opened = journal.errors
        fail(journal, Totals().use(WEB, J).batch(at(0)))
        return opened, journal.stop(0.1), journal.sum_for(None, 0, at(1), embodied=False)

    assert as_nobody(agent) == (1, False, 0.0)
    assert os.listdir(open_folder) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a file of another user")
def test_a_file_that_may_not_be_written_is_an_error(open_folder):
    """It stays as it is."""
    path = open_folder / "journal.sqlite3"
    write(open_folder, Totals().use(WEB, J).batch(at(0), budgets=["b"]))
    path.chmod(0o644)
    before = path.read_bytes()

    def agent():
        journal = running(open_folder)
        fail(journal, Totals().use(WEB, 2 * J).batch(at(1)))
        return journal.stop(0.1)

    assert as_nobody(agent) is False
    assert path.read_bytes() == before
    assert asides(open_folder) == []


def test_what_cannot_be_read_back_is_zero_and_an_error(tmp_path, path):
    """A budget is then seeded with nothing, and somebody is told."""
    journal = Journal(str(tmp_path), retention_ns=HOUR_NS)
    journal.open()
    assert (journal.sum_for(None, 0, at(1), embodied=True), journal.errors) == (0.0, 0)
    journal.stop(1)
    path.write_bytes(b"garbage" * 1000)
    assert (journal.sum_for(None, 0, at(1), embodied=True), journal.errors) == (0.0, 1)
