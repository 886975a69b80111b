"""`wattledger gpu`: how it finds and asks an agent, and what its recorder writes down."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.fake_nvml.binding import bound
from tests.fake_nvml_driver import FakeDriver, Instance, missing
from wattledger.cli.gpu import gpu
from wattledger.gpu import control

AGENT = """
import fcntl, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: print("release", flush=True))
signal.signal(signal.SIGUSR2, lambda *_: print("acquire", flush=True))
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("ready", flush=True)
while True:
    signal.pause()
"""

needs_driver = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Something that locks a state directory and understands the two signals, as an agent does."""
    command = [sys.executable, "-c", AGENT, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def heard(agent: subprocess.Popen[str]) -> str:
    """The next thing the agent was asked."""
    assert agent.stdout is not None
    return agent.stdout.readline().strip()


def test_the_agent_is_found_by_its_state_directory(agent: subprocess.Popen[str], tmp_path: Path) -> None:
    """Whoever holds the lock is it."""
    assert control.agent_of(str(tmp_path)) == agent.pid


def test_release_and_acquire_reach_the_agent(agent: subprocess.Popen[str], tmp_path: Path) -> None:
    """By state directory or by pid."""
    runner = CliRunner()
    done = runner.invoke(gpu, ["release", "--storage.path", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "released" in done.output
    assert heard(agent) == "release"
    assert runner.invoke(gpu, ["acquire", "--pid", str(agent.pid)]).exit_code == 0
    assert heard(agent) == "acquire"


def test_a_process_that_is_no_agent_is_left_in_peace() -> None:
    """A signal without a handler would end it."""
    with subprocess.Popen(["sleep", "600"]) as process:
        done = CliRunner().invoke(gpu, ["release", "--pid", str(process.pid)])
        assert done.exit_code != 0
        assert "not an agent" in done.output
        assert process.poll() is None
        process.kill()


@pytest.mark.parametrize("there", [True, False])
def test_a_state_directory_nobody_uses(tmp_path: Path, there: bool) -> None:
    """The message says what to do."""
    if there:
        (tmp_path / "lock").touch()
    done = CliRunner().invoke(gpu, ["release", "--storage.path", str(tmp_path)])
    assert done.exit_code != 0
    assert "--pid" in done.output


@pytest.mark.skipif(os.path.lexists("/var/lib/wattledger"), reason="this host has an agent's state")
def test_without_a_state_directory_the_agent_is_named_by_its_process() -> None:
    """Nothing is configured, and there is none at the usual place."""
    done = CliRunner().invoke(gpu, ["release"])
    assert done.exit_code != 0
    assert "no state directory is known; name the agent with --pid" in done.output


def test_only_workers_of_the_agent_count(agent: subprocess.Popen[str]) -> None:
    """Other children of it, or workers of others, do not hold its release up."""
    assert control.workers_of(agent.pid) == []


@needs_driver
def test_the_recorder_writes_down_answers_and_costs(tmp_path: Path) -> None:
    """Every call with its time, board, answer or error and cost; the summary compares counter and power."""
    with FakeDriver(tmp_path / "nvidia") as driver, bound(driver):
        plain, cut = driver.add_board(idle_w=200.0, max_w=200.0), driver.add_board("ga100")
        plain.set_use(4001, 0.5)
        cut.set_mig([Instance(slot=0, gi=1, profile="1g.5gb")])
        output = tmp_path / "record.jsonl"
        done = CliRunner().invoke(gpu, ["record", "--seconds", "2", "--output", str(output)])
    assert done.exit_code == 0, done.output
    host, *calls, summary = [json.loads(line) for line in output.read_text().splitlines()]
    assert (host["kind"], host["boards"], summary["kind"]) == ("host", 2, "summary")
    energies = [line for line in calls if line["call"] == "energy" and line["board"] == plain.uuid]
    assert all(isinstance(line["answer"], int) and line["cost_us"] > 0 for line in energies)
    assert [line["answer"] for line in energies] == sorted(line["answer"] for line in energies)
    refused = {
        line["error"] for line in calls if line["call"] == "process_samples" and line["board"] == cut.uuid
    }
    assert refused == {"not_supported"}
    devices = next(line["answer"] for line in calls if line["call"] == "mig_devices")
    assert devices[0][0][0]["profile"] == "1g.5gb"
    told = summary["boards"][plain.uuid]
    assert told["counter_mj"] / told["integrated_mj"]["power"] == pytest.approx(1.0, abs=0.1)
    assert told["counter_step_ms"] == pytest.approx(100, abs=60)
    assert summary["calls"]["energy"]["count"] == 2 * len(energies)


def test_the_recorder_without_a_driver_says_so() -> None:
    """Exit status 1 and NVML's reason."""
    done = CliRunner().invoke(gpu, ["record", "--seconds", "1"], standalone_mode=False)
    assert (done.return_value, "NVML cannot be used" in done.output) == (1, True)


def test_the_same_inode_of_another_file_system_is_not_the_lock(
    agent: subprocess.Popen[str], tmp_path: Path
) -> None:
    """A stranger with a handler for the signal must not be sent it."""
    procfs, inode = tmp_path / "proc", (tmp_path / "lock").stat().st_ino
    for pid, opened in ((111, tmp_path / "proc/locks"), (222, tmp_path / "lock")):
        (procfs / str(pid) / "fd").mkdir(parents=True)
        (procfs / str(pid) / "status").write_text("SigCgt:\tffffffffffffffff\n")
        (procfs / str(pid) / "fd/3").symlink_to(opened)
        (procfs / str(pid) / "fd/4").symlink_to("socket:[1]")
    lines = [f"{n}: FLOCK  ADVISORY  WRITE {pid} 00:2a:{inode} 0 EOF" for n, pid in enumerate((111, 222))]
    (procfs / "locks").write_text("\n".join(lines) + "\n")
    assert control.agent_of(str(tmp_path), str(procfs)) == 222


def test_the_agent_is_found_among_more_locks_than_fit_a_page(
    agent: subprocess.Popen[str], tmp_path: Path
) -> None:
    """The kernel hands the list out a page at a time; the agent's lock is older and stands further down."""
    with contextlib.ExitStack() as held:
        for number in range(200):
            file = held.enter_context((tmp_path / f"other-{number}").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        assert control.agent_of(str(tmp_path)) == agent.pid
