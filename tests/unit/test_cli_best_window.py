"""`wattledger intensity` and `wattledger best-window` as a user meets them: real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.carbon_services import ElectricityMapsService, Status, WattTimeService
from tests.command_line import command, environment, run

KEY = "a-key-nobody-may-see"


def stamp(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def valley(folder: Path, first: float, last: float) -> str:
    """A file with 400 g/kWh from ten hours ago to the day after tomorrow, and 100 from `first` to `last`."""
    now = time.time()
    rows = [(now - 36000, first, 400), (first, last, 100), (last, now + 172800, 400)]
    text = "".join(f"{stamp(start)},{stamp(end)},{grams}\n" for start, end, grams in rows)
    path = folder / "grid.csv"
    path.write_text("start,end,grams_per_kwh\n" + text)
    return str(path)


def of_file(path: str) -> tuple[str, ...]:
    return ("--carbon.provider=file", f"--carbon.file={path}")


@pytest.fixture
def later(tmp_path: Path) -> tuple[str, ...]:
    """The flags of a forecast with a valley of an hour in two hours."""
    return of_file(valley(tmp_path, time.time() + 7200, time.time() + 10800))


@pytest.fixture
def now(tmp_path: Path) -> tuple[str, ...]:
    """The flags of a forecast with a valley that has begun and lasts for three hours."""
    return of_file(valley(tmp_path, time.time() - 600, time.time() + 10800))


def test_the_check_tells_by_its_status(tmp_path: Path, later: tuple[str, ...]) -> None:
    """75 before the valley, 0 within it."""
    wait = run("best-window", *later, "--duration=1h", "--check")
    assert wait.returncode == 75, wait.stderr
    assert "saving  75 %, estimated, average basis\n" in wait.stdout
    within = of_file(valley(tmp_path, time.time() - 600, time.time() + 10800))
    go = run("best-window", *within, "--duration=1h", "--check")
    assert go.returncode == 0, go.stderr
    assert go.stdout.splitlines()[0].endswith(", now")


def test_the_start_can_be_used_by_a_shell(tmp_path: Path) -> None:
    """Unix time, and nothing else on standard output."""
    first = int(time.time()) + 7200
    flags = of_file(valley(tmp_path, first, first + 3600))
    done = run("best-window", *flags, "--duration=1h", "--format=unix")
    assert (done.stdout, done.stderr) == (f"{first}\n", "")


def test_a_command_waits_and_then_takes_the_place_of_the_process(tmp_path: Path) -> None:
    """It runs within the valley with its own arguments, output and status, and no signal is ignored."""
    first = int(time.time()) + 4
    flags = of_file(valley(tmp_path, first, first + 600))
    script = "date +%s; grep SigIgn /proc/self/status; echo $1 >&2; exit 9"
    done = run(
        "best-window", *flags, "--duration=1m", "--within=5m", "--", "sh", "-c", script, "sh", "--check"
    )
    assert done.returncode == 9, done.stderr
    started, ignored = done.stdout.splitlines()
    assert int(started) >= first
    assert int(ignored.split()[1], 16) & (1 << (signal.SIGPIPE - 1)) == 0
    assert done.stderr.endswith("--check\n")


def test_the_process_is_the_same_one(now: tuple[str, ...]) -> None:
    """A service manager that watches it goes on watching the command."""
    with subprocess.Popen(
        command("best-window", *now, "--duration=1h", "--", "sh", "-c", "echo $$"),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.communicate(timeout=60)[0] == f"{process.pid}\n"


@contextmanager
def waiting(*flags: str, script: str = "echo ran", ignored: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process that has said that it waits; it is ended at the end, and when it hangs.

    No other signal is ignored than told, whatever is ignored here, as in a background job.
    """
    arguments = command("best-window", *flags, "--duration=1h", "--", "sh", "-c", script)
    signals = ["--default-signal=INT,TERM", *([f"--ignore-signal={ignored}"] if ignored else [])]
    process = subprocess.Popen(
        ["env", *signals, *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("wattledger: waiting ")
        yield process
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait(later: tuple[str, ...], number: signal.Signals) -> None:
    """With the status that a shell gives it, and without the command."""
    with waiting(*later) as process:
        process.send_signal(number)
        assert process.wait(60) == 128 + number
        assert process.stdout is not None
        assert process.stdout.read() == ""


def test_a_signal_that_was_ignored_stays_so(later: tuple[str, ...]) -> None:
    """As nohup and a shell's background jobs mean it."""
    with waiting(*later, ignored="INT") as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM


def test_without_a_forecast_it_says_what_to_configure() -> None:
    """69; a command is run at once all the same, unless that is not wanted."""
    done = run("best-window", "--duration=2h", "--carbon.intensity=250", "--carbon.provider=static")
    assert (done.returncode, done.stdout) == (69, "")
    assert "set carbon.signal.provider" in done.stderr
    assert "electricity-maps" in done.stderr
    assert "eco2mix" not in done.stderr
    ran = run("best-window", "--duration=2h", "--", "sh", "-c", "exit 3")
    assert ran.returncode == 3
    assert ran.stderr.endswith("wattledger: starting at once\n")
    refused = run("best-window", "--duration=2h", "--otherwise=fail", "--", "sh", "-c", "exit 3")
    assert refused.returncode == 69


def test_a_course_that_is_too_short_is_not_said_to_be_missing(tmp_path: Path) -> None:
    """A file whose values end in an hour has room for half an hour, not for two hours; one has ended."""
    path = tmp_path / "short.csv"
    for ends_s, fits in ((3600, True), (-60, False)):
        begin, end = stamp(time.time() - 7200), stamp(time.time() + ends_s)
        path.write_text(f"start,end,grams_per_kwh\n{begin},{end},300\n")
        assert (run("best-window", *of_file(str(path)), "--duration=30m").returncode == 0) == fits
        refused = run("best-window", *of_file(str(path)), "--duration=2h")
        assert refused.returncode == 69
        assert refused.stderr == (
            "wattledger: no forecast: file (intensity) works, but its values do not reach far enough ahead;"
            " add later ones\n"
        )


def test_a_command_that_cannot_be_run_has_the_statuses_of_a_shell(
    tmp_path: Path, now: tuple[str, ...]
) -> None:
    """127 for what is not there, 126 for what is no program."""
    missing = run("best-window", *now, "--duration=1h", "--", "no-such-command-here")
    assert missing.returncode == 127
    file = tmp_path / "broken"
    file.write_bytes(b"\x7fELF")
    file.chmod(0o755)
    broken = run("best-window", *now, "--duration=1h", "--", str(file))
    assert broken.returncode == 126
    assert broken.stderr.endswith("Exec format error\n")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "Missing option '--duration'"),
        (("--duration=2h", "--deadline=2020-01-01T00:00Z"), "the deadline is over"),
        (("--duration=2",), "'2' is not accepted; give a duration from 1m to 7d, such as 2h"),
        (("--duration=2h", "--within=1h"), "it takes 2 h and has to be done within 1 h"),
        (("--duration=2h", "--deadline=tomorrow"), "give a date with a time such as 2026-01-31T06:00"),
        (("--duration=2h", "--deadline=2026-01-31"), "give a date with a time such as 2026-01-31T06:00"),
        (("--duration=2h", "--check", "--", "true"), "nothing to check"),
        (("--duration=2h", "--format=json", "--", "true"), "nothing to check or to print"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(flags: tuple[str, ...], message: str) -> None:
    """With status 2, before anything is run."""
    done = run("best-window", "--carbon.intensity=250", "--carbon.provider=static", *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_deadline_is_local_unless_it_says_otherwise(tmp_path: Path) -> None:
    """Half an hour before the valley, in UTC and by the clock of New Delhi."""
    first = int(time.time()) + 7200
    flags = of_file(valley(tmp_path, first, first + 3600))
    kolkata_ahead = 19800  # 5:30 h, all year round
    for deadline in (stamp(first - 1800), stamp(first - 1800 + kolkata_ahead).removesuffix("Z")):
        done = run(
            "best-window", *flags, "--duration=1h", "--format=json", f"--deadline={deadline}",
            env={"TZ": "Asia/Kolkata"},
        )  # fmt: skip
        told = json.loads(done.stdout)
        assert told["deadline"] == stamp(first - 1800)
        assert (told["mean"], told["wait_seconds"]) == (400.0, 0.0)


def test_the_page_of_a_live_source() -> None:
    """It is asked once, without an agent; the key is nowhere in what is shown."""
    with ElectricityMapsService(time.time_ns(), key=KEY) as service:
        flags = ("--carbon.provider=electricity-maps", "--carbon.grid-zone=DE", f"--carbon.url={service.url}")
        env = {"WATTLEDGER_CARBON_INTENSITY_KEY": KEY}
        done = run("intensity", *flags, env=env)
        told = run("intensity", *flags, "--format=json", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "electricity-maps, zone DE, lifecycle, average, consumption" in done.stdout
    assert "\nnext 24 h " in done.stdout
    assert KEY not in done.stdout + told.stdout + told.stderr
    report = json.loads(told.stdout)
    assert report["intensity"]["value"] == 100 + datetime.fromisoformat(report["time"]).hour
    assert len(report["outlook"]["best_windows"]) == 4
    assert report["outlook"]["signal"] in ("green", "amber", "red")


def test_a_live_source_that_refuses_is_told() -> None:
    """The page says that a fallback stands in, and why; best-window has no forecast."""
    with ElectricityMapsService(time.time_ns(), key=KEY) as service:
        service.fault = Status(500)
        flags = ("--carbon.provider=electricity-maps", "--carbon.grid-zone=DE", f"--carbon.url={service.url}")
        env = {"WATTLEDGER_CARBON_INTENSITY_KEY": KEY}
        page = run("intensity", *flags, env=env)
        best = run("best-window", *flags, "--duration=1h", env=env)
    assert page.returncode == 0
    assert "FALLBACK" in page.stdout
    assert "electricity-maps (intensity) failed: " in page.stdout
    assert best.returncode == 69
    assert best.stderr.startswith("wattledger: no forecast: electricity-maps (intensity) failed: ")
    assert KEY not in page.stdout + page.stderr + best.stderr


def test_a_marginal_signal_steers_beside_the_books(tmp_path: Path) -> None:
    """WattTime forecasts 454 g/kWh for an hour and 227 from then on; the books have their own 250."""
    with WattTimeService(time.time_ns(), key=KEY) as service:
        (tmp_path / "key").write_text(KEY)
        (tmp_path / "key").chmod(0o400)
        config = tmp_path / "w.yaml"
        config.write_text(
            "carbon:\n  intensity: {provider: static, grams_per_kwh: 250}\n"
            f"  signal: {{provider: watttime, grid_zone: CAISO_NORTH, username: ledger,"
            f" url: '{service.url}', key_file: {tmp_path}/key}}\n"
        )
        page = run("intensity", f"--config.file={config}")
        best = run("best-window", f"--config.file={config}", "--duration=1h", "--format=json")
        service.subscribed = ()
        percentile = run("intensity", f"--config.file={config}")
    assert page.stdout.startswith("now          250 g/kWh\n             static, lifecycle, average\n"), (
        page.stderr
    )
    assert "steering by  454 g/kWh\n             watttime, zone CAISO_NORTH, direct, marginal" in page.stdout
    assert page.stdout.endswith("savings against starting now, estimated, marginal basis\n")
    told = json.loads(best.stdout)
    assert told["mean"] == pytest.approx(226.8, abs=0.1)
    assert told["savings_ratio"] > 0.4
    assert "steering by  percentile 37\n" in percentile.stdout
    assert "signal       amber\n" in percentile.stdout
    assert "no forecast" in percentile.stdout
