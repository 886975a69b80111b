"""Processes as a detail inside workloads: on hosts built by hand, and on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cgroup_tree import MS, CgroupHost
from wattledger.clock import ManualClock, SystemClock
from wattledger.hostfs import HostFS
from wattledger.model import KERNEL
from wattledger.workloads.busy import read_stat
from wattledger.workloads.cputime import ProcessTimes, parse_stat
from wattledger.workloads.processes import Processes
from wattledger.workloads.residents import Residents
from wattledger.workloads.scan import HostWorkloads

A = "a" * 64
HZ = 100
NOW_S = 1000  # what a fresh ManualClock says
needs_linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc on this machine")


@pytest.fixture
def host(tmp_path):
    host = CgroupHost(tmp_path, "v2")
    host.create(f"docker/{A}")
    return host


@pytest.fixture
def scanner(host):
    scanner = HostWorkloads(host.hostfs, host.clock, processes=True, top=2)
    yield scanner
    scanner.close()


def step(host, scanner):
    """Fork something, let 5 s pass and scan; CPU milliseconds by pid."""
    host.forks += 1
    host._show_stat()
    host.clock.advance(5)
    return {use.pid: use.cpu_ns / MS for use in scanner.scan().processes}


def stat_line(comm, *, utime=3, stime=4, flags=0x400000, start=77):
    return b"42 (%s) S 1 1 1 0 -1 %d 0 0 0 0 %d %d 9 9 20 0 1 0 %d 0 0\n" % (comm, flags, utime, stime, start)


@pytest.mark.parametrize(
    ("comm", "text"),
    [
        (b"bash", "bash"),
        (b"a) R 9 (b", "a) R 9 (b"),
        (b") (", ") ("),
        (b"", ""),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"two\nlines", "two\nlines"),
    ],
)
def test_any_command_name_is_harmless(comm, text):
    """Brackets, blanks and bytes that are not UTF-8 in a name change no figure."""
    stat = parse_stat(stat_line(comm))
    assert (stat.comm, stat.cpu_ns, stat.start, stat.kernel_thread) == (text, 70 * MS, 77, False)


def test_kernel_threads_are_told_by_their_flag():
    """PF_KTHREAD marks a kernel thread, whatever it is called."""
    assert parse_stat(stat_line(b"kworker", flags=0x00200000 | 0x40)).kernel_thread


@pytest.mark.parametrize("data", [b"", b"42 (x", b"42 (x) S 1", stat_line(b"x").replace(b" 77 ", b" ? ")])
def test_broken_stat_is_an_error_of_its_own(data):
    """Cut or garbled text raises ValueError only."""
    with pytest.raises(ValueError):  # noqa: PT011 - any message
        parse_stat(data)


def test_processes_get_what_they_used(host, scanner):
    """Each process has its use of the interval, its name and its workload."""
    host.process(10, f"/docker/{A}", comm=b"burner", cpu_ms=500)
    host.process(11, f"/docker/{A}", comm=b"idler", cpu_ms=500)
    assert scanner.scan().processes == ()
    host.process(10, f"/docker/{A}", comm=b"burner", cpu_ms=600)
    host.clock.advance(5)
    (use,) = scanner.scan().processes
    assert (use.pid, use.comm, use.cpu_ns, use.workload.id) == (10, "burner", 100 * MS, A)


def test_reused_pid_is_a_new_process(host, scanner):
    """The new owner of a pid gets its own use only, and never a negative one."""
    host.process(10, f"/docker/{A}", cpu_ms=500)
    scanner.scan()
    host.process(10, f"/docker/{A}", cpu_ms=30, start=NOW_S * HZ + 100)
    assert step(host, scanner) == {10: 30}


def test_reused_pid_that_used_more_is_found_by_its_start(host, scanner):
    """A new process that already used more than the old one did is known by when it started."""
    host.process(10, f"/docker/{A}", cpu_ms=20)
    scanner.scan()
    host.process(10, f"/docker/{A}", cpu_ms=90, start=NOW_S * HZ + 100)
    assert step(host, scanner) == {10: 90}


def test_process_born_between_scans_counts_from_its_start(host, scanner):
    """All a new process used was used in this interval."""
    scanner.scan()
    host.process(10, f"/docker/{A}", cpu_ms=40, start=NOW_S * HZ + 100)
    assert step(host, scanner) == {10: 40}
    host.process(10, f"/docker/{A}", cpu_ms=50, start=NOW_S * HZ + 100)
    assert step(host, scanner) == {10: 10}


def test_vanished_and_garbled_processes_hide_no_other(host, scanner):
    """A process that ends, or whose files are garbage, is left out alone."""
    for pid in (10, 11, 12):
        host.process(pid, f"/docker/{A}", cpu_ms=10)
    scanner.scan()
    host.exit(10)
    (host.proc / "11/stat").write_text("rubbish")
    host.process(12, f"/docker/{A}", cpu_ms=30)
    assert step(host, scanner) == {12: 20}


def test_only_the_top_is_described(host, scanner):
    """With `top=2` the eight that used most are given, most first."""
    for pid in range(10, 30):
        host.process(pid, f"/docker/{A}")
    scanner.scan()
    for pid in range(10, 30):
        host.process(pid, f"/docker/{A}", cpu_ms=pid * 10)
    assert list(step(host, scanner)) == list(range(29, 21, -1))


def test_process_that_moved_is_found_in_its_new_home(host, scanner):
    """A process is looked up again on the scan after its first: it moves right after the fork."""
    host.process(1, "/")
    scanner.scan()
    host.process(10, "/", cpu_ms=10, start=NOW_S * HZ + 100)
    host.forks += 1
    host._show_stat()
    host.clock.advance(5)
    assert [use.workload.key for use in scanner.scan().processes] == [("cgroup", "/")]
    host.process(10, f"/docker/{A}", cpu_ms=20, start=NOW_S * HZ + 100)
    host.clock.advance(5)
    assert [use.workload.key for use in scanner.scan().processes] == [("container", A)]


def test_kernel_threads_belong_to_the_kernel(host, scanner):
    """A kernel thread in the root cgroup is a process of the workload `kernel`."""
    host.process(1, "/")
    host.process(7, "/", comm=b"kworker/0:1", kernel_thread=True)
    scanner.scan()
    host.process(7, "/", comm=b"kworker/0:1", kernel_thread=True, cpu_ms=10)
    host.clock.advance(5)
    (use,) = scanner.scan().processes
    assert use.workload.key == ("kernel", "")


def test_processes_outside_the_namespace_are_left_out(host, scanner):
    """Paths that begin with /.. cannot be mapped: no process is booked to a workload it may not be in."""
    host.process(10, f"/../../docker/{A}")
    scanner.scan()
    host.process(10, f"/../../docker/{A}", cpu_ms=10)
    assert step(host, scanner) == {}


def test_root_is_watched_through_foreign_pids_too(host):
    """Kernel threads that come and go in `/` leave no trace, and their pids may be reused by others."""
    residents = Residents(host.hostfs, None, ProcessTimes(host.hostfs))
    host.process(7, "/", kernel_thread=True, cpu_ms=100)
    host.process(10, "/")
    assert residents.kernel_ns(0) == 0
    host.process(7, "/", kernel_thread=True, cpu_ms=150)
    assert residents.kernel_ns(5_000_000_000) == 50 * MS
    host.exit(7)
    assert residents.kernel_ns(10_000_000_000) == 0
    host.process(7, "/", cpu_ms=900)
    assert residents.kernel_ns(50_000_000_000) == 0
    assert residents.has_users


def test_kernel_time_while_alone_is_not_booked_later(host):
    """The kernel's threads are followed only from when others live in `/`; nothing is counted twice."""
    residents = Residents(host.hostfs, None, ProcessTimes(host.hostfs))
    host.process(7, "/", kernel_thread=True, cpu_ms=100)
    assert residents.kernel_ns(0) == 0
    host.process(7, "/", kernel_thread=True, cpu_ms=900)
    host.process(10, "/")
    assert residents.kernel_ns(40_000_000_000) == 0
    host.process(7, "/", kernel_thread=True, cpu_ms=930)
    assert residents.kernel_ns(45_000_000_000) == 30 * MS


def test_busy_time_leaves_out_idle_iowait_and_steal(tmp_path):
    """Of the cpu line user, nice, system, irq and softirq are busy; guest is in user already."""
    (tmp_path / "stat").write_text(
        "cpu  1 2 4 1000 1000 8 16 1000 1 1\ncpu0 1\ncpu1 1\nintr 5\nprocesses 9\n"
    )
    stat = read_stat(str(tmp_path))
    assert (stat.busy_ns, stat.irq_ns, stat.cpus, stat.forks) == (310 * MS, 240 * MS, 2, 9)


@pytest.mark.parametrize("text", ["", "intr 5\n", "cpu  1 2\n", "cpu  a b c d e f g\n"])
def test_stat_without_a_cpu_line_is_unreadable(tmp_path, text):
    """Garbage in /proc/stat is an OSError, like a missing file."""
    (tmp_path / "stat").write_text(text)
    with pytest.raises(OSError, match="cpu line"):
        read_stat(str(tmp_path))


def test_missing_fork_count_is_unknown(tmp_path):
    """Without a `processes` line nothing is said about forks."""
    (tmp_path / "stat").write_text("cpu  1 2 4 1000 1000 8 16 0\ncpu0 1\n")
    assert read_stat(str(tmp_path)).forks is None


BURN = """
import threading, time
def burn():
    end = time.thread_time() + 0.15
    while time.thread_time() < end: pass
thread = threading.Thread(target=burn); thread.start(); thread.join()
print(time.process_time_ns(), flush=True)
input()
"""


@needs_linux
def test_cpu_clock_of_another_process_counts_its_ended_threads():
    """On this machine: the clock agrees with what the process says of itself, and ends with it."""
    times = ProcessTimes(HostFS())
    if not times.by_clock:
        pytest.skip("/proc shows another pid namespace")
    child = subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        own_ns = int(child.stdout.readline())
        assert own_ns >= 150 * MS
        assert times.cpu_ns(child.pid) == pytest.approx(own_ns, abs=10 * MS)
        assert times.stat(child.pid).cpu_ns == pytest.approx(own_ns, abs=20 * MS)
    finally:
        child.communicate(b"\n")
    assert times.cpu_ns(child.pid) is None
    assert times.stat(child.pid) is None


@needs_linux
def test_real_processes_are_listed_with_their_use():
    """On this machine: a process that burned between two scans is at the top with what it used."""
    hostfs, clock = HostFS(), SystemClock()
    times = ProcessTimes(hostfs)
    if not times.by_clock:
        pytest.skip("/proc shows another pid namespace")
    processes = Processes(hostfs, times, top=50, path_of=lambda _: "/", owner_of=lambda path, kernel: KERNEL)
    processes.scan(clock.boottime_ns(), None)
    child = subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        own_ns = int(child.stdout.readline())
        uses = {use.pid: use for use in processes.scan(clock.boottime_ns(), None)}
        assert uses[child.pid].cpu_ns == pytest.approx(own_ns, abs=10 * MS)
        assert uses[child.pid].comm.startswith("python")
    finally:
        child.communicate(b"\n")
    assert child.pid not in {use.pid for use in processes.scan(clock.boottime_ns(), None)}


def test_first_scan_gives_no_process_time(host):
    """Nothing is known of the time before the first scan."""
    host.process(10, f"/docker/{A}", cpu_ms=500)
    scanner = HostWorkloads(host.hostfs, ManualClock(), processes=True)
    assert scanner.scan().processes == ()
    scanner.close()


def test_own_pid_namespace_is_told_by_the_self_link(tmp_path):
    """Only a procfs whose `self` is this process numbers processes as the CPU clock does."""
    host = CgroupHost(tmp_path)
    assert not ProcessTimes(host.hostfs).by_clock
    os.symlink(str(os.getpid()), host.proc / "self")
    assert ProcessTimes(host.hostfs).by_clock
