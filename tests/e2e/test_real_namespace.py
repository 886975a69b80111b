"""Real processes are matched to their workloads from real cgroup namespaces of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command_line import REPOSITORY
from tests.podman_containers import Podman, needs_podman
from wattledger.hostfs import HostFS
from wattledger.workloads.hierarchy import find_hierarchy

pytestmark = pytest.mark.e2e

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
LAYOUTS = {"v2": HostFS(), "v1": HostFS(), "unified": HostFS(cgroupfs="/sys/fs/cgroup/unified")}

# Scans the host and prints the owners of the processes it is told, once for each line of input. A line
# that is the folder of a cgroup makes it move there first.
ASKER = """
import json, os, sys
from pathlib import Path
from wattledger.clock import ManualClock
from wattledger.hostfs import HostFS
from wattledger.workloads.scan import HostWorkloads
paths, pids = json.loads(sys.argv[1]), list(map(int, sys.argv[2:]))
clock = ManualClock()
scanner = HostWorkloads(HostFS(**paths), clock, processes=True)
for line in sys.stdin:
    if line.strip():
        Path(line.strip(), "cgroup.procs").write_text(str(os.getpid()))
    scanner.scan()
    clock.advance(60)
    found = {pid: w.id for pid, w in scanner.owners([*pids, os.getpid()]).items()}
    (finding,) = [f for f in scanner.diagnose() if f.subject == "cgroup namespace"]
    owners = [found.get(pid) for pid in [*pids, os.getpid()]]
    print(json.dumps([owners, finding.status, finding.why]), flush=True)
"""


@pytest.fixture(params=list(LAYOUTS))
def tree(request):
    """An empty cgroup of this test two levels down, and the host it is on."""
    hostfs = LAYOUTS[request.param]
    hierarchy = find_hierarchy(hostfs)
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root may make cgroups and namespaces, with unshare(1)")
    if (
        hierarchy is None
        or hierarchy.version != (1 if request.param == "v1" else 2)
        or not hierarchy.complete
    ):
        pytest.skip(f"no cgroup {request.param} hierarchy is mounted at {hostfs.cgroupfs}")
    top = Path(hierarchy.root) / f"wattledger-test-{os.getpid()}.slice"
    base = top / "inner.slice"
    try:
        base.mkdir(parents=True)
    except OSError as error:
        pytest.skip(f"cgroups cannot be made here: {error}")
    yield hostfs, base
    folders = [folder for folder in top.rglob("*") if folder.is_dir()]
    for folder in [*sorted(folders, reverse=True), top]:
        remove(folder)


def remove(folder):
    """Remove a cgroup once its last process is reaped."""
    for _ in range(3000):
        with contextlib.suppress(OSError):
            folder.rmdir()
        if not folder.exists():
            return
        time.sleep(0.01)


def join(cgroup, *command, **options):
    """Run a command in this cgroup."""
    cgroup.mkdir(parents=True, exist_ok=True)
    script = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
    return subprocess.Popen(["/bin/sh", "-c", script, str(cgroup), *command], text=True, **options)


@pytest.fixture
def start():
    """Starts processes in cgroups."""
    started = []

    def launch(cgroup, *command, **options):
        started.append(join(cgroup, *command, **options))
        return started[-1]

    yield launch
    for process in started:
        process.kill()
        process.communicate()


def ask(process, folder=""):
    """What the asker sees, after it moved to another cgroup."""
    process.stdin.write(f"{folder}\n")
    process.stdin.flush()
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return json.loads(line)


def asker(hostfs, pids):
    """The command and options of an asker."""
    paths = {"cgroupfs": hostfs.cgroupfs}
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "exporter")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return (sys.executable, "-c", ASKER, json.dumps(paths), *map(str, pids)), {"env": environment} | pipes


@pytest.mark.parametrize("mounted", [True, False], ids=["mounted", "unmounted"])
def test_owners_from_a_private_namespace(tree, start, tmp_path, mounted):
    """Beside, above and below the namespace; with its own mount as a runtime makes it, and without one."""
    hostfs, base = tree
    above = base / "pod.service"
    own = above / f"docker-{A}.scope"
    cgroups = [base / f"docker-{B}.scope", above / f"docker-{C}.scope", own / "child", above]
    sleepers = [start(cgroup, "sleep", "600") for cgroup in cgroups]
    command, options = asker(hostfs, [process.pid for process in sleepers])
    version = find_hierarchy(hostfs).version
    point = tmp_path / "own cgroups"
    point.mkdir()
    kind = ["cgroup2"] if version == 2 else ["cgroup", "-o", "cpuacct"]
    mount = f'mount -t {" ".join(kind)} none "{point}" && ' if mounted else ""
    wrapped = ("unshare", "--cgroup", "--mount", "--", "/bin/sh", "-c", f'{mount}exec "$@"', "sh", *command)
    process = start(own, *wrapped, **options)
    path = f"/{own.relative_to(find_hierarchy(hostfs).root)}"
    for sleeper, cgroup in zip(sleepers, cgroups, strict=True):
        await_member(sleeper.pid, cgroup)
    (owners, status, why) = ask(process)
    assert owners == [B, C, A, "pod.service", A]
    assert status == "usable"
    assert path in why


def test_a_moved_agent_keeps_its_bearings(tree, start):
    """The agent is moved to another cgroup and its former one removed; the owners stay known."""
    hostfs, base = tree
    own, other = base / "pod.slice" / f"docker-{A}.scope", base / f"docker-{B}.scope"
    sleeper = start(other, "sleep", "600")
    command, options = asker(hostfs, [sleeper.pid])
    process = start(own, "unshare", "--cgroup", "--mount", "--", *command, **options)
    await_member(sleeper.pid, other)
    assert ask(process)[0] == [B, A]
    refuge = base / f"docker-{C}.scope"
    refuge.mkdir()
    assert ask(process, refuge)[0] == [B, C]
    remove(own)
    remove(own.parent)
    assert not own.parent.exists()
    for _ in range(2):
        assert ask(process)[:2] == [[B, C], "usable"]


def await_member(pid, cgroup):
    """Wait until the process is in the cgroup."""
    for _ in range(3000):
        if str(pid) in (cgroup / "cgroup.procs").read_text().split():
            return
        time.sleep(0.01)
    raise AssertionError(f"{pid} is not in {cgroup}")


@needs_podman
@pytest.mark.parametrize("hierarchy", ["", "unified"])
@pytest.mark.parametrize("host_pids", [True, False], ids=["host-pids", "own-pids"])
def test_containers_are_told_apart_from_within_one(tmp_path, hierarchy, host_pids):
    """From a container with a private cgroup namespace, as a pod has: another one's process is its own."""
    if not find_hierarchy(HostFS(cgroupfs=str(Path(HostFS().cgroupfs, hierarchy)))):
        pytest.skip(f"no cgroup hierarchy is mounted at {hierarchy or HostFS().cgroupfs}")
    shared = sorted({"/usr", "/lib", "/lib64", sys.base_prefix, sys.prefix, str(REPOSITORY / "exporter")})
    options = [f"--volume={path}:{path}:ro" for path in shared if Path(path).exists()]
    options += ["--volume=/proc:/host/proc:ro", "--volume=/sys:/host/sys:ro", f"--volume={tmp_path}:/answer"]
    options += ["--cgroupns=private", f"--env=PYTHONPATH={REPOSITORY / 'exporter'}"]
    if host_pids:
        options.append("--pid=host")
    cgroupfs = str(Path("/host/sys/fs/cgroup", hierarchy))
    paths = {"procfs": "/host/proc", "sysfs": "/host/sys", "cgroupfs": cgroupfs}
    (tmp_path / "asker.py").write_text(ASKER)
    (tmp_path / "paths").write_text(json.dumps(paths))
    with Podman() as podman:
        other = podman.run("sleep 600")
        run = f'echo | {sys.executable} /answer/asker.py "$(/bin/busybox cat /answer/paths)" {other.pid} 1'
        agent = podman.run(f"{run} > /answer/out 2> /answer/err; > /answer/done; sleep 600", *options)
        for _ in range(2400):
            if (tmp_path / "done").exists():
                break
            time.sleep(0.05)
        assert (tmp_path / "out").read_text(), (tmp_path / "err").read_text()
        (owners, status, why) = json.loads((tmp_path / "out").read_text())
        assert owners[0] == other.id
        if host_pids:
            assert owners[2] == agent.id
        assert status == "usable"
        assert f"libpod-{agent.id}" in why
