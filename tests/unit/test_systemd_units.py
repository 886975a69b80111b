"""The units: nothing systemd complains of, as little privilege as is said, and fixes that go with them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.agent_process import REPOSITORY
from tests.settings_file import settings_of
from wattledger.cli.load import load_settings
from wattledger.errors import SettingsError
from wattledger.gpu.drm import GRANT_PTRACE
from wattledger.sensors.nvidia_findings import ALLOW_DEVICES
from wattledger.sensors.perf import GRANT_PERF
from wattledger.sensors.powercap import GRANT_READ

UNITS = REPOSITORY / "systemd"
SERVICE = UNITS / "wattledger.service"
DROP_INS = sorted((UNITS / "wattledger.service.d").glob("*.conf"))
EXPOSURE_LIMIT = 2.0
WITHOUT_CAPABILITIES_LIMIT = 1.5

needs_systemd_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze on PATH (apt-get install systemd)"
)


def settings(*units: Path) -> dict[str, list[str]]:
    """The values of each key over a unit and its drop-ins, in their order; an empty one begins anew."""
    found: dict[str, list[str]] = {}
    for unit in units:
        for line in unit.read_text().splitlines():
            name, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                found[name] = [*found.get(name, []), value] if value else []
    return found


def exposure(folder: Path, *drop_ins: Path) -> float:
    """What `systemd-analyze security` makes of the service with these drop-ins, from 0 to 10."""
    shutil.copy(SERVICE, folder)
    (folder / "wattledger.service.d").mkdir()
    for each in drop_ins:
        shutil.copy(each, folder / "wattledger.service.d")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", folder / SERVICE.name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level for wattledger\.service: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found[1])


@needs_systemd_analyze
def test_the_default_exposes_little(tmp_path):
    """The limit we promise, for the unit as it stands."""
    assert exposure(tmp_path) <= EXPOSURE_LIMIT


@needs_systemd_analyze
@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda path: path.name)
def test_no_drop_in_exposes_much(tmp_path, drop_in):
    """Nor does one that grants something."""
    assert exposure(tmp_path, drop_in) <= EXPOSURE_LIMIT


@needs_systemd_analyze
def test_without_capabilities_it_exposes_less(tmp_path):
    """Which is what that drop-in is for."""
    drop_in = UNITS / "wattledger.service.d/10-no-capabilities.conf"
    assert exposure(tmp_path, drop_in) <= WITHOUT_CAPABILITIES_LIMIT


@needs_systemd_analyze
def test_systemd_has_nothing_to_complain_of(tmp_path):
    """No unknown key, no bad value, no missing program, in the units with every drop-in."""
    shutil.copytree(UNITS / "wattledger.service.d", tmp_path / "wattledger.service.d")
    for unit in (SERVICE, UNITS / "wattledger.socket"):
        text = unit.read_text().replace("/usr/bin/wattledger", "/bin/true").replace("man:wattledger(1)", "")
        (tmp_path / unit.name).write_text(text)
    units = [tmp_path / "wattledger.service", tmp_path / "wattledger.socket"]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_one_capability_reads():
    """Whatever else is added one day has to be added here, with a reason."""
    unit = settings(SERVICE)
    assert unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"] == ["CAP_DAC_READ_SEARCH"]
    assert unit["DynamicUser"] == unit["NoNewPrivileges"] == ["yes"]


def test_what_would_blind_the_agent_is_not_set():
    """Processes and whose they are, the host's network, and homes with rootless containers are seen."""
    unit = settings(SERVICE)
    assert unit.keys().isdisjoint(
        {"ProtectProc", "ProcSubset", "PrivateUsers", "PrivateNetwork", "PrivatePIDs"}
    )
    assert unit["ProtectHome"] == ["read-only"]


def test_the_watchdog_is_fed_in_time_at_every_interval_there_is():
    """The agent feeds it after a sample; at the longest interval, two fit in twice over."""
    (watchdog,) = settings(SERVICE)["WatchdogSec"]
    longest = settings_of("sampling: {interval: 30s}").sampling.interval_ns
    with pytest.raises(SettingsError):
        settings_of("sampling: {interval: 31s}")
    assert int(watchdog.removesuffix("s")) * 1_000_000_000 >= 4 * longest


def test_the_socket_listens_where_the_agent_would():
    """So that turning it on moves nothing."""
    assert [f":{port}" for port in settings(UNITS / "wattledger.socket")["ListenStream"]] == list(
        load_settings({}, {}).web.listen_addresses
    )


@pytest.mark.parametrize("path", DROP_INS, ids=lambda path: path.name)
def test_ambient_capabilities_are_within_the_bounds(path):
    """One that is not keeps the service from starting."""
    unit = settings(SERVICE, path)
    ambient, bounds = (
        " ".join(unit[name]).split() for name in ("AmbientCapabilities", "CapabilityBoundingSet")
    )
    assert set(ambient) <= set(bounds)


def test_the_boards_are_there_before_the_agent():
    """systemd looks up a device class when the service starts, and NVIDIA's daemon loads the driver."""
    unit = settings(UNITS / "wattledger.service.d/gpu.conf")
    assert unit["After"] == ["nvidia-persistenced.service"]
    assert unit["DevicePolicy"] == ["closed"]


def drop_in_of(fix: str, folder: Path) -> Path:
    """The drop-in that the commands of a finding write, made by running the part that prints it."""
    printf = re.search(r"^printf .*?(?=\n? *\| sudo tee)", fix, re.M | re.S)
    assert printf, fix
    command = printf[0].rstrip().removesuffix("\\")
    path = folder / "fix.conf"
    path.write_text(subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout)
    return path


@pytest.mark.parametrize(
    ("fix", "shipped"),
    [
        (GRANT_READ, None),
        (GRANT_PERF, "perf.conf"),
        (GRANT_PTRACE, "gpu-processes.conf"),
        (ALLOW_DEVICES, "gpu.conf"),
    ],
    ids=["powercap", "perf", "processes", "nvidia"],
)
def test_the_fixes_of_check_fit_the_unit(tmp_path, fix, shipped):
    """What `wattledger check` tells people to add grants what it says, and no more than our drop-in."""
    written = settings(drop_in_of(fix, tmp_path))
    assert written
    unit = settings(SERVICE, tmp_path / "fix.conf")
    ambient, bounds = (
        " ".join(unit[name]).split() for name in ("AmbientCapabilities", "CapabilityBoundingSet")
    )
    assert set(ambient) <= set(bounds)
    if shipped is not None:
        ours = settings(UNITS / "wattledger.service.d" / shipped)
        assert all(set(values) <= set(ours[name]) for name, values in written.items())


def test_a_service_reads_the_settings_file_of_its_package(tmp_path):
    """systemd names the folder in CONFIGURATION_DIRECTORY; a file that is not there is not missed."""
    environ = {"CONFIGURATION_DIRECTORY": f"{tmp_path}:/elsewhere"}
    assert load_settings({}, environ).config_file is None
    (tmp_path / "wattledger.yaml").write_text("carbon: {pue: 1.25}")
    assert load_settings({}, environ).carbon.pue == 1.25
    other = tmp_path / "other.yaml"
    other.write_text("carbon: {pue: 1.5}")
    assert load_settings({"config.file": str(other)}, environ).carbon.pue == 1.5
    assert load_settings({}, environ | {"WATTLEDGER_CONFIG_FILE": str(other)}).carbon.pue == 1.5


def test_the_settings_file_of_the_package_sets_nothing(tmp_path):
    """It is all comments, and it loads."""
    shipped = REPOSITORY / "deploy/packages/debian/wattledger.yaml"
    fresh = load_settings({"config.file": str(shipped)}, {})
    assert fresh.config_file == str(shipped)
    assert fresh.carbon == load_settings({}, {}).carbon


def test_the_examples_in_the_settings_file_of_the_package_are_accepted():
    """Uncommented, every line of settings is one that can be used."""
    shipped = (REPOSITORY / "deploy/packages/debian/wattledger.yaml").read_text()
    commented = re.findall(r"^#((?! \S).*)$", shipped, re.M)
    found = settings_of("\n".join(commented))
    assert found.carbon.pue == 1.2
    assert [budget.name for budget in found.budgets] == ["node-month"]


def test_counters_are_given_to_a_group_and_never_to_all():
    """Who may read them often learns what others compute (CVE-2020-8694)."""
    (rule,) = [
        line
        for line in (UNITS / "udev/90-wattledger-powercap.rules").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert re.findall(r'RUN\+="/bin/(.+?) /sys%p/energy_uj"', rule) == ["chgrp powercap", "chmod g+r"]
    assert 'SUBSYSTEM=="powercap", KERNEL=="intel-rapl*:*"' in rule
    assert "g powercap -" in (UNITS / "sysusers.d/wattledger.conf").read_text().splitlines()


def test_the_installation_page_shows_what_works():
    """Its settings load, with the key where the credential it loads is put."""
    page = (REPOSITORY / "docs/install.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.M | re.S)
    (credential,) = re.findall(r"^LoadCredential=([^:]+):", page, re.M)
    key_file = settings_of(block).carbon.intensity.key_file
    assert key_file == f"/run/credentials/wattledger.service/{credential}"


@needs_systemd_analyze
@pytest.mark.parametrize("path", DROP_INS, ids=lambda path: path.name)
def test_the_installation_page_says_how_exposed_each_drop_in_is(tmp_path, path):
    """Which systemd-analyze may put lower, and never higher."""
    page = (REPOSITORY / "docs/install.md").read_text()
    (said,) = re.findall(rf"^\| `{re.escape(path.name)}` \|.*\| ([\d.]+) \|$", page, re.M)
    assert exposure(tmp_path, path) <= float(said)
