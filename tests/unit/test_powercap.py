"""Which zones of a host are read, which count, and what happens when they fail."""

import errno
import gc
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import pytest

from tests import raplfs
from tests.powercap_tree import AMD_RANGE_UJ, PowercapTree
from tests.unprivileged import as_nobody
from wattledger.clock import ManualClock
from wattledger.counters import advance
from wattledger.hostfs import HostFS
from wattledger.model import J_UJ, Probe, Reading
from wattledger.sensors.powercap import Powercap

HOSTS = Path(__file__).parent.parent / "hosts"

COUNTED = {
    # folder numbers and package ids disagree; dram lies outside its package
    "rapl-intel-2s": {
        ("package-1", "package-1"): "cpu",
        ("dram", "package-1"): "dram",
        ("package-0", "package-0"): "cpu",
        ("dram", "package-0"): "dram",
    },
    # core and uncore lie inside the package, psys around it; the mmio twins are not read
    "rapl-intel-client": {
        ("package-0", "package-0"): "cpu",
        ("core", "package-0"): "",
        ("uncore", "package-0"): "",
        ("dram", "package-0"): "dram",
        ("psys", "psys"): "node",
    },
    # without the other driver mmio is no twin
    "rapl-intel-mmio-only": {("package-0", "package-0"): "cpu", ("dram", "package-0"): "dram"},
    # Intel's dies are counters of their own
    "rapl-intel-4die": {
        (name, f"package-{package}-die-{die}"): covers
        for package in (0, 1)
        for die in (0, 1)
        for name, covers in ((f"package-{package}-die-{die}", "cpu"), ("dram", "dram"))
    },
    # AMD's `core` is one core's; no dram at all
    "rapl-amd-epyc": {("package-0", "package-0"): "cpu", ("package-1", "package-1"): "cpu"},
    # AMD's die zones each repeat the socket
    "rapl-amd-threadripper": {
        ("package-0-die-0", "package-0-die-0"): "cpu",
        ("package-0-die-1", "package-0-die-1"): "",
    },
    "rapl-no-range-and-dtpm": {("package-0", "package-0"): "cpu"},
    "rapl-letters": {
        ("package-0", "package-0"): "cpu",
        ("dram", "package-0"): "dram",
        ("package-1", "package-1"): "cpu",
        ("dram", "package-1"): "dram",
    },
    "rapl-virtual": {},
}

TWIN = "the same counter as the intel-rapl zone"
NOT_COUNTED = {
    "rapl-intel-2s": {},
    "rapl-intel-client": {
        "intel-rapl-mmio:0 package-0": TWIN,
        "intel-rapl-mmio:0:0 package-0/dram": TWIN,
    },
    "rapl-intel-mmio-only": {},
    "rapl-intel-4die": {},
    "rapl-amd-epyc": {
        "intel-rapl:0:0 package-0/core": "one core, not of all",
        "intel-rapl:1:0 package-1/core": "one core, not of all",
    },
    "rapl-amd-threadripper": {
        "intel-rapl:1 package-0-die-1": "repeats the whole socket",
        "intel-rapl:0:0 package-0-die-0/core": "one core, not of all",
        "intel-rapl:1:0 package-0-die-1/core": "one core, not of all",
    },
    "rapl-no-range-and-dtpm": {"dtpm": "not RAPL", "arm-scmi": "not RAPL"},
    "rapl-letters": {},
    "rapl-virtual": {},
}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def tree(tmp_path) -> PowercapTree:
    return PowercapTree(tmp_path / "host")


def sensor(root: Path | PowercapTree, clock: ManualClock) -> Powercap:
    return Powercap(HostFS.at(str(root.root if isinstance(root, PowercapTree) else root)), clock)


def covers(probe: Probe) -> dict[tuple[str, str], str]:
    return {(zone.name, zone.device): zone.covers for zone in probe.zones}


def values(readings: list[Reading]) -> dict[str, int | str]:
    """What each zone gave: its value, or the reason of its failure."""
    return {r.zone.name: r.failure if r.raw_uj is None else r.raw_uj for r in readings}


def statuses(probe: Probe) -> dict[str, str]:
    return {finding.subject: finding.status for finding in probe.findings}


def test_every_fixture_host_is_stated_here():
    assert {path.name for path in HOSTS.glob("rapl-*")} == set(COUNTED) == set(NOT_COUNTED)


@pytest.mark.parametrize("host", COUNTED)
def test_zones_of_a_host_and_what_they_count_towards(host, clock):
    """Each zone is there once, under labels that do not depend on folder numbers."""
    probe = sensor(HOSTS / host, clock).probe()
    assert covers(probe) == COUNTED[host]
    assert len(probe.zones) == len(COUNTED[host])
    assert not any(zone.survives_suspend for zone in probe.zones)


@pytest.mark.parametrize("host", NOT_COUNTED)
def test_what_is_ignored_on_a_host_and_why(host, clock):
    """What does not count is never passed over in silence."""
    found = sensor(HOSTS / host, clock).probe().findings
    ignored = {finding.subject: finding.why for finding in found if finding.status == "ignored"}
    assert ignored.keys() == NOT_COUNTED[host].keys()
    for subject, words in NOT_COUNTED[host].items():
        assert words in ignored[subject]


def test_zones_are_matched_with_their_own_counters(clock):
    """On this host the folder intel-rapl:0 is package 1: its counter ends in 1, its sibling's in 0."""
    powercap = sensor(HOSTS / "rapl-intel-2s", clock)
    powercap.probe()
    assert {(r.zone.name, r.zone.device): r.raw_uj for r in powercap.read()} == {
        ("package-1", "package-1"): 100_000_000_001,
        ("dram", "package-1"): 20_000_000_001,
        ("package-0", "package-0"): 100_000_000_000,
        ("dram", "package-0"): 20_000_000_000,
    }


def test_reading_is_stamped_and_names_its_counter(tree, clock):
    """The lineage is the boot and the inode, so that a restarted agent can subtract across its absence."""
    zone = tree.add_zone("intel-rapl:0", "package-0", energy_uj=100 * J_UJ)
    powercap = sensor(tree, clock)
    powercap.probe()
    clock.advance(5)
    zone.set_energy(350 * J_UJ)
    (reading,) = powercap.read()
    inode = os.stat(zone.energy_path).st_ino
    assert reading.raw_uj == 350 * J_UJ
    assert reading.at_ns == clock.now_ns
    assert reading.lineage == f"11111111-2222-3333-4444-555555555555/{inode}"
    (again,) = sensor_after_probe(tree, clock).read()
    assert again.lineage == reading.lineage


def sensor_after_probe(tree: PowercapTree, clock: ManualClock) -> Powercap:
    powercap = sensor(tree, clock)
    powercap.probe()
    return powercap


def test_a_zone_that_stands_still_keeps_its_value(tree, clock):
    tree.add_zone("intel-rapl:0", "package-0", energy_uj=42)
    powercap = sensor_after_probe(tree, clock)
    assert [values(powercap.read()), values(powercap.read())] == [{"package-0": 42}, {"package-0": 42}]


@pytest.mark.parametrize(
    ("limits_w", "max_power_w"),
    [
        ((("long_term", 205, 205), ("short_term", 0, 246)), 676.5),  # 1.5 * (205 + 246)
        ((("long_term", 15, 15), ("short_term", 0, 44)), 300.0),  # 88.5 would be too near the truth
        ((("long_term", 125, 4096), ("short_term", 0, 4096)), 1000.0),  # 4096 W means no limit
        ((("long_term", 0, 0),), 1000.0),
        ((), 1000.0),
    ],
)
def test_plausible_power_of_a_package_comes_from_its_limits(tree, clock, limits_w, max_power_w):
    tree.add_zone("intel-rapl:0", "package-0", limits_w=limits_w)
    (zone,) = sensor(tree, clock).probe().zones
    assert zone.max_power_w == max_power_w


def test_a_zone_without_a_range_is_used_and_said_to_have_none(tree, clock):
    """Then a step backwards cannot be told from a reset."""
    tree.add_zone("intel-rapl:0", "package-0", range_uj=None)
    probe = sensor(tree, clock).probe()
    assert [zone.range_uj for zone in probe.zones] == [0]
    assert "max_energy_range_uj" in probe.findings[0].why


@pytest.mark.parametrize("text", ["0", "nonsense", "-5"])
def test_a_senseless_range_is_no_range(tree, clock, text):
    tree.add_zone("intel-rapl:0", "package-0").write("max_energy_range_uj", text)
    assert [zone.range_uj for zone in sensor(tree, clock).probe().zones] == [0]


def test_two_zones_of_one_name_are_never_added(tree, clock):
    """The second is shown under its folder's name, and a finding says so."""
    tree.add_zone("intel-rapl:0", "package-0", energy_uj=1)
    tree.add_zone("intel-rapl:1", "package-0", energy_uj=2)
    tree.add_zone("intel-rapl:1:0", "dram", energy_uj=3)
    tree.add_zone("intel-rapl:1:1", "dram", energy_uj=4)
    probe = sensor(tree, clock).probe()
    assert covers(probe) == {
        ("package-0", "package-0"): "cpu",
        ("package-0", "intel-rapl:1"): "",
        ("dram", "package-0"): "dram",
        ("dram", "intel-rapl:1:1"): "",
    }
    assert statuses(probe)["intel-rapl:1 package-0"] == "ignored"


def test_mmio_dram_is_used_where_the_other_driver_has_none(tree, clock):
    tree.add_zone("intel-rapl:0", "package-0")
    tree.add_zone("intel-rapl-mmio:0", "package-0")
    tree.add_zone("intel-rapl-mmio:0:0", "dram")
    assert covers(sensor(tree, clock).probe()) == {
        ("package-0", "package-0"): "cpu",
        ("dram", "package-0"): "dram",
    }


def test_psys_of_further_packages_is_shown_only(tree, clock):
    """Each would measure the same platform."""
    tree.add_zone("intel-rapl:0", "psys-1")
    tree.add_zone("intel-rapl:1", "psys")
    probe = sensor(tree, clock).probe()
    assert sorted(covers(probe).values()) == ["", "node"]
    assert {zone.max_power_w for zone in probe.zones} == {8000.0}


def test_hygon_is_counted_as_amd(tmp_path, clock):
    tree = PowercapTree(tmp_path / "host", vendor="HygonGenuine", family=24)
    for die in (0, 1):
        tree.add_zone(f"intel-rapl:{die}", f"package-0-die-{die}", range_uj=AMD_RANGE_UJ)
        tree.add_zone(f"intel-rapl:{die}:0", "core", range_uj=AMD_RANGE_UJ)
    assert list(covers(sensor(tree, clock).probe()).values()) == ["cpu", ""]


def test_ten_packages_are_in_the_order_of_their_numbers(tree, clock):
    for package in (10, 2, 1):
        tree.add_zone(f"intel-rapl:{package}", f"package-{package}")
    names = [zone.name for zone in sensor(tree, clock).probe().zones]
    assert names == ["package-1", "package-2", "package-10"]


def test_an_unknown_zone_is_shown_and_not_added(tree, clock):
    tree.add_zone("intel-rapl:0", "package-0")
    tree.add_zone("intel-rapl:1", "warp-core")
    assert covers(sensor(tree, clock).probe())[("warp-core", "warp-core")] == ""


def test_a_name_that_is_not_utf8_is_harmless(tree, clock):
    tree.add_zone("intel-rapl:0", "package-0")
    odd = tree.add_zone("intel-rapl:1", "x")
    (odd.folder / "name").write_bytes(b"\xff\xfe\n")
    assert covers(sensor(tree, clock).probe())[("package-0", "package-0")] == "cpu"


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EIO])
def test_a_broken_zone_is_one_failed_reading_beside_the_others(tree, clock, code):
    """Broken before the start, it still shows as down: the sum over the sockets is not whole."""
    tree.add_zone("intel-rapl:0", "package-0", energy_uj=7)
    broken = tree.add_zone("intel-rapl:1", "package-1", energy_uj=9)
    broken.break_(code)
    powercap = sensor(tree, clock)
    probe = powercap.probe()
    reason = errno.errorcode[code].lower()
    assert values(powercap.read()) == {"package-0": 7, "package-1": reason}
    assert statuses(probe) == {"intel-rapl:0 package-0": "usable", "intel-rapl:1 package-1": "failed"}
    assert any(errno.errorcode[code] in finding.why for finding in probe.findings)


def test_a_host_where_no_zone_can_be_read_has_none(tree, clock):
    """So that something else may cover the component."""
    tree.add_zone("intel-rapl:0", "package-0").break_(errno.EIO)
    probe = sensor(tree, clock).probe()
    assert probe.zones == ()
    assert statuses(probe) == {"intel-rapl:0 package-0": "failed"}


def test_a_broken_zone_that_would_only_be_shown_is_a_finding_and_no_zone(tree, clock):
    """No sum misses it."""
    tree.add_zone("intel-rapl:0", "package-0")
    tree.add_zone("intel-rapl:0:0", "core").break_(errno.EIO)
    tree.add_zone("intel-rapl:0:1", "uncore")
    probe = sensor(tree, clock).probe()
    assert [zone.name for zone in probe.zones] == ["package-0", "uncore"]
    assert statuses(probe)["intel-rapl:0:0 package-0/core"] == "failed"


def test_a_zone_that_worked_before_stays_a_zone_while_it_fails(tree, clock):
    """A probe in a bad moment must not hand the component over to another sensor."""
    zone = tree.add_zone("intel-rapl:0", "package-0", energy_uj=7)
    powercap = sensor_after_probe(tree, clock)
    zone.break_(errno.EIO)
    assert [zone.name for zone in powercap.probe().zones] == ["package-0"]
    assert values(powercap.read()) == {"package-0": "eio"}
    zone.mend(8)
    assert values(powercap.read()) == {"package-0": 8}


def test_text_that_is_no_number_is_a_failed_reading(tree, clock):
    zone = tree.add_zone("intel-rapl:0", "package-0", energy_uj=7)
    powercap = sensor_after_probe(tree, clock)
    zone.energy_path.chmod(0o600)
    os.truncate(zone.energy_path, 0)
    assert values(powercap.read()) == {"package-0": "parse"}


def test_a_vanished_zone_returns_by_itself_as_another_counter(tree, clock):
    """No probe is needed, and nothing is subtracted across the two counters."""
    gone = tree.add_zone("intel-rapl:0", "package-0", energy_uj=100 * J_UJ)
    tree.add_zone("intel-rapl:1", "package-1", energy_uj=5)
    powercap = sensor_after_probe(tree, clock)
    before = powercap.read()[0]
    state, _ = advance(before.zone, None, before, 0)
    tree.remove_zone(gone)
    assert powercap.read()[0].raw_uj is None
    assert values(powercap.read()) == {"package-0": "enoent", "package-1": 5}
    tree.add_zone("intel-rapl:0", "package-0", energy_uj=101 * J_UJ)
    clock.advance(5)
    after = powercap.read()[0]
    assert after.raw_uj == 101 * J_UJ
    assert advance(after.zone, state, after, 0)[1].outcome == "replaced"


def test_a_folder_that_returns_as_another_zone_is_not_taken_for_the_old_one(tree, clock):
    """After a hot-unplug of both sockets the numbers may be swapped; the next probe sorts it out."""
    old = [tree.add_zone(f"intel-rapl:{i}", f"package-{i}", energy_uj=i) for i in (0, 1)]
    tree.add_zone("intel-rapl:0:0", "dram", energy_uj=50)
    powercap = sensor_after_probe(tree, clock)
    for zone in old:
        tree.remove_zone(zone)
    powercap.read()
    for i in (0, 1):
        tree.add_zone(f"intel-rapl:{i}", f"package-{1 - i}", energy_uj=1 - i)
    tree.add_zone("intel-rapl:0:0", "dram", energy_uj=51)
    assert {r.failure for r in powercap.read()} == {"enoent"}
    probe = powercap.probe()
    assert {(r.zone.name, r.zone.device): r.raw_uj for r in powercap.read()} == {
        ("package-0", "package-0"): 0,
        ("package-1", "package-1"): 1,
        ("dram", "package-1"): 51,
    }
    assert len(probe.zones) == 3


def test_a_zone_gone_at_the_next_probe_is_no_zone_any_more(tree, clock):
    gone = tree.add_zone("intel-rapl:0", "package-0")
    tree.add_zone("intel-rapl:1", "package-1")
    powercap = sensor_after_probe(tree, clock)
    tree.remove_zone(gone)
    assert [zone.name for zone in powercap.probe().zones] == ["package-1"]
    assert [r.zone.name for r in powercap.read()] == ["package-1"]


def test_probing_again_leaks_no_file(tree, clock):
    for i in range(3):
        tree.add_zone(f"intel-rapl:{i}", f"package-{i}")
    powercap = sensor_after_probe(tree, clock)
    gc.collect()  # what earlier tests left closes its files now and not meanwhile
    held = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        powercap.probe()
    assert len(os.listdir("/proc/self/fd")) == held
    powercap.close()
    assert len(os.listdir("/proc/self/fd")) == held - 3
    assert [r.failure for r in powercap.read()] == ["", "", ""]


def test_counters_that_only_root_may_read_come_with_the_commands_that_grant_it(clock):
    """One finding for all of them: by capability for the service, by group for people."""
    root = Path(tempfile.mkdtemp())
    try:
        root.chmod(0o755)
        tree = PowercapTree(root / "host")
        for entry, name in (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "dram")):
            tree.add_zone(entry, name).break_(errno.EACCES)
        probe = as_nobody(sensor(tree, clock).probe)
        assert probe.zones == ()
        (denied,) = probe.findings
        assert denied.status == "denied"
        assert denied.subject == "intel-rapl:0 package-0, intel-rapl:0:0 package-0/dram"
        assert "AmbientCapabilities=CAP_DAC_READ_SEARCH" in denied.fix
        assert "chgrp powercap" in denied.fix
        assert "o+r" not in denied.fix
    finally:
        shutil.rmtree(root)


def test_granting_one_socket_only_shows_the_other_as_down(clock):
    root = Path(tempfile.mkdtemp())
    try:
        root.chmod(0o755)
        tree = PowercapTree(root / "host")
        tree.add_zone("intel-rapl:0", "package-0", energy_uj=7).energy_path.chmod(0o444)
        tree.add_zone("intel-rapl:1", "package-1").break_(errno.EACCES)
        powercap = sensor(tree, clock)

        def probe_and_read():
            return powercap.probe(), values(powercap.read())

        probe, got = as_nobody(probe_and_read)
        assert got == {"package-0": 7, "package-1": "eacces"}
        assert statuses(probe) == {"intel-rapl:0 package-0": "usable", "intel-rapl:1 package-1": "denied"}
    finally:
        shutil.rmtree(root)


def test_no_powercap_class_is_absent_and_not_an_error(tmp_path, clock):
    powercap = sensor(tmp_path, clock)
    assert [finding.status for finding in powercap.probe().findings] == ["absent"]
    assert powercap.read() == []


@pytest.mark.parametrize(
    ("vendor", "flags", "fix"),
    [
        ("GenuineIntel", "", "sudo modprobe intel_rapl_msr"),
        ("AuthenticAMD", "", "sudo modprobe intel_rapl_msr"),
        ("GenuineIntel", " hypervisor", ""),
        ("CentaurHauls", "", ""),
    ],
)
def test_the_module_is_suggested_where_it_would_help(tmp_path, clock, vendor, flags, fix):
    tree = PowercapTree(tmp_path / "host", vendor=vendor, flags=flags)
    (finding,) = sensor(tree, clock).probe().findings
    assert (finding.status, finding.fix) == ("absent", fix)


def test_zones_hidden_by_a_container_runtime_are_recognised(tree, clock):
    """Runtimes mount an empty folder over /sys/devices/virtual/powercap; the class links dangle then."""
    tree.add_zone("intel-rapl:0", "package-0")
    shutil.rmtree(tree.root / "sys/devices/virtual/powercap")
    (finding,) = sensor(tree, clock).probe().findings
    assert finding.status == "denied"
    assert "--path.sysfs" in finding.fix


def test_one_zone_without_a_name_hides_nothing(tree, clock):
    tree.add_zone("intel-rapl:0", "package-0")
    (tree.add_zone("intel-rapl:1", "package-1").folder / "name").unlink()
    probe = sensor(tree, clock).probe()
    assert covers(probe) == {("package-0", "package-0"): "cpu"}
    assert statuses(probe)["intel-rapl:1"] == "failed"


needs_fuse = pytest.mark.skipif(bool(raplfs.missing()), reason=raplfs.missing() or "FUSE")


@pytest.fixture
def mount(tmp_path):
    """Two sockets whose counters fail on command."""
    if os.geteuid() != 0 and not shutil.which("fusermount"):
        pytest.skip("mounting needs root or fusermount")
    folder = tmp_path / "sys/class/powercap"
    folder.mkdir(parents=True)
    with raplfs.mounted(folder, intel_rapl__0="package-0", intel_rapl__1="package-1") as mounted:
        yield mounted


@needs_fuse
def test_faults_of_one_zone_never_hide_the_other(mount, tmp_path, clock):
    """Files are held open over every fault; the healthy counter gives its value each time."""
    powercap = sensor(tmp_path, clock)
    assert len(powercap.probe().zones) == 2
    value = 0
    for fault, reason in [("enodata", "enodata"), ("eio", "eio"), ("gone", "enodev"), ("eperm", "eperm")]:
        value += 10
        mount.set("intel-rapl:0", fault)
        mount.set("intel-rapl:1", value)
        assert values(powercap.read()) == {"package-0": reason, "package-1": value}
        mount.set("intel-rapl:0", "ok")
        mount.set("intel-rapl:0", value)
        assert values(powercap.read()) == {"package-0": value, "package-1": value}


@needs_fuse
def test_failed_reads_in_between_lose_no_energy(mount, tmp_path, clock):
    """ENODATA leaves the counter the same counter: the next value covers both intervals."""
    powercap = sensor(tmp_path, clock)
    powercap.probe()
    mount.set("intel-rapl:0", 100 * J_UJ)
    first = powercap.read()[0]
    state, _ = advance(first.zone, None, first, 0)
    clock.advance(5)
    mount.set("intel-rapl:0", "enodata")
    assert powercap.read()[0].raw_uj is None
    clock.advance(5)
    mount.set("intel-rapl:0", "ok")
    mount.set("intel-rapl:0", 1100 * J_UJ)
    last = powercap.read()[0]
    assert advance(last.zone, state, last, 0)[1].delta_uj == 1000 * J_UJ


@needs_fuse
def test_a_zone_unplugged_under_a_held_file_returns_as_another_counter(mount, tmp_path, clock):
    """ENODEV on the held file, ENOENT while it is away, then a value of a new lineage."""
    powercap = sensor(tmp_path, clock)
    powercap.probe()
    before = powercap.read()[0].lineage
    mount.set("intel-rapl:0", "gone")
    assert [powercap.read()[0].failure for _ in range(2)] == ["enodev", "enoent"]
    mount.set("intel-rapl:0", "ok")
    after = powercap.read()[0]
    assert after.raw_uj == 0
    assert after.lineage not in ("", before)


@needs_fuse
def test_a_read_that_hangs_ends_with_the_hang_and_gives_every_value(mount, tmp_path, clock):
    powercap = sensor(tmp_path, clock)
    powercap.probe()
    mount.set("intel-rapl:1", 8)
    mount.set("intel-rapl:0", "hang")
    got: list[Reading] = []
    reader = threading.Thread(target=lambda: got.extend(powercap.read()))
    reader.start()
    while reader.is_alive() and not mount.waiting():
        time.sleep(0.01)
    assert got == []
    mount.set("intel-rapl:0", 7)
    mount.set("intel-rapl:0", "ok")
    reader.join()
    assert values(got) == {"package-0": 7, "package-1": 8}
