"""Intel graphics cards: what they count, when they may be read, who uses them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gpu_hosts import account, device_of, let_pass, open_copy, shared_folder, weights
from tests.host_copies import HOSTS, fail_with_eio
from tests.unprivileged import as_nobody
from wattledger.clock import ManualClock
from wattledger.counters import CounterState, advance
from wattledger.gpu.records import BoardUse, GpuUsageSource
from wattledger.hostfs import HostFS
from wattledger.model import Reading
from wattledger.sensors.base import Sensor
from wattledger.sensors.intelgpu import IntelGpu

S = 10**9
ARC = "0000:03:00.0"


def open_host(root: Path) -> tuple[IntelGpu, ManualClock]:
    clock = ManualClock()
    return IntelGpu(HostFS.at(str(root)), clock), clock


@pytest.fixture
def i915(tmp_path: Path) -> Path:
    return open_copy("gpu-intel-i915", tmp_path)


@pytest.fixture
def xe(tmp_path: Path) -> Path:
    return open_copy("gpu-intel-xe", tmp_path)


def counter(root: Path, card: int, chip: str, name: str = "energy1_input") -> Path:
    (folder,) = [
        folder
        for folder in (device_of(root, card) / "hwmon").iterdir()
        if (folder / "name").read_text().strip() == chip
    ]
    return folder / name


@pytest.mark.parametrize("name", ["gpu-intel-i915", "gpu-intel-xe"])
def test_the_account_of_a_host(name: str, tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    root = open_copy(name, tmp_path)
    sensor, clock = open_host(root)
    golden(f"{name}.txt", account(sensor, root, clock))


def test_it_has_both_faces() -> None:
    sensor: Sensor = IntelGpu(HostFS.at("/nonexistent"), ManualClock())
    assert isinstance(sensor, GpuUsageSource)


def test_an_integrated_gpu_is_no_board(i915: Path) -> None:
    """It is in RAPL's package; the card beside it counts, and its tile is not added to it."""
    sensor, _ = open_host(i915)
    probe = sensor.probe()
    assert [zone.device for zone in probe.zones] == [ARC]
    assert [(finding.subject, finding.status) for finding in probe.findings] == [
        ("0000:00:02.0", "ignored"),
        (ARC, "usable"),
    ]
    assert [reading.raw_uj for reading in sensor.read()] == [5_000_000_000]


def test_shares_of_i915_are_engine_time(i915: Path) -> None:
    """15 s of two video engines and 5 s of compute; the desktop on the integrated GPU uses no board."""
    sensor, clock = open_host(i915)
    sensor.probe()
    let_pass(i915, clock)
    (use,) = sensor.use()
    assert weights([use]) == {ARC: {1700: 15 * S, 1800: 5 * S}}
    assert dict(use.holders) == {1700: 512 << 20, 1800: 1 << 30}
    assert use.quality == ""


def test_the_card_contains_the_package(xe: Path) -> None:
    """1500 J of the card in 10 s, not 2500 J; 3/4 and 1/4 of the cycles of 10 s."""
    sensor, clock = open_host(xe)
    sensor.probe()
    (before,) = sensor.read()
    let_pass(xe, clock)
    (after,) = sensor.read()
    assert (after.raw_uj or 0) - (before.raw_uj or 0) == 1_500_000_000
    assert weights(sensor.use()) == {ARC: {1900: 15 * S // 2, 1901: 5 * S // 2}}


def test_the_package_stands_in_for_a_card_without_a_counter(xe: Path) -> None:
    """Arc A has energy2 only: less than the card draws, and said so."""
    counter(xe, 0, "xe").unlink()
    sensor, _ = open_host(xe)
    probe = sensor.probe()
    assert (
        probe.findings[0].why == "xe: energy counter of the package, less than the card, counts towards gpu"
    )
    assert probe.zones[0].uncertainty_ratio == 0.2
    assert [reading.raw_uj for reading in sensor.read()] == [3_000_000_000]


def test_a_counter_keeps_its_lineage_over_restarts(xe: Path) -> None:
    """The same boot, driver and file are the same counter; a reloaded driver and another boot are not."""

    def lineage() -> str:
        sensor, _ = open_host(xe)
        sensor.probe()
        return sensor.read()[0].lineage

    before = lineage()
    assert before == lineage()
    file = counter(xe, 0, "xe")
    file.with_name("new").write_text(file.read_text())
    file.with_name("new").rename(file)
    reloaded = lineage()
    assert reloaded != before
    (xe / "proc/sys/kernel/random/boot_id").write_text("another\n")
    assert lineage() != reloaded


def test_a_cleared_register_invents_no_energy(i915: Path) -> None:
    """The driver takes a cleared register for a turn: 200 kJ in 5 s are dropped, and so is a suspend."""
    sensor, clock = open_host(i915)
    (zone,) = sensor.probe().zones
    (before,) = sensor.read()
    clock.advance(5)
    counter(i915, 1, "i915").write_text(f"{205_000 * 10**6}\n")
    (after,) = sensor.read()
    state = CounterState(before.lineage, before.raw_uj or 0, before.at_ns, 0)
    assert advance(zone, state, after, 0)[1].outcome == "implausible"
    small = Reading(zone, after.at_ns, 5_000_000_001, after.lineage)
    assert advance(zone, state, small, 0)[1].outcome == "advanced"
    assert advance(zone, state, small, S)[1].outcome == "suspended"


def test_a_card_asleep_is_not_read(i915: Path) -> None:
    """Neither by the probe nor by a reading; when it wakes it is another lineage."""
    sensor, _ = open_host(i915)
    sensor.probe()
    (before,) = sensor.read()
    folder = device_of(i915, 1) / "power"
    (folder / "runtime_status").write_text("suspended\n")
    file = counter(i915, 1, "i915")
    text = file.read_text()
    fail_with_eio(file)
    assert [zone.device for zone in sensor.probe().zones] == [ARC]
    (asleep,) = sensor.read()
    assert (asleep.raw_uj, asleep.failure) == (None, "suspended")
    (folder / "runtime_status").write_text("active\n")
    (folder / "runtime_suspended_time").write_text("7000\n")
    file.unlink()
    file.write_text(text)
    (after,) = sensor.read()
    assert after.raw_uj == 5_000_000_000
    assert after.lineage != before.lineage


def test_an_idle_card_is_let_fall_asleep(i915: Path) -> None:
    """Its driver suspends it after 10 s, so it is read every 20 s while nobody uses it."""
    sensor, clock = open_host(i915)
    sensor.probe()
    turns = []
    for turn in range(9):
        if sensor.read():
            turns.append(turn)
        clock.advance(5)
        sensor.use()
    assert turns == [0, 4, 8]


def test_an_unseen_user_is_not_an_idle_board() -> None:
    """A process cannot be looked into: the board is left out, and not rested either."""
    with shared_folder() as folder:
        root = open_copy("gpu-intel-i915", folder)
        (root / "proc/1700/fd").chmod(0o700)

        def look() -> tuple[list[BoardUse], list[int], list[str]]:
            sensor, clock = open_host(root)
            findings = sensor.probe().findings
            uses: list[BoardUse] = []
            readings = []
            for _ in range(3):
                readings.append(len(sensor.read()))
                clock.advance(5)
                uses += sensor.use()
            return uses, readings, [finding.subject for finding in findings]

        uses, readings, subjects = as_nobody(look)
    assert (uses, readings) == ([], [1, 1, 1])
    assert "GPU processes" in subjects


def test_a_counter_that_fails_later_stays_a_zone(i915: Path) -> None:
    sensor, _ = open_host(i915)
    sensor.probe()
    fail_with_eio(counter(i915, 1, "i915"))
    assert [reading.failure for reading in sensor.read()] == ["eio"]
    probe = sensor.probe()
    assert [zone.device for zone in probe.zones] == [ARC]
    assert probe.findings[1].status == "failed"


def test_a_counter_that_never_worked_is_a_finding_and_no_zone(i915: Path) -> None:
    fail_with_eio(counter(i915, 1, "i915"))
    sensor, _ = open_host(i915)
    probe = sensor.probe()
    assert probe.zones == ()
    assert [finding.status for finding in probe.findings] == ["ignored", "failed"]
    assert list(sensor.use()) == []


def test_a_host_without_cards_is_normal() -> None:
    sensor, _ = open_host(HOSTS / "hwmon-acpi")
    (finding,) = sensor.probe().findings
    assert finding.status == "absent"
    assert (list(sensor.read()), list(sensor.use())) == ([], [])
