"""The accounts against what real processes in real cgroups of this machine say of themselves."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wattledger.clock import SystemClock
from wattledger.hostfs import HostFS
from wattledger.workloads.hierarchy import find_hierarchy
from wattledger.workloads.scan import HostWorkloads

pytestmark = pytest.mark.e2e

A, B = (f"{digit}{os.getpid():063x}" for digit in "ab")
"""Of nobody else, were these tests run twice at once."""
LAYOUTS = {
    "v2": HostFS(),
    "v1": HostFS(),
    "unified": HostFS(cgroupfs="/sys/fs/cgroup/unified"),
}

# Joins the cgroup it is told, waits for a line, runs a piece of work, and prints the CPU time that
# it and its children used since it joined.
WORKER = """
import json, os, resource, sys, time
def used():
    own, below = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + below.ru_utime + below.ru_stime
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
with open(os.path.join(sys.argv[1], "cgroup.procs"), "w") as procs: procs.write(str(os.getpid()))
joined = used()
print("ready", flush=True)
for line in sys.stdin:
    before = used()
    task = json.loads(line)
    burn(task.get("seconds", 0))
    for _ in range(task.get("children", 0)):
        pid = os.fork()
        if not pid:
            burn(0.002)
            os._exit(0)
        os.waitpid(pid, 0)
    print(used() - before, flush=True)
"""


@pytest.fixture(params=list(LAYOUTS))
def tree(request):
    """An empty cgroup of this test, and the host it is on."""
    hostfs = LAYOUTS[request.param]
    hierarchy = find_hierarchy(hostfs)
    version = 1 if request.param == "v1" else 2
    if os.geteuid() != 0:
        pytest.skip("only root may make cgroups")
    if hierarchy is None or hierarchy.version != version or not hierarchy.complete:
        pytest.skip(f"no cgroup {request.param} hierarchy is mounted at {hostfs.cgroupfs}")
    base = Path(hierarchy.root) / f"wattledger-test-{os.getpid()}"
    try:
        base.mkdir()
    except OSError as error:
        pytest.skip(f"cgroups cannot be made here: {error}")
    yield hostfs, base
    for folder in sorted(base.rglob("*"), reverse=True):
        if folder.is_dir():
            remove(folder)
    remove(base)


def remove(folder):
    """Remove a cgroup once its last process is reaped."""
    for _ in range(3000):
        with contextlib.suppress(OSError):
            folder.rmdir()
        if not folder.exists():
            return
        time.sleep(0.01)


class Worker:
    """A process in a cgroup that works when told to."""

    def __init__(self, cgroup):
        cgroup.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(cgroup)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "ready\n"

    def work(self, **task):
        """Do it, and return the CPU seconds it took."""
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def start():
    workers = []

    def launch(cgroup):
        workers.append(Worker(cgroup))
        return workers[-1]

    yield launch
    for worker in workers:
        worker.stop()


@pytest.fixture
def scan(tree):
    """Scans this machine; gives CPU seconds by workload id, for this test's workloads and the pseudo ones."""
    scanner = HostWorkloads(tree[0], SystemClock())
    scanner.scan()

    def once():
        usage = scanner.scan()
        return {workload.id or workload.kind: ns / 1e9 for workload, ns in usage.cpu_ns.items()}

    yield once
    scanner.close()


def test_short_lived_processes_are_complete(tree, start, scan):
    """Two hundred processes that live 2 ms each are charged to their cgroup in full, and to nothing else."""
    _, base = tree
    worker = start(base)
    bystander = start(base / f"docker-{B}.scope")
    path = f"/{base.name}"
    scan()
    truth = worker.work(children=200)
    used = scan()
    assert truth > 0.4
    assert used[path] == pytest.approx(truth, rel=0.02)
    assert used.get(B, 0) < 0.02 * truth
    assert bystander.process.poll() is None


def test_nested_containers_are_told_apart(tree, start, scan):
    """A container in a container gets its own use, the outer one the rest; both exact within 2 %."""
    _, base = tree
    outer = start(base / f"docker-{A}.scope")
    inner = start(base / f"docker-{A}.scope" / f"docker-{B}.scope")
    scan()
    truth = inner.work(seconds=0.3)
    outer_truth = outer.work(seconds=0.2)
    used = scan()
    assert used[B] == pytest.approx(truth, rel=0.02)
    assert used[A] == pytest.approx(outer_truth, rel=0.02, abs=0.005)


def test_container_born_between_scans_is_complete(tree, start, scan):
    """A container made and used between two scans gets all of it in its first interval."""
    _, base = tree
    (base / "pool.slice").mkdir()
    scan()
    worker = start(base / "pool.slice" / f"docker-{A}.scope")
    truth = worker.work(seconds=0.2, children=10)
    used = scan()
    assert used[A] == pytest.approx(truth, rel=0.05, abs=0.01)


def test_container_that_came_and_went_is_exited(tree, start, scan):
    """A container that lived between two scans only leaves its use as `exited`, not with a neighbour."""
    _, base = tree
    pool = base / "pool.slice"
    start(pool / f"docker-{B}.scope")
    scan()
    gone = pool / f"docker-{A}.scope"
    worker = start(gone)
    truth = worker.work(seconds=0.2)
    worker.stop()
    remove(gone)
    assert not gone.exists()
    used = scan()
    assert used["exited"] >= 0.98 * truth
    assert used.get(B, 0) < 0.02


def test_cgroup_made_anew_under_its_old_name_goes_on(tree, start, scan):
    """A unit that restarts has a new counter from zero; its new use is its own, never negative."""
    _, base = tree
    unit = base / "web.service"
    worker = start(unit)
    worker.work(seconds=0.2)
    scan()
    worker.stop()
    remove(unit)
    worker = start(unit)
    truth = worker.work(seconds=0.1)
    used = scan()
    assert used["web.service"] == pytest.approx(truth, rel=0.1, abs=0.02)


def test_everything_adds_up_to_the_hosts_total(tree, start, scan):
    """On v1, whose root is exact, the sum over workloads is the root's own counter."""
    hostfs, base = tree
    hierarchy = find_hierarchy(hostfs)
    if hierarchy.version != 1:
        pytest.skip("the root of v2 is sampled, not counted")
    root = Path(hierarchy.root) / "cpuacct.usage"
    worker = start(base / f"docker-{A}.scope")
    scan()
    before = int(root.read_text())
    total = 0.0
    for _ in range(5):
        worker.work(seconds=0.05, children=10)
        total += sum(scan().values())
    truth = (int(root.read_text()) - before) / 1e9
    assert total == pytest.approx(truth, rel=0.02, abs=0.02)
