"""Defects found in other energy exporters, each as a test that we do not have it.

Real sensors, workloads, split, ledger and exposition on fixture hosts; every exposition is read by the
strict OpenMetrics parser, which refuses a series that is there twice.
Those that need a running agent are in test_peer_defects_served.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.agent_process import Scrape
from tests.cgroup_tree import CgroupHost
from tests.host_copies import copy_host, fail_with_eio
from tests.known_host import J, KnownHost, KnownNode
from tests.powercap_tree import AMD_RANGE_UJ, PowercapTree
from wattledger.exposition.render import Renderer
from wattledger.settings import ProcessSettings

NODE = "wattledger_node_energy_joules_total"
WORKLOAD = "wattledger_workload_energy_joules_total"
PROCESS = "wattledger_process_energy_joules_total"
EXPIRED = "wattledger_workload_expired_energy_joules"
POWER = "wattledger_node_power_watts"

ALL_DYNAMIC = {"cpu": 0.0, "dram": 0.0, "other": 0.0}
NO_IDLE = {"idle_watts": ALL_DYNAMIC}
WITH_PROCESSES = {**NO_IDLE, "processes": ProcessSettings(enabled=True, top=10)}


class CopiedHost(NamedTuple):
    """A host from tests/hosts."""

    root: Path


def docker(number: int) -> str:
    return f"system.slice/docker-{number:064x}.scope"


def exposed(node) -> Scrape:
    return Scrape.of_openmetrics(Renderer({}).render(node.snapshot, openmetrics=True).decode())


def energy(node, **labels) -> float:
    """Joules of the matching workload series."""
    return exposed(node).sum(WORKLOAD, **labels)


def of(number: int) -> dict[str, str]:
    return {"kind": "container", "id": f"{number:064x}"}


@pytest.fixture
def host(tmp_path):
    """One socket, no memory zone, two containers of one process each."""
    host = KnownHost(tmp_path / "host", sockets=1, memory=False, mmio=False)
    for number in (1, 2):
        host.cgroups.create(docker(number))
        host.cgroups.populate(docker(number), number)
    return host


@pytest.fixture
def node(host):
    """It, all its energy dynamic."""
    return KnownNode(host, **NO_IDLE)


def draw(host, joules, counter="package-0"):
    host.counters[counter].draw(round(joules * J))


def spawn(host, pid, **figures):
    """A process of container 1 comes to life (again), and the kernel counts a fork."""
    host.cgroups.forks += 1
    host.cgroups.process(pid, f"/{docker(1)}", **figures)
    host.cgroups.burn("", 0)


def bare(tmp_path, **cpu) -> PowercapTree:
    """A host without any zone yet."""
    CgroupHost(tmp_path / "host")
    return PowercapTree(tmp_path / "host", **cpu)


# Who is charged


def test_short_lived_work_is_not_charged_to_bystanders(host, node):
    """Processes that come and go between two samples are seen by nobody who samples processes.

    Their CPU time is then missing from the sum and the survivors pay: here a bystander that used a
    hundredth would be charged all 100 J.
    """
    host.cgroups.burn(docker(1), 10)
    host.cgroups.burn(docker(2), 990)  # no process of it is in /proc at either end
    draw(host, 100)
    node.tick()
    assert energy(node, **of(1)) == 1
    assert energy(node, **of(2)) == 99


def test_work_of_a_whole_container_between_two_samples_is_not_charged_to_bystanders(host, node):
    """The container itself came and went: its part is booked to `exited`, not shared out."""
    host.cgroups.burn(docker(1), 10)
    host.cgroups.create(docker(3))
    host.cgroups.burn(docker(3), 990)
    host.cgroups.remove(docker(3))
    draw(host, 100)
    node.tick()
    assert energy(node, **of(1)) == 1
    assert energy(node, kind="exited") == 99


def test_energy_is_split_by_the_use_of_its_own_interval(host, node):
    """Container 1 works in the first interval, 2 in the second; nobody pays for the other's interval."""
    host.cgroups.burn(docker(1), 1000)
    draw(host, 70)
    node.tick()
    host.cgroups.burn(docker(2), 1000)
    draw(host, 30)
    node.tick()
    assert energy(node, **of(1)) == 70
    assert energy(node, **of(2)) == 30


def test_a_container_does_not_fall_when_one_of_its_processes_exits(host):
    """Its counter is not the sum over the processes that happen to live."""
    node = KnownNode(host, **WITH_PROCESSES)
    for pid in (11, 12):
        spawn(host, pid)
    node.tick()
    host.cgroups.burn(docker(1), 1000)
    for pid in (11, 12):
        host.cgroups.process(pid, f"/{docker(1)}", cpu_ms=500)
    draw(host, 100)
    node.tick()
    host.cgroups.exit(12)
    node.tick()
    assert energy(node, **of(1)) == 100


def test_shares_of_single_microjoules_are_not_cut_off(host, node):
    """100 uJ among three equals: cutting each share to whole microjoules would lose one."""
    host.cgroups.create(docker(3))
    node.tick()
    for number in (1, 2, 3):
        host.cgroups.burn(docker(number), 100)
    host.counters["package-0"].draw(100)
    node.tick()
    assert exposed(node).sum_uj(WORKLOAD) == exposed(node).sum_uj(NODE) == 100


def test_vms_without_uuid_are_not_merged(host, node):
    """Two machines that are told apart by nothing but their cgroup are two workloads."""
    machines = [
        r"machine.slice/machine-qemu\x2d1\x2dweb.scope",
        r"machine.slice/machine-qemu\x2d2\x2ddb.scope",
    ]
    for path in machines:
        host.cgroups.create(path)
        host.cgroups.populate(path, 1)
    node.tick()
    host.cgroups.burn(machines[0], 750)
    host.cgroups.burn(machines[1], 250)
    draw(host, 100)
    node.tick()
    assert sorted(exposed(node).select(WORKLOAD, kind="vm").values()) == [25, 75]


def test_the_energy_of_a_vm_is_power_times_time(host, node):
    """100 W for 5 s are 500 J; adding up watts once per sample would show 100."""
    path = "qemu.slice/100.scope"
    host.cgroups.create(path)
    host.cgroups.populate(path, 1)
    node.tick()
    host.cgroups.burn(path, 5000)
    draw(host, 500)
    node.tick(5)
    assert energy(node, kind="vm") == 500
    assert exposed(node).value(POWER, component="cpu") == pytest.approx(100)


# Idle power


def test_idle_power_does_not_vanish_at_full_load(host):
    """Idle as the rest of a utilisation is 0 when both CPUs are busy; the floor of 50 W stays 50 W."""
    node = KnownNode(host, idle_watts={"cpu": 50.0})
    host.cgroups.burn(docker(1), 10_000)
    draw(host, 500)
    node.tick(5)
    assert energy(node, kind="idle") == 250
    assert energy(node, **of(1)) == 250


def test_one_busy_core_of_128_gets_all_it_draws_above_idle(tmp_path):
    """Energy times utilisation would give it a hundredth and call the rest idle."""
    host = KnownHost(tmp_path / "host", sockets=1, memory=False, mmio=False)
    host.cgroups.cpus = 128
    host.cgroups.create(docker(1))
    node = KnownNode(host, idle_watts={"cpu": 50.0})
    host.cgroups.burn(docker(1), 5000)
    draw(host, 5 * 60)
    node.tick(5)
    assert energy(node, **of(1)) == 50


def test_a_small_job_is_not_charged_an_idle_node(host):
    """A tenth of a core on a node that idles at 100 W and now draws 101 W: 5 J of 505."""
    node = KnownNode(host, idle_watts={"cpu": 100.0})
    host.cgroups.burn(docker(1), 500)
    draw(host, 505)
    node.tick(5)
    assert energy(node, **of(1)) == 5


# Processes


def test_a_reused_pid_is_not_the_process_it_was(host):
    """A dead process had used 10 s; the next one under its pid used 0.1 s, which is not minus 9.9 s.

    It has the same name, so its labels are the same: the series goes on by what it used, and is there once.
    """
    node = KnownNode(host, **WITH_PROCESSES)
    spawn(host, 4242, cpu_ms=9_000, start=1)
    node.tick()
    host.cgroups.process(4242, f"/{docker(1)}", cpu_ms=10_000, start=1)
    host.cgroups.burn(docker(1), 1000)
    draw(host, 100)
    node.tick()
    before = exposed(node)
    assert before.value(PROCESS, pid="4242") == 100
    born_ticks = node.clock.boottime_ns() // 10_000_000 + 100
    spawn(host, 4242, cpu_ms=100, start=born_ticks)
    host.cgroups.burn(docker(1), 100)
    host.cgroups.burn(docker(2), 100)
    draw(host, 20)
    node.tick()
    after = exposed(node)
    assert after.sum(WORKLOAD, **of(2)) == 10
    assert after.sum(WORKLOAD, **of(1)) == 110
    assert all(value >= 0 for value in after.counters().values())
    assert after.value(PROCESS, pid="4242") == 110


@pytest.mark.parametrize(
    "comm",
    [b"\xff\xfe\x80", b"a) R 1 1 (b", b'quote"back\\slash', b"new\nline", b"(sd-pam)", b"nul\x00", b" "],
    ids=["not-utf8", "parentheses", "quotes", "newline", "whole-in-parentheses", "nul", "blank"],
)
def test_any_command_name_is_harmless(host, comm):
    """Every user may give a process any 15 bytes as its name; none of them ends agent or exposition."""
    node = KnownNode(host, **WITH_PROCESSES)
    spawn(host, 7, comm=comm)
    node.tick()
    host.cgroups.process(7, f"/{docker(1)}", comm=comm, cpu_ms=1000)
    host.cgroups.burn(docker(1), 1000)
    draw(host, 100)
    node.tick()
    assert exposed(node).value(PROCESS, pid="7") == 100
    assert energy(node, **of(1)) == 100


def test_what_ended_between_two_scrapes_is_not_there_twice(host):
    """Seen running and ended within one interval: one series each, never a second one in another state."""
    node = KnownNode(host, **WITH_PROCESSES)
    spawn(host, 7)
    node.tick()
    host.cgroups.process(7, f"/{docker(1)}", cpu_ms=1000)
    host.cgroups.burn(docker(1), 1000)
    draw(host, 100)
    node.tick()
    host.cgroups.exit(7)
    host.cgroups.remove(docker(1))
    node.tick()
    host.cgroups.create(docker(1))  # and back within its grace period
    spawn(host, 7, cpu_ms=10, start=node.clock.boottime_ns() // 10_000_000)
    host.cgroups.burn(docker(1), 10)
    draw(host, 1)
    node.tick()
    assert len(exposed(node).select(WORKLOAD, **of(1), mode="dynamic")) == 1
    assert energy(node, **of(1)) == 101


def test_one_unreadable_process_hides_nothing(host):
    """Its `stat` fails, its `cgroup` and `exe` are not there: the others keep their energy and series."""
    node = KnownNode(host, **WITH_PROCESSES)
    for pid in (7, 8):
        spawn(host, pid)
    node.tick()
    host.cgroups.process(8, f"/{docker(1)}", cpu_ms=1000)
    fail_with_eio(host.root / "proc/7/stat")
    (host.root / "proc/7/cgroup").unlink()
    host.cgroups.burn(docker(1), 1000)
    draw(host, 100)
    node.tick()
    assert exposed(node).sum(NODE) == 100
    assert exposed(node).value(PROCESS, pid="8") == 100
    assert node.snapshot.health.failures == 0


# Series of what ended


def test_an_ended_workload_draws_no_power(host, node):
    """Keeping its last watts would make the sum of the workloads exceed the node."""
    host.cgroups.burn(docker(1), 1000)
    draw(host, 500)
    node.tick()
    host.cgroups.remove(docker(1))
    host.cgroups.burn(docker(2), 1000)
    draw(host, 50)
    node.tick(5)
    power = {row.workload.id: row.power_w for row in node.snapshot.workloads}
    assert power[of(1)["id"]] == 0
    assert sum(power.values()) == pytest.approx(exposed(node).value(POWER, component="cpu")) == 10


def test_an_ended_workload_does_not_stay_for_ever(host, node):
    """After its grace period it is gone, and its joules are in the account of what expired."""
    host.cgroups.burn(docker(1), 1000)
    draw(host, 100)
    node.tick()
    host.cgroups.remove(docker(1))
    node.tick()
    assert energy(node, **of(1)) == 100
    node.tick(301)
    assert not exposed(node).select(WORKLOAD, **of(1))
    assert exposed(node).sum(EXPIRED) == 100


# Counters


def test_a_zone_that_stands_still_resets_nothing(tmp_path):
    """Memory that drew nothing in one interval keeps what it was charged with in the others."""
    host = KnownHost(tmp_path / "host", sockets=1, mmio=False)
    host.cgroups.create(docker(1))
    node = KnownNode(host, **NO_IDLE)
    for joules in (10, 0, 10):
        host.cgroups.burn(docker(1), 1000)
        draw(host, 100)
        draw(host, joules, "dram-0")
        before = energy(node, **of(1), component="dram")
        node.tick()
        assert energy(node, **of(1), component="dram") == before + joules
    assert exposed(node).sum(NODE, component="dram") == 20


def test_what_was_drawn_before_the_start_is_not_booked(tmp_path):
    """262 kJ since boot are no idle energy of the first second."""
    host = KnownHost(tmp_path / "host", start_uj=262_000 * J)
    node = KnownNode(host)
    assert exposed(node).sum(NODE) == exposed(node).sum(WORKLOAD) == 0


@pytest.mark.parametrize("range_uj", [262_143_328_850, AMD_RANGE_UJ])
def test_at_a_wrap_nothing_falls_and_nothing_vanishes(tmp_path, range_uj):
    """The counter turns over in mid-interval: power stays 100 W, every series stays, no counter falls."""
    host = KnownHost(
        tmp_path / "host", sockets=1, memory=False, range_uj=range_uj, start_uj=range_uj - 700 * J
    )
    host.cgroups.create(docker(1))
    node = KnownNode(host, **NO_IDLE)
    before = None
    for _ in range(4):
        host.cgroups.burn(docker(1), 1000)
        draw(host, 500)
        node.tick(5)
        now = exposed(node)
        assert now.value(POWER, component="cpu") == pytest.approx(100)
        assert all(now.values[key] >= value for key, value in (before or now).counters().items())
        before = now
    assert node.wraps() == 1
    assert energy(node, **of(1)) == exposed(node).sum(NODE) == 2000


@pytest.mark.parametrize("step_s", [3600, -3600, 86_400 * 365])
def test_a_step_of_the_wall_clock_changes_no_watt(host, node, step_s):
    """Time synchronisation moved the clock between two samples; intervals do not come from it."""
    draw(host, 500)
    node.clock.epoch_ns += step_s * 1_000_000_000
    node.tick(5)
    assert exposed(node).value(POWER, component="cpu") == pytest.approx(100)
    assert exposed(node).sum(NODE) == 500


# Zones


def test_one_unreadable_zone_hides_nothing(tmp_path):
    """Socket 1 answers EIO: socket 0 and the memory are served, and the loss is a metric."""
    host = KnownHost(tmp_path / "host", mmio=False)
    node = KnownNode(host, **NO_IDLE)
    fail_with_eio(host.counters["package-1"].zone.energy_path)
    node.sampler.sensing.close()
    for name in ("package-0", "dram-0", "dram-1"):
        draw(host, 10, name)
    node.tick()
    scrape = exposed(node)
    assert scrape.sum(NODE, component="cpu") == 10
    assert scrape.sum(NODE, component="dram") == 20
    assert scrape.value("wattledger_sensor_up", zone_name="package-1") == 0
    assert scrape.value("wattledger_sensor_read_errors_total", reason="eio") == 1


def test_foreign_powercap_entries_and_missing_ranges_stop_nothing(tmp_path):
    """dtpm and scmi zones have no energy range, and one RAPL zone has none either: only RAPL is counted."""
    root = copy_host("rapl-no-range-and-dtpm", tmp_path)
    (root / "proc/stat").write_text("cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\nprocesses 1\n")
    node = KnownNode(CopiedHost(root))
    for entry in ("intel-rapl:0", "dtpm:0", "arm-scmi:0"):
        path = root / "sys/class/powercap" / entry / "energy_uj"
        if path.exists():
            path.chmod(0o600)
            path.write_text(f"{int(path.read_text()) + 10 * J}\n")
    node.tick()
    assert exposed(node).sum(NODE) == 10


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["same-index", "other-index"])
def test_mmio_twins_are_not_added_even_under_another_index(tmp_path, order):
    """Package and memory of two sockets show up once more through mmio, numbered as that driver found."""
    tree = bare(tmp_path)
    zones = []
    for socket in (0, 1):
        zones.append(tree.add_zone(f"intel-rapl:{socket}", f"package-{socket}"))
        zones.append(tree.add_zone(f"intel-rapl:{socket}:0", "dram"))
    for index, socket in enumerate(order):
        zones.append(tree.add_zone(f"intel-rapl-mmio:{index}", f"package-{socket}"))
        zones.append(tree.add_zone(f"intel-rapl-mmio:{index}:0", "dram"))
    node = KnownNode(tree)
    for zone in zones:
        zone.set_energy(5 * J if zone.folder.joinpath("name").read_text() == "dram\n" else 100 * J)
    node.tick()
    assert exposed(node).sum(NODE, component="cpu") == 200
    assert exposed(node).sum(NODE, component="dram") == 10


def test_dies_of_an_intel_package_are_all_counted(tmp_path):
    """`package-0-die-0` is no unknown name: the four dies are the CPU."""
    tree = bare(tmp_path)
    zones = [
        tree.add_zone(f"intel-rapl:{number}", f"package-{number // 2}-die-{number % 2}")
        for number in range(4)
    ]
    node = KnownNode(tree)
    for zone in zones:
        zone.set_energy(10 * J)
    node.tick()
    assert exposed(node).sum(NODE, component="cpu") == 40


def test_dies_of_an_amd_package_are_not_doubled(tmp_path):
    """Each of its die zones shows the whole socket: 10 J twice are 10 J."""
    tree = bare(tmp_path, vendor="AuthenticAMD", family=25)
    zones = [tree.add_zone(f"intel-rapl:{die}", f"package-0-die-{die}") for die in (0, 1)]
    node = KnownNode(tree)
    for zone in zones:
        zone.set_energy(10 * J)
    node.tick()
    assert exposed(node).sum(NODE, component="cpu") == 10


def test_psys_is_no_further_socket(tmp_path):
    """The platform zone contains the package: 150 J of it and 100 J of CPU are 150 J, 50 of them other."""
    tree = bare(tmp_path)
    package = tree.add_zone("intel-rapl:0", "package-0")
    psys = tree.add_zone("intel-rapl:1", "psys")
    node = KnownNode(tree)
    package.set_energy(100 * J)
    psys.set_energy(150 * J)
    node.tick()
    assert exposed(node).sum(NODE) == 150
    assert exposed(node).sum(NODE, component="cpu") == 100


def test_core_and_uncore_are_not_added_to_their_package(tmp_path):
    """A sum over all zones would count the cores twice."""
    tree = bare(tmp_path)
    zones = [tree.add_zone("intel-rapl:0", "package-0")]
    zones += [tree.add_zone(f"intel-rapl:0:{n}", name) for n, name in enumerate(("core", "uncore"))]
    node = KnownNode(tree)
    for zone in zones:
        zone.set_energy(10 * J)
    node.tick()
    assert exposed(node).sum(NODE) == 10


def test_a_host_without_memory_zones_has_its_cpu_energy(host, node):
    """`cpu + dram` with an absent operand is nothing at all; here what there is is served."""
    draw(host, 100)
    node.tick()
    assert exposed(node).sum(NODE) == 100
    assert not exposed(node).select(NODE, component="dram")


def test_a_host_without_loadable_modules_is_served(host, node):
    """There is no /proc/modules on a kernel without modules, and nothing here needs it."""
    assert not (host.root / "proc/modules").exists()
    draw(host, 100)
    node.tick()
    assert exposed(node).sum(NODE) == 100
    assert node.snapshot.health.failures == 0


def test_a_machine_without_any_meter_is_estimated_and_says_so(tmp_path):
    """No RAPL is no reason to end, and an estimate is never shown as a measurement."""
    root = copy_host("vm-sapphire-rapids", tmp_path)
    node = KnownNode(CopiedHost(root))
    node.tick()
    scrape = exposed(node)
    assert scrape.sum(NODE, component="cpu") > 0
    assert {
        labels["method"] for key, labels in scrape.labels.items() if key[0] == "wattledger_sensor_info"
    } == {"estimated"}


# Exposition


def test_the_samples_of_a_family_stand_together_under_their_own_help(host, node):
    """Interleaved families, and help texts that belong to other metrics, were both seen in the wild."""
    host.cgroups.burn(docker(1), 1000)
    draw(host, 100)
    node.tick()
    order, helps = [], {}
    for line in Renderer({}).render(node.snapshot, openmetrics=False).decode().splitlines():
        if line.startswith("# HELP"):
            _, _, name, text = line.split(" ", 3)
            assert text not in helps.values()
            helps[name] = text
        elif not line.startswith("#"):
            name = line.partition("{")[0].partition(" ")[0]
            if not order or order[-1] != name:
                order.append(name)
    assert len(order) == len(set(order)) == len(helps)


def test_energies_are_counters_since_the_start_not_joules_since_the_last_sample(host, node):
    """A gauge of `joules since the previous sample` drops what a slower scraper never saw."""
    for _ in range(3):
        host.cgroups.burn(docker(1), 1000)
        draw(host, 100)
        node.tick()
    scrape = exposed(node)
    assert scrape.types[NODE] == scrape.types[WORKLOAD] == "counter"
    assert energy(node, **of(1)) == 300
