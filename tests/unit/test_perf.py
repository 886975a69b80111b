"""The power PMU: what its sysfs says, and counting with a stand-in for the system call and with it."""

import errno
import gc
import os
import struct
from pathlib import Path

import pytest

from wattledger.clock import ManualClock, SystemClock
from wattledger.counters import advance
from wattledger.hostfs import HostFS
from wattledger.model import Probe
from wattledger.sensors.perf import Perf
from wattledger.sensors.perf_event import open_event
from wattledger.sensors.place import Place

SCALE = "2.3283064365386962890625e-10"  # 2^-32 J, as the kernel prints it
J_COUNTS = 2**32
CONFIGS = {"energy-cores": 1, "energy-pkg": 2, "energy-ram": 3, "energy-gpu": 4, "energy-psys": 5}


class FakePmu:
    """Stands in for perf_event_open: a memory file per event, in which the count repeats for many reads."""

    def __init__(self) -> None:
        self.opened: list[tuple[int, int, int]] = []
        self.fails: dict[int, int] = {}
        self._files: list[int] = []

    def open(self, pmu_type: int, config: int, cpu: int) -> int:
        if cpu in self.fails:
            raise OSError(self.fails[cpu], os.strerror(self.fails[cpu]))
        fd = os.memfd_create("event")
        self.opened.append((pmu_type, config, cpu))
        self._files.append(os.dup(fd))
        self.show(len(self._files) - 1, 0)
        return fd

    def show(self, index: int, count: int) -> None:
        """Let the event opened as number `index` have counted to `count`."""
        self._write(index, struct.pack("=Q", count) * 100)

    def end(self, index: int) -> None:
        """Let the event fail: the kernel answers its reads with nothing."""
        self._write(index, b"")

    def _write(self, index: int, content: bytes) -> None:
        fd = self._files[index]
        os.ftruncate(fd, 0)
        os.pwrite(fd, content, 0)
        os.lseek(fd, 0, os.SEEK_SET)

    def close(self) -> None:
        for fd in self._files:
            os.close(fd)


@pytest.fixture
def pmu():
    fake = FakePmu()
    yield fake
    fake.close()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def host(
    root: Path,
    *,
    events: tuple[str, ...] = ("energy-pkg", "energy-ram"),
    cpumask: str = "0,28",
    places: dict[int, tuple[int, int]] | None = None,
    vendor: str = "GenuineIntel",
    pmu_type: int = 4242,
) -> HostFS:
    """A host with a power PMU; `places` are (package, die) by CPU."""
    power = root / "sys/bus/event_source/devices/power"
    write(power / "type", str(pmu_type))
    write(power / "cpumask", cpumask)
    for event in events:
        write(power / "events" / event, f"event=0x{CONFIGS[event]:02x}")
        write(power / "events" / f"{event}.unit", "Joules")
        write(power / "events" / f"{event}.scale", SCALE)
    for cpu, (package, die) in (places or {0: (0, 0), 28: (1, 0)}).items():
        topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        write(topology / "physical_package_id", str(package))
        write(topology / "die_id", str(die))
    write(root / "proc/cpuinfo", f"vendor_id\t: {vendor}")
    write(root / "proc/sys/kernel/random/boot_id", "boot")
    return HostFS.at(str(root))


def covers(probe: Probe) -> dict[tuple[str, str], str]:
    return {(zone.name, zone.device): zone.covers for zone in probe.zones}


def statuses(probe: Probe) -> list[str]:
    return [finding.status for finding in probe.findings]


def test_each_event_counts_on_one_cpu_of_each_package(tmp_path, pmu):
    """The zones are named as powercap names them, whatever CPU they are read on."""
    probe = Perf(host(tmp_path), ManualClock(), pmu.open).probe()
    assert covers(probe) == {
        ("package-0", "package-0"): "cpu",
        ("package-1", "package-1"): "cpu",
        ("dram", "package-0"): "dram",
        ("dram", "package-1"): "dram",
    }
    assert pmu.opened == [(4242, 2, 0), (4242, 2, 28), (4242, 3, 0), (4242, 3, 28)]
    assert {(zone.range_uj, zone.survives_suspend) for zone in probe.zones} == {(0, False)}


def test_domains_inside_the_package_are_shown_and_psys_is_one(tmp_path, pmu):
    probe = Perf(host(tmp_path, events=tuple(CONFIGS)), ManualClock(), pmu.open).probe()
    assert covers(probe)[("psys", "psys")] == "node"
    assert covers(probe)[("core", "package-1")] == ""
    assert covers(probe)[("uncore", "package-0")] == ""
    assert [opened for opened in pmu.opened if opened[1] == CONFIGS["energy-psys"]] == [(4242, 5, 0)]


def test_dies_of_intel_are_counters_of_their_own(tmp_path, pmu):
    places = {0: (0, 0), 24: (0, 1)}
    fs = host(tmp_path, events=("energy-pkg",), cpumask="0,24", places=places)
    assert covers(Perf(fs, ManualClock(), pmu.open).probe()) == {
        ("package-0-die-0", "package-0-die-0"): "cpu",
        ("package-0-die-1", "package-0-die-1"): "cpu",
    }


def test_dies_of_amd_repeat_the_socket_and_count_once(tmp_path, pmu):
    places = {0: (0, 0), 8: (0, 1)}
    fs = host(
        tmp_path,
        events=("energy-pkg", "energy-cores"),
        cpumask="0,8",
        places=places,
        vendor="AuthenticAMD",
    )
    assert covers(Perf(fs, ManualClock(), pmu.open).probe()) == {("package-0", "package-0"): "cpu"}
    assert pmu.opened == [(4242, 2, 0)]


def test_the_cpu_mask_may_hold_ranges(tmp_path, pmu):
    places = {0: (0, 0), 1: (1, 0), 4: (2, 0)}
    fs = host(tmp_path, events=("energy-pkg",), cpumask="0-1,4", places=places)
    Perf(fs, ManualClock(), pmu.open).probe()
    assert [cpu for _, _, cpu in pmu.opened] == [0, 1, 4]


def test_counts_become_microjoules_without_drift(tmp_path, pmu):
    """2^32 counts are one joule; a count beyond 2^53, where a float loses units, stays exact."""
    perf = Perf(host(tmp_path, events=("energy-pkg",)), ManualClock(), pmu.open)
    perf.probe()
    pmu.show(0, 250 * J_COUNTS)
    pmu.show(1, (2**31 - 1) * J_COUNTS + J_COUNTS // 2)
    assert [reading.raw_uj for reading in perf.read()] == [250_000_000, (2**31 - 1) * 1_000_000 + 500_000]


def test_a_probe_leaves_running_counters_alone(tmp_path, pmu):
    """An event that is opened again starts at zero, and its interval would be lost."""
    perf = Perf(host(tmp_path), ManualClock(), pmu.open)
    perf.probe()
    before = perf.read()[0]
    state, _ = advance(before.zone, None, before, 0)
    perf.probe()
    pmu.show(0, 3 * J_COUNTS)
    after = perf.read()[0]
    assert len(pmu.opened) == 4
    assert advance(after.zone, state, after, 0)[1].delta_uj == 3_000_000


def test_a_counter_opened_by_another_process_is_another_counter(tmp_path, pmu):
    """It starts when it is opened, so nothing may be subtracted across a restart."""
    fs, clock = host(tmp_path, events=("energy-pkg",)), ManualClock()
    lineages = set()
    for _ in range(2):
        perf = Perf(fs, clock, pmu.open)
        perf.probe()
        lineages |= {reading.lineage for reading in perf.read()}
    assert len(lineages) == 4
    assert all(lineage.startswith("boot/") for lineage in lineages)


def test_an_event_that_ends_fails_alone_and_is_opened_again(tmp_path, pmu):
    """Its successor has another lineage."""
    perf = Perf(host(tmp_path, events=("energy-pkg",)), ManualClock(), pmu.open)
    perf.probe()
    before = perf.read()[0].lineage
    pmu.end(0)
    pmu.show(1, J_COUNTS)
    assert [(r.raw_uj, r.failure) for r in perf.read()] == [(None, "enodata"), (1_000_000, "")]
    reopened = perf.read()[0]
    assert reopened.raw_uj == 0
    assert reopened.lineage != before


def test_one_package_that_cannot_be_counted_shows_as_down(tmp_path, pmu):
    pmu.fails = {28: errno.ENODEV}
    perf = Perf(host(tmp_path, events=("energy-pkg",)), ManualClock(), pmu.open)
    assert statuses(perf.probe()) == ["usable", "failed"]
    assert [(r.zone.name, r.failure) for r in perf.read()] == [("package-0", ""), ("package-1", "enodev")]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM])
def test_a_denied_pmu_comes_with_the_commands_that_grant_it(tmp_path, pmu, code):
    pmu.fails = {0: code, 28: code}
    perf = Perf(host(tmp_path), ManualClock(), pmu.open)
    probe = perf.probe()
    assert probe.zones == ()
    (denied,) = probe.findings
    assert denied.status == "denied"
    assert "CAP_PERFMON" in denied.fix
    assert "kernel.perf_event_paranoid=0" in denied.fix
    assert perf.read() == []


def test_a_denied_pmu_in_a_container_comes_with_the_capability_alone(tmp_path, pmu):
    """A drop-in of systemd is of no use there."""
    pmu.fails = {0: errno.EACCES, 28: errno.EACCES}
    (denied,) = Perf(host(tmp_path), ManualClock(), pmu.open, Place("container")).probe().findings
    assert "--cap-add PERFMON" in denied.fix
    assert "systemctl" not in denied.fix


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("energy-ram.unit", "Watts"),
        ("energy-ram.scale", "nonsense"),
        ("energy-ram.scale", "0"),
        ("energy-ram", "config=0x3"),
    ],
)
def test_an_event_that_cannot_be_understood_hides_no_other(tmp_path, pmu, file, text):
    fs = host(tmp_path)
    write(tmp_path / "sys/bus/event_source/devices/power/events" / file, text)
    probe = Perf(fs, ManualClock(), pmu.open).probe()
    assert set(covers(probe).values()) == {"cpu"}
    assert sorted(statuses(probe)) == ["failed", "usable", "usable"]


@pytest.mark.parametrize("cpumask", ["", "x", "0,99"])
def test_a_mask_that_cannot_be_placed_is_a_finding(tmp_path, pmu, cpumask):
    """CPU 99 has no topology here."""
    assert statuses(Perf(host(tmp_path, cpumask=cpumask), ManualClock(), pmu.open).probe()) == ["failed"]


def test_no_pmu_is_absent(tmp_path, pmu):
    perf = Perf(HostFS.at(str(tmp_path)), ManualClock(), pmu.open)
    assert statuses(perf.probe()) == ["absent"]
    assert perf.read() == []


def test_the_module_is_suggested_on_a_real_machine(tmp_path, pmu):
    write(tmp_path / "proc/cpuinfo", "vendor_id\t: GenuineIntel")
    (finding,) = Perf(HostFS.at(str(tmp_path)), ManualClock(), pmu.open).probe().findings
    assert finding.fix == "sudo modprobe rapl"


def test_an_event_that_vanishes_is_closed(tmp_path, pmu):
    fs = host(tmp_path)
    perf = Perf(fs, ManualClock(), pmu.open)
    perf.probe()
    gc.collect()  # what earlier tests left closes its files now and not meanwhile
    held = len(os.listdir("/proc/self/fd"))
    (tmp_path / "sys/bus/event_source/devices/power/events/energy-ram").unlink()
    assert set(covers(perf.probe()).values()) == {"cpu"}
    assert len(os.listdir("/proc/self/fd")) == held - 2
    perf.close()
    assert len(os.listdir("/proc/self/fd")) == held - 4


def test_the_kernel_refusing_the_event_is_a_finding(tmp_path):
    """The real system call, for a PMU type that no kernel has handed out."""
    fs = host(tmp_path, cpumask="0", places={0: (0, 0)}, pmu_type=2**31 - 1)
    probe = Perf(fs, SystemClock()).probe()
    assert probe.zones == ()
    assert set(statuses(probe)) <= {"failed", "denied"}
    assert all(finding.why for finding in probe.findings)
    assert probe.findings


def test_the_kernel_counts_through_the_real_system_call(tmp_path):
    """The software event cpu-clock (type 1, config 0) stands in for energy: nanoseconds of the CPU."""
    try:
        os.close(open_event(1, 0, 0))
    except OSError as error:
        pytest.skip(f"perf_event_open: {error}")
    fs = host(tmp_path, events=("energy-pkg",), cpumask="0", places={0: (0, 0)}, pmu_type=1)
    write(tmp_path / "sys/bus/event_source/devices/power/events/energy-pkg", "event=0x0")
    write(tmp_path / "sys/bus/event_source/devices/power/events/energy-pkg.scale", "1e-6")
    perf = Perf(fs, SystemClock())
    assert statuses(perf.probe()) == ["usable"]
    (first,), (second,) = perf.read(), perf.read()
    assert first.lineage == second.lineage
    assert 0 < first.raw_uj < second.raw_uj
    perf.close()
