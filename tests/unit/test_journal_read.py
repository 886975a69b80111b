"""What was booked is read back: by whom, per hour, with coverage, and wherever the file lies."""

import contextlib
import math
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest

from tests.journal_batches import BATCH, DAY_NS, DB, IDLE, START_NS, WEB, J, Totals, at, until, write
from tests.unprivileged import as_nobody
from wattledger.errors import StorageError
from wattledger.ledger.journal import Journal
from wattledger.ledger.journal_read import open_for_reading
from wattledger.ledger.journal_schema import HOUR_NS
from wattledger.model import S_NS


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite3"


@pytest.fixture
def open_folder():
    """A folder that everybody can enter, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.fixture
def reader(tmp_path, path):
    """Three hours: web 100, 50 and 0 J, db 0, 10 and 20 J, a job 0, 0 and 5 J, idle 40 J in each."""
    totals = Totals()
    totals.use(WEB, 100 * J, embodied_g=1.0).use(IDLE, 40 * J, mode="").pass_time(3600)
    batches = [totals.batch(at(0))]
    totals.use(WEB, 50 * J, component="dram").use(DB, 10 * J).use(IDLE, 40 * J, mode="").pass_time(1800)
    batches.append(totals.batch(at(1)))
    totals.use(DB, 20 * J, embodied_g=0.5).use(BATCH, 5 * J).use(IDLE, 40 * J, mode="").pass_time(3600)
    write(tmp_path, *batches, totals.batch(at(2)))
    with open_for_reading(str(path)) as opened:
        yield opened


def energies(groups):
    return {group.group: group.energy_uj // J for group in groups}


def test_sums_by_workload(reader):
    groups = {group.workload.key: group for group in reader.totals(at(0), at(3))}
    assert energies(groups.values()) == {"container/web": 150, "container/db": 30, "job/7": 5, "idle/": 120}
    web = groups[WEB.key]
    assert web.workload.pod_name == "web-0"
    assert (web.of("cpu")[0], web.of("dram")[0], web.of("gpu")[0]) == (100 * J, 50 * J, 0)
    assert web.emissions_g == pytest.approx(0.015, rel=1e-12)
    assert (web.embodied_g, groups[DB.key].embodied_g) == (1.0, 0.5)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("namespace", {"shop": 180, "": 125}),
        ("user", {"ann": 5, "": 300}),
        ("account", {"physics": 5, "": 300}),
        ("kind", {"container": 180, "job": 5, "idle": 120}),
    ],
)
def test_sums_by_what_workloads_share(reader, by, expected):
    assert energies(reader.totals(at(0), at(3), by=by)) == expected
    hours = list(reader.hours(at(0), at(3), by=by))
    for name, joules in expected.items():
        assert sum(group.energy_uj for group in hours if group.group == name) == joules * J


def test_a_span_is_the_hours_that_begin_in_it(reader):
    """From hour 1 up to before hour 2; from a minute past an hour, that hour is out."""
    assert energies(reader.totals(at(1), at(2))) == {"container/web": 50, "container/db": 10, "idle/": 40}
    assert energies(reader.totals(at(1) + 1, at(2) + 1)) == {"container/db": 20, "job/7": 5, "idle/": 40}
    assert reader.totals(at(1), at(1)) == []


def test_hours_come_in_order(reader):
    hours = [(group.hour_ns, group.group) for group in reader.hours(0, 1 << 62)]
    assert [hour for hour, _ in hours] == [at(0)] * 2 + [at(1)] * 3 + [at(2)] * 3
    assert {group for hour, group in hours if hour == at(2)} == {"container/db", "job/7", "idle/"}


def test_hours_far_apart_come_in_order_too(tmp_path, path):
    """A hundred days are fetched by the day."""
    totals = Totals()
    write(tmp_path, *[totals.use(WEB, J).batch(at(24 * day)) for day in (0, 1, 50, 100)])
    with open_for_reading(str(path)) as reader:
        days = [(group.hour_ns - START_NS) // DAY_NS for group in reader.hours(0, 1 << 62)]
        nodes = [(hour - START_NS) // DAY_NS for hour, _, _ in reader.node_hours(0, 1 << 62)]
        assert reader.span() == (at(0), at(2401))
    assert days == nodes == [0, 1, 50, 100]


def test_the_nodes_sums(reader):
    nodes = reader.nodes(at(0), at(3))
    assert {component: total.energy_uj // J for component, total in nodes.items()} == {"cpu": 255, "dram": 50}
    assert nodes["cpu"].facility_uj == 255 * J * 1.5
    assert nodes["dram"].fallback_uj == 25 * J
    hours = [
        (hour, component, total.energy_uj // J) for hour, component, total in reader.node_hours(at(1), at(2))
    ]
    assert hours == [(at(1), "cpu", 50), (at(1), "dram", 50)]


def test_coverage_by_hour(reader):
    """The agent took samples for half of hour 1."""
    cover = reader.cover(at(0), at(3))
    assert [(c.hour_ns, c.covered_ns // S_NS, c.embodied_g) for c in cover] == [
        (at(0), 3600, 1.0),
        (at(1), 1800, 0.0),
        (at(2), 3600, 0.5),
    ]
    assert reader.span() == (at(0), at(3))


def test_workloads_add_up_to_the_node(reader):
    workloads = sum(group.energy_uj for group in reader.totals(0, 1 << 62))
    assert workloads == sum(total.energy_uj for total in reader.nodes(0, 1 << 62).values()) == 305 * J


def test_an_empty_journal_has_nothing(tmp_path, path):
    write(tmp_path, Totals().batch(at(0)))
    with open_for_reading(str(path)) as reader:
        assert (reader.span(), reader.totals(0, at(1)), list(reader.hours(0, at(1)))) == (None, [], [])
        assert (reader.nodes(0, at(1)), reader.cover(0, at(1)), reader.sources(0, at(1))) == ({}, [], [])
        assert reader.grams(None, 0, at(1)) == 0.0


def test_grams_of_the_edges_count_in_proportion(tmp_path, path):
    """6, 8 and 10 g in three hours: from the middle of the first to a quarter of the third, 3 + 8 + 2.5 g."""
    totals = Totals()
    batches = [totals.use(WEB, J, grams=grams).batch(at(hour)) for hour, grams in enumerate((6.0, 8.0, 10.0))]
    journal = write(tmp_path, *batches, totals.batch(at(3)))
    for match in (None, lambda workload: workload.pod_namespace == "shop"):
        assert journal.sum_for(match, at(0.5), at(2.25), embodied=False) == pytest.approx(13.5, rel=1e-9)
        assert journal.sum_for(match, at(0), at(3), embodied=False) == pytest.approx(24.0, rel=1e-9)
        assert journal.sum_for(match, at(1.25), at(1.75), embodied=False) == pytest.approx(4.0, rel=1e-9)
        assert journal.sum_for(match, at(5), at(6), embodied=False) == 0.0
        assert journal.sum_for(match, at(1), at(1), embodied=False) == 0.0
    assert journal.sum_for(lambda workload: workload.kind == "job", at(0), at(3), embodied=False) == 0.0


def test_the_running_hour_counts_up_to_the_newest_batch(tmp_path, path):
    """9 g were booked by a quarter past: all of them lie before now, a third before five past."""
    totals = Totals().use(WEB, J, grams=9.0, embodied_g=3.0)
    journal = write(tmp_path, totals.batch(at(0.25)))
    assert journal.sum_for(None, at(0), at(0.25), embodied=False) == pytest.approx(9.0, rel=1e-9)
    assert journal.sum_for(None, at(0), at(0.3), embodied=False) == pytest.approx(9.0, rel=1e-9)
    assert journal.sum_for(None, at(0), at(1 / 12), embodied=False) == pytest.approx(3.0, rel=1e-9)
    assert journal.sum_for(None, at(0), at(0.25), embodied=True) == pytest.approx(12.0, rel=1e-9)
    assert journal.sum_for(lambda _: True, at(0), at(0.25), embodied=True) == pytest.approx(12.0, rel=1e-9)


def test_what_is_no_journal_is_told_apart(tmp_path, path):
    """Each with what is wrong."""
    with pytest.raises(StorageError, match="there is no journal"):
        open_for_reading(str(path))
    path.touch()
    with pytest.raises(StorageError, match="still empty"):
        open_for_reading(str(path))
    path.write_bytes(b"no database " * 1000)
    with pytest.raises(StorageError, match="cannot be read"):
        open_for_reading(str(path))
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE t (x)")
    with pytest.raises(StorageError, match="not a journal of Wattledger"):
        open_for_reading(str(path))


def test_a_file_that_breaks_while_it_is_read_is_an_error(tmp_path, path):
    """One line, not a traceback of SQLite's."""
    totals = Totals().use(WEB, J)
    write(tmp_path, totals.batch(at(0)))
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with open_for_reading(str(path)) as reader, pytest.raises(StorageError, match="cannot be read"):
        reader.totals(0, at(1))


def test_reading_while_the_agent_writes(tmp_path, path):
    """A reader in the middle of its rows sees one state, and does not hold up the writer."""
    journal = Journal(str(tmp_path), retention_ns=400 * DAY_NS)
    journal.open()
    totals = Totals()
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as held:
        journal.start()
        journal.offer(totals.use(WEB, J).batch(at(0)))
        assert journal.stop(20)
        held.execute("BEGIN")
        before = held.execute("SELECT sum(energy_uj) FROM hour_energy").fetchone()
        write(tmp_path, totals.use(WEB, 10 * J).batch(at(1)))
        assert held.execute("SELECT sum(energy_uj) FROM hour_energy").fetchone() == before == (J,)
        with open_for_reading(str(path)) as reader:
            assert energies(reader.totals(0, at(2))) == {"container/web": 11}


def test_a_reader_shows_one_moment(tmp_path, path):
    """What the agent writes after the first read is not in its later answers, so that they add up."""
    totals = Totals()
    write(tmp_path, totals.use(WEB, J).batch(at(0)))
    with open_for_reading(str(path)) as reader:
        assert reader.nodes(0, at(9))["cpu"].energy_uj == J
        write(tmp_path, totals.use(WEB, 10 * J).use(DB, J).batch(at(1)))
        assert energies(reader.totals(0, at(9))) == {"container/web": 1}
        assert energies(reader.hours(0, at(9))) == {"container/web": 1}
        assert reader.grams(lambda _: True, 0, at(9)) == pytest.approx(0.0001, rel=1e-9)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_another_user_may_read_while_the_agent_writes(open_folder):
    """With read access to the file and none to write in its folder; what is only in the log is seen too."""
    path = open_folder / "journal.sqlite3"
    journal = Journal(str(open_folder), retention_ns=400 * DAY_NS)
    journal.open()
    journal.start()
    journal.offer(Totals().use(WEB, 10 * J).batch(at(0)))
    until(lambda: journal.written_wall_ns == at(0))
    for name in os.listdir(open_folder):
        (open_folder / name).chmod(0o644)

    def report():
        with open_for_reading(str(path)) as reader:
            return energies(reader.totals(0, at(1))), reader.complete

    assert as_nobody(report) == ({"container/web": 10}, True)
    assert journal.stop(20)
    path.chmod(0o644)
    assert as_nobody(report) == ({"container/web": 10}, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_a_copy_in_a_folder_that_is_read_only(open_folder):
    """Whole without a log; with one that cannot be used there, the reader says that hours may be missing."""
    path = open_folder / "journal.sqlite3"
    journal = Journal(str(open_folder), retention_ns=400 * DAY_NS)
    journal.open()
    journal.start()
    totals = Totals()
    journal.offer(totals.use(WEB, 10 * J).batch(at(0)))
    until(lambda: journal.written_wall_ns == at(0))
    copies = open_folder / "copies"
    copies.mkdir()
    shutil.copy(f"{path}-wal", copies / "journal.sqlite3-wal")
    assert journal.stop(20)
    shutil.copy(path, copies)

    def report():
        with open_for_reading(str(copies / "journal.sqlite3")) as reader:
            return energies(reader.totals(0, at(1))), reader.complete

    for file in copies.iterdir():
        file.chmod(0o444)
    copies.chmod(0o555)
    assert as_nobody(report) == ({"container/web": 10}, False)
    (copies / "journal.sqlite3-wal").unlink()
    assert as_nobody(report) == ({"container/web": 10}, True)
    assert os.listdir(copies) == ["journal.sqlite3"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_a_file_one_may_not_read_is_an_error(open_folder):
    path = open_folder / "journal.sqlite3"
    write(open_folder, Totals().use(WEB, J).batch(at(0)))

    def report():
        try:
            open_for_reading(str(path)).close()
        except StorageError as error:
            return str(error)
        return ""

    assert "cannot be read" in as_nobody(report)
    assert path.stat().st_mode & 0o777 == 0o640


def test_the_view_for_a_sqlite_shell(tmp_path, path):
    """Names instead of numbers, base units."""
    write(tmp_path, Totals().use(BATCH, 36 * J).batch(START_NS))
    with contextlib.closing(sqlite3.connect(path)) as shell:
        (row,) = shell.execute(
            "SELECT hour, kind, id, user, component, mode, joules, grams FROM energy"
        ).fetchall()
    assert row[:-1] == ("2025-11-24 16:00:00", "job", "7", "ann", "cpu", "dynamic", 36.0)
    assert math.isclose(row[-1], 0.0036)
    assert START_NS % HOUR_NS == 0
