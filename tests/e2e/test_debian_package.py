"""The Debian package in a machine of its own, under a real systemd: built, installed, run, upgraded, removed.

The tests tell one story and run in this order; the meter is a fixture that only root may read.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import bcrypt
import pytest

from tests.agent_process import REPOSITORY, Scrape
from tests.powercap_tree import PowercapTree
from tests.systemd_machine import Machine, needs_machine
from tests.web_certificates import WebAuthority, needs_openssl

pytestmark = [pytest.mark.e2e, needs_machine]

EPOCH = 1_700_000_000
MAINTAINER = "Power team <power@example.org>"
J_UJ = 1_000_000
DAC_READ_SEARCH, PERFMON, SYS_PTRACE = 1 << 2, 1 << 38, 1 << 19
OPTIONS = "--path.sysfs=/srv/host/sys --path.cgroupfs=/sys/fs/cgroup"
DROP_INS = "/etc/systemd/system/wattledger.service.d"
SETTINGS = "/etc/wattledger/wattledger.yaml"
SHIPPED = "/usr/share/wattledger/wattledger.service.d"
SCRAPE = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:19190/metrics').read().decode())"
GIVE_COUNTERS = """mount -t tmpfs tmpfs /sys/class
give() { mkdir -p "$1"; touch "$1/energy_uj"; chgrp "$2" "$1/energy_uj"; chmod 0440 "$1/energy_uj"; }
give /sys/class/powercap/intel-rapl:ours powercap
give /sys/class/powercap/intel-rapl:theirs daemon
"""
SHOW_COUNTERS = "cd /sys/class/powercap; stat --format='%n %G %a' */energy_uj | sed 's,/energy_uj,,'; cd /"
CHECK_UNIT = {
    "Type": "oneshot",
    "ExecStart": "/usr/bin/wattledger check --format=json --seconds=0.1 $WATTLEDGER_OPTS",
    "ExecReload": None,
    "Restart": None,
    "RestartSec": None,
    "WatchdogSec": None,
}


def copy_source(folder: Path, source: Path = REPOSITORY) -> Path:
    """A checkout with what the package is made from."""
    for part in ("exporter", "systemd", "deploy/packages"):
        shutil.copytree(source / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(source / name, folder)
    return folder


def build(source: Path, output: Path, revision: str, *more: str, umask: int = 0o022, **environ: str) -> Path:
    """The package as the script makes it; skips where its parts can be fetched from nowhere."""
    options = [
        *more,
        f"--output={output}",
        f"--revision={revision}",
        f"--wheels={REPOSITORY / '.cache/wheels'}",
    ]
    done = subprocess.run(
        [source / "deploy/packages/build-deb", *options],
        env=os.environ | {"SOURCE_DATE_EPOCH": str(EPOCH), "PYTHON": sys.executable} | environ,
        capture_output=True,
        text=True,
        check=False,
        umask=umask,
    )
    if "no packages for Python" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout that nobody works in."""
    return copy_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory, source: Path) -> list[Path]:
    """Two versions, the second handed out by somebody."""
    folder = tmp_path_factory.mktemp("packages")
    return [build(source, folder, "1"), build(source, folder, "2", f"--maintainer={MAINTAINER}")]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, packages: list[Path]):
    """A machine with the packages in /srv, and a host whose counter is readable by root only."""
    with Machine(tmp_path_factory.mktemp("machine")) as made:
        for package in packages:
            shutil.copy(package, made.root / "srv")
        yield made


@pytest.fixture(scope="module")
def counter(machine: Machine):
    """The counter of the one package zone, at 1,000 J."""
    zone = PowercapTree(machine.root / "srv/host").add_zone("intel-rapl:0", "package-0")
    zone.set_energy(1000 * J_UJ)
    zone.energy_path.chmod(0o400)
    return zone


def scrape(machine: Machine) -> Scrape:
    """What the agent serves, as soon as it does."""
    for _ in range(100):
        done = machine.run("python3", "-c", SCRAPE, check=False)
        if done.returncode == 0:
            return Scrape.of_text(done.stdout)
        time.sleep(0.1)
    raise AssertionError(done.stderr)


def cpu_uj(machine: Machine) -> int:
    return scrape(machine).sum_uj("wattledger_node_energy_joules_total", component="cpu")


def wait_for_cpu_uj(machine: Machine, wanted_uj: int) -> None:
    """Wait for the next sample to have brought the account there."""
    for _ in range(100):
        if (found_uj := cpu_uj(machine)) == wanted_uj:
            return
        time.sleep(0.1)
    raise AssertionError(f"{found_uj} uJ, not {wanted_uj}")


def property_of(machine: Machine, name: str, unit: str = "wattledger.service") -> str:
    return machine.run("systemctl", "show", f"--property={name}", "--value", unit).stdout.strip()


def wait_for_property(machine: Machine, name: str, other_than: str) -> None:
    for _ in range(300):
        if property_of(machine, name) != other_than:
            return
        time.sleep(0.1)
    raise AssertionError(f"{name} is still {other_than}")


def process_status(machine: Machine) -> dict[str, str]:
    """/proc/PID/status of the agent."""
    lines = machine.run("cat", f"/proc/{property_of(machine, 'MainPID')}/status").stdout.splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def capabilities(machine: Machine) -> int:
    """What the agent may, of which nothing is beyond its bounds."""
    status = process_status(machine)
    assert status["CapBnd"] == status["CapEff"]
    return int(status["CapEff"], 16)


def drop_in(machine: Machine, *names: str) -> None:
    """Restart the service with just these of the drop-ins that the package ships."""
    machine.shell(f"rm -rf {DROP_INS}; mkdir -p {DROP_INS}")
    for name in names:
        machine.run("cp", f"{SHIPPED}/{name}", DROP_INS)
    machine.shell("systemctl daemon-reload; systemctl restart wattledger")


def check_as_the_unit(machine: Machine, *names: str) -> dict:
    """What `wattledger check` says in the place of the agent: under its unit, apart from what starts it."""
    unit = machine.run("cat", "/usr/lib/systemd/system/wattledger.service").stdout
    lines = []
    for line in unit.splitlines():
        name, _, value = line.partition("=")
        value = CHECK_UNIT.get(name, value)
        lines += [] if value is None else [f"{name}={value}" if "=" in line else line]
    text = "\n".join(lines).replace("[Service]", "[Service]\nStandardOutput=file:/run/check.json", 1)
    folder = machine_path(machine, "/etc/systemd/system")
    (folder / "wattledger-check.service").write_text(
        text.replace("[Service]", "[Service]\nSuccessExitStatus=1")
    )
    machine.shell("d=/etc/systemd/system/wattledger-check.service.d; rm -rf $d /run/check.json; mkdir $d")
    for name in names:
        machine.run("cp", f"{SHIPPED}/{name}", "/etc/systemd/system/wattledger-check.service.d")
    machine.shell("systemctl stop wattledger; systemctl daemon-reload; systemctl start wattledger-check")
    return json.loads(machine.run("cat", "/run/check.json").stdout)


def machine_path(machine: Machine, path: str) -> Path:
    return machine.root / path.lstrip("/")


def findings(report: dict, sensor: str) -> dict[str, dict]:
    return {each["status"]: each for each in report["findings"] if each["sensor"] == sensor}


def test_two_builds_give_the_same_bits(packages, source, tmp_path):
    """Neither the place nor the clock, time zone, umask or language of the builder is in the package."""
    elsewhere = copy_source(tmp_path / "elsewhere", source)
    again = build(elsewhere, tmp_path, "1", umask=0o077, TZ="Asia/Tokyo", LC_ALL="C")
    assert again.read_bytes() == packages[0].read_bytes()


def test_whoever_hands_it_out_is_its_maintainer(packages, source, tmp_path):
    """In the control file and in the changelog; what is no name with an address is refused."""
    show = ["dpkg-deb", "--field", packages[1], "Maintainer"]
    assert subprocess.run(show, check=True, capture_output=True, text=True).stdout.strip() == MAINTAINER
    subprocess.run(["dpkg-deb", "--extract", packages[1], tmp_path / "tree"], check=True)
    changelog = tmp_path / "tree/usr/share/doc/wattledger/changelog.Debian.gz"
    assert f"\n -- {MAINTAINER}  " in gzip.decompress(changelog.read_bytes()).decode()
    with pytest.raises(AssertionError, match=r"'power@example\.org' is not NAME <ADDRESS>"):
        build(source, tmp_path, "1", "--maintainer=power@example.org")


def test_nothing_of_the_builder_is_in_it(packages, source, tmp_path):
    """No path of this source or of the Python that built it, no compiled file, and sums of every file."""
    subprocess.run(["dpkg-deb", "--raw-extract", packages[0], tmp_path / "tree"], check=True)
    tree = tmp_path / "tree"
    builders = {str(source), sys.prefix, sys.base_prefix} - {"/usr"}
    traces = [os.fsencode(path) for path in builders]
    files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 300
    for path in files:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert not any(trace in content for trace in traces), path
        assert path.suffix != ".pyc"
    for table in (source / "exporter").rglob("*.csv"):
        assert (tree / "opt/wattledger/lib/site-packages" / table.relative_to(source / "exporter")).is_file()
    sums = (tree / "DEBIAN/md5sums").read_text().splitlines()
    assert len(sums) == len(
        [path for path in files if path.relative_to(tree).parts[0] not in ("DEBIAN", "etc")]
    )


def test_it_says_which_pythons_it_is_for(packages):
    """Its compiled modules are for as many Pythons as it allows, and for the one architecture it names."""
    show = ["dpkg-deb", "--show", "--showformat=${Depends}|${Architecture}", packages[0]]
    depends, _, architecture = subprocess.run(
        show, check=True, capture_output=True, text=True
    ).stdout.partition("|")
    listing = subprocess.run(
        ["dpkg-deb", "--contents", packages[0]], check=True, capture_output=True, text=True
    )
    modules = re.findall(r"/msgspec/_core\.cpython-3(\d+)-(\w+)-linux", listing.stdout)
    assert sorted(modules) == [(minor, modules[0][1]) for minor in ("11", "12", "13", "14")]
    assert {"amd64": "x86_64", "arm64": "aarch64"}[architecture] == modules[0][1]
    assert "python3 (>= 3.11~), python3 (<< 3.15~)" in depends


def test_it_installs_where_no_systemd_runs(machine, counter, packages):
    """As when an image is made: nothing is started, the group is there, and the command works."""
    machine.run("dpkg", "--install", f"/srv/{packages[0].name}")
    assert machine.run("wattledger", "--version").stdout.startswith("wattledger ")
    assert machine.run("getent", "group", "powercap").stdout.startswith("powercap:x:")
    done = machine.run("wattledger", "check", "--format=json", "--seconds=0.1", *OPTIONS.split())
    assert json.loads(done.stdout)["verdict"] == "measured"
    other = machine.shell(
        "cd /tmp; mkdir click; echo 1/0 >click/__init__.py; PYTHONPATH=. wattledger --version"
    )
    assert other.startswith("wattledger ")


def test_bash_completes_it(machine):
    """The function in the package's file, as bash calls it."""
    script = """source /usr/share/bash-completion/completions/wattledger
COMP_WORDS=(wattledger {0}); COMP_CWORD={1}; _wattledger_completion wattledger; echo "${{COMPREPLY[@]}}" """
    assert machine.run("bash", "-c", script.format("che", 1)).stdout.split() == ["check"]
    flags = machine.run("bash", "-c", script.format("run --storage", 2)).stdout.split()
    assert {"--storage.path", "--storage.retention"} <= set(flags)


def test_the_service_runs_with_one_privilege(machine, counter):
    """The installation enabled it; as a user that exists only while it runs, it reads root's counter."""
    machine.shell(f"echo 'WATTLEDGER_OPTS=\"{OPTIONS}\"' >/etc/default/wattledger")
    machine.boot()
    assert property_of(machine, "ActiveState") == "active"
    status = process_status(machine)
    assert capabilities(machine) == DAC_READ_SEARCH
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert 61184 <= int(status["Uid"].split()[0]) <= 65519
    assert machine.run("systemctl", "--failed", "--no-legend").stdout == ""
    assert cpu_uj(machine) == 0
    counter.set_energy(1005 * J_UJ)
    wait_for_cpu_uj(machine, 5 * J_UJ)


def test_a_reload_reads_the_settings_of_the_package(machine):
    """/etc/wattledger/wattledger.yaml is where the service looks; nothing names it."""
    assert scrape(machine).value("wattledger_pue_ratio") == 1.0
    machine.shell("echo 'carbon: {pue: 1.5}' >>/etc/wattledger/wattledger.yaml; systemctl reload wattledger")
    for _ in range(100):
        if (ratio := scrape(machine).value("wattledger_pue_ratio")) == 1.5:
            break
        time.sleep(0.1)
    assert ratio == 1.5
    assert cpu_uj(machine) == 5 * J_UJ


def test_check_tells_the_truth_under_the_unit(machine, counter):
    """With the capability it reads root's counter, it may write its state, and nothing is denied."""
    report = check_as_the_unit(machine)
    assert report["verdict"] == "measured"
    assert {zone["energy_joules"] for zone in report["zones"] if zone["sensor"] == "powercap"} == {1005.0}
    assert findings(report, "storage").keys() == {"usable"}
    # The machine is itself a container: it sees its own part of the cgroups.
    denied = {each["subject"] for each in report["findings"] if each["status"] == "denied"}
    assert denied <= {"cgroup namespace"}


def test_check_tells_the_truth_without_the_capability(machine, counter):
    """The counter is denied, and what is left is an estimate."""
    report = check_as_the_unit(machine, "10-no-capabilities.conf")
    assert report["verdict"] == "estimated"
    assert "root only" in findings(report, "powercap")["denied"]["why"]


def test_the_commands_it_gives_mend_it(machine, counter):
    """The fix as printed, run as it stands, lets the service without capabilities read the counter."""
    fix = findings(check_as_the_unit(machine, "10-no-capabilities.conf"), "powercap")["denied"]["fix"]
    drop_in(machine, "10-no-capabilities.conf")
    assert capabilities(machine) == 0
    assert scrape(machine).sum("wattledger_sensor_up", sensor="powercap") == 0
    machine.shell("printf '#!/bin/sh\\nexec \"$@\"\\n' >/usr/bin/sudo; chmod +x /usr/bin/sudo")
    as_a_service, _, _ = fix.partition("# or")
    machine.shell(as_a_service)
    assert capabilities(machine) == DAC_READ_SEARCH
    assert scrape(machine).sum("wattledger_sensor_up", sensor="powercap") == 1


def test_the_group_reads_without_a_capability(machine, counter):
    """What the udev rule runs gives the counter to the group, and to nobody else."""
    drop_in(machine, "10-no-capabilities.conf")
    rule = machine.run("cat", "/usr/lib/udev/rules.d/90-wattledger-powercap.rules").stdout
    commands = re.findall(r'RUN\+="(.+?)"', rule)
    assert len(commands) == 2
    for command in commands:
        machine.shell(command.replace("/sys%p", "/srv/host/sys/class/powercap/intel-rapl:0"))
    assert counter.energy_path.stat().st_mode & 0o777 == 0o440
    machine.run("systemctl", "restart", "wattledger")
    assert capabilities(machine) == 0
    assert scrape(machine).sum("wattledger_sensor_up", sensor="powercap") == 1
    counter.energy_path.chmod(0o400)


@pytest.mark.parametrize(
    ("name", "granted"),
    [
        ("gpu.conf", DAC_READ_SEARCH),
        ("gpu-processes.conf", DAC_READ_SEARCH | SYS_PTRACE),
        ("perf.conf", DAC_READ_SEARCH | PERFMON),
    ],
)
def test_the_agent_runs_with_each_drop_in(machine, name, granted):
    """It starts, and has what the drop-in says."""
    drop_in(machine, name)
    assert capabilities(machine) == granted
    assert scrape(machine).sum("wattledger_sensor_up", sensor="powercap") == 1


def test_root_frees_the_boards_of_the_service(machine):
    """By the command in the README, which finds the agent by its state directory."""
    drop_in(machine)
    scrape(machine)
    (command,) = re.findall(r"`sudo (wattledger gpu release[^`]*)`", (REPOSITORY / "README.md").read_text())
    assert "released" in machine.shell(command)
    assert "asked" in machine.shell(command.replace("release", "acquire"))
    assert property_of(machine, "ActiveState") == "active"


@needs_openssl
@pytest.mark.parametrize(
    ("folder", "drop_ins"),
    [("/etc/wattledger", ()), ("/run/credentials/wattledger.service", ("10-no-capabilities.conf",))],
    ids=["by the capability", "by credentials"],
)
def test_tls_with_files_of_root_alone(machine, counter, tmp_path, folder, drop_ins):
    """As docs/web-config.md says, with and without the capability; a wrong password is refused."""
    pair = WebAuthority(tmp_path / "authority").issue("node")
    place = machine_path(machine, "/etc/wattledger")
    pair.put(place / "server.pem", place / "server.key")
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (place / "web-config.yml").write_text(
        "tls_server_config: {cert_file: server.pem, key_file: server.key}\n"
        f"basic_auth_users: {{prometheus: {hashed}}}\n"
    )
    machine.shell(
        "cd /etc/wattledger; chown root:root server.* web-config.yml; chmod 0600 server.* web-config.yml"
    )
    drop_in(machine, *drop_ins)
    if drop_ins:
        page = (REPOSITORY / "docs/web-config.md").read_text()
        loads = "\n".join(re.findall(r"^LoadCredential=.+$", page, re.M))
        machine_path(machine, f"{DROP_INS}/tls.conf").write_text(f"[Service]\n{loads}\n")
    before = machine.shell("cat /etc/default/wattledger")
    line = f'WATTLEDGER_OPTS="{OPTIONS} --web.config.file={folder}/web-config.yml"\n'
    machine_path(machine, "/etc/default/wattledger").write_text(line)
    machine.shell("systemctl daemon-reload; systemctl restart wattledger")
    script = (
        "import base64, ssl, sys, urllib.request as r; q = r.Request('https://127.0.0.1:19190/metrics');"
        "q.add_header('Authorization', 'Basic ' + base64.b64encode(sys.argv[1].encode()).decode());"
        "print(r.urlopen(q, context=ssl._create_unverified_context()).read().decode())"
    )
    assert capabilities(machine) == (0 if drop_ins else DAC_READ_SEARCH)
    assert "wattledger_build_info" in machine.run("python3", "-c", script, "prometheus:secret").stdout
    refused = machine.run("python3", "-c", script, "prometheus:wrong", check=False)
    assert "401" in refused.stderr
    machine_path(machine, "/etc/default/wattledger").write_text(before)
    drop_in(machine)


def test_an_agent_that_hangs_is_started_anew(machine, counter):
    """The watchdog, here of 5 s, is fed by the samples, and what it ends goes on where it was."""
    drop_in(machine)
    quick = "[Service]\nWatchdogSec=5s\nRestartSec=0\nEnvironment=WATTLEDGER_SAMPLING_INTERVAL=1s\n"
    machine_path(machine, f"{DROP_INS}/quick.conf").write_text(quick)
    machine.shell("systemctl daemon-reload; systemctl restart wattledger")
    before_uj = cpu_uj(machine)
    fed = property_of(machine, "WatchdogTimestampMonotonic")
    wait_for_property(machine, "WatchdogTimestampMonotonic", other_than=fed)
    assert property_of(machine, "NRestarts") == "0"
    machine.run("systemctl", "kill", "--signal=STOP", "wattledger")
    wait_for_property(machine, "NRestarts", other_than="0")
    assert cpu_uj(machine) == before_uj
    drop_in(machine)


def test_a_scrape_of_the_socket_starts_the_agent(machine):
    """With the socket unit the port is open before the agent is."""
    drop_in(machine)
    machine.shell("systemctl stop wattledger; systemctl start wattledger.socket")
    assert property_of(machine, "ActiveState") == "inactive"
    scrape(machine)
    wait_for_property(machine, "ActiveState", other_than="activating")  # it may answer before it is noted
    assert property_of(machine, "ActiveState") == "active"
    machine.shell("systemctl stop wattledger.socket; systemctl restart wattledger")


def test_systemd_holds_the_port_over_an_upgrade(machine, packages):
    """Turned on by the commands on the installation page, the socket stays open all the time."""
    page = (REPOSITORY / "docs/install.md").read_text()
    (commands,) = re.findall(r"^## Socket activation\n.*?^```sh\n(.*?)^```$", page, re.M | re.S)
    machine.shell(commands)
    held = property_of(machine, "ActiveEnterTimestampMonotonic", "wattledger.socket")
    pid = property_of(machine, "MainPID")
    machine.run("dpkg", "--install", f"/srv/{packages[0].name}")
    assert property_of(machine, "ActiveState", "wattledger.socket") == "active"
    assert property_of(machine, "ActiveEnterTimestampMonotonic", "wattledger.socket") == held
    scrape(machine)
    assert property_of(machine, "MainPID") not in ("0", pid)
    changed = machine.run("dpkg", "--verify", "wattledger").stdout.splitlines()
    assert [line.split()[1:] for line in changed] == [["c", "/etc/default/wattledger"], ["c", SETTINGS]]
    machine.shell("systemctl disable --now wattledger.socket; systemctl restart wattledger")


def test_counters_go_on_over_an_upgrade(machine, counter, packages):
    """What was drawn meanwhile is in the account; settings that were changed stay as they are."""
    before_uj = cpu_uj(machine)
    assert before_uj >= 5 * J_UJ
    pid = property_of(machine, "MainPID")
    machine.run("systemctl", "kill", "--signal=STOP", "wattledger")
    counter.set_energy(1008 * J_UJ)
    machine.run("systemctl", "kill", "--signal=KILL", "wattledger")
    machine.run("dpkg", "--install", f"/srv/{packages[1].name}")
    assert machine.shell("dpkg-query --show --showformat='${Version}' wattledger").endswith("-2")
    assert property_of(machine, "MainPID") not in ("0", pid)
    wait_for_cpu_uj(machine, before_uj + 3 * J_UJ)
    assert scrape(machine).sum_uj("wattledger_workload_energy_joules_total", kind="unattributed") >= 3 * J_UJ
    assert scrape(machine).value("wattledger_pue_ratio") == 1.5


def test_an_upgrade_leaves_a_stopped_service_as_it_is_enabled(machine, packages):
    """Who disabled it finds it disabled after an upgrade."""
    machine.run("systemctl", "disable", "--now", "wattledger")
    machine.run("dpkg", "--install", f"/srv/{packages[1].name}")
    assert machine.run("systemctl", "is-enabled", "wattledger", check=False).stdout.strip() == "disabled"
    machine.run("systemctl", "enable", "--now", "wattledger")


def test_removal_keeps_settings_and_state(machine):
    """The agent is stopped and its files are gone, compiled ones too; its counters are root's."""
    machine.shell(f"rm -rf {DROP_INS} /etc/systemd/system/wattledger-check.service* /usr/bin/sudo")
    machine.shell(GIVE_COUNTERS)
    machine.run("dpkg", "--remove", "wattledger")
    counters = machine.shell(f"{SHOW_COUNTERS}; umount /sys/class").splitlines()
    assert counters == ["intel-rapl:ours root 400", "intel-rapl:theirs daemon 440"]
    assert not machine_path(machine, "/opt/wattledger").exists()
    assert not machine_path(machine, "/usr/bin/wattledger").is_symlink()
    assert "pue: 1.5" in machine_path(machine, "/etc/wattledger/wattledger.yaml").read_text()
    assert machine.shell("ls /var/lib/private/wattledger") != ""
    assert machine.run("pgrep", "--full", "wattledger run", check=False).stdout == ""


def test_purge_leaves_nothing(machine):
    """Neither state nor settings, group or links of units."""
    machine.run("dpkg", "--purge", "wattledger")
    left = machine.shell(
        "find / -xdev -name '*wattledger*' ! -path '/srv/*' ! -path '/tmp/*' ! -path '/var/log/*'"
    )
    assert left == ""
    assert machine.run("getent", "group", "powercap", check=False).returncode == 2
    assert machine.run("systemctl", "--failed", "--no-legend").stdout == ""
