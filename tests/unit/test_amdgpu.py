"""AMD graphics cards: what they draw, when they may be read, who uses them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gpu_hosts import (
    account,
    device_of,
    fdinfo,
    let_pass,
    open_card,
    open_copy,
    shared_folder,
    weights,
)
from tests.host_copies import HOSTS, fail_with_eio
from tests.unprivileged import as_nobody
from wattledger.clock import ManualClock
from wattledger.gpu.records import GpuUsageSource
from wattledger.hostfs import HostFS
from wattledger.model import Reading
from wattledger.sensors.amdgpu import AmdGpu
from wattledger.sensors.base import Sensor

S = 10**9
RADEON, INSTINCT = "0000:03:00.0", "0000:43:00.0"
KFD = "sys/class/kfd/kfd"


def open_host(root: Path) -> tuple[AmdGpu, ManualClock]:
    clock = ManualClock()
    return AmdGpu(HostFS.at(str(root)), clock), clock


def by_device(readings: object) -> dict[str, Reading]:
    return {reading.zone.device: reading for reading in readings}  # type: ignore[attr-defined]


@pytest.fixture
def discrete(tmp_path: Path) -> Path:
    return open_copy("gpu-amd-discrete", tmp_path)


@pytest.fixture
def mi300(tmp_path: Path) -> Path:
    return open_copy("gpu-amd-mi300", tmp_path)


def power(root: Path, card: int, name: str = "power1_average") -> Path:
    (path,) = device_of(root, card).glob(f"hwmon/*/{name}")
    return path


@pytest.mark.parametrize("name", ["gpu-amd-discrete", "gpu-amd-apu", "gpu-amd-mi300"])
def test_the_account_of_a_host(name: str, tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    root = open_copy(name, tmp_path)
    sensor, clock = open_host(root)
    golden(f"{name}.txt", account(sensor, root, clock))


def test_it_has_both_faces() -> None:
    sensor: Sensor = AmdGpu(HostFS.at("/nonexistent"), ManualClock())
    assert isinstance(sensor, GpuUsageSource)


def test_power_becomes_energy(discrete: Path) -> None:
    """100 W for 2 s, then rising to 300 W within 4 s: 200 J and 800 J."""
    sensor, clock = open_host(discrete)
    sensor.probe()
    sensor.read()
    clock.advance(2)
    assert by_device(sensor.read())[RADEON].raw_uj == 200_000_000
    clock.advance(4)
    power(discrete, 1).write_text("300000000\n")
    assert by_device(sensor.read())[RADEON].raw_uj == 1_000_000_000


def test_shares_are_engine_time_and_occupied_units(discrete: Path) -> None:
    """Blender 3 s and Xorg 1 s of engines; 52 and 26 of 104 units for 10 s are 5 s and 2.5 s of the board."""
    sensor, clock = open_host(discrete)
    sensor.probe()
    let_pass(discrete, clock)
    uses = sensor.use()
    assert weights(uses) == {
        RADEON: {1200: S, 1300: 3 * S},
        INSTINCT: {2000: 5 * S, 2001: 5 * S // 2},
    }
    assert [use.quality for use in uses] == ["", "kfd-occupancy"]


def test_memory_that_both_kernels_sides_know_of_counts_once(discrete: Path) -> None:
    """The 4 GiB of process 2000 are in fdinfo and in KFD."""
    sensor, _ = open_host(discrete)
    sensor.probe()
    holders = {use.device: dict(use.holders) for use in sensor.use()}
    assert holders[INSTINCT] == {2000: 4 << 30, 2001: 1 << 30}


def test_occupancy_is_the_mean_of_both_ends(discrete: Path) -> None:
    """From 52 of 104 units to none within 10 s: a quarter of the board for 10 s."""
    sensor, clock = open_host(discrete)
    sensor.probe()
    clock.advance(10)
    (discrete / KFD / "proc/2000/stats_9877/cu_occupancy").write_text("0\n")
    assert weights(sensor.use())[INSTINCT][2000] == 5 * S // 2
    clock.advance(10)
    assert 2000 not in weights(sensor.use())[INSTINCT]


def test_without_occupancy_the_queues_share_evenly(discrete: Path) -> None:
    """The driver does not count occupancy on RDNA: two processes with queues are half the interval each."""
    for pid in (2000, 2001):
        folder = discrete / KFD / f"proc/{pid}"
        (folder / "vram_51110").write_text("1048576\n")
        (folder / "queues/7").mkdir()
        (folder / "queues/7/gpuid").write_text("51110\n")
    sensor, clock = open_host(discrete)
    sensor.probe()
    clock.advance(10)
    (use,) = [use for use in sensor.use() if use.device == RADEON]
    assert use.quality == "kfd-queues"
    assert {share.pid: share.weight for share in use.shares} == {2000: 5 * S, 2001: 5 * S}


def test_an_apu_counts_for_nothing(tmp_path: Path) -> None:
    """Its power is shown, and nobody is asked who used it."""
    root = open_copy("gpu-amd-apu", tmp_path)
    sensor, clock = open_host(root)
    probe = sensor.probe()
    assert [(zone.name, zone.covers) for zone in probe.zones] == [("apu", "")]
    assert "contains the CPU" in probe.findings[0].why
    sensor.read()
    clock.advance(10)
    assert sensor.read()[0].raw_uj == 200_000_000
    assert sensor.use() == ()


def test_an_mi300a_is_an_apu_by_its_id(mi300: Path) -> None:
    (device_of(mi300, 0) / "device").write_text("0x74a0\n")
    sensor, _ = open_host(mi300)
    assert [zone.covers for zone in sensor.probe().zones] == [""]


def test_an_apu_of_an_older_kernel_shares_its_node_with_the_cpu(tmp_path: Path) -> None:
    root = open_copy("gpu-amd-apu", tmp_path)
    for path in device_of(root, 0).glob("hwmon/*/in1_*"):
        path.unlink()
    properties = root / KFD / "topology/nodes/1/properties"
    sensor, _ = open_host(root)
    assert [zone.covers for zone in sensor.probe().zones] == ["gpu"]
    properties.write_text(properties.read_text().replace("cpu_cores_count 0", "cpu_cores_count 8"))
    assert [zone.covers for zone in sensor.probe().zones] == [""]


def test_partitions_are_one_board(mi300: Path) -> None:
    """One sensor, 400 W; 76 and 38 of 304 units for 10 s are 2.5 s and 1.25 s of the board."""
    sensor, clock = open_host(mi300)
    probe = sensor.probe()
    assert [zone.device for zone in probe.zones] == ["0000:05:00.0"]
    assert [finding.status for finding in probe.findings] == ["usable", "ignored"]
    sensor.read()
    let_pass(mi300, clock)
    assert [reading.raw_uj for reading in sensor.read()] == [4_000_000_000]
    assert weights(sensor.use()) == {"0000:05:00.0": {3000: 5 * S // 2, 3001: 5 * S // 4}}


def test_partitions_of_an_older_kernel_are_that_board_too(mi300: Path) -> None:
    """Linux 6.5 put the partition's number where the function is: 0000:05:00.2 is no card."""
    properties = mi300 / KFD / "topology/nodes/3/properties"
    properties.write_text(
        properties.read_text().replace(f"location_id {2 << 28 | 0x500}", "location_id 1282")
    )
    assert "location_id 1282" in properties.read_text()
    sensor, clock = open_host(mi300)
    sensor.probe()
    clock.advance(10)
    assert weights(sensor.use())["0000:05:00.0"][3001] == 5 * S // 4


def sleep(root: Path, card: int, slept_ms: int) -> None:
    folder = device_of(root, card) / "power"
    (folder / "runtime_status").write_text("suspended\n")
    (folder / "runtime_suspended_time").write_text(f"{slept_ms}\n")


def wake(root: Path, card: int, slept_ms: int) -> None:
    sleep(root, card, slept_ms)
    (device_of(root, card) / "power/runtime_status").write_text("active\n")


def test_a_card_asleep_is_not_read(discrete: Path) -> None:
    """Neither by the probe nor by a reading: its meter fails with EIO, and nobody notices."""
    sleep(discrete, 1, 100)
    fail_with_eio(power(discrete, 1))
    sensor, _ = open_host(discrete)
    probe = sensor.probe()
    assert RADEON in [zone.device for zone in probe.zones]
    assert [finding.why for finding in probe.findings if finding.subject == RADEON] == [
        "asleep; it is read when something else wakes it"
    ]
    readings = by_device(sensor.read())
    assert (readings[RADEON].raw_uj, readings[RADEON].failure) == (None, "suspended")
    assert readings[INSTINCT].failure == ""


def test_a_sleep_is_not_bridged(discrete: Path) -> None:
    """100 W, 5 s asleep, 100 W: not 500 J; the integral starts anew, and nobody may subtract across."""
    sensor, clock = open_host(discrete)
    sensor.probe()
    before = by_device(sensor.read())[RADEON]
    sleep(discrete, 1, 2000)
    clock.advance(5)
    sensor.read()
    wake(discrete, 1, 5000)
    clock.advance(5)
    after = by_device(sensor.read())[RADEON]
    assert (before.raw_uj, after.raw_uj) == (0, 0)
    assert after.lineage != before.lineage
    clock.advance(5)
    later = by_device(sensor.read())[RADEON]
    assert (later.raw_uj, later.lineage) == (500_000_000, after.lineage)


def test_a_sleep_between_two_readings_is_noticed(discrete: Path) -> None:
    sensor, clock = open_host(discrete)
    sensor.probe()
    before = by_device(sensor.read())[RADEON]
    wake(discrete, 1, 3000)
    clock.advance(5)
    after = by_device(sensor.read())[RADEON]
    assert after.raw_uj == 0
    assert after.lineage != before.lineage


def test_an_idle_card_is_let_fall_asleep(discrete: Path) -> None:
    """Nobody uses the Radeon, whose driver suspends it after 5 s: it is read every 10 s; nothing is lost."""
    for pid in (1200, 1300, 1301):
        for path in (discrete / f"proc/{pid}/fd").iterdir():
            path.unlink()
    sensor, clock = open_host(discrete)
    sensor.probe()
    start_ns = clock.boottime_ns()
    read_at = []
    energy_uj = 0
    for _ in range(6):
        for reading in sensor.read():
            if reading.zone.device == RADEON:
                read_at.append((reading.at_ns - start_ns) // S)
                energy_uj = reading.raw_uj or 0
        sensor.use()
        clock.advance(5)
    assert read_at == [0, 10, 20]
    assert energy_uj == 2_000_000_000


def test_a_card_that_never_sleeps_is_read_every_time(discrete: Path) -> None:
    """Runtime power management is off: its delay means nothing."""
    (device_of(discrete, 1) / "power/control").write_text("on\n")
    sensor, clock = open_host(discrete)
    sensor.probe()
    for _ in range(3):
        assert RADEON in by_device(sensor.read())
        clock.advance(5)
        assert weights(sensor.use())[RADEON] == {}


def test_queues_on_a_card_asleep_use_nothing(discrete: Path) -> None:
    """Asking the driver for occupancy would touch the card."""
    sensor, clock = open_host(discrete)
    sensor.probe()
    sleep(discrete, 2, 100)
    clock.advance(5)
    assert weights(sensor.use())[INSTINCT] == {}


def test_a_card_in_use_is_read_every_time(discrete: Path) -> None:
    sensor, clock = open_host(discrete)
    sensor.probe()
    for second in range(1, 4):
        open_card(discrete, 1300, 7, fdinfo(17, RADEON, engine_gfx=f"{(100 + second) * S} ns"))
        clock.advance(5)
        sensor.use()
        assert RADEON in by_device(sensor.read())


def test_a_reset_is_a_failure_and_is_bridged(discrete: Path) -> None:
    """A few failing seconds within 100 W are 100 W; the other card goes on."""
    sensor, clock = open_host(discrete)
    sensor.probe()
    sensor.read()
    clock.advance(5)
    meter = power(discrete, 1)
    fail_with_eio(meter)
    readings = by_device(sensor.read())
    assert (readings[RADEON].raw_uj, readings[RADEON].failure) == (None, "eio")
    assert readings[INSTINCT].raw_uj == 1_000_000_000
    assert RADEON in [zone.device for zone in sensor.probe().zones]
    meter.unlink()
    meter.write_text("100000000\n")
    clock.advance(5)
    assert by_device(sensor.read())[RADEON].raw_uj == 1_000_000_000


@pytest.mark.parametrize(
    ("text", "failure"),
    [("0\n", "zero"), ("4294967295000000\n", "implausible"), ("\n", "parse"), ("-1\n", "implausible")],
)
def test_what_is_no_power_is_no_value(discrete: Path, text: str, failure: str) -> None:
    sensor, _ = open_host(discrete)
    sensor.probe()
    power(discrete, 1).write_text(text)
    reading = by_device(sensor.read())[RADEON]
    assert (reading.raw_uj, reading.failure) == (None, failure)


def test_a_card_that_never_worked_is_a_finding_and_no_zone(discrete: Path) -> None:
    power(discrete, 1).write_text("0\n")
    sensor, _ = open_host(discrete)
    probe = sensor.probe()
    assert [zone.device for zone in probe.zones] == [INSTINCT]
    assert [finding.status for finding in probe.findings] == ["failed", "usable"]


def test_a_card_without_a_meter_is_absent(discrete: Path) -> None:
    """A virtual function shows no power."""
    power(discrete, 1).unlink()
    sensor, _ = open_host(discrete)
    probe = sensor.probe()
    assert [zone.device for zone in probe.zones] == [INSTINCT]
    assert [finding.status for finding in probe.findings] == ["absent", "usable"]


def test_a_card_that_is_pulled_is_gone(discrete: Path) -> None:
    sensor, _ = open_host(discrete)
    assert len(sensor.probe().zones) == 2
    (discrete / "sys/class/drm/card1").unlink()
    assert [zone.device for zone in sensor.probe().zones] == [INSTINCT]
    assert list(by_device(sensor.read())) == [INSTINCT]


def test_the_average_goes_before_the_instant(discrete: Path) -> None:
    power(discrete, 1).with_name("power1_input").write_text("900000000\n")
    sensor, clock = open_host(discrete)
    sensor.probe()
    sensor.read()
    clock.advance(1)
    assert by_device(sensor.read())[RADEON].raw_uj == 100_000_000


def test_a_counter_goes_before_integrated_power(discrete: Path) -> None:
    """Where something counts energy for a card, that is its energy, and restarts keep the lineage."""
    counts = {INSTINCT: 42_000_000}
    lineages = set()
    for _ in range(2):
        sensor = AmdGpu(HostFS.at(str(discrete)), ManualClock(), counts.get)
        sensor.probe()
        reading = by_device(sensor.read())[INSTINCT]
        assert reading.raw_uj == 42_000_000
        lineages.add(reading.lineage)
    assert len(lineages) == 1


@pytest.mark.parametrize("closed", ["proc/2000/vram_9877", "topology/nodes/2/gpu_id"])
def test_an_unseen_user_is_not_an_idle_board(closed: str) -> None:
    """KFD is closed to the agent: who is seen has a share, and the board without any is not called idle."""
    with shared_folder() as folder:
        root = open_copy("gpu-amd-discrete", folder)
        shutil.rmtree(root / KFD / "proc/2001")
        (root / KFD / closed).chmod(0o000)
        shown = root / "proc/1300/fdinfo/7"
        shown.chmod(0o666)

        def look() -> tuple[dict[str, dict[int, int]], list[str]]:
            sensor, clock = open_host(root)
            findings = sensor.probe().findings
            clock.advance(5)
            shown.write_text(fdinfo(17, RADEON, engine_gfx=f"{101 * S} ns"))
            return weights(sensor.use()), [finding.subject for finding in findings]

        found, subjects = as_nobody(look)
    assert found == {RADEON: {1300: S}}
    assert "ROCm processes" in subjects


def test_a_host_without_cards_is_normal() -> None:
    sensor, _ = open_host(HOSTS / "hwmon-acpi")
    (finding,) = sensor.probe().findings
    assert finding.status == "absent"
    assert (list(sensor.read()), list(sensor.use())) == ([], [])
