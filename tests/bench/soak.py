"""An hour of ticks with churn in a minute or two, to see that memory stays level.

    python -m tests.bench.soak

plays 720 ticks of 5 s on a manual clock: containers and processes are born and die in every one, more of
them than the series limit allows are alive, and every snapshot is scraped in both formats with and
without gzip. It prints the memory after a tenth and at the end; the exit status is 1 if it grew.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.churning_host import ChurningHost

from .own_cost import rss_mib

HOUR_TICKS = 720
BIRTHS = 60  # in a tick; fills every table of bounded length within the first tenth
MIB = 1024 * 1024
MEMORY_DISK = Path("/dev/shm")  # the fixture's files are written by the hundred in every tick
SLACK_RATIO = 0.02
SLACK_BYTES = {"traced": MIB // 2, "resident": 3 * MIB}
MEANING = {"traced": "Python objects", "resident": "resident"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was played, and bytes of memory by kind after a tenth and at the end."""

    ticks: int
    born: int
    alive: int
    limited: int
    took_s: float
    memory: Mapping[str, tuple[int, int]]


def play(*, ticks: int, births: int, folder: Path) -> Outcome:
    """Let the host churn for `ticks` ticks."""
    began_s = time.monotonic()
    tracemalloc.start()
    host = ChurningHost(folder, births=births)
    early: dict[str, int] = {}
    try:
        for tick in range(1, ticks + 1):
            snapshot = host.tick()
            if tick == max(1, ticks // 10):
                early = _memory()
        late = _memory()
    finally:
        host.close()
        tracemalloc.stop()
    return Outcome(
        ticks=ticks,
        born=host.born,
        alive=host.alive,
        limited=snapshot.health.series_limited,
        took_s=time.monotonic() - began_s,
        memory={kind: (early[kind], late[kind]) for kind in early},
    )


def verdict(memory: Mapping[str, tuple[int, int]]) -> list[str]:
    """What grew by more than measuring errors explain, in words; empty if nothing did."""
    return [
        f"{MEANING[kind]} grew by {(late - early) / MIB:.2f} MiB"
        for kind, (early, late) in memory.items()
        if late - early > SLACK_BYTES[kind] + early * SLACK_RATIO
    ]


def _memory() -> dict[str, int]:
    gc.collect()
    return {"traced": tracemalloc.get_traced_memory()[0], "resident": round(rss_mib() * MIB)}


def main() -> int:
    """Play the hour and judge it."""
    with tempfile.TemporaryDirectory(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None) as folder:
        outcome = play(ticks=HOUR_TICKS, births=BIRTHS, folder=Path(folder))
    print(
        f"{outcome.ticks} ticks in {outcome.took_s:.0f} s: {outcome.born:,} containers and as many processes"
        f" born, {outcome.alive:,} alive, {outcome.limited:,} beyond the series limit\n"
    )
    print("| memory | after a tenth, MiB | at the end, MiB |")
    print("| --- | --- | --- |")
    for kind, (early, late) in outcome.memory.items():
        print(f"| {MEANING[kind]} | {early / MIB:.2f} | {late / MIB:.2f} |")
    grown = verdict(outcome.memory)
    for line in grown:
        print(f"soak: {line}", file=sys.stderr)
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
