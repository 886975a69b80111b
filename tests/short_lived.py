"""Short-lived processes in a cgroup of their own, and the CPU time they really used.

    with ShortLived("name", per_second=200, cpu=1) as load:
        load.read()

Run as a program it is the load itself: it enters the cgroups given and starts a process every so often,
each of which does next to nothing and is gone before the next one starts, all on one CPU.
To every line on its standard input it answers with how many there were and the CPU seconds they and it
used; it ends with its input.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.podman_containers import favour
from wattledger.hostfs import HostFS
from wattledger.workloads.hierarchy import find_hierarchy

REPOSITORY = Path(__file__).parent.parent


class Work(NamedTuple):
    """What was done since the start: processes, and CPU time by rusage."""

    processes: int
    cpu_s: float


class ShortLived:
    """The load in a plain cgroup named `name` below the root of the hierarchy that tells CPU time."""

    def __init__(self, name: str, *, per_second: int, cpu: int) -> None:
        hierarchy = find_hierarchy(HostFS())
        if hierarchy is None:
            raise RuntimeError("no cgroup hierarchy is mounted")
        self.path = f"/{name}"
        self.folder = Path(hierarchy.root, name)
        self._folders = [Path(root, name) for root in {hierarchy.root, hierarchy.cpu_root} - {""}]
        self._arguments = (per_second, cpu, *self._folders)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> ShortLived:
        for folder in self._folders:
            folder.mkdir()
            favour(folder)
        command = [sys.executable, "-m", "tests.short_lived", *map(str, self._arguments)]
        self._process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=os.environ | {"PYTHONPATH": f"{REPOSITORY}/exporter"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        deadline = time.monotonic() + 5
        for folder in self._folders:
            while folder.is_dir() and time.monotonic() < deadline:
                with contextlib.suppress(OSError):  # busy until the last of them is reaped
                    folder.rmdir()

    def read(self) -> Work:
        """How much was done so far."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError("the load was not started")
        process.stdin.write("\n")
        process.stdin.flush()
        return Work(*json.loads(process.stdout.readline()))


def main(per_second: int, cpu: int, folders: list[str]) -> None:
    """Enter the cgroups and be the load until standard input ends."""
    os.sched_setaffinity(0, {cpu})
    for folder in folders:
        Path(folder, "cgroup.procs").write_text(str(os.getpid()))
    program = shutil.which("true") or "/bin/true"
    period_s = 1 / per_second
    count = 0
    due_s = time.monotonic()
    while True:
        asked, _, _ = select.select([0], [], [], max(0.0, due_s - time.monotonic()))
        if asked:
            if not os.read(0, 64):
                return
            used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
            print(json.dumps([count, sum(each.ru_utime + each.ru_stime for each in used)]), flush=True)
        elif time.monotonic() >= due_s:
            os.waitpid(os.posix_spawn(program, [program], {}), 0)
            count += 1
            due_s += period_s


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
