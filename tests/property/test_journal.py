"""Whatever is handed over, and wherever the agent dies, the journal holds every joule once."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.journal_batches import START_NS, J, Totals, at, node_uj, sums, until
from wattledger.ledger.journal import Journal
from wattledger.ledger.journal_file import open_file
from wattledger.ledger.journal_read import open_for_reading
from wattledger.ledger.journal_schema import HOUR_NS
from wattledger.ledger.journal_write import Writer
from wattledger.model import Workload

WORKLOADS = [Workload(kind="unit", id=name) for name in "abc"]

STEP = st.one_of(
    st.tuples(
        st.just("use"),
        st.integers(0, 2),
        st.sampled_from(["cpu", "gpu"]),
        st.integers(0, 10**12),
        st.floats(0, 1e6, allow_nan=False),
    ),
    st.tuples(st.just("hand over"), st.integers(0, 5)),
    st.tuples(st.just("die"), st.integers(0, 5), st.integers(0, 60)),
    st.tuples(st.just("crash")),
    st.tuples(st.just("drop"), st.integers(0, 2)),
    st.tuples(st.just("reboot")),
)


def die_half_way(file, batch, steps):
    """Write a batch until SQLite has taken so many steps: the rest, and so all of it, does not happen."""
    left = iter(range(steps))
    file.connection.set_progress_handler(lambda: next(left, None) is None, 40)
    with contextlib.suppress(sqlite3.OperationalError):
        Writer(file.connection, created=False).write(batch)
    file.connection.set_progress_handler(None, 0)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEP, min_size=1, max_size=40))
def test_the_journal_holds_what_the_ledger_counted(steps):
    """Uses, batches, batches that die half-way, restarts, dropped accounts and reboots in any order."""
    with tempfile.TemporaryDirectory() as folder:
        file = open_file(folder)
        writer = Writer(file.connection, created=True)
        totals, boots = Totals(boot_id="0"), 0
        true_uj: dict = {}
        true_g: dict = {}

        def hand_over(hour):
            totals.pass_time(1)
            writer.write(totals.batch(at(hour)))

        hand_over(0)
        for kind, *rest in steps:
            if kind == "use":
                number, component, energy_uj, grams = rest
                workload = WORKLOADS[number]
                totals.use(workload, energy_uj, component=component, grams=grams)
                true_uj[workload.key] = true_uj.get(workload.key, 0) + energy_uj
                true_g[workload.key] = true_g.get(workload.key, 0.0) + grams
            elif kind == "hand over":
                hand_over(rest[0])
            elif kind == "die":
                totals.pass_time(1)
                die_half_way(file, totals.batch(at(rest[0])), rest[1])
                writer = Writer(file.connection, created=False)
            elif kind == "crash":
                file.close()
                file = open_file(folder)
                writer = Writer(file.connection, created=file.created)
            elif kind == "drop" and WORKLOADS[rest[0]].key in totals.known:
                hand_over(1)
                totals.drop(WORKLOADS[rest[0]])
                hand_over(1)
            elif kind == "reboot":
                hand_over(2)  # the rest, from the checkpoint
                boots += 1
                totals = Totals(boot_id=str(boots))
        hand_over(3)
        file.close()
        path = Path(folder) / "journal.sqlite3"
        assert {key: uj for key, uj in sums(path).items() if uj} == {
            key: uj for key, uj in true_uj.items() if uj
        }
        assert node_uj(path) == sum(true_uj.values())
        with open_for_reading(str(path)) as reader:
            for group in reader.totals(0, 1 << 62):
                # Half a nanogram per cell and boot, and what floats of that size hold.
                true = true_g[group.workload.key]
                assert abs(group.emissions_g - true) <= 1e-9 * (boots + 2) * 10 + true * 1e-12


AGENT = """
import sys
from tests.journal_batches import J, START_NS, Totals
from wattledger.ledger.journal import Journal
from wattledger.ledger.journal_schema import HOUR_NS
from wattledger.model import Workload

folder, first = sys.argv[1], int(sys.argv[2])
journal = Journal(folder, retention_ns=400 * 24 * HOUR_NS)
journal.open()
journal.start()
totals = Totals()
workloads = [Workload(kind="unit", id=str(number)) for number in range(50)]
number = 0
while True:
    number += 1
    for workload in workloads:
        totals.use(workload, J)
    totals.pass_time(1)
    if number > first:  # what was counted before this process began comes from the checkpoint
        print(number, flush=True)
        journal.offer(totals.batch(START_NS + number * HOUR_NS // 50))
"""


def test_killed_in_mid_write_again_and_again(tmp_path):
    """kill -9 at any moment: after each restart the next batch makes the sum equal to what was counted."""
    counted = 0
    asides = []
    for attempt in range(12):
        agent = subprocess.Popen(
            [sys.executable, "-c", AGENT, str(tmp_path), str(counted)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            for _ in range(8 + 5 * attempt):
                line = agent.stdout.readline()
                assert line
                counted = int(line)
            time.sleep(0.003 * attempt)
        finally:
            agent.send_signal(signal.SIGKILL)
            rest = agent.stdout.read().split()
            agent.wait()
        counted = max([counted, *map(int, rest)])
        journal = Journal(str(tmp_path), retention_ns=400 * 24 * HOUR_NS)
        journal.open()
        journal.start()
        totals = Totals()
        for number in range(50):
            totals.use(Workload(kind="unit", id=str(number)), counted * J)
        batch = totals.pass_time(counted).batch(START_NS + counted * HOUR_NS // 50)
        journal.offer(batch)
        until(lambda batch=batch, journal=journal: journal.written_wall_ns == batch.wall_ns)
        assert journal.stop(20)
        path = tmp_path / "journal.sqlite3"
        assert set(sums(path).values()) == {counted * J}
        assert node_uj(path) == 50 * counted * J
        assert journal.errors == 0
        asides += [name for name in os.listdir(tmp_path) if "unreadable" in name]
    assert asides == []
