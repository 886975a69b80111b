"""CPU time per workload on hosts built by hand, where every number is known."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cgroup_tree import MS, CgroupHost
from wattledger.attribution import Frame, attribute
from wattledger.clock import ManualClock
from wattledger.hostfs import HostFS
from wattledger.model import Workload
from wattledger.workloads.cgroups import Cgroups
from wattledger.workloads.descriptors import fd_budget, raise_descriptor_limit
from wattledger.workloads.hierarchy import find_hierarchy
from wattledger.workloads.roster import Roster
from wattledger.workloads.scan import HostWorkloads

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
POD = "2c9f8a79-5391-454b-88cb-86190881cb96"
HOSTS = Path(__file__).parent.parent / "hosts"


@pytest.fixture(params=["v2", "v1", "hybrid", "unified"])
def host(tmp_path, request):
    return CgroupHost(tmp_path, request.param)


@pytest.fixture
def workloads(host):
    """Opens scanners on the host and closes them."""
    opened = []

    def start(**wants):
        opened.append(HostWorkloads(host.hostfs, host.clock, **wants))
        return opened[-1]

    yield start
    for scanner in opened:
        scanner.close()


def step(host, scanner, seconds=5):
    """Let time pass and scan; CPU time in milliseconds by kind and id."""
    host.clock.advance(seconds)
    return used(scanner.scan())


def used(usage):
    return {f"{w.kind}:{w.id}".rstrip(":"): ns / MS for w, ns in usage.cpu_ns.items()}


def keys(entries):
    return {workload.key for workload in entries}


def test_first_scan_is_a_baseline(host, workloads):
    """What was used before the agent started is nobody's; what is there is born."""
    host.create(f"docker/{A}")
    host.create("system.slice/nginx.service")
    host.burn(f"docker/{A}", 500)
    usage = workloads().scan()
    assert used(usage) == {}
    assert usage.busy_ns == 0
    assert usage.cpus == 2
    assert keys(usage.born) == {("container", A), ("unit", "nginx.service")}


def test_each_workload_gets_what_it_used(host, workloads):
    """100 ms and 200 ms are 100 ms and 200 ms, and their sum was the busy time."""
    host.create(f"docker/{A}")
    host.create("system.slice/nginx.service")
    scanner = workloads()
    scanner.scan()
    host.burn(f"docker/{A}", 100)
    host.burn("system.slice/nginx.service", 200)
    host.clock.advance(5)
    usage = scanner.scan()
    assert used(usage) == {f"container:{A}": 100, "unit:nginx.service": 200}
    assert usage.busy_ns == 300 * MS
    assert step(host, scanner) == {}


def test_nested_workloads_are_subtracted(host, workloads):
    """A container inside a container, and one inside a unit, are not counted twice."""
    host.create(f"docker/{A}/docker/{B}")
    host.create(f"system.slice/web.service/libpod-payload-{C}")
    scanner = workloads()
    scanner.scan()
    host.burn(f"docker/{A}", 30)
    host.burn(f"docker/{A}/docker/{B}", 50)
    host.burn("system.slice/web.service", 10)
    host.burn(f"system.slice/web.service/libpod-payload-{C}", 20)
    assert step(host, scanner) == {
        f"container:{A}": 30, f"container:{B}": 50, "unit:web.service": 10, f"container:{C}": 20
    }  # fmt: skip


def test_pod_keeps_what_is_not_its_containers(host, workloads):
    """The pod's own cgroup, its conmon and its dead containers are the pod's."""
    pod = f"kubepods/burstable/pod{POD}"
    host.create(f"{pod}/{A}")
    host.create(f"{pod}/{B}")
    host.create(f"{pod}/crio-conmon-{A}")
    scanner = workloads()
    scanner.scan()
    host.burn(f"{pod}/{A}", 100)
    host.burn(f"{pod}/{B}", 40)
    host.burn(f"{pod}/crio-conmon-{A}", 10)
    host.remove(f"{pod}/{B}")
    assert step(host, scanner) == {f"container:{A}": 100, f"pod:{POD}": 50}


def test_steps_and_leaves_fold_into_their_workload(host, workloads):
    """A job's steps, a VM's threads and a container's leaf are not told apart."""
    job = "system.slice/slurmstepd.scope/job_7"
    host.create(f"{job}/step_0/user/task_0")
    host.create(f"{job}/step_extern")
    host.create("machine.slice/machine-qemu\\x2d3\\x2dfed.scope/libvirt/vcpu0")
    host.create(f"machine.slice/libpod-{A}.scope/container")
    scanner = workloads()
    assert len(scanner.scan().born) == 3
    host.burn(f"{job}/step_0/user/task_0", 100)
    host.burn(f"{job}/step_extern", 10)
    host.burn("machine.slice/machine-qemu\\x2d3\\x2dfed.scope/libvirt/vcpu0", 20)
    host.burn(f"machine.slice/libpod-{A}.scope/container", 30)
    assert step(host, scanner) == {"job:7": 110, "vm:qemu-3-fed": 20, f"container:{A}": 30}


def test_monitor_and_payload_are_one_container(host, workloads):
    """Two cgroups of one LXC container add up, and it ends with the last of them."""
    host.create("lxc.payload.web")
    host.create("lxc.monitor.web")
    scanner = workloads()
    assert [workload.key for workload in scanner.scan().born] == [("container", "web")]
    host.burn("lxc.payload.web", 100)
    host.burn("lxc.monitor.web", 10)
    assert step(host, scanner) == {"container:web": 110}
    host.remove("lxc.payload.web")
    assert scanner.scan().ended == ()
    host.remove("lxc.monitor.web")
    assert [workload.key for workload in scanner.scan().ended] == [("container", "web")]


def test_newborn_gets_all_it_used(host, workloads):
    """A container born between two scans used everything since its birth in this interval."""
    host.create("docker")
    scanner = workloads()
    scanner.scan()
    host.create(f"docker/{A}")
    host.burn(f"docker/{A}", 70)
    host.clock.advance(5)
    usage = scanner.scan()
    assert used(usage) == {f"container:{A}": 70}
    assert keys(usage.born) == {("container", A)}
    host.burn(f"docker/{A}", 20)
    assert step(host, scanner) == {f"container:{A}": 20}


def test_newborn_subtree_is_split_at_once(host, workloads):
    """A pod and its container that are new together are told apart in their first interval."""
    host.create("kubepods/burstable")
    scanner = workloads()
    scanner.scan()
    host.create(f"kubepods/burstable/pod{POD}/{A}")
    host.burn(f"kubepods/burstable/pod{POD}", 10)
    host.burn(f"kubepods/burstable/pod{POD}/{A}", 60)
    assert step(host, scanner) == {f"pod:{POD}": 10, f"container:{A}": 60}


def test_newly_seen_history_is_not_invented(host, workloads):
    """A cgroup that comes with a past is credited with no more than its parent used in this interval."""
    host.create(f"docker/{B}")
    scanner = workloads()
    scanner.scan()
    host.create(f"docker/{A}")
    host.usage_ns[f"docker/{A}"] += 9000 * MS
    host.burn(f"docker/{A}", 30)
    assert step(host, scanner) == {f"container:{A}": 30}
    host.burn(f"docker/{A}", 50)
    assert step(host, scanner) == {f"container:{A}": 50}


def test_work_that_came_and_went_is_exited(host, workloads):
    """A container that lived and died between two scans is charged to nobody else."""
    host.create(f"docker/{A}")
    scanner = workloads()
    scanner.scan()
    host.create(f"docker/{B}")
    host.burn(f"docker/{B}", 80)
    host.remove(f"docker/{B}")
    host.burn(f"docker/{A}", 10)
    assert step(host, scanner) == {f"container:{A}": 10, "exited": 80}


def test_last_part_of_an_ended_workload_is_exited(host, workloads):
    """Use after the last read of a cgroup that vanished shows up above it."""
    host.create(f"docker/{A}")
    host.create(f"docker/{B}")
    scanner = workloads()
    scanner.scan()
    host.burn(f"docker/{A}", 50)
    host.remove(f"docker/{A}")
    host.clock.advance(5)
    usage = scanner.scan()
    assert used(usage) == {"exited": 50}
    assert keys(usage.ended) == {("container", A)}


def test_unit_restarted_between_scans_goes_on(host, workloads):
    """A new cgroup of the same name is the same workload: not born, not ended, its new use its own."""
    host.create("system.slice/nginx.service")
    scanner = workloads()
    first = scanner.scan().born
    host.burn("system.slice/nginx.service", 500)
    step(host, scanner)
    host.remove("system.slice/nginx.service")
    host.create("system.slice/nginx.service")
    host.burn("system.slice/nginx.service", 20)
    host.clock.advance(5)
    usage = scanner.scan()
    assert used(usage) == {"unit:nginx.service": 20}
    assert (usage.born, usage.ended) == ((), ())
    assert list(usage.cpu_ns) == list(first)


def test_workload_that_comes_back_is_the_same_object(host, workloads):
    """A unit stopped for a while keeps the object that stands for it."""
    host.create("system.slice/nginx.service")
    scanner = workloads()
    (first,) = scanner.scan().born
    host.remove("system.slice/nginx.service")
    assert scanner.scan().ended == (first,)
    host.create("system.slice/nginx.service")
    assert scanner.scan().born == (first,)


def test_counter_that_was_reset_is_not_negative(host, workloads):
    """A counter that went backwards counts from zero, as far as its parent confirms it."""
    host.create(f"docker/{A}")
    host.burn(f"docker/{A}", 500)
    scanner = workloads()
    scanner.scan()
    host.usage_ns[f"docker/{A}"] = 0
    host.burn(f"docker/{A}", 30)
    assert step(host, scanner) == {f"container:{A}": 30}


def test_read_skew_is_a_debt_not_a_loss(host, workloads):
    """A child seen late leaves use with its parent for one scan; it is set off, not doubled."""
    host.create(f"system.slice/web.service/libpod-payload-{C}")
    scanner = workloads()
    scanner.scan()
    host.burn(f"system.slice/web.service/libpod-payload-{C}", 100)
    host.lag(f"system.slice/web.service/libpod-payload-{C}", 10)
    assert step(host, scanner) == {f"container:{C}": 90, "unit:web.service": 10}
    host.burn(f"system.slice/web.service/libpod-payload-{C}", 100)
    assert step(host, scanner) == {f"container:{C}": 110}
    assert scanner.debt_ns == 10 * MS
    host.burn("system.slice/web.service", 30)
    assert step(host, scanner) == {"unit:web.service": 20}
    assert scanner.debt_ns == 0


def test_debt_of_an_ended_cgroup_passes_to_the_one_above(host, workloads):
    """What a pod owed when it ended is set off against what is left above it."""
    pod = f"kubepods/burstable/pod{POD}"
    host.create(f"{pod}/{A}")
    scanner = workloads()
    scanner.scan()
    host.burn(f"{pod}/{A}", 100)
    host.lag(f"{pod}/{A}", 30)
    assert step(host, scanner) == {f"container:{A}": 70, f"pod:{POD}": 30}
    host.lag(f"{pod}/{A}", 0)
    assert step(host, scanner) == {f"container:{A}": 30}
    host.remove(pod)
    host.burn("kubepods/burstable", 50)
    assert step(host, scanner) == {"exited": 20}
    assert scanner.debt_ns == 0


def test_plain_parent_with_processes_is_a_workload(host, workloads):
    """A cgroup of no known shape that has processes and children keeps its own part."""
    host.create("batch/night")
    host.populate("batch", 1234)
    host.populate("batch/night", 1235)
    scanner = workloads()
    assert keys(scanner.scan().born) == {("cgroup", "/batch"), ("cgroup", "/batch/night")}
    host.burn("batch", 10)
    host.burn("batch/night", 20)
    assert step(host, scanner) == {"cgroup:/batch": 10, "cgroup:/batch/night": 20}


def test_plain_parent_without_processes_is_structural(host, workloads):
    """A cgroup that only groups others is not charged for children that came and went."""
    host.create("batch/night")
    host.populate("batch/night", 1235)
    scanner = workloads()
    assert keys(scanner.scan().born) == {("cgroup", "/batch/night")}
    host.create("batch/day")
    host.burn("batch/day", 40)
    host.remove("batch/day")
    assert step(host, scanner) == {"exited": 40}


def test_plain_leaf_of_short_lived_processes_is_a_workload(host, workloads):
    """A leaf whose processes are never there when one looks still owns what it used."""
    host.create("cron")
    scanner = workloads()
    assert scanner.scan().born == ()
    host.burn("cron", 40)
    host.clock.advance(5)
    usage = scanner.scan()
    assert used(usage) == {"cgroup:/cron": 40}
    assert keys(usage.born) == {("cgroup", "/cron")}


def test_slice_with_processes_of_its_own_is_a_workload(host, workloads):
    """In v1 without CPU accounting systemd leaves processes in slices; that is their use, not `exited`."""
    host.create("user.slice")
    host.populate("user.slice", 77)
    scanner = workloads()
    scanner.scan()
    host.burn("user.slice", 40)
    assert step(host, scanner) == {"cgroup:/user.slice": 40}


def test_root_without_processes_is_the_kernel(host, workloads):
    """Where only kernel threads live in the root cgroup, its own use is the kernel's."""
    host.process(2, comm=b"kthreadd", kernel_thread=True)
    host.create(f"docker/{A}")
    scanner = workloads()
    scanner.scan()
    host.burn(f"docker/{A}", 100)
    host.burn("/", 40)
    assert step(host, scanner) == {f"container:{A}": 100, "kernel": 40}


def test_root_with_processes_is_shared_with_the_kernel(host, workloads):
    """What kernel threads did not use of the root's own use belongs to the processes that live there."""
    host.process(7, comm=b"kworker/0:1", kernel_thread=True, cpu_ms=1000)
    host.process(100, comm=b"init")
    scanner = workloads()
    scanner.scan()
    host.process(7, comm=b"kworker/0:1", kernel_thread=True, cpu_ms=1030)
    host.burn("/", 100)
    host.clock.advance(5)
    usage = scanner.scan()
    assert used(usage) == {"kernel": 30, "cgroup:/": 70}


def test_kernel_gets_no_more_than_there_is(host, workloads):
    """Kernel threads sampled ahead of the total wait for it."""
    host.process(7, comm=b"kworker/0:1", kernel_thread=True, cpu_ms=0)
    host.process(100, comm=b"init")
    scanner = workloads()
    scanner.scan()
    host.process(7, comm=b"kworker/0:1", kernel_thread=True, cpu_ms=50)
    host.burn("/", 20)
    assert step(host, scanner) == {"kernel": 20}
    host.burn("/", 100)
    assert step(host, scanner) == {"kernel": 30, "cgroup:/": 70}


def test_interrupts_are_the_kernels(tmp_path):
    """In v2, where the total contains them, interrupts are taken from the root's own use first."""
    host = CgroupHost(tmp_path, "v2")
    host.process(100, comm=b"init")
    scanner = HostWorkloads(host.hostfs, host.clock)
    scanner.scan()
    host.irq_ns += 20 * MS
    host.burn("/", 100)
    assert step(host, scanner) == {"kernel": 20, "cgroup:/": 80}
    scanner.close()


def test_stolen_time_is_not_busy(host, workloads):
    """What the hypervisor took is neither busy time nor anybody's use."""
    scanner = workloads()
    scanner.scan()
    host.steal_ns += 500 * MS
    host.burn("/", 10)
    host.clock.advance(5)
    assert scanner.scan().busy_ns == 10 * MS


def test_hybrid_host_reads_v1(tmp_path):
    """Where v1 cpuacct is mounted, containers are accounted there and the v2 tree may be empty."""
    host = CgroupHost(tmp_path, "hybrid")
    assert find_hierarchy(host.hostfs).version == 1
    shutil.rmtree(tmp_path / "sys/fs/cgroup/cpu,cpuacct")
    assert find_hierarchy(host.hostfs).root.endswith("/unified")


def test_private_namespace_sees_its_own_part(tmp_path):
    """Without the real root the rest of the host stays out of the account instead of going to the kernel."""
    host = CgroupHost(tmp_path, "v2")
    host.write("", "cgroup.type", "domain\n")
    host.create(f"docker/{A}")
    scanner = HostWorkloads(host.hostfs, host.clock)
    scanner.scan()
    host.burn(f"docker/{A}", 30)
    host.burn("/", 10)
    assert step(host, scanner) == {f"container:{A}": 30, "cgroup:/": 10}
    (finding,) = [found for found in scanner.diagnose() if found.subject == "cgroup namespace"]
    assert finding.status == "denied"
    assert "--cgroupns=host" in finding.fix
    scanner.close()


def test_cgroup_without_a_birth_certificate_is_found_in_30_s(tmp_path):
    """In v1 nobody looks while nothing is forked; the slow round finds it all the same."""
    host = CgroupHost(tmp_path, "v1")
    for n in range(40):
        host.create(f"docker/{n:064x}")
    scanner = HostWorkloads(host.hostfs, host.clock)
    scanner.scan()
    step(host, scanner)
    step(host, scanner)
    host.create(f"docker/{A}", forks=0)
    born = set()
    for _ in range(7):
        host.clock.advance(5)
        born |= keys(scanner.scan().born)
    assert born == {("container", A)}
    scanner.close()


def test_host_that_does_not_count_forks_is_looked_at_every_time(tmp_path):
    """Without `processes` in /proc/stat every scan looks for new cgroups."""
    host = CgroupHost(tmp_path, "v1")
    host.forks = None
    host.create("docker")
    scanner = HostWorkloads(host.hostfs, host.clock)
    scanner.scan()
    host.create(f"docker/{A}")
    host.burn(f"docker/{A}", 10)
    assert step(host, scanner) == {f"container:{A}": 10}
    scanner.close()


def test_no_descriptors_left_is_slower_not_wrong(host):
    """With nothing to hold open every counter is opened for each read."""
    host.create(f"docker/{A}")
    host.create(f"docker/{B}")
    cgroups = Cgroups(find_hierarchy(host.hostfs), Roster(), fd_budget=1)
    cgroups.read()
    cgroups.book(host.usage_ns[""])
    host.burn(f"docker/{A}", 10)
    host.burn(f"docker/{B}", 20)
    cgroups.read()
    cgroups.discover(forks=None, interval_ns=0)
    credit, rest_ns = cgroups.book(host.usage_ns[""])
    assert {workload.id: ns // MS for workload, ns in credit.items()} == {A: 10, B: 20}
    assert rest_ns == 0
    host.remove(f"docker/{A}")
    host.remove(f"docker/{B}")
    cgroups.read()
    cgroups.discover(forks=None, interval_ns=0)
    assert len(cgroups.tree.nodes) == 2
    cgroups.close()


def test_one_unreadable_cgroup_hides_nothing_else(host, workloads):
    """A cgroup without a usable counter is charged to what is above it; the others stay exact."""
    host.create(f"docker/{A}")
    host.create(f"docker/{B}")
    file = "cpuacct.usage" if host.version == 1 else "cpu.stat"
    scanner = workloads()
    scanner.scan()
    host.burn(f"docker/{A}", 10)
    host.burn(f"docker/{B}", 20)
    host.write(f"docker/{B}", file, "nonsense\n")
    assert step(host, scanner) == {f"container:{A}": 10, "exited": 20}


def test_names_that_are_not_utf8_are_harmless(host, workloads):
    """A cgroup of any bytes is read like others and gets a valid id."""
    name = os.fsdecode(b"odd-\xff\xfe")
    host.create(name)
    scanner = workloads()
    scanner.scan()
    host.burn(name, 10)
    host.clock.advance(5)
    ((workload, ns),) = scanner.scan().cpu_ns.items()
    assert ns == 10 * MS
    assert workload.id.encode("utf-8").startswith(b"/odd-")


def test_thousands_of_births_and_deaths_leave_nothing_behind(tmp_path):
    """Descriptors, tracked cgroups and remembered identities stay bounded."""
    host = CgroupHost(tmp_path, "v2")
    host.create("docker")
    scanner = HostWorkloads(host.hostfs, host.clock)
    scanner.scan()
    gc.collect()  # what earlier tests left closes its files now and not meanwhile
    before = len(os.listdir("/proc/self/fd"))
    born = ended = total = 0
    for generation in range(60):
        names = [f"docker/{generation * 100 + n:064x}" for n in range(40)]
        for name in names:
            host.create(name)
        host.burn(names[0], 10)
        host.clock.advance(5)
        usage = scanner.scan()
        born += len(usage.born)
        total += sum(usage.cpu_ns.values())
        for name in names:
            host.remove(name)
        host.clock.advance(5)
        ended += len(scanner.scan().ended)
    assert (born, ended, total) == (2400, 2400, 600 * MS)
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(scanner._cgroups.tree.nodes) == 2
    assert len(scanner._roster) == 0
    scanner.close()


def test_dead_identities_are_forgotten_in_the_end():
    """The roster remembers 4,096 ended workloads, not all of them."""
    roster = Roster()
    host_workloads = [roster.retain(_container(n)) for n in range(5000)]
    for workload in host_workloads:
        roster.release(workload)
    again = [roster.retain(_container(n)) for n in (0, 4999)]
    assert again[0] is not host_workloads[0]
    assert again[1] is host_workloads[4999]


def _container(n):
    return Workload(kind="container", id=f"{n:064x}")


def test_memory_and_requests_are_each_counted_once(tmp_path):
    """A pod's own memory and request are what its containers do not have; others reserve by quota only."""
    host = CgroupHost(tmp_path, "v2")
    pod = f"kubepods/burstable/pod{POD}"
    host.create(f"{pod}/{A}")
    host.create(f"docker/{B}")
    host.create("system.slice/nginx.service")
    weight = 1 + (1024 - 2) * 9999 // 262142  # one core: 39
    for path, value, memory in ((pod, 2 * weight - 1, 300), (f"{pod}/{A}", weight, 200)):
        host.write(path, "cpu.weight", f"{value}\n")
        host.write(path, "memory.current", f"{memory}\n")
    host.write(f"docker/{B}", "cpu.max", "150000 100000\n")
    host.write(f"docker/{B}", "cpu.weight", "100\n")
    host.write("system.slice/nginx.service", "cpu.max", "max 100000\n")
    scanner = HostWorkloads(host.hostfs, host.clock, want_memory=True, want_reservations=True)
    usage = scanner.scan()
    assert {w.id: size for w, size in usage.memory_bytes.items()} == {POD: 100, A: 200}
    reserved = {w.id: cpus for w, cpus in usage.reserved_cpus.items()}
    assert reserved == pytest.approx({POD: 0.97, A: 0.975, B: 1.5}, rel=0.01)
    scanner.close()


def test_memory_and_requests_in_v1(tmp_path):
    """v1 keeps them in other hierarchies under the same paths."""
    host = CgroupHost(tmp_path, "v1")
    pod = f"kubepods/burstable/pod{POD}"
    host.create(f"{pod}/{A}")
    host.create(f"docker/{B}")
    host.write(f"{pod}/{A}", "cpu.shares", "512\n", "cpu")
    host.write(f"{pod}/{A}", "memory.usage_in_bytes", "200\n", "memory")
    host.write(f"docker/{B}", "cpu.cfs_quota_us", "-1\n", "cpu")
    host.write(f"docker/{B}", "cpu.cfs_period_us", "100000\n", "cpu")
    scanner = HostWorkloads(host.hostfs, host.clock, want_memory=True, want_reservations=True)
    usage = scanner.scan()
    assert {w.id: size for w, size in usage.memory_bytes.items()} == {A: 200}
    assert {w.id: cpus for w, cpus in usage.reserved_cpus.items()} == {A: 0.5}
    scanner.close()


def test_nothing_is_asked_for_that_nobody_wants(host, workloads):
    """Memory, reservations and processes are empty unless wanted."""
    host.create(f"docker/{A}")
    host.write(f"docker/{A}", "memory.current", "5\n", "memory")
    usage = workloads().scan()
    assert (usage.memory_bytes, usage.reserved_cpus, usage.processes) == ({}, {}, ())


def test_host_without_cgroups_still_has_a_kernel(tmp_path):
    """With no hierarchy at all the busy time is split between the kernel and everything else."""
    host = CgroupHost(tmp_path, "v2")
    shutil.rmtree(tmp_path / "sys")
    host.process(7, kernel_thread=True, cpu_ms=0)
    host.process(100)
    scanner = HostWorkloads(host.hostfs, host.clock)
    scanner.scan()
    host.tree.mkdir(parents=True)
    host.process(7, kernel_thread=True, cpu_ms=30)
    host.usage_ns[""] += 100 * MS
    host._show_stat()
    assert step(host, scanner) == {"kernel": 30, "cgroup:/": 70}
    assert [f.status for f in scanner.diagnose() if f.subject == "cgroups"] == ["absent"]


def test_host_without_proc_stat_cannot_be_scanned(tmp_path):
    """Nothing readable at all is an error, not an empty account."""
    scanner = HostWorkloads(HostFS.at(str(tmp_path)), ManualClock())
    with pytest.raises(OSError, match="stat"):
        scanner.scan()


def test_scan_that_failed_half_way_loses_nothing(tmp_path):
    """Counters read before the failure are booked by the next scan."""
    host = CgroupHost(tmp_path, "v1")
    host.create(f"docker/{A}")
    scanner = HostWorkloads(host.hostfs, host.clock)
    scanner.scan()
    host.burn(f"docker/{A}", 30)
    (host.tree / "cpuacct.usage").rename(tmp_path / "aside")
    with pytest.raises(OSError, match="cpuacct"):
        scanner.scan()
    (tmp_path / "aside").rename(host.tree / "cpuacct.usage")
    assert step(host, scanner) == {f"container:{A}": 30}
    scanner.close()


def test_check_names_the_hierarchy_and_the_process_clock(host, workloads):
    """`wattledger check` says what is read and how, with a fix where one is needed."""
    found = {finding.subject: finding for finding in workloads().diagnose()}
    assert {finding.sensor for finding in found.values()} == {"workloads"}
    words = {"v2": "v2 at", "v1": "v1 cpuacct", "hybrid": "v1 cpuacct", "unified": "hybrid"}[host.layout]
    assert words in found["cgroups"].why
    assert found["cgroup namespace"].status == "usable"
    assert found["process clock"].status == "absent"
    assert "--pid=host" in found["process clock"].fix
    assert found["processes of others"].status == "denied"
    host.process(1, comm=b"init")
    found = {finding.subject: finding for finding in workloads().diagnose()}
    assert found["processes of others"].status == "usable"


def test_descriptor_limit_is_raised_to_the_hard_limit():
    """The soft limit follows the hard one, and the budget leaves a reserve."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, before[1]), before[1]))
        assert fd_budget() == 1024 - 256
        assert raise_descriptor_limit() == before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


EXPECTED_HOSTS = {
    "cgroup-v2-kubernetes": {
        ("pod", POD), ("container", A), ("container", B), ("unit", "kubelet.service"),
        ("unit", "containerd.service"),
        ("unit", "init.scope"), ("session", "3"), ("unit", "user@1000.service"),
        ("unit", "user@1000.service/dbus.service"),
    },
    "cgroup-v1-slurm": {("job", "4824887"), ("job", "4824888"), ("container", C), ("cgroup", "/")},
    "cgroup-hybrid-lxc": {
        ("container", "web"), ("container", "101"), ("vm", "104"), ("vm", "qemu-3-fedora"), ("container", A),
        ("cgroup", "/"),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", EXPECTED_HOSTS)
def test_fixture_host_has_its_workloads(name):
    """Each recorded layout gives exactly the workloads an operator would list."""
    hostfs = HostFS.at(str(HOSTS / name))
    scanner = HostWorkloads(hostfs, ManualClock())
    assert keys(scanner.scan().born) == EXPECTED_HOSTS[name]
    scanner.close()


def test_folders_are_found_for_workloads_that_have_been_named_since(tmp_path):
    """The ledger keeps objects of its own, with names; they stand for the same workloads."""
    host = CgroupHost(tmp_path, "v2")
    host.create(f"docker/{A}")
    scanner = HostWorkloads(host.hostfs, host.clock)
    (workload,) = [found for found in scanner.scan().born if found.id == A]
    named = replace(workload, name="web")
    assert scanner.folders([named]) == {named: f"{host.hostfs.cgroupfs}/docker/{A}"}
    scanner.close()


def test_whoever_is_seen_in_a_private_namespace_does_not_pay_for_the_rest_of_the_host(tmp_path):
    """The meters tell of the whole host: 0.1 s seen of 1 s is a tenth of the energy, the rest is nobody's."""
    host = CgroupHost(tmp_path, "v2")
    host.write("", "cgroup.type", "domain\n")
    host.create(f"docker/{A}")
    scanner = HostWorkloads(host.hostfs, host.clock)
    scanner.scan()
    host.burn(f"docker/{A}", 100)
    stat = tmp_path / "proc/stat"
    label, user, *rest = stat.read_text().split(" ")[:1] + stat.read_text().removeprefix("cpu  ").split(" ")
    stat.write_text(" ".join([f"{label} ", str(int(user) + 90), *rest]))
    host.clock.advance(5)
    usage = scanner.scan()
    assert {workload.kind: used_ns // MS for workload, used_ns in usage.cpu_ns.items()} == {
        "container": 100,
        "unattributed": 900,
    }
    interval = Frame(start_ns=0, end_ns=5_000_000_000, energy_uj={"cpu": 50_000_000}, usage=usage)
    booked = {(share.workload.kind, share.mode): share.energy_uj for share in attribute(interval)}
    assert booked == {("container", "dynamic"): 5_000_000, ("unattributed", ""): 45_000_000}
    scanner.close()


@pytest.mark.parametrize("kind", ["v2", "v1"])
@pytest.mark.parametrize("free", [0, 1, 2])
def test_cgroup_born_while_descriptors_are_short_is_found_when_they_are_not(tmp_path, kind, free):
    """A crowd of scrapers may hold them all for a moment; that must not hide a container for life."""
    host = CgroupHost(tmp_path, kind)
    scanner = HostWorkloads(host.hostfs, host.clock)
    scanner.scan()
    step(host, scanner)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = []
    try:
        host.create(f"docker/{A}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 8, limits[1]))
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(free):
            os.close(held.pop())
        scanner._cgroups.tree.check(scanner._cgroups.tree.root)
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for _ in range(7):
        step(host, scanner)
    host.burn(f"docker/{A}", 30)
    assert step(host, scanner) == {f"container:{A}": 30}
    scanner.close()
