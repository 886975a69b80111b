"""What the journal costs: `python -m tests.bench.journal [DAYS]` prints the figures of docs/journal.md."""

from __future__ import annotations

import gc
import os
import sqlite3
import sys
import tempfile
import threading
import time
from statistics import median

import psutil

from wattledger.ledger.journal import Batch, Journal, NodeSum
from wattledger.ledger.journal_file import open_file
from wattledger.ledger.journal_marks import Marks, compare
from wattledger.ledger.journal_prune import prune
from wattledger.ledger.journal_read import open_for_reading
from wattledger.ledger.journal_schema import HOUR_NS, NODE_COLUMNS
from wattledger.ledger.journal_write import Writer
from wattledger.model import S_NS, Component, Intensity, Mode, Workload

ACCOUNTS = 500
CELLS: tuple[tuple[Component, Mode], ...] = (
    ("cpu", "dynamic"),
    ("cpu", "idle"),
    ("dram", "dynamic"),
    ("dram", "idle"),
)
FIRST_NS = 490_000 * HOUR_NS
INTENSITY = Intensity(grams_per_kwh=300.0, provider="static")
WORKLOADS = [
    Workload(
        kind="container",
        id=f"{number:064x}",
        name=f"container-{number}",
        pod_namespace=f"team-{number % 20}",
        pod_name=f"deployment-{number}-5d8f9c7b6-abcde",
        container_name="main",
        facts=(
            ("image", "registry.example/team/app:1.2.3"),
            ("runtime", "containerd"),
            ("user", f"u{number % 50}"),
        ),
    )
    for number in range(ACCOUNTS)
]


def batch(minute: int) -> Batch:
    """Every account has drawn something in every minute, each about 10 W per cell."""
    accounts = []
    for number, workload in enumerate(WORKLOADS):
        uj = (600_000_000 + number * 1_234_567) * (minute + 1)
        accounts.append((workload, [(*cell, uj, uj * 8.3e-11) for cell in CELLS], minute * 0.001))
    total = NodeSum(energy_uj=minute * 10**12, emissions_g=minute * 83.0, facility_uj=minute * 1.5e12)
    return Batch(
        boot_id="boot",
        wall_ns=FIRST_NS + minute * 60 * S_NS,
        covered_ns=minute * 60 * S_NS,
        node={"cpu": total, "dram": total},
        accounts=accounts,
        intensity=INTENSITY,
    )


def flushes(folder: str) -> None:
    """One flush a minute for an hour and a half."""
    file = open_file(folder)
    writer = Writer(file.connection, created=True)
    walls, cpus, plans = [], [], []
    previous = Marks()
    for minute in range(90):
        given = batch(minute)
        began, used = time.perf_counter(), time.thread_time()
        entry = compare(previous, given)
        plans.append(time.thread_time() - used)
        previous = entry.marks
        began, used = time.perf_counter(), time.thread_time()
        writer.write(given)
        walls.append(time.perf_counter() - began)
        cpus.append(time.thread_time() - used)
    print(
        f"flush of {ACCOUNTS} accounts x {len(CELLS)} cells: {median(walls) * 1e3:.1f} ms wall "
        f"(worst {max(walls) * 1e3:.1f}), {median(cpus) * 1e3:.1f} ms CPU, "
        f"of it comparing {median(plans) * 1e3:.1f} ms"
    )
    file.close()


def offers(folder: str) -> None:
    """What the sampler pays, and how late another thread wakes while the journal writes."""
    journal = Journal(folder, retention_ns=400 * 24 * HOUR_NS)
    journal.open()
    journal.start()
    batches = [batch(minute) for minute in range(100)]
    gc.freeze()  # a hundred batches are not what an agent keeps
    costs = []
    late: list[float] = []
    done = threading.Event()

    def ticker() -> None:
        while not done.is_set():
            due = time.perf_counter() + 0.001
            time.sleep(0.001)
            late.append(time.perf_counter() - due)

    thread = threading.Thread(target=ticker)
    thread.start()
    time.sleep(0.5)
    calm = sorted(late)
    late.clear()
    for given in batches:
        began = time.perf_counter()
        journal.offer(given)
        costs.append(time.perf_counter() - began)
        while journal.written_wall_ns != given.wall_ns:
            time.sleep(0.002)
    done.set()
    thread.join()
    busy = sorted(late)
    journal.stop(20)
    print(f"offer: median {median(costs) * 1e6:.1f} us, worst {max(costs) * 1e6:.0f} us")
    for when, found in (("without flushes", calm), ("with one after the other", busy)):
        slow = [found[len(found) * 99 // 100] * 1e3, found[-1] * 1e3]
        print(f"another thread wakes late {when}: 99 % within {slow[0]:.2f} ms, worst {slow[1]:.2f} ms")


def sizes(folder: str, days: int) -> None:
    """A journal of `days` in which every account is active in every hour."""
    file = open_file(folder)
    writer = Writer(file.connection, created=True)
    hours = 48
    for hour in range(hours):
        writer.write(batch(hour * 60))
    file.connection.execute("PRAGMA synchronous = OFF")
    for start in range(hours, days * 24, hours):
        file.connection.execute("BEGIN")
        for table, rest in (
            ("hour_energy", "workload, component, mode, energy_uj, emissions_ng"),
            ("hour_embodied", "workload, emissions_ng"),
            (
                "hour_node",
                f"component, {', '.join(NODE_COLUMNS)}",
            ),
            ("hour_cover", "covered_ns, embodied_ng"),
        ):
            file.connection.execute(
                f"INSERT INTO {table} SELECT hour + {start}, {rest} FROM {table}"
                f" WHERE hour < {490_000 + hours}"
            )
        file.connection.execute("COMMIT")
    file.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    size = os.path.getsize(file.path)
    print(f"{days} days: {size / 2**20:.0f} MiB, {size / (days * 24 * ACCOUNTS):.0f} bytes per workload-hour")
    file.close()
    own = psutil.Process()
    before = own.memory_info().rss
    with open_for_reading(file.path) as reader:
        for name, span in (("month", min(30, days)), ("whole", days)):
            end = FIRST_NS + days * 24 * HOUR_NS
            start = end - span * 24 * HOUR_NS
            for by in ("workload", "namespace"):
                began = time.perf_counter()
                found = len(reader.totals(start, end, by=by))
                print(f"{name} ({span} d) by {by}: {time.perf_counter() - began:.2f} s, {found} groups")
            began = time.perf_counter()
            reader.nodes(start, end)
            print(f"{name} of the node: {(time.perf_counter() - began) * 1e3:.1f} ms")
        began = time.perf_counter()
        rows = sum(1 for _ in reader.hours(end - min(30, days) * 24 * HOUR_NS, end))
        print(f"month, every hour of every workload: {time.perf_counter() - began:.2f} s, {rows} rows")
        began = time.perf_counter()
        reader.grams(lambda workload: workload.pod_namespace == "team-1", start, end)
        print(f"seeding a budget over all: {time.perf_counter() - began:.2f} s")
    print(f"memory of the reader: {(own.memory_info().rss - before) / 2**20:.0f} MiB")
    file = open_file(folder)
    began = time.perf_counter()
    prune(file.connection, FIRST_NS // HOUR_NS + 24)
    print(f"pruning a day: {(time.perf_counter() - began) * 1e3:.0f} ms in 4 transactions")
    file.close()


def main() -> None:
    """Print all figures."""
    print(f"SQLite {sqlite3.sqlite_version}")
    for part in (flushes, offers):
        with tempfile.TemporaryDirectory() as folder:
            part(folder)
    with tempfile.TemporaryDirectory() as folder:
        sizes(folder, int(sys.argv[1]) if len(sys.argv) > 1 else 400)


if __name__ == "__main__":
    main()
