"""What a report costs: `python -m tests.bench.report [DAYS]` prints the figures of docs/report.md."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

import psutil

from tests.bench.journal import ACCOUNTS, CELLS, FIRST_NS, batch
from tests.command_line import command, environment
from wattledger.ledger.journal_file import open_file
from wattledger.ledger.journal_write import Writer

FORMATS = ("table", "json", "csv", "html")


def fill(folder: str, days: int) -> None:
    """A journal in which every workload is active in every hour."""
    file = open_file(folder)
    file.connection.execute("PRAGMA synchronous = OFF")
    writer = Writer(file.connection, created=True)
    for hour in range(days * 24):
        writer.write(batch(hour * 60))
    file.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    file.close()


def measure(folder: str, days: int, shape: str) -> tuple[float, float, int]:
    """Seconds, most memory in MiB, and bytes of output of one report by a process of its own."""
    start_s = FIRST_NS // 10**9
    since, until = (
        time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(at)) for at in (start_s, start_s + days * 86400)
    )
    output = os.path.join(folder, "report")
    arguments = ("--storage.path", folder, "--since", since, "--until", until, "--format", shape)
    began = time.perf_counter()
    with subprocess.Popen(command("report", *arguments, "--output", output), env=environment()) as process:
        watched = psutil.Process(process.pid)
        most = 0
        while process.poll() is None:
            try:
                most = max(most, watched.memory_info().rss)
            except psutil.Error:
                break
            time.sleep(0.02)
        took = time.perf_counter() - began
    if process.returncode != 0:
        raise SystemExit(f"report ended with status {process.returncode}")
    return took, most / 2**20, os.path.getsize(output)


def main() -> None:
    """Fill a journal, and report all of it in every format."""
    days = int(sys.argv[1]) if len(sys.argv) > 1 else 31
    with tempfile.TemporaryDirectory() as folder:
        fill(folder, days)
        size = os.path.getsize(os.path.join(folder, "journal.sqlite3"))
        print(f"{days} days, {ACCOUNTS} workloads x {len(CELLS)} cells: journal of {size / 2**20:.0f} MiB")
        for shape in FORMATS:
            took, most, length = measure(folder, days, shape)
            print(f"{shape}: {took:.1f} s, {most:.0f} MiB, {length / 1024:.0f} KiB of output")


if __name__ == "__main__":
    main()
