"""The commands as a user meets them: real processes against small fixture hosts."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.command_line import REPOSITORY, command, environment, run
from wattledger import __version__
from wattledger.cli.check_report import as_json, as_text, verdict
from wattledger.cli.reference import markdown
from wattledger.cli.text_table import columns, pairs, shortened
from wattledger.inspection import Inspection
from wattledger.model import Finding, Reading, Zone
from wattledger.sensors.cover import choose_cover

CPU_STAT = "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 100 0 100 800 0 0 0 0 0 0\n"
CPUINFO = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 106\n"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host with one CPU, one cgroup and no energy meter."""
    root = tmp_path / "host"
    for folder in ("proc/1", "sys/fs/cgroup"):
        (root / folder).mkdir(parents=True)
    (root / "proc/stat").write_text(CPU_STAT)
    (root / "proc/cpuinfo").write_text(CPUINFO)
    (root / "sys/fs/cgroup/cgroup.controllers").write_text("cpu\n")
    (root / "sys/fs/cgroup/cgroup.procs").write_text("")
    (root / "sys/fs/cgroup/cpu.stat").write_text("usage_usec 2000000\nuser_usec 1000000\n")
    return root


@pytest.fixture
def metered(host: Path) -> Path:
    """The same host with one RAPL package, which has counted 100 J."""
    zone = host / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "energy_uj").write_text("100000000\n")
    (zone / "max_energy_range_uj").write_text("262143328850\n")
    return host


def paths(root: Path) -> tuple[str, ...]:
    return (f"--path.procfs={root}/proc", f"--path.sysfs={root}/sys", f"--path.rootfs={root}")


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], LogLines]]:
    """A command that runs on, and its log; it is killed at the end, and when it hangs."""
    process = subprocess.Popen(
        command(*arguments), env=environment(), stderr=subprocess.PIPE, encoding="utf-8"
    )
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        yield process, LogLines(process)
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        process.stderr.close()


class LogLines:
    """The lines a process writes on stderr."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._stream = process.stderr
        self.seen: list[str] = []

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read on to the line that holds `pattern`; fails when the process ends before."""
        for line in self._stream:
            self.seen.append(line.rstrip("\n"))
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"no {pattern!r} in:\n" + "\n".join(self.seen))


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode()


def metrics_with(url: str, wanted: str) -> str:
    """The first exposition that holds the line `wanted`; ends with an error when the agent does."""
    while True:
        try:
            shown = get(f"{url}metrics")
        except urllib.error.HTTPError as error:  # 503 until the first snapshot is there
            error.close()
            shown = ""
        if re.search(rf"^{wanted}$", shown, re.M):
            return shown
        time.sleep(0.05)


def test_without_a_command_it_prints_its_help() -> None:
    """Someone who types the bare name sees what there is to type next."""
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("run", "check", "once", "demo", "--version"):
        assert f"  {word} " in done.stdout


def test_the_version_names_the_interpreter_too() -> None:
    """A bug report needs both."""
    done = run("--version")
    assert re.fullmatch(
        rf"wattledger {re.escape(__version__)} \(Python 3\.\d+\.\d+\) Linux \w+\n", done.stdout
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rum",), r"wattledger: No such command 'rum'.*See `wattledger --help`\."),
        (
            ("run", "--web.listen-adress=:1"),
            (
                r"wattledger: No such option '--web\.listen-adress'.*--web\.listen-address.*"
                r"See `wattledger run --help`\."
            ),
        ),
        (("run", "extra"), r"wattledger: Got unexpected extra argument.*See `wattledger run --help`\."),
        (("demo", "--nodes", "0"), r"wattledger: .*--nodes.*See `wattledger demo --help`\."),
        (
            ("run", "--carbon.pue=9"),
            r'wattledger: --carbon\.pue: "9" is not accepted; give a number from 1 to 5',
        ),
        (("check", "--log.level=loud"), r"wattledger: --log\.level: .*one of debug, info, warn, error"),
        (("once", "--config.file=/nonexistent.yaml"), r"wattledger: /nonexistent\.yaml: cannot read .*"),
        (("demo", "--storage.path=/tmp"), r"wattledger: No such option.*"),
    ],
)
def test_a_users_error_is_one_line_and_exit_status_2(arguments: tuple[str, ...], message: str) -> None:
    """No usage text, no traceback: one line that says what to do."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert re.fullmatch(message, done.stderr.rstrip("\n"))


def test_control_characters_in_an_error_do_not_reach_the_terminal() -> None:
    """What the user gave is shown escaped."""
    done = run("run", "--no-such\x1b[31m\n")
    assert done.returncode == 2
    assert done.stderr.rstrip("\n").isprintable()


@pytest.mark.parametrize("name", ["run", "check", "once", "demo"])
def test_every_command_explains_itself(name: str) -> None:
    """The help of each command shows the settings it takes, and how to set them otherwise."""
    done = run(name, "--help")
    assert done.returncode == 0
    assert "--web.listen-address ADDRESS" in done.stdout
    assert ("--path.procfs PATH" in done.stdout) == (name != "demo")
    assert ("--no-collector.powercap" in done.stdout) == (name != "demo")
    assert "environment" in done.stdout
    assert "default: 5s" in done.stdout


def test_check_finds_a_meter(metered: Path) -> None:
    """With a RAPL package that counts, energy is measured: exit status 0."""
    done = run("check", "--seconds=0.1", *paths(metered))
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^  cpu +measured by powercap, 1 zone, ±\d+ % +0\.0 W$", done.stdout, re.M)
    assert re.search(r"^  powercap +package-0 +package-0 +cpu +0\.0 W +100 J$", done.stdout, re.M)
    assert "Energy is measured on this host." in done.stdout


def test_check_says_when_there_is_only_an_estimate(host: Path) -> None:
    """Without a meter: exit status 1."""
    done = run("check", "--seconds=0.1", *paths(host))
    assert done.returncode == 1
    assert re.search(r"^  cpu +estimated by estimate, 1 zone, ±\d+ % ", done.stdout, re.M)
    assert "Nothing is measured on this host, only estimated" in done.stdout


def test_check_says_when_there_is_nothing_at_all(host: Path) -> None:
    """Not even the estimate: exit status 1 as well, and it says so."""
    done = run("check", "--seconds=0.1", "--no-collector.estimate", *paths(host))
    assert done.returncode == 1
    assert "Nothing can be read on this host, not even an estimate" in done.stdout


def test_check_follows_the_collectors_that_are_switched_off(metered: Path) -> None:
    """A meter that is switched off does not count."""
    assert run("check", "--seconds=0.1", "--no-collector.powercap", *paths(metered)).returncode == 1


def test_check_tries_to_write_below_the_state_directory(host: Path, tmp_path: Path) -> None:
    """Root passes every test of permissions; a file in the way and a file system without files are told."""

    def storage(path: Path) -> dict[str, str]:
        done = run("check", "--seconds=0.1", "--format=json", f"--storage.path={path}", *paths(host))
        return next(one for one in json.loads(done.stdout)["findings"] if one["sensor"] == "storage")

    (tmp_path / "file").touch()
    assert storage(tmp_path / "new/state")["status"] == "usable"
    assert storage(tmp_path / "file")["why"].endswith("Not a directory; give another --storage.path")
    assert storage(tmp_path / "file/state")["status"] == "failed"
    assert storage(Path("/proc/wattledger"))["status"] != "usable"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "host"]


def test_check_fits_a_terminal_of_80_columns_without_colour(metered: Path) -> None:
    """Only a command to copy may be longer; escape codes are for terminals."""
    done = run("check", "--seconds=0.1", *paths(metered))
    long = [line for line in done.stdout.splitlines() if len(line) > 80 and not re.match(r" +fix: ", line)]
    assert long == []
    assert "\x1b" not in done.stdout


def test_check_uses_colour_on_a_terminal_unless_told_not_to(host: Path) -> None:
    """The status words are coloured on a tty; NO_COLOR is respected."""
    assert "\x1b[" in _on_a_terminal("check", "--seconds=0.1", *paths(host))
    assert "\x1b" not in _on_a_terminal("check", "--seconds=0.1", *paths(host), NO_COLOR="1")


def _on_a_terminal(*arguments: str, **env: str) -> str:
    ours, theirs = pty.openpty()
    with subprocess.Popen(command(*arguments), env=environment(env), stdout=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # how a terminal says that the other side is gone
            pass
        os.close(ours)
        process.wait()
    return shown.decode()


def test_check_as_json_has_the_same_verdict(metered: Path) -> None:
    """A program reads what a person reads."""
    done = run("check", "--format=json", "--seconds=0.1", *paths(metered))
    report = json.loads(done.stdout)
    assert (done.returncode, report["verdict"]) == (0, "measured")
    (zone,) = [zone for zone in report["zones"] if zone["sensor"] == "powercap"]
    assert (zone["zone_name"], zone["covers"], zone["counted"]) == ("package-0", "cpu", True)
    assert (zone["energy_joules"], zone["power_watts"], zone["failure"]) == (100.0, 0.0, "")
    assert {"sensor": "powercap", "zone_name": "package-0", "device": "package-0"} in report["components"][
        "cpu"
    ]


PACKAGE = Zone(sensor="powercap", name="package-0", device="package-0", covers="cpu")
CORE = Zone(sensor="powercap", name="core", device="package-0", covers="")


def inspection(*readings: Reading, findings: tuple[Finding, ...] = (), **power_w: float) -> Inspection:
    """What a host with these readings shows; power by the zone's name, with underscores."""
    zones = {reading.zone.name.replace("-", "_"): reading.zone for reading in readings}
    return Inspection(
        findings=findings,
        cover=choose_cover([("powercap", tuple(zones.values()))]),
        readings=readings,
        power_w={zones[name].key: value_w for name, value_w in power_w.items()},
    )


def test_a_denied_sensor_shows_the_command_that_mends_it() -> None:
    """The reason is wrapped, the command is not: it must survive copying."""
    fix = "sudo setcap cap_dac_read_search+ep " + "/a/very/long/path" * 5
    denied = Finding(sensor="powercap", subject="package-0", status="denied", why="EACCES", fix=fix)
    text = click.unstyle(as_text(inspection(findings=(denied,)), "title"))
    assert "\npowercap\n  denied   package-0: EACCES\n" in text
    assert f"\n           fix: {fix}\n" in text


def test_a_fix_of_several_lines_stays_so() -> None:
    """A block of commands is pasted as it is, continued lines and comments included."""
    denied = Finding(sensor="powercap", subject="0", status="denied", why="no", fix="# now:\nchmod \\\n  x")
    text = click.unstyle(as_text(inspection(findings=(denied,)), "title"))
    assert "\n           fix:\n           # now:\n           chmod \\\n             x\n" in text


def test_a_zone_that_gives_no_value_is_not_a_meter_that_works() -> None:
    """Found is not the same as working: only a value counts as measured."""
    failed = inspection(Reading(PACKAGE, 1, None, failure="eio"))
    assert verdict(failed) == "nothing"
    text = click.unstyle(as_text(failed, "title"))
    assert re.search(r"^  powercap +package-0 +package-0 +cpu +\S+ +eio$", text, re.M)
    assert re.search(r"^  cpu +measured by powercap, 1 zone, ±5 % +no value$", text, re.M)
    assert as_json(failed)["zones"][0]["energy_joules"] is None


def test_a_zone_inside_another_is_shown_and_not_counted() -> None:
    """The core domain lies inside the package: 30 W are counted, not 50."""
    both = inspection(Reading(PACKAGE, 1, 5_000_000), Reading(CORE, 1, 2_000_000), package_0=30.0, core=20.0)
    text = click.unstyle(as_text(both, "title"))
    assert re.search(r"^  cpu +measured by powercap, 1 zone, ±5 % +30\.0 W$", text, re.M)
    assert re.search(r"^  powercap +core +package-0 +only shown +20\.0 W +2\.00 J$", text, re.M)


def test_once_prints_an_exposition_that_balances(host: Path) -> None:
    """Prometheus' own parser reads it, and what the workloads were booked is what the node drew."""
    done = run("once", "--seconds=0.2", *paths(host))
    assert (done.returncode, done.stderr) == (0, "")
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(done.stdout):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    assert sums["wattledger_node_energy_joules_total"] > 0
    assert sums["wattledger_workload_energy_joules_total"] == pytest.approx(
        sums["wattledger_node_energy_joules_total"], abs=5e-7
    )


def test_once_as_json_balances_in_microjoules(host: Path) -> None:
    """The same account for a program, with the price it was booked at."""
    done = run(
        "once", "--format=json", "--seconds=0.2", "--carbon.intensity=360", "--carbon.pue=2", *paths(host)
    )
    report = json.loads(done.stdout)
    node_uj = sum(round(row["energy_joules"] * 1e6) for row in report["node"])
    cells = [cell for row in report["workloads"] for cell in row["energy"]]
    assert node_uj > 0
    assert sum(round(cell["energy_joules"] * 1e6) for cell in cells) == node_uj
    # 360 g/kWh is 0.1 mg/J, and a PUE of 2 doubles it.
    assert sum(cell["emissions_grams"] for cell in cells) == pytest.approx(node_uj * 2e-10)
    price = report["price"]
    assert (price["grams_per_kilowatt_hour"], price["pue"], price["fallback"]) == (360.0, 2.0, False)


def test_once_as_a_table_is_for_a_person(host: Path) -> None:
    """Workloads under the node's total, within the width of the terminal."""
    done = run("once", "--format=table", "--seconds=0.2", *paths(host), env={"COLUMNS": "60"})
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["workload", "kind", "power", "energy", "CO2e"]
    assert lines[1].startswith("node cpu (estimated) ")
    assert any(line.startswith("idle ") for line in lines)
    assert "priced at 473 g CO2e per kWh (default, fallback)" in lines
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize("shape", ["text", "json", "table"])
def test_a_full_disk_is_told_in_one_line(host: Path, shape: str) -> None:
    """As in a cron job that writes to a file."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command("once", "--seconds=0.1", f"--format={shape}", *paths(host)),
            env=environment(), stdout=full, stderr=subprocess.PIPE, encoding="utf-8", check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "wattledger: cannot write the result: No space left on device\n"


def test_a_reader_that_goes_away_is_no_error(host: Path) -> None:
    """`wattledger once | head` ends without a traceback."""
    process = subprocess.Popen(
        command("once", "--seconds=0.1", *paths(host)),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(60) == 1


def test_run_says_where_to_look_and_ends_on_sigterm(metered: Path) -> None:
    """The line has the URL of the bound port; the page and the metrics are there."""
    with started("run", "--web.listen-address=127.0.0.1:0", *paths(metered)) as (process, log):
        url = log.wait_for(r"msg=running.* urls=(\S+)")[1]
        assert "wattledger_build_info" in metrics_with(url, r"wattledger_sensor_up\{.*\} 1")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_run_refuses_a_port_that_is_taken(host: Path) -> None:
    """One line that names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("run", f"--web.listen-address={address}", *paths(host))
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("wattledger: ")
    assert address in last
    assert "Traceback" not in done.stderr


def test_sighup_reads_the_file_again_and_a_bad_one_changes_nothing(host: Path, tmp_path: Path) -> None:
    """The price follows a good file; a bad one is one log line and the old price stays."""
    file = tmp_path / "wattledger.yaml"
    file.write_text("carbon: {intensity: {grams_per_kwh: 100}}")
    arguments = ("--web.listen-address=127.0.0.1:0", "--sampling.interval=1s", f"--config.file={file}")
    with started("run", *arguments, *paths(host)) as (process, log):
        url = log.wait_for(r"msg=running.* urls=(\S+)")[1]
        price = r"wattledger_grid_carbon_intensity_grams_per_kilowatt_hour\{.*\}"
        metrics_with(url, f"{price} 100.0")
        file.write_text("carbon: {intensity: {grams_per_kwh: 200}}")
        process.send_signal(signal.SIGHUP)
        metrics_with(url, f"{price} 200.0")
        file.write_text("carbon: {intensity: {grams: 300}}")
        process.send_signal(signal.SIGHUP)
        log.wait_for(r"level=error .*carbon\.intensity\.grams: unknown key")
        shown = metrics_with(url, "wattledger_config_last_reload_successful 0")
        assert re.search(f"^{price} 200.0$", shown, re.M)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_demo_serves_as_many_hosts_as_asked_for() -> None:
    """Two nodes, each in the service-discovery document with a path of its own."""
    with started("demo", "--nodes=2", "--web.listen-address=127.0.0.1:0") as (_, log):
        url = log.wait_for(r"2 simulated hosts.*open (\S+)")[1]
        groups = json.loads(get(f"{url}sd"))
    assert len({group["labels"]["__metrics_path__"] for group in groups}) == 2


def test_the_configuration_reference_is_up_to_date() -> None:
    """Run `./dev docs` when this fails."""
    assert (REPOSITORY / "docs/configuration.md").read_text() == markdown()


def test_the_json_reference_names_every_key(metered: Path) -> None:
    """Each key that is printed is in docs/json.md, in the part of its command."""
    page = (REPOSITORY / "docs/json.md").read_text()
    _, checked, accounted = re.split(r"^## (?:check|once)$", page, flags=re.M)
    for name, part in (("check", checked), ("once", accounted)):
        done = run(name, "--format=json", "--seconds=0.1", *paths(metered))
        documented = set(re.findall(r"`(\w+)(?:\[\])?`", part))
        assert _keys(json.loads(done.stdout)) <= documented


def _keys(value: object) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_keys, value))
    if isinstance(value, dict):
        return set(value).union(*map(_keys, value.values()))
    return set()


def test_a_table_gives_way_in_its_flexible_column() -> None:
    """The names lose their middle; numbers are never cut."""
    lines = columns([("name", "W"), ("a" * 20 + "z" * 20, "12.5")], right=(1,), flexible=0, width=20)
    assert lines == ["name               W", "aaaaaaa…zzzzzz  12.5"]


def test_facts_go_on_beside_their_names() -> None:
    """Whole words, at most as wide as the terminal; a word that is longer stays whole."""
    rows = [("coverage", "99.7 %, 1 gap"), ("", "2 h from here to there"), ("made by", "x" * 40)]
    assert pairs(rows, width=30) == [
        "coverage  99.7 %, 1 gap",
        "          2 h from here to",
        "          there",
        "made by   " + "x" * 40,
    ]


@pytest.mark.parametrize(
    ("text", "width", "short"), [("abc", 3, "abc"), ("abcdef", 5, "ab…ef"), ("abcdef", 2, "a…")]
)
def test_shortening_keeps_both_ends(text: str, width: int, short: str) -> None:
    """The start and the end tell ids apart best."""
    assert shortened(text, width) == short
