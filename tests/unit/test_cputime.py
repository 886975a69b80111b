"""CPU times of several processes at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from wattledger.hostfs import HostFS
from wattledger.workloads.cputime import ProcessTimes


def dead_pid() -> int:
    """The pid of a process that has been and is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_living_processes_are_read_in_order():
    before_ns = time.process_time_ns()
    times = ProcessTimes(HostFS())
    assert times.by_clock
    parent_ns, own_ns = times.each_cpu_ns([os.getppid(), os.getpid()])
    assert parent_ns is not None
    assert before_ns <= own_ns <= time.process_time_ns()


def test_one_that_is_gone_does_not_hide_the_others():
    gone, own_ns = ProcessTimes(HostFS()).each_cpu_ns([dead_pid(), os.getpid()])
    assert gone is None
    assert own_ns > 0


def test_where_the_clocks_cannot_be_used_each_is_read_from_its_stat(tmp_path):
    """Another pid namespace: 2 + 3 ticks of 10 ms."""
    (tmp_path / "proc/7").mkdir(parents=True)
    fields = "S 1 1 1 0 -1 0 0 0 0 0 2 3 0 0 20 0 1 0 9 0 0"
    (tmp_path / "proc/7/stat").write_text(f"7 (work) {fields}")
    times = ProcessTimes(HostFS.at(str(tmp_path)))
    assert not times.by_clock
    assert times.each_cpu_ns([7, 8]) == [50_000_000, None]
