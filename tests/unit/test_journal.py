"""The journal books every joule once, to the hour it was handed over in."""

import sqlite3
import threading

import pytest

from tests.journal_batches import BATCH, DB, IDLE, WEB, J, Totals, at, by_hour, node_uj, sums, write
from wattledger.ledger.journal import Journal
from wattledger.ledger.journal_read import open_for_reading
from wattledger.ledger.journal_schema import HOUR_NS
from wattledger.model import S_NS, Intensity, Workload


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.sqlite3"


def running(folder, **more):
    journal = Journal(str(folder), retention_ns=400 * 24 * HOUR_NS, **more)
    journal.open()
    journal.start()
    return journal


def test_only_the_difference_is_booked(tmp_path, path):
    """100 J, then 150 J in all: 100 J and 50 J."""
    totals = Totals()
    write(tmp_path, totals.use(WEB, 100 * J).batch(at(0)), totals.use(WEB, 50 * J).batch(at(1)))
    assert by_hour(path, WEB) == {0: 100, 1: 50}


def test_the_same_batch_again_adds_nothing(tmp_path, path):
    """An agent that crashed after writing hands over the same figures."""
    batch = Totals().use(WEB, 100 * J, embodied_g=2.0).batch(at(0))
    write(tmp_path, batch, batch, batch)
    assert sums(path) == {WEB.key: 100 * J}
    with open_for_reading(str(path)) as reader:
        assert reader.totals(0, at(9))[0].embodied_g == 2.0


def test_one_agent_writes_many_batches(tmp_path, path):
    """In one process too, from marks it remembers."""
    journal = running(tmp_path)
    totals = Totals()
    for minute in range(5):
        journal.offer(totals.use(WEB, 10 * J).use(DB, 1 * J, component="dram").batch(at(minute)))
    assert journal.stop(20)
    assert by_hour(path, WEB) == {0: 10, 1: 10, 2: 10, 3: 10, 4: 10}
    assert sums(path)[DB.key] == 5 * J
    assert journal.errors == 0
    assert journal.written_wall_ns == at(4)


def test_every_component_and_mode_has_its_own_cell(tmp_path, path):
    totals = Totals().use(WEB, 7 * J).use(WEB, 2 * J, component="dram").use(WEB, 1 * J, mode="idle")
    write(tmp_path, totals.use(IDLE, 90 * J, mode="").batch(at(0)))
    with open_for_reading(str(path)) as reader:
        groups = {group.workload.key: group for group in reader.totals(at(0), at(1))}
    assert {cell: uj // J for cell, (uj, _) in groups[WEB.key].cells.items()} == {
        ("cpu", "dynamic"): 7,
        ("cpu", "idle"): 1,
        ("dram", "dynamic"): 2,
    }
    assert groups[WEB.key].of("cpu")[0] == 8 * J
    assert groups[IDLE.key].cells["cpu", ""][0] == 90 * J


def test_grams_of_many_small_steps_add_up(tmp_path, path):
    """A hundred thirds of a gram: the sum of the hours is the total, not the sum of roundings."""
    journal = running(tmp_path, pending_hours=100)
    totals = Totals()
    for hour in range(100):
        journal.offer(totals.use(WEB, J, grams=1 / 3).batch(at(hour)))
    assert journal.stop(20)
    with open_for_reading(str(path)) as reader:
        assert reader.totals(0, at(200))[0].emissions_g == round(100 / 3, 9)


def test_a_reboot_starts_at_zero(tmp_path, path):
    """30 J in one boot and 20 J in the next are 50 J."""
    write(
        tmp_path,
        Totals(boot_id="a").use(WEB, 30 * J).batch(at(0)),
        Totals(boot_id="b").use(WEB, 20 * J).batch(at(1)),
    )
    assert by_hour(path, WEB) == {0: 30, 1: 20}


def test_the_rest_of_the_previous_boot_is_booked_first(tmp_path, path):
    """What the checkpoint of the old boot knows beyond the journal, once, even if it is handed over twice."""
    old, new = Totals(boot_id="a"), Totals(boot_id="b")
    first = old.use(WEB, 30 * J).batch(at(0))
    rest = old.use(WEB, 5 * J).batch(at(0.1))
    write(tmp_path, first, rest, new.use(WEB, 20 * J).batch(at(1)), rest, new.use(WEB, 1 * J).batch(at(2)))
    assert by_hour(path, WEB) == {0: 35, 1: 20, 2: 1}


def test_marks_of_older_boots_go(tmp_path, path):
    """Two boots are kept: the present and the previous one."""
    write(tmp_path, *[Totals(boot_id=str(n)).use(WEB, J).batch(at(n)) for n in range(5)])
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT boot_id FROM boot ORDER BY id").fetchall() == [("3",), ("4",)]
    assert connection.execute("SELECT count(*) FROM mark_energy").fetchall() == [(2,)]
    assert connection.execute("SELECT count(*) FROM mark_node").fetchall() == [(2,)]
    connection.close()
    assert sums(path) == {WEB.key: 5 * J}


def test_a_ledger_that_starts_anew_within_a_boot_has_another_lineage(tmp_path, path):
    """Its checkpoint was lost after 100 J; the 120 J it counts then are new."""
    write(
        tmp_path,
        Totals(lineage="1").use(WEB, 100 * J).batch(at(0)),
        Totals(lineage="2").use(WEB, 120 * J).batch(at(1)),
    )
    assert by_hour(path, WEB) == {0: 100, 1: 120}


def test_a_ledger_that_went_back_is_waited_for(tmp_path, path):
    """It goes on from 60 J where 100 J were booked: up to 100 J nothing more is booked, then the rest."""
    totals = Totals().use(WEB, 60 * J).pass_time(60)
    older = totals.batch(at(0))
    ahead = totals.use(WEB, 40 * J).pass_time(60).batch(at(0))
    back = Totals().use(WEB, 70 * J).pass_time(70)
    later = [older, back.batch(at(1)), back.use(WEB, 40 * J).pass_time(60).batch(at(2))]
    write(tmp_path, ahead, *later, back.use(WEB, 5 * J).pass_time(5).batch(at(3)))
    assert by_hour(path, WEB) == {0: 100, 2: 10, 3: 5}
    assert node_uj(path) == 115 * J


def test_an_account_that_was_dropped_and_comes_back_starts_at_zero(tmp_path, path):
    """100 J, dropped, and 120 J of a new account of the same workload are 220 J."""
    totals = Totals().use(WEB, 100 * J).use(DB, J)
    first = totals.batch(at(0))
    without = totals.drop(WEB).batch(at(1))
    write(tmp_path, first, without, totals.use(WEB, 120 * J).batch(at(2)))
    assert by_hour(path, WEB) == {0: 100, 2: 120}
    assert node_uj(path) == 221 * J


def test_an_account_that_was_dropped_unseen_starts_at_zero_too(tmp_path, path):
    """Its figures went down while the ledger's did not: all of 30 J are new, in every cell."""
    totals = Totals().use(WEB, 100 * J).use(WEB, 5 * J, component="dram").pass_time(10)
    first = totals.batch(at(0))
    totals.drop(WEB).use(WEB, 30 * J).use(WEB, 8 * J, component="dram").pass_time(10)
    write(tmp_path, first, totals.batch(at(1)), totals.use(WEB, 1 * J).batch(at(2)))
    assert by_hour(path, WEB) == {0: 105, 1: 38, 2: 1}


def test_an_account_that_begins_anew_leaves_no_marks_behind(tmp_path, path):
    """The new one has no dram cell: the old one's must not be missed after a restart."""
    totals = Totals().use(WEB, 100 * J).use(WEB, 5 * J, component="dram", embodied_g=1.0).pass_time(10)
    first = totals.batch(at(0))
    second = totals.drop(WEB).use(WEB, 30 * J).pass_time(10).batch(at(1))
    write(tmp_path, first, second, second, totals.use(WEB, 1 * J).pass_time(10).batch(at(2)))
    assert by_hour(path, WEB) == {0: 105, 1: 30, 2: 1}


def test_an_hour_that_was_there_already_is_booked_to_again(tmp_path, path):
    """The wall clock goes back: the hour gets more, and later hours stay."""
    totals = Totals()
    batches = [totals.use(WEB, 10 * J).batch(at(hour)) for hour in (5, 6, 5, 5.5, 7)]
    write(tmp_path, *batches)
    assert by_hour(path, WEB) == {5: 30, 6: 10, 7: 10}


def test_the_clock_going_back_while_nothing_can_be_written_doubles_nothing(tmp_path, path):
    """Batches wait in the order of their figures, whatever hour they are of."""
    journal = Journal(str(tmp_path), retention_ns=HOUR_NS)
    journal.open()
    totals = Totals()
    for hour in (5, 6, 5, 6, 6.5):
        journal.offer(totals.use(WEB, 10 * J).batch(at(hour)))
    journal.start()
    assert journal.stop(20)
    assert by_hour(path, WEB) == {5: 20, 6: 30}


def test_names_that_arrive_later_go_onto_the_workload(tmp_path, path):
    """One row per kind and id; what is not known at the moment does not take away what was."""
    unnamed = Workload(kind="container", id="x")
    named = Workload(kind="container", id="x", name="api", facts=(("image", "api:1"), ("user", "ann")))
    renamed = Workload(kind="container", id="x", pod_namespace="prod", facts=(("image", "api:2"),))
    totals = Totals()
    batches = [totals.use(w, J).batch(at(hour)) for hour, w in enumerate((unnamed, named, unnamed, renamed))]
    write(tmp_path, *batches)
    with open_for_reading(str(path)) as reader:
        ((_, workload),) = reader.workloads().items()
    assert (workload.name, workload.pod_namespace) == ("api", "prod")
    assert dict(workload.facts) == {"image": "api:2", "user": "ann"}
    assert sums(path) == {("container", "x"): 4 * J}


def test_ids_that_are_not_utf8_are_stored_escaped(tmp_path, path):
    """As os.fsdecode gives them; two that fall together are added up."""
    odd = Workload(kind="cgroup", id="/a\udcff", name="a\udcff")
    twin = Workload(kind="cgroup", id="/a\\udcff")
    accented = Workload(kind="cgroup", id="/é")
    totals = Totals().use(odd, 2 * J).use(twin, 3 * J).use(accented, J)
    write(tmp_path, totals.batch(at(0)), totals.use(odd, 10 * J).batch(at(1)))
    assert sums(path) == {("cgroup", "/a\\udcff"): 15 * J, ("cgroup", "/é"): J}


def test_each_source_of_intensity_has_its_part(tmp_path, path):
    """60 J at a fallback, then 40 J at a live source."""
    table = Intensity(grams_per_kwh=300.0, provider="table", grid_zone="DE", fallback=True)
    live = Intensity(grams_per_kwh=200.0, provider="energy-charts", grid_zone="DE", licence="CC BY 4.0")
    totals = Totals(intensity=table).use(WEB, 60 * J).pass_time(60)
    first = totals.batch(at(0))
    totals.intensity = live
    write(tmp_path, first, totals.use(WEB, 40 * J, component="dram").pass_time(40).batch(at(0.5)))
    with open_for_reading(str(path)) as reader:
        parts = [
            (s.provider, s.fallback, s.energy_uj // J, s.covered_ns // S_NS) for s in reader.sources(0, at(1))
        ]
        assert parts == [("table", True, 60, 60), ("energy-charts", False, 40, 40)]
        assert reader.sources(0, at(1))[1].licence == "CC BY 4.0"
        assert reader.sources(0, at(1))[0].facility_uj == 90 * J


def test_budgets_come_back_as_they_were(tmp_path):
    """Those of the newest batch, in their order."""
    totals = Totals()
    write(tmp_path, totals.batch(at(0), budgets=[{"name": "a"}]))
    write(tmp_path, totals.batch(at(1), budgets=[["b", 1.5, None], {"name": "a", "g": 2}]))
    journal = Journal(str(tmp_path), retention_ns=HOUR_NS)
    journal.open()
    assert list(journal.budgets()) == [["b", 1.5, None], {"name": "a", "g": 2}]
    assert journal.written_wall_ns == at(1)
    journal.stop(1)


def test_who_made_the_figures_is_noted_when_it_changes(tmp_path, path):
    totals = Totals()
    write(
        tmp_path,
        totals.batch(at(0), agent={"version": "1"}),
        totals.batch(at(1), agent={"version": "1"}),
        totals.batch(at(2), agent={"version": "2"}),
    )
    with open_for_reading(str(path)) as reader:
        assert reader.agents(at(0), at(9)) == [(at(0), {"version": "1"}), (at(2), {"version": "2"})]
        assert reader.agents(at(1), at(2)) == [(at(0), {"version": "1"})]
        assert reader.agents(at(3), at(9)) == [(at(2), {"version": "2"})]


def test_batches_of_one_hour_take_each_others_place(tmp_path, path):
    """While nothing is written, one batch per hour waits, up to the bound; what it knew is not lost."""
    journal = Journal(str(tmp_path), retention_ns=HOUR_NS, pending_hours=3)
    journal.open()
    totals = Totals()
    for hour in (0, 0.5, 1, 2, 2.2, 2.4, 3):
        journal.offer(totals.use(WEB, 10 * J).batch(at(hour)))
    journal.start()
    assert journal.stop(20)
    assert by_hour(path, WEB) == {1: 30, 2: 30, 3: 10}


def test_offering_does_not_wait_for_a_write(tmp_path, path):
    """While another program has the file locked, offers return; when the lock is gone, all is written."""
    journal = running(tmp_path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    totals = Totals()
    offered = threading.Event()

    def sampler():
        for hour in range(4):
            journal.offer(totals.use(WEB, 10 * J).batch(at(hour)))
        offered.set()

    thread = threading.Thread(target=sampler)
    thread.start()
    assert offered.wait(20)
    thread.join()
    assert journal.written_wall_ns == 0
    other.execute("ROLLBACK")
    other.close()
    assert journal.stop(20)
    assert by_hour(path, WEB) == {0: 10, 1: 10, 2: 10, 3: 10}


def test_stopping_takes_no_longer_than_allowed(tmp_path, path):
    """A file that stays locked is given up, and stop says so."""
    journal = running(tmp_path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    journal.offer(Totals().use(WEB, J).batch(at(0)))
    assert not journal.stop(0.1)
    other.execute("ROLLBACK")
    other.close()


def test_a_batch_that_cannot_be_stored_is_counted_and_passed_over(tmp_path, path):
    """No number, or a budget that MessagePack cannot carry: the next batch has it all."""
    totals = Totals()
    journal = running(tmp_path)
    journal.offer(Totals().use(WEB, J, grams=float("nan")).batch(at(0)))
    journal.offer(totals.use(WEB, 10 * J).batch(at(1), budgets=[object()]))
    journal.offer(totals.use(WEB, 10 * J).batch(at(2)))
    assert journal.stop(20)
    assert journal.errors == 2
    assert by_hour(path, WEB) == {2: 20}


def test_a_new_journal_in_the_middle_of_a_boot_begins_there(tmp_path, path):
    """Nobody knows in which hours the 900 J of the past five hours were drawn; the next 10 J it does."""
    totals = Totals().use(WEB, 900 * J, embodied_g=1.0).use(DB, 1 * J).pass_time(5 * 3600)
    write(tmp_path, totals.batch(at(0)), totals.use(WEB, 10 * J).pass_time(60).batch(at(0.1)))
    assert sums(path) == {WEB.key: 10 * J}
    assert node_uj(path) == 10 * J
    with open_for_reading(str(path)) as reader:
        assert [cover.covered_ns for cover in reader.cover(0, at(1))] == [60 * S_NS]


def test_a_journal_that_was_there_books_what_it_missed(tmp_path, path):
    """It could not be written for a whole boot of five hours: the figures are booked late, not lost."""
    write(tmp_path, Totals(boot_id="a").use(BATCH, J).batch(at(0)))
    write(tmp_path, Totals(boot_id="b").use(WEB, 900 * J).pass_time(5 * 3600).batch(at(6)))
    assert by_hour(path, WEB) == {6: 900}
    with open_for_reading(str(path)) as reader:
        assert reader.cover(at(1), at(9))[0].covered_ns == 5 * HOUR_NS
