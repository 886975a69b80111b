"""Processes are matched to their workloads from a cgroup namespace of the agent's own, as in a pod."""

from __future__ import annotations

import itertools
import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cgroup_tree import MS, CgroupHost
from wattledger.workloads.hierarchy import find_hierarchy
from wattledger.workloads.mounts import cgroup_mounts
from wattledger.workloads.namespace import CgroupNamespace
from wattledger.workloads.scan import HostWorkloads
from wattledger.workloads.viewpoint import HOST, Viewpoint, viewpoint_of

SLICE = "/kubepods.slice/kubepods-burstable.slice"
AGENT, OTHER, BEST = (
    f"{digit}{digit * 7}_{digit * 4}_{digit * 4}_{digit * 4}_{digit * 12}" for digit in "123"
)
A, B, C = ("a" * 64, "b" * 64, "c" * 64)
POD = f"{SLICE}/kubepods-burstable-pod{AGENT}.slice"
OWN = f"{POD}/cri-containerd-{A}.scope"
SIBLING = f"{SLICE}/kubepods-burstable-pod{OTHER}.slice/cri-containerd-{B}.scope"
COUSIN = (
    f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{BEST}.slice/cri-containerd-{C}.scope"
)
PLACES = {
    1: ("/init.scope", "unit:init.scope"),
    2: ("/", "cgroup:/"),
    10: (SIBLING, f"container:{B}"),
    11: (f"{SIBLING}/deeper/..still", f"container:{B}"),
    12: (COUSIN, f"container:{C}"),
    20: (OWN, f"container:{A}"),
    21: (f"{OWN}/below", f"container:{A}"),
    30: (POD, f"pod:{AGENT.replace('_', '-')}"),
    31: ("/..odd/web.service", "unit:web.service"),
}


@pytest.fixture(params=["v2", "unified", "v1", "hybrid"])
def host(request, tmp_path):
    """A node with three pods, told from nowhere in particular."""
    made = CgroupHost(tmp_path, request.param)
    for path, _ in PLACES.values():
        if path != "/":
            made.create(path)
    return made


def settle(host):
    """Add the processes, as they are told from where the agent is."""
    for pid, (path, _) in PLACES.items():
        host.process(pid, path)


def owners(host, scanner):
    """Who owns the processes, as `kind:id` by pid."""
    found = scanner.owners([*PLACES, 999])
    return {pid: f"{workload.kind}:{workload.id}" for pid, workload in found.items()}


def finding(scanner):
    (found,) = [found for found in scanner.diagnose() if found.subject == "cgroup namespace"]
    return found


EXPECTED = {pid: owner for pid, (_, owner) in PLACES.items()}


@pytest.mark.parametrize("namespace", ["", OWN, POD, "/system.slice/agent.service"])
def test_the_same_workloads_are_seen_from_every_namespace(host, namespace):
    """Beside the namespace, above it, at its root and below it: whoever asks, the owners are the same."""
    if namespace:
        host.create(namespace)
        host.enclose(namespace)
    settle(host)
    scanner = HostWorkloads(host.hostfs, host.clock)
    scanner.scan()
    assert owners(host, scanner) == EXPECTED
    assert finding(scanner).status == "usable"
    assert namespace in finding(scanner).why
    scanner.close()


def test_the_kernel_tells_such_paths(host):
    """The fixture's paths are of the form that /proc/PID/cgroup has."""
    host.enclose(OWN)
    assert host.told("/") == "/../../../.."
    assert host.told("/init.scope") == "/../../../../init.scope"
    assert host.told(POD) == "/.."
    assert host.told(OWN) == "/"
    assert host.told(f"{OWN}/below") == "/below"
    assert host.told(COUSIN).startswith("/../../../kubepods-besteffort.slice/")


def test_a_hidden_mount_is_made_up_for_by_the_agents_own_pid(host):
    """Where the host's cgroups are mounted over the container's, the agent finds itself in their lists."""
    host.enclose(OWN, mounted=False)
    host.populate(OWN, 7, os.getpid(), 8)
    host.populate(SIBLING, 9)
    settle(host)
    scanner = HostWorkloads(host.hostfs, host.clock)
    scanner.scan()
    assert owners(host, scanner) == EXPECTED
    scanner.close()


def test_the_agents_own_pid_counts_from_below_the_namespace_too(host):
    """An agent that was moved into a cgroup of its container still knows where the container begins."""
    host.create(f"{SIBLING}/below")
    host.enclose(OWN, mounted=False)
    (host.proc / "self/cgroup").write_text(
        (host.proc / "self/cgroup")
        .read_text()
        .replace("cpuacct:/", "cpuacct:/below")
        .replace("0::/", "0::/below")
    )
    host.populate(f"{OWN}/below", os.getpid())
    assert CgroupNamespace(host.hostfs, find_hierarchy(host.hostfs)).view.names == tuple(OWN.split("/")[1:])


def test_without_names_what_shares_only_the_root_is_told(host):
    """From an unknown place, processes of other branches are matched, the rest is left out."""
    host.enclose(OWN, mounted=False)
    settle(host)
    scanner = HostWorkloads(host.hostfs, host.clock)
    scanner.scan()
    assert owners(host, scanner) == {pid: EXPECTED[pid] for pid in (1, 2, 31)}
    assert finding(scanner).status == "ignored"
    assert "--cgroupns=host" in finding(scanner).fix
    scanner.close()


def test_what_was_not_found_is_looked_for_ever_more_rarely(host):
    """Each vain look doubles the wait, for it lists cgroups; once found, the owners are complete."""
    host.enclose(OWN, mounted=False)
    settle(host)
    scanner = HostWorkloads(host.hostfs, host.clock)
    scanner.scan()  # in vain: the next look is in 30 s, then in 60 s
    host.clock.advance(30)
    scanner.scan()
    host.populate(OWN, os.getpid())
    host.clock.advance(59)
    scanner.scan()
    assert 10 not in owners(host, scanner)
    host.clock.advance(1)
    scanner.scan()
    assert owners(host, scanner) == EXPECTED
    scanner.close()


def test_a_renamed_cgroup_is_found_within_30_s(host):
    """v1 can rename a cgroup above the agent's; the paths follow at the next check."""
    host.enclose(OWN)
    settle(host)
    namespace = CgroupNamespace(host.hostfs, find_hierarchy(host.hostfs))
    namespace.check(0)
    (host.tree / "kubepods.slice").rename(host.tree / "pods.slice")
    host.enclose(OWN.replace("kubepods.slice", "pods.slice", 1))
    namespace.check(29_999 * MS)
    assert namespace.view.names[0] == "kubepods.slice"
    namespace.check(30_000 * MS)
    assert namespace.view.names == ("pods.slice", *OWN.split("/")[2:])


def test_the_namespace_outlives_its_cgroup(host):
    """The agent was moved and its former cgroup removed: the namespace, and what it calls others, stays."""
    host.enclose(OWN)
    settle(host)
    scanner = HostWorkloads(host.hostfs, host.clock)
    scanner.scan()
    host.remove(OWN)
    for _ in range(3):
        host.clock.advance(60)
        scanner.scan()
    found = owners(host, scanner)
    assert found[10] == f"container:{B}"
    assert found[12] == f"container:{C}"
    assert found[20] == EXPECTED[30]  # the pod, which is the nearest that is left above it
    assert finding(scanner).status == "usable"
    scanner.close()


def test_processes_and_the_kernel_are_told_from_within(host):
    """The process detail names its workload, and kernel threads in `/` are told from users there."""
    host.enclose(OWN)
    settle(host)
    host.process(50, "/", kernel_thread=True)
    scanner = HostWorkloads(host.hostfs, host.clock, processes=True)
    scanner.scan()
    host.burn(SIBLING, 40)
    host.process(10, SIBLING, cpu_ms=40)
    host.burn("/", 30)
    host.process(50, "/", cpu_ms=20, kernel_thread=True)
    host.clock.advance(5)
    usage = scanner.scan()
    assert {use.pid: (use.workload.id or use.workload.kind, use.cpu_ns // MS) for use in usage.processes} == {
        10: (B, 40),
        50: ("kernel", 20),
    }
    spent = {workload.id or workload.kind: ns // MS for workload, ns in usage.cpu_ns.items()}
    assert spent == {B: 40, "kernel": 20, "/": 10}
    scanner.close()


def test_no_mount_table_is_as_the_hosts_own_namespace(host):
    """A /proc without `self` hides where paths are told from; those beside the agent are left out."""
    host.enclose(OWN)
    shutil.rmtree(host.proc / "self")
    settle(host)
    scanner = HostWorkloads(host.hostfs, host.clock)
    scanner.scan()
    assert 10 not in owners(host, scanner)
    assert finding(scanner).status == "ignored"
    scanner.close()


def test_a_part_of_the_tree_is_told_from_the_hosts_namespace(tmp_path):
    """Where only the container's own cgroup is mounted, the path above it is cut off."""
    host = CgroupHost(tmp_path, "v2")
    host.write("", "cgroup.type", "domain\n")
    host.create(f"docker-{A}.scope")
    (host.proc / "self").mkdir()
    (host.proc / "self/mountinfo").write_text(f"32 21 0:29 /box {host.tree} ro - cgroup2 cgroup rw\n")
    host.process(10, f"/box/docker-{A}.scope")
    host.process(11, "/boxes")
    scanner = HostWorkloads(host.hostfs, host.clock)
    scanner.scan()
    assert {pid: workload.id for pid, workload in scanner.owners([10, 11]).items()} == {10: A}
    scanner.close()


def test_mount_table_is_read_to_its_end_and_unescaped(tmp_path):
    """Of mounts on one point the last is seen; other kinds and broken lines are left out."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text(
        "1 0 0:1 / / rw - ext4 /dev/sda rw\n"
        "2 1 0:2 / /a\\040b\\134c rw shared:1 master:2 - cgroup2 cgroup rw\n"
        "3 1 0:2 /x\\011y /d rw - cgroup cgroup rw,cpuacct\n"
        "4 1 0:2 / /e rw - cgroup2 cgroup rw\n"
        "5 1 0:3 / /e rw - tmpfs none rw\n"
        "6 1 0:2 /.. /d rw - cgroup2 cgroup rw\n"
        "broken\n"
        "7 - cgroup2"
    )
    assert cgroup_mounts(str(tmp_path)) == {"/a b\\c": "/", "/d": "/.."}
    assert cgroup_mounts(str(tmp_path / "nowhere")) == {}


@pytest.mark.parametrize(
    ("mount_root", "view"),
    [
        ("/", HOST),
        ("/..", Viewpoint(depth=1, names=None)),
        ("/../../..", Viewpoint(depth=3, names=None)),
        ("/docker/x", Viewpoint(names=None, within="/docker/x")),
        ("/../x", Viewpoint(names=None, within="/../x")),
        ("/..x", Viewpoint(names=None, within="/..x")),
    ],
)
def test_the_mounts_root_tells_the_viewpoint(mount_root, view):
    """Only steps up: the namespace lies below the mount; else the mount lies beside or below it."""
    assert viewpoint_of(mount_root) == view


@pytest.mark.parametrize(
    ("path", "resolved"),
    [
        ("/", "/a/b"),
        ("/c", "/a/b/c"),
        ("/..", "/a"),
        ("/../c", "/a/c"),
        ("/../..", "/"),
        ("/../../c/d", "/c/d"),
        ("/../../..", None),
        ("/..c", "/a/b/..c"),
        ("/../..c", "/a/..c"),
    ],
)
def test_paths_from_two_levels_down(path, resolved):
    """From /a/b; above the hierarchy's root there is nothing."""
    assert Viewpoint(depth=2, names=("a", "b")).resolve(path) == resolved


names = st.lists(st.sampled_from(["a", "b", "..a", "...", "x.slice"]), max_size=5).map(tuple)


@given(names, names)
def test_resolving_undoes_what_the_kernel_does(root, target):
    """Any cgroup told from any namespace is the same cgroup."""
    pairs = zip(root, target, strict=False)
    common = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))
    told = "/" + "/".join([".."] * (len(root) - common) + list(target[common:]))
    path = "/" + "/".join(target)
    assert Viewpoint(depth=len(root), names=root).resolve(told) == path
    blind = Viewpoint(depth=len(root), names=None)
    assert blind.resolve(told) == (None if common else path)
