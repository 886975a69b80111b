"""What hwmon chips are taken for, and how their power becomes energy."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host_copies import HOSTS, copy_host, fail_with_eio
from wattledger.clock import ManualClock
from wattledger.hostfs import HostFS
from wattledger.model import Finding, Reading
from wattledger.sensors.hwmon import Hwmon
from wattledger.sensors.hwmon_chips import Channel, channels_of, settle_node

ACPI = "sys/devices/LNXSYSTM:00/LNXSYBUS:00/ACPI000D:00"
JETSON = "sys/devices/platform/bpmp/bpmp:i2c/i2c-1/1-0040/hwmon/hwmon0"
AMD = "sys/devices/platform/amd_energy.0/hwmon/hwmon0"


def open_host(root: Path) -> tuple[Hwmon, ManualClock]:
    clock = ManualClock()
    return Hwmon(HostFS.at(str(root)), clock), clock


def by_name(readings: object) -> dict[str, Reading]:
    return {reading.zone.name: reading for reading in readings}  # type: ignore[attr-defined]


def covers(name: str) -> dict[str, str]:
    sensor, _ = open_host(HOSTS / name)
    return {zone.name: zone.covers for zone in sensor.probe().zones}


def by_status(findings: tuple[Finding, ...], status: str) -> list[Finding]:
    return [finding for finding in findings if finding.status == status]


@pytest.fixture
def acpi(tmp_path: Path) -> Path:
    return copy_host("hwmon-acpi", tmp_path)


def test_acpi_meter_is_the_node() -> None:
    """Its files lie on the ACPI device, whose place is the device label; 20 kW is still plausible."""
    sensor, _ = open_host(HOSTS / "hwmon-acpi")
    (zone,) = sensor.probe().zones
    assert zone.key == ("hwmon", "power1", "ACPI000D:00")
    assert (zone.covers, zone.method, zone.max_power_w) == ("node", "measured", 20_000)


def test_unknown_chips_are_one_finding() -> None:
    sensor, _ = open_host(HOSTS / "hwmon-acpi")
    (finding,) = by_status(sensor.probe().findings, "ignored")
    assert finding.why == "2 without a meter known to this agent: coretemp, nvme"


def test_constant_power_over_uneven_reads_is_power_times_time(acpi: Path) -> None:
    """200 W for 1 s, 7 s and 2 s are 2 kJ."""
    sensor, clock = open_host(acpi)
    sensor.probe()
    (first,) = sensor.read()
    for seconds in (1, 7, 2):
        clock.advance(seconds)
        (last,) = sensor.read()
    assert (first.raw_uj, last.raw_uj) == (0, 2_000_000_000)
    assert first.lineage == last.lineage
    assert last.at_ns - first.at_ns == 10 * 10**9


def test_rising_power_is_a_trapezoid(acpi: Path) -> None:
    """From 200 W to 400 W in 10 s are 3 kJ."""
    sensor, clock = open_host(acpi)
    sensor.probe()
    sensor.read()
    clock.advance(10)
    (acpi / ACPI / "power1_average").write_text("400000000\n")
    assert sensor.read()[0].raw_uj == 3_000_000_000


def test_sleep_adds_no_energy(acpi: Path) -> None:
    """10 s awake and an hour asleep at 200 W are 2 kJ."""
    sensor, clock = open_host(acpi)
    sensor.probe()
    sensor.read()
    clock.advance(5)
    clock.suspend(3600)
    clock.advance(5)
    assert sensor.read()[0].raw_uj == 2_000_000_000


def test_a_short_failure_is_bridged(acpi: Path) -> None:
    """A failed read has no value, and the next good one spans it: 20 s at 200 W."""
    sensor, clock = open_host(acpi)
    sensor.probe()
    (first,) = sensor.read()
    clock.advance(10)
    fail_with_eio(acpi / ACPI / "power1_average")
    (failed,) = sensor.read()
    assert (failed.raw_uj, failed.failure) == (None, "eio")
    clock.advance(10)
    (acpi / ACPI / "power1_average").unlink()
    (acpi / ACPI / "power1_average").write_text("200000000\n")
    (last,) = sensor.read()
    assert (last.raw_uj, last.lineage) == (4_000_000_000, first.lineage)


def test_a_long_failure_is_a_gap_under_a_new_lineage(acpi: Path) -> None:
    """After 61 s without a sample nothing is assumed of them, and nobody may subtract across."""
    sensor, clock = open_host(acpi)
    sensor.probe()
    sensor.read()
    clock.advance(10)
    (before,) = sensor.read()
    clock.advance(61)
    (after,) = sensor.read()
    clock.advance(10)
    (later,) = sensor.read()
    assert before.raw_uj == after.raw_uj == 2_000_000_000
    assert before.lineage != after.lineage
    assert (later.raw_uj, later.lineage) == (4_000_000_000, after.lineage)


def test_the_integral_survives_a_probe(acpi: Path) -> None:
    sensor, clock = open_host(acpi)
    sensor.probe()
    (first,) = sensor.read()
    clock.advance(10)
    sensor.probe()
    (last,) = sensor.read()
    assert (last.raw_uj, last.lineage) == (2_000_000_000, first.lineage)


def test_two_agents_never_share_an_integral() -> None:
    """The integral starts with the process, so a restarted agent shows another counter."""
    lineages = set()
    for _ in range(2):
        sensor, _ = open_host(HOSTS / "hwmon-acpi")
        sensor.probe()
        lineages.add(sensor.read()[0].lineage)
    assert len(lineages) == 2


@pytest.mark.parametrize(
    ("value", "failure"),
    [("0\n", "zero"), ("4294967295000\n", "implausible"), ("-5\n", "implausible"), ("unknown\n", "parse")],
)
def test_what_is_no_power_is_no_value(acpi: Path, value: str, failure: str) -> None:
    """0 W and the firmware's code for unknown (0xffffffff mW) are failures, at probe time and later."""
    sensor, _ = open_host(acpi)
    sensor.probe()
    (acpi / ACPI / "power1_average").write_text(value)
    (reading,) = sensor.read()
    assert (reading.raw_uj, reading.failure) == (None, failure)
    probe = sensor.probe()
    assert probe.zones == ()
    assert [finding.subject for finding in by_status(probe.findings, "failed")] == ["ACPI000D:00 power1"]


def test_a_meter_that_worked_keeps_its_place_while_it_fails(acpi: Path) -> None:
    """One 0 W at the minute's probe does not hand the node over to nobody; ten minutes of it do."""
    sensor, clock = open_host(acpi)
    (zone,) = sensor.probe().zones
    sensor.read()
    (acpi / ACPI / "power1_average").write_text("0\n")
    clock.advance(60)
    assert sensor.probe().zones == (zone,)
    assert sensor.read()[0].failure == "zero"
    clock.advance(600)
    assert sensor.probe().zones == ()


def test_a_meter_that_went_away_loses_its_place_at_once(acpi: Path) -> None:
    sensor, clock = open_host(acpi)
    sensor.probe()
    sensor.read()
    (acpi / "sys/class/hwmon/hwmon2").unlink()
    (acpi / ACPI / "power1_average").unlink()
    clock.advance(60)
    assert sensor.probe().zones == ()


def test_a_battery_meter_is_ignored(acpi: Path) -> None:
    (acpi / ACPI / "power1_is_battery").write_text("1\n")
    sensor, _ = open_host(acpi)
    probe = sensor.probe()
    assert probe.zones == ()
    assert "battery" in by_status(probe.findings, "ignored")[0].why


def test_the_average_goes_before_the_instant(acpi: Path) -> None:
    (acpi / ACPI / "power1_input").write_text("900000000\n")
    sensor, clock = open_host(acpi)
    sensor.probe()
    sensor.read()
    clock.advance(1)
    assert sensor.read()[0].raw_uj == 200_000_000


def test_two_nameless_node_meters_count_for_nothing(acpi: Path) -> None:
    """One may contain the other: adding them could double the node, so both are only shown."""
    second = acpi / "sys/devices/LNXSYSTM:00/LNXSYBUS:00/ACPI000D:01"
    shutil.copytree(acpi / ACPI, second, symlinks=True)
    (second / "hwmon/hwmon2").rename(second / "hwmon/hwmon3")
    (second / "hwmon/hwmon3/device").unlink()
    (second / "hwmon/hwmon3/device").symlink_to("../../../ACPI000D:01")
    (acpi / "sys/class/hwmon/hwmon3").symlink_to(
        "../../devices/LNXSYSTM:00/LNXSYBUS:00/ACPI000D:01/hwmon/hwmon3"
    )
    sensor, _ = open_host(acpi)
    probe = sensor.probe()
    assert {zone.device: zone.covers for zone in probe.zones} == {"ACPI000D:00": "", "ACPI000D:01": ""}
    assert "none counts" in by_status(probe.findings, "usable")[0].why
    (second / "power1_average").write_text("0\n")
    assert [(zone.device, zone.covers) for zone in sensor.probe().zones] == [("ACPI000D:00", "node")]


def test_grace_rails_are_not_added_twice() -> None:
    """Module contains Grace contains CPU and SysIO: one covers the node, one the CPU, two are shown."""
    assert covers("hwmon-grace") == {
        "Module Power Socket 0": "node",
        "Grace Power Socket 0": "",
        "CPU Power Socket 0": "cpu",
        "SysIO Power Socket 0": "",
    }


def test_modules_of_several_sockets_add_up() -> None:
    """Each module meter is a socket of its own, and beside them a nameless meter counts no more."""
    modules = [Channel(name=f"Module {n}", covers="node", node_rank=0, adds_up=True) for n in range(2)]
    settled = settle_node([*modules, Channel(name="power1", covers="node")])
    assert [channel.covers for channel in settled] == ["node", "node", ""]


def test_amd_energy_counts_each_socket_once() -> None:
    """With two NUMA nodes a socket, Esocket1 and Esocket3 repeat their sockets; cores are no zones."""
    sensor, _ = open_host(HOSTS / "hwmon-amd-energy")
    probe = sensor.probe()
    readings = by_name(sensor.read())
    assert {name: reading.raw_uj for name, reading in readings.items()} == {
        "Esocket0": 1000 * 10**6,
        "Esocket2": 3000 * 10**6,
    }
    assert [finding.why for finding in by_status(probe.findings, "ignored")] == [
        "repeats Esocket0",
        "repeats Esocket2",
        "4 core counters, contained in their sockets",
    ]


def test_amd_energy_without_topology_counts_every_socket(tmp_path: Path) -> None:
    root = copy_host("hwmon-amd-energy", tmp_path)
    shutil.rmtree(root / "sys/devices/system")
    sensor, _ = open_host(root)
    assert [zone.name for zone in sensor.probe().zones] == ["Esocket0", "Esocket1", "Esocket2", "Esocket3"]


def test_a_hardware_counter_keeps_its_lineage_over_restarts(tmp_path: Path) -> None:
    """The same boot, driver and file are the same counter; a reloaded driver is another."""
    root = copy_host("hwmon-amd-energy", tmp_path)

    def lineage() -> str:
        sensor, _ = open_host(root)
        sensor.probe()
        return by_name(sensor.read())["Esocket0"].lineage

    before = lineage()
    assert before == lineage()
    counter = root / AMD / "energy5_input"
    counter.with_name("new").write_text(counter.read_text())
    counter.with_name("new").rename(counter)
    assert lineage() != before
    (root / "proc/sys/kernel/random/boot_id").write_text("another\n")
    assert lineage().startswith("another:")


def test_one_broken_zone_hides_no_other(tmp_path: Path) -> None:
    root = copy_host("hwmon-amd-energy", tmp_path)
    sensor, _ = open_host(root)
    sensor.probe()
    fail_with_eio(root / AMD / "energy5_input")
    readings = by_name(sensor.read())
    assert (readings["Esocket0"].raw_uj, readings["Esocket0"].failure) == (None, "eio")
    assert readings["Esocket2"].raw_uj == 3000 * 10**6


def test_xgene_cpu_power_covers_the_cpu() -> None:
    assert covers("hwmon-xgene") == {"CPU power": "cpu", "IO power": ""}


def test_jetson_rails_are_volts_times_amperes(tmp_path: Path) -> None:
    """5 V times 2 A for 10 s are 100 J; shunt voltages (in4 to in7) are no rails."""
    root = copy_host("hwmon-jetson", tmp_path)
    sensor, clock = open_host(root)
    zones = sensor.probe().zones
    assert {zone.name: zone.covers for zone in zones} == {
        "VDD_IN": "node",
        "VDD_CPU_GPU_CV": "cpu",
        "VDD_SOC": "",
    }
    sensor.read()
    clock.advance(10)
    energies = {name: reading.raw_uj for name, reading in by_name(sensor.read()).items()}
    assert energies == {"VDD_IN": 100_000_000, "VDD_CPU_GPU_CV": 20_000_000, "VDD_SOC": 30_000_000}


def test_a_rail_that_draws_nothing_is_a_value_unless_it_covers_something(tmp_path: Path) -> None:
    root = copy_host("hwmon-jetson", tmp_path)
    sensor, _ = open_host(root)
    sensor.probe()
    for number in (2, 3):
        (root / JETSON / f"curr{number}_input").write_text("0\n")
    readings = by_name(sensor.read())
    assert readings["VDD_CPU_GPU_CV"].failure == "zero"
    assert readings["VDD_SOC"].raw_uj == 0


def test_jetson_nano_rails_of_the_iio_driver_are_milliwatts() -> None:
    """4 W for 10 s are 40 J."""
    sensor, clock = open_host(HOSTS / "hwmon-jetson-iio")
    sensor.probe()
    sensor.read()
    clock.advance(10)
    readings = by_name(sensor.read())
    assert {name: (reading.zone.covers, reading.raw_uj) for name, reading in readings.items()} == {
        "POM_5V_IN": ("node", 40_000_000),
        "POM_5V_GPU": ("", 10_000_000),
        "POM_5V_CPU": ("cpu", 20_000_000),
    }


def test_the_carrier_board_input_contains_the_module_input() -> None:
    """An INA238 on VIN goes before VDD_IN; both would count the module twice."""
    (vin,) = channels_of("ina238", {"power1_input", "label"}, {"label": "VIN"})
    (vdd_in,) = channels_of("ina3221", {"in1_input", "curr1_input", "in1_label"}, {"in1_label": "VDD_IN"})
    assert [channel.covers for channel in settle_node([vdd_in, vin])] == ["", "node"]


def test_occ_system_power_is_the_node() -> None:
    """The instant, not the average: occ averages since its controller started."""
    files = {f"power{n}_{kind}" for n in (1, 2) for kind in ("label", "input", "average")}
    texts = {"power1_label": "0_proc", "power2_label": "0_system"}
    channels = channels_of("occ", files, texts)
    assert [(channel.name, channel.covers, channel.files) for channel in channels] == [
        ("0_proc", "", ("power1_input",)),
        ("0_system", "node", ("power2_input",)),
    ]


def test_gpus_are_left_to_their_own_sensors() -> None:
    assert channels_of("amdgpu", {"power1_average"}, {}) == ()


def test_two_rails_of_one_name_are_two_zones(tmp_path: Path) -> None:
    root = copy_host("hwmon-jetson", tmp_path)
    (root / JETSON / "in3_label").write_text("VDD_CPU_GPU_CV\n")
    sensor, _ = open_host(root)
    keys = [zone.key for zone in sensor.probe().zones]
    assert len(set(keys)) == 3


def test_a_host_without_hwmon_is_normal(tmp_path: Path) -> None:
    sensor, _ = open_host(tmp_path)
    (finding,) = sensor.probe().findings
    assert finding.status == "absent"
    assert list(sensor.read()) == []


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder anyone can enter, with this process's effective user being nobody after it is left to it."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    if os.geteuid() != os.getuid():
        os.seteuid(os.getuid())
    shutil.rmtree(folder)


def test_a_denied_counter_comes_with_its_fix(unprivileged: Path) -> None:
    """The driver shows its counters to root only; the fix is the exact command."""
    root = copy_host("hwmon-amd-energy", unprivileged)
    counter = root / AMD / "energy5_input"
    counter.chmod(0o000)
    if os.geteuid() == 0:
        os.seteuid(65534)
    sensor, _ = open_host(root)
    probe = sensor.probe()
    (denied,) = by_status(probe.findings, "denied")
    assert denied.subject == "amd_energy.0 Esocket0"
    assert denied.fix.startswith("sudo chmod a+r ")
    assert denied.fix.endswith("/hwmon0/energy5_input")
    assert [zone.name for zone in probe.zones] == ["Esocket2"]
