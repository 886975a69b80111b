"""The tick: partial failures, recovery, restarts, and the agent about itself."""

import os

import pytest

from tests.scripted import (
    AMD_RANGE_UJ,
    J,
    S,
    ScriptedNode,
    ScriptedSensor,
    container,
    dram,
    node_uj,
    package,
    workload_uj,
)
from wattledger.clock import ManualClock, suspended_ns
from wattledger.model import Calibration, ProcessUse, Zone
from wattledger.workloads.names.service import NameService

A, B = container(1), container(2)


class Users:
    """A source of names that knows nobody."""

    name = "users"

    def resolve(self, subject):
        return None


def sensors(snapshot):
    return {(row.zone.name, row.zone.device): row for row in snapshot.sensors}


def test_the_first_tick_only_sets_the_starting_points():
    """What the counter held since boot is nobody's energy of this interval."""
    zone = package()
    node = ScriptedNode([zone])
    node.sensor.spend(zone, 123_456 * J)
    assert node_uj(node.step()) == 0


def test_a_failed_read_is_no_value_and_the_next_good_one_brings_all_of_it():
    zone = package()
    node = ScriptedNode([zone])
    node.workloads.bear(A)
    node.step()
    node.sensor.spend(zone, 100 * J)
    node.sensor.failing[zone.key] = "eio"
    failed = node.step()
    assert node_uj(failed) == 0
    assert failed.nodes[0].power_w is None
    assert not sensors(failed)["package-0", "package-0"].up
    assert sensors(failed)["package-0", "package-0"].read_errors == {"eio": 1}
    node.sensor.failing.clear()
    node.sensor.spend(zone, 50 * J)
    node.workloads.use({A: S})
    good = node.step()
    assert node_uj(good) == 150 * J
    assert workload_uj(good, id=A.id) == 150 * J
    assert good.nodes[0].power_w == pytest.approx(15.0)


def test_use_during_a_failed_read_is_charged_when_the_energy_arrives():
    """A ran while the meter was blind, B afterwards: half each, not all to B."""
    zone = package()
    node = ScriptedNode([zone])
    node.workloads.bear(A)
    node.workloads.bear(B)
    node.step()
    node.sensor.failing[zone.key] = "eio"
    node.workloads.use({A: S})
    node.sensor.spend(zone, 50 * J)
    node.step()
    node.sensor.failing.clear()
    node.workloads.use({B: S})
    node.sensor.spend(zone, 50 * J)
    snapshot = node.step()
    assert workload_uj(snapshot, id=A.id) == workload_uj(snapshot, id=B.id) == 50 * J


def test_one_broken_zone_never_hides_the_others():
    zones = [package(0), package(1), dram(0)]
    node = ScriptedNode(zones)
    node.step()
    for zone in zones:
        node.sensor.spend(zone, 10 * J)
    node.sensor.failing[zones[0].key] = "enodata"
    snapshot = node.step()
    assert node_uj(snapshot, "cpu") == 10 * J
    assert node_uj(snapshot, "dram") == 10 * J


def test_half_a_component_is_compared_with_half_its_idle_floor():
    """One of two sockets silent: 10 W floor, 5 s, half of it idle, the rest dynamic; later it evens out."""
    zones = [package(0), package(1)]
    node = ScriptedNode(zones, idle_watts={"cpu": 10.0})
    node.workloads.bear(A)
    node.step()
    node.sensor.failing[zones[1].key] = "eio"
    for zone in zones:
        node.sensor.spend(zone, 50 * J)
    node.workloads.use({A: S})
    half = node.step()
    assert workload_uj(half, kind="idle") == 25 * J
    node.sensor.failing.clear()
    for zone in zones:
        node.sensor.spend(zone, 50 * J)
    node.workloads.use({A: S})
    whole = node.step()
    assert workload_uj(whole, kind="idle") == 100 * J
    assert node_uj(whole) == 200 * J


def test_a_sensor_that_raises_loses_only_itself():
    zone = package()
    node = ScriptedNode([zone])
    node.step()
    node.sensor.broken = RuntimeError("driver bug")
    assert node.step().health.failures == 1
    node.sensor.broken = None
    node.sensor.spend(zone, 10 * J)
    assert node_uj(node.step()) == 10 * J


def test_energy_without_a_scan_is_unattributed_not_lost():
    zone = package()
    node = ScriptedNode([zone])
    node.workloads.bear(A)
    node.step()
    node.workloads.broken = OSError("no /proc")
    node.sensor.spend(zone, 10 * J)
    snapshot = node.step()
    assert workload_uj(snapshot, kind="unattributed") == node_uj(snapshot) == 10 * J


@pytest.mark.parametrize("range_uj", [262_143_328_850, AMD_RANGE_UJ])
def test_wraps_lose_nothing(range_uj):
    """900 W for an hour in 30 s steps wraps Intel's range 12 times and AMD's 49 times."""
    zone = package(range_uj=range_uj)
    node = ScriptedNode([zone])
    node.step()
    for _ in range(120):
        node.sensor.spend(zone, 27_000 * J)
        snapshot = node.step(30)
    assert node_uj(snapshot) == 120 * 27_000 * J
    assert sensors(snapshot)["package-0", "package-0"].wraps == 120 * 27_000 * J // range_uj


def test_a_reset_is_dropped_and_counted_never_invented():
    zone = package()
    node = ScriptedNode([zone])
    node.sensor.spend(zone, 1000 * J)
    node.step()
    node.sensor.reset(zone)
    node.sensor.spend(zone, 5 * J)
    after = node.step()
    assert node_uj(after) == 0
    assert sensors(after)["package-0", "package-0"].dropped == {"reset": 1}
    node.sensor.spend(zone, 7 * J)
    assert node_uj(node.step()) == 7 * J


def test_the_interval_of_a_suspend_is_dropped_and_counted():
    zone = package()
    node = ScriptedNode([zone])
    node.step()
    node.clock.suspend(3600)
    node.sensor.reset(zone)
    node.sensor.spend(zone, 20 * J)
    after = node.step()
    assert node_uj(after) == 0
    assert sensors(after)["package-0", "package-0"].dropped == {"suspended": 1}


def test_a_restart_books_what_was_drawn_meanwhile_to_nobody(tmp_path):
    zone = package()
    node = ScriptedNode([zone], folder=str(tmp_path))
    node.workloads.bear(A)
    node.step()
    node.sensor.spend(zone, 100 * J)
    node.workloads.use({A: S})
    node.step()
    node.sensor.spend(zone, 30 * J)
    node.clock.advance(20)
    node.restart()
    back = node.step()
    assert node_uj(back) == 130 * J
    assert workload_uj(back, id=A.id) == 100 * J
    assert workload_uj(back, kind="unattributed") == 30 * J


def test_another_boot_starts_at_zero(tmp_path):
    zone = package()
    node = ScriptedNode([zone], folder=str(tmp_path))
    node.workloads.bear(A)
    node.step()
    node.sensor.spend(zone, 100 * J)
    node.step()
    node.boot_id = "another"
    node.restart()
    assert node_uj(node.step()) == 0


def test_a_workload_that_ended_while_the_agent_was_down_expires(tmp_path):
    zone = package()
    node = ScriptedNode([zone], folder=str(tmp_path))
    node.workloads.bear(A)
    node.step()
    node.sensor.spend(zone, 100 * J)
    node.workloads.use({A: S})
    node.step()
    del node.workloads.alive[A]
    node.restart()
    assert workload_uj(node.step(), id=A.id) == 100 * J
    assert workload_uj(node.step(301), id=A.id) == 0


def test_a_full_disk_is_counted_and_stops_nothing(tmp_path):
    zone = package()
    node = ScriptedNode([zone], folder=str(tmp_path))
    node.step()
    os.close(node.ledger._checkpoint._fd)
    node.ledger._checkpoint._fd = os.open("/dev/full", os.O_WRONLY)
    node.sensor.spend(zone, 10 * J)
    snapshot = node.step()
    assert node_uj(snapshot) == 10 * J
    assert node.step().health.checkpoint_errors == 2


def test_a_node_meter_gives_the_other_component():
    cpu = package()
    meter = Zone(sensor="scripted", name="power_meter", device="bmc", covers="node", max_power_w=5000)
    node = ScriptedNode([cpu, meter])
    node.step()
    node.sensor.spend(cpu, 60 * J)
    node.sensor.spend(meter, 100 * J)
    snapshot = node.step()
    assert node_uj(snapshot, "cpu") == 60 * J
    assert node_uj(snapshot, "other") == 40 * J


def test_a_gap_of_the_node_meter_does_not_starve_other():
    """The node meter's integral starts anew after a restart while RAPL recovers an hour: no debt remains."""
    cpu = package()
    meter = Zone(sensor="scripted", name="power_meter", device="bmc", covers="node", max_power_w=5000)
    node = ScriptedNode([cpu, meter])
    node.step()
    node.sensor.spend(cpu, 60 * J)
    node.sensor.lineage[meter.key] = "another integral"
    node.step()
    node.sensor.spend(cpu, 60 * J)
    node.sensor.spend(meter, 100 * J)
    assert node_uj(node.step(), "other") == 40 * J


def test_the_agents_own_energy_is_its_share_of_the_dynamic_part():
    """10 ms of 1 s of CPU time, 100 J dynamic: 1 J."""
    zone = package()
    node = ScriptedNode([zone])
    node.workloads.bear(A)
    node.step()
    node.sensor.spend(zone, 100 * J)
    node.workloads.use({A: S})
    node.self_cpu_ns += S // 100
    assert node.step().health.self_energy_uj == J


def test_process_series_are_parts_of_their_workload_and_bounded():
    """Of three busy processes the top two are shown; a process has its part of the workload's energy."""
    zone = package()
    node = ScriptedNode([zone], top=2)
    node.workloads.bear(A)
    node.step()
    node.sensor.spend(zone, 100 * J)
    node.workloads.use({A: 10 * S})
    node.workloads.processes = [
        ProcessUse(1, 11, "big", A, 6 * S),
        ProcessUse(2, 22, "small", A, 1 * S),
        ProcessUse(3, 33, "mid", A, 3 * S),
    ]
    snapshot = node.step()
    assert {(p.pid, p.comm, p.energy_uj) for p in snapshot.processes} == {
        (1, "big", 60 * J),
        (3, "mid", 30 * J),
    }


def test_a_reused_pid_is_another_process():
    """Same pid, later start time: its energy is not added to the dead one's series."""
    zone = package()
    node = ScriptedNode([zone], top=1)
    node.workloads.bear(A)
    node.step()
    for start, joules in ((11, 10), (99, 1000)):
        node.sensor.spend(zone, joules * J)
        node.workloads.use({A: S})
        node.workloads.processes = [ProcessUse(7, start, f"at{start}", A, S)]
        snapshot = node.step()
    assert [(p.comm, p.energy_uj) for p in snapshot.processes] == [("at99", 1000 * J)]


def test_a_zone_that_nobody_reads_is_down():
    """A sensor that raises has no readings at all; its zones must not go on showing their last power."""
    zone = package()
    node = ScriptedNode([zone])
    node.step()
    node.sensor.spend(zone, 50 * J)
    assert sensors(node.step())["package-0", "package-0"].power_w == pytest.approx(10.0)
    node.sensor.broken = OSError("bus")
    row = sensors(node.step())["package-0", "package-0"]
    assert (row.up, row.power_w, row.read_errors) == (False, None, {"missing": 1})


def test_energy_of_the_down_time_is_nobodys_also_when_the_first_read_fails(tmp_path):
    """Whoever runs when the meter answers again must not pay for the agent's absence."""
    zone = package()
    node = ScriptedNode([zone], folder=str(tmp_path))
    node.workloads.bear(A)
    node.step()
    node.clock.advance(3000)
    node.sensor.spend(zone, 30_000 * J)
    node.sensor.failing[zone.key] = "eio"
    node.restart()
    node.step()
    node.sensor.failing.clear()
    node.workloads.use({A: S})
    snapshot = node.step()
    assert workload_uj(snapshot, kind="unattributed") == 30_000 * J
    assert workload_uj(snapshot, id=A.id) == 0
    node.sensor.spend(zone, 10 * J)
    node.workloads.use({A: S})
    assert workload_uj(node.step(), id=A.id) == 10 * J


def test_other_waits_for_a_meter_that_fails_for_a_moment():
    """What a failing package draws is still to come: booked as `other` too, it would count twice."""
    cpu = package()
    whole = Zone(sensor="scripted", name="bmc", device="bmc", covers="node", max_power_w=5000.0)
    node = ScriptedNode([cpu, whole])
    node.step()
    for failing in (False, True, True, False):
        node.sensor.failing = {cpu.key: "eio"} if failing else {}
        node.sensor.spend(cpu, 80 * J)
        node.sensor.spend(whole, 100 * J)
        snapshot = node.step()
        if failing:
            assert node_uj(snapshot) == 100 * J
    assert node_uj(snapshot) == 400 * J
    assert node_uj(snapshot, "other") == 80 * J
    assert snapshot.nodes[-1].power_w == pytest.approx(4.0)  # 60 J in 15 s


def test_other_does_not_wait_for_a_meter_that_fails_for_good():
    cpu = package()
    whole = Zone(sensor="scripted", name="bmc", device="bmc", covers="node", max_power_w=5000.0)
    node = ScriptedNode([cpu, whole])
    node.step()
    node.sensor.failing = {cpu.key: "eio"}
    for _ in range(20):
        node.sensor.spend(whole, 100 * J)
        snapshot = node.step()
    assert node_uj(snapshot, "other") == 2000 * J


def test_use_of_an_interval_that_was_dropped_is_dropped_with_it():
    """A ran while the counter was replaced, whose energy nobody gets; B pays for B's interval alone."""
    zone = package()
    node = ScriptedNode([zone])
    node.workloads.bear(A)
    node.workloads.bear(B)
    node.step()
    node.workloads.use({A: S})
    node.sensor.lineage[zone.key] = "another"
    node.step()
    node.workloads.use({B: S})
    node.sensor.spend(zone, 50 * J)
    snapshot = node.step()
    assert (workload_uj(snapshot, id=A.id), workload_uj(snapshot, id=B.id)) == (0, 50 * J)


def test_use_kept_for_a_failing_meter_is_bounded(monkeypatch):
    """Containers come and go for days while a meter is broken: those that ended are kept as one."""
    monkeypatch.setattr("wattledger.sampler.CARRIED_LIMIT", 20)
    zone = package()
    node = ScriptedNode([zone], grace_ns=0)
    node.workloads.bear(A)
    node.step()
    node.sensor.failing[zone.key] = "eio"
    for number in range(10, 90):
        worker = node.workloads.bear(container(number))
        node.workloads.use({worker: S, A: S})
        node.step()
        node.workloads.end(worker)
    node.step()
    assert len(node.sampler._interval.carried["cpu"]) <= 21
    node.sensor.failing.clear()
    node.sensor.spend(zone, 160 * J)
    snapshot = node.step()
    assert workload_uj(snapshot, id=A.id) == 80 * J
    assert node_uj(snapshot) == 160 * J


def test_failed_scans_teach_the_idle_floor_nothing():
    """A minute without a scan is not a minute without load."""
    zone = package()
    node = ScriptedNode([zone], idle_watts={})
    node.step()
    for _ in range(13):
        node.sensor.spend(zone, 500 * J)
        node.workloads.use({A: 18 * S})
        learned = node.step().nodes[0].idle_power_w
    node.workloads.broken = OSError("proc")
    for _ in range(13):
        node.sensor.spend(zone, 450 * J)
        snapshot = node.step()
    assert snapshot.nodes[0].idle_power_w == learned


def test_new_sensors_take_the_place_of_closed_ones():
    """A reload must not leave the files of the old sensors open."""
    closed = []
    node = ScriptedNode([package()])
    node.sensor.close = lambda: closed.append(node.sensor)
    node.step()
    node.sampler.configure(node.sampler._policy, [ScriptedSensor(node.clock, [package()])], None)
    assert closed == [node.sensor]


def test_losing_the_cpu_between_two_clocks_is_no_suspend():
    """Boot time and monotonic time are read one after the other; a delay in between is not sleep."""

    class Delayed(ManualClock):
        reads = 0

        def monotonic_ns(self) -> int:
            now_ns = super().monotonic_ns()
            self.reads += 1
            if self.reads == 1:
                self.now_ns += S
            return now_ns

    assert suspended_ns(Delayed()) == 0
    slept = ManualClock()
    slept.suspend(5)
    assert suspended_ns(slept) == 5 * S


def test_sleep_teaches_the_idle_floor_nothing():
    """A meter that goes on after a suspend spans it; an hour at next to nothing is no calm minute."""
    zone = Zone(sensor="scripted", name="cpu", device="rail", covers="cpu")
    node = ScriptedNode([zone], idle_watts={})
    node.workloads.bear(A)
    node.step()
    learned = []
    for _ in range(2):
        for _ in range(30):
            node.sensor.spend(zone, 500 * J)
            node.workloads.use({A: 10 * S})
            snapshot = node.step()
        learned.append(snapshot.nodes[0].idle_power_w)
        node.clock.suspend(3600)
    assert learned[0] == learned[1]


def test_counts_of_sources_that_are_off_for_a_while_go_on():
    """Names switched off and on again within one boot: their counters never go down."""
    node = ScriptedNode([package()])
    node.step()
    names = NameService([Users()], node.clock)
    names.restore({"names/users": 7})
    node.sampler._names = names
    node.step()
    node.sampler._names = None
    node.step()
    again = NameService([Users()], node.clock)
    again.restore(node.ledger.counts)
    assert again.health()["users"].answers == 7


def test_a_calibrated_device_is_corrected_and_the_others_are_not():
    """Gain 1.1 and 2 W of offset: 100 J in 5 s become 120 J; the other socket keeps its 100 J."""
    zones = [package(0), package(1)]
    node = ScriptedNode(zones)
    node.sampler.meters.calibrate({"package-1": Calibration(1.1, 2.0)})
    node.step()
    for zone in zones:
        node.sensor.spend(zone, 100 * J)
    snapshot = node.step()
    assert node_uj(snapshot) == 220 * J
    assert sensors(snapshot)["package-1", "package-1"].energy_uj == 120 * J
    assert workload_uj(snapshot) == node_uj(snapshot)


def test_a_calibration_never_makes_energy_negative():
    assert Calibration(1.0, -50.0).correct(10 * J, 5 * S) == 0


def test_a_socket_that_is_lost_for_good_halves_the_node_and_not_the_time():
    """One of two sockets at 100 W is silent: a minute later the node shows 100 W, as its counter does."""
    zones = [package(0), package(1)]
    node = ScriptedNode(zones)
    node.step()
    node.sensor.failing[zones[1].key] = "eio"
    for _ in range(14):
        for zone in zones:
            node.sensor.spend(zone, 500 * J)
        snapshot = node.step(5)
    assert snapshot.nodes[0].power_w == pytest.approx(100)
    assert snapshot.nodes[0].energy_uj == 14 * 500 * J
