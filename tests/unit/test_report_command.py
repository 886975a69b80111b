"""`wattledger report` as a user meets it: where it looks, what it says when there is nothing to see."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.command_line import REPOSITORY, run
from tests.journal_batches import HOUR_NS, START_NS, WEB, J, Totals, at, until, write
from tests.unprivileged import as_nobody
from wattledger.cli.report import open_journal
from wattledger.errors import StorageError
from wattledger.ledger.journal import Journal
from wattledger.ledger.journal_prune import prune

PERIOD = ("--since", "2025-11-24", "--until", "2025-11-25", "--node", "node-7")
"""START_NS is 2025-11-24T16:00Z."""


@pytest.fixture
def folder(tmp_path) -> Path:
    """A state directory with an hour of 600 J."""
    write(tmp_path / "state", Totals().use(WEB, 600 * J).pass_time(3600).batch(at(0.99)))
    return tmp_path / "state"


def report(folder: Path, *arguments: str, **more):
    return run("report", "--storage.path", str(folder), *arguments, **more)


def refused(done: subprocess.CompletedProcess[str], status: int = 2) -> str:
    """The one line that says why there is no report."""
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("wattledger: ")
    return done.stderr


def test_a_table_is_what_a_person_gets(folder):
    done = report(folder, *PERIOD)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "energy and emissions of node-7"
    assert lines[1] == "2025-11-24 00:00 to 2025-11-25 00:00 (UTC)"
    assert any(line.startswith("shop/web-0 ") and "100.0 %" in line for line in lines)
    assert all(len(line) <= 100 for line in lines)


def test_a_narrow_terminal_gets_narrow_lines(folder):
    done = report(folder, *PERIOD, env={"COLUMNS": "70"})
    assert max(len(line) for line in done.stdout.splitlines()) <= 70


def test_the_state_directory_is_that_of_the_agent(folder, tmp_path):
    """From the settings file, from the environment, from systemd."""
    settings = tmp_path / "wattledger.yaml"
    settings.write_text(f"storage: {{path: {folder}}}\ncarbon: {{timezone: Asia/Tokyo}}\n")
    from_file = run("report", "--config.file", str(settings), *PERIOD)
    assert "2025-11-24 00:00 and 2025-11-25 00:00 (Asia/Tokyo)" in from_file.stderr
    assert from_file.returncode == 1  # 16:00 UTC is the next day there
    for name in ("STATE_DIRECTORY", "WATTLEDGER_STORAGE_PATH"):
        assert run("report", *PERIOD, env={name: str(folder)}).returncode == 0


@pytest.mark.skipif(os.path.lexists("/var/lib/wattledger"), reason="this host has an agent's state")
def test_without_a_state_directory_it_says_how_to_give_one():
    assert "--storage.path" in refused(run("report", *PERIOD))


def test_a_folder_without_a_journal(tmp_path):
    assert "there is no journal" in refused(report(tmp_path, *PERIOD))
    assert "there is no journal" in refused(report(tmp_path / "none", *PERIOD))


def test_nothing_in_the_period_says_what_there_is(folder):
    said = refused(report(folder, "--since", "2025-01-01", "--until", "2025-02-01"), status=1)
    assert "nothing was booked between 2025-01-01 00:00 and 2025-02-01 00:00 (UTC)" in said
    assert "the journal goes from 2025-11-24 16:00 to 2025-11-24 17:00" in said


def test_a_period_before_retention_says_what_to_set(folder):
    """The hour of the fixture is gone, and another one is a day later."""
    write(folder, Totals().use(WEB, J).pass_time(3600).batch(at(24.99)))
    with sqlite3.connect(folder / "journal.sqlite3", isolation_level=None) as connection:
        prune(connection, at(24) // HOUR_NS)
    said = refused(report(folder, "--since", "2025-01-01", "--until", "2025-02-01"), status=1)
    assert "it had hours before, but they were older than storage.retention and were deleted; 800d" in said


def test_a_journal_of_a_newer_version(folder):
    with sqlite3.connect(folder / "journal.sqlite3") as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "written by a newer version of Wattledger" in refused(report(folder, *PERIOD))


def test_what_an_older_agent_wrote_beside_a_newer_journal(folder):
    """After a downgrade: its own hours are reported, and the others are said to be missing."""
    with sqlite3.connect(folder / "journal.sqlite3") as connection:
        connection.execute("PRAGMA user_version = 99")
    write(folder, Totals().use(WEB, 200 * J).pass_time(3600).batch(at(1.99)))
    done = report(folder, *PERIOD, "--format", "json")
    assert (done.returncode, json.loads(done.stdout)["totals"]["energy_joules"]) == (0, 200.0)
    assert done.stderr == (
        f"wattledger: {folder}/journal.sqlite3 was written by a newer version and is left out; this is what"
        f" {folder}/journal-1.sqlite3 has, which this version wrote\n"
    )


def test_something_else_in_the_journals_place(folder):
    (folder / "journal.sqlite3").write_bytes(b"not a database, but long enough to be one" * 100)
    assert "cannot be read" in refused(report(folder, *PERIOD))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up its rights")
@pytest.mark.parametrize("closed", ["state", "state/journal.sqlite3"])
def test_a_journal_that_may_not_be_read_says_whose_it_is(closed):
    """A file of root, or in a folder of root: who may read it, and how."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own are closed to others
        os.chmod(name, 0o755)
        path = Path(name) / "state" / "journal.sqlite3"
        write(path.parent, Totals().use(WEB, J).batch(at(0.5)))
        os.chmod(path.parent, 0o755)
        os.chmod(Path(name) / closed, 0o700)
        said = as_nobody(lambda: _refusal(str(path)))
    assert f"may not be read by user nobody, as {Path(name) / closed} belongs to user root" in said
    assert f"sudo wattledger report --storage.path {path.parent}" in said


def _refusal(path: str) -> str:
    try:
        open_journal(path)
    except StorageError as error:
        return str(error)
    return "it was read"


def test_the_report_goes_to_a_file_as_a_whole(folder, tmp_path):
    output = tmp_path / "report.json"
    output.write_text("old")
    done = report(folder, *PERIOD, "--format", "json", "--output", str(output))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads(output.read_text())["totals"]["energy_joules"] == 600.0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "state"]
    said = refused(report(folder, *PERIOD, "--output", str(tmp_path / "no" / "report")))
    assert "--output" in said


def test_an_output_of_one_dash_is_standard_output(folder, tmp_path):
    """And no file of that name."""
    done = report(folder, *PERIOD, "--output", "-", cwd=tmp_path)
    assert (done.returncode, (tmp_path / "-").exists()) == (0, False)
    assert done.stdout.startswith("energy and emissions of node-7")


def test_a_link_stays_a_link_and_a_device_a_device(folder, tmp_path):
    """What a link leads to is replaced; what is no file, as /dev/null for root, is left alone."""
    (tmp_path / "november.txt").write_text("old")
    (tmp_path / "newest.txt").symlink_to("november.txt")
    os.mkfifo(tmp_path / "fifo")
    assert report(folder, *PERIOD, "--output", str(tmp_path / "newest.txt")).returncode == 0
    assert (tmp_path / "newest.txt").is_symlink()
    assert "node-7" in (tmp_path / "november.txt").read_text()
    for path in ("fifo", "state"):
        assert "no regular file" in refused(report(folder, *PERIOD, "--output", str(tmp_path / path)))
    assert (tmp_path / "fifo").is_fifo()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "--since"),
        (("--since", "soon"), "is no time"),
        (("--since", "2025-11-24", "--timezone", "Europe/Berlim"), "did you mean Europe/Berlin"),
        (("--since", "2025-11-24", "--by", "pod"), "--by"),
        (("--since", "2025-11-24", "--top", "0"), "--top"),
    ],
)
def test_what_cannot_be_used_is_refused(folder, arguments, word):
    assert word in refused(report(folder, *arguments))


def test_it_reads_while_the_agent_writes(tmp_path):
    """A batch, a report, another batch in the same open journal, another report."""
    journal = Journal(str(tmp_path), retention_ns=1000 * 24 * HOUR_NS)
    journal.open()
    journal.start()
    totals = Totals()
    seen = []
    for hour in range(2):
        wall_ns = START_NS + hour * HOUR_NS + 1
        journal.offer(totals.use(WEB, 100 * J).pass_time(3600).batch(wall_ns))
        until(lambda wall_ns=wall_ns: journal.written_wall_ns == wall_ns)
        done = report(tmp_path, *PERIOD, "--format", "json")
        seen.append(json.loads(done.stdout)["totals"]["energy_joules"])
    assert journal.stop(20)
    assert seen == [100.0, 200.0]
    assert journal.errors == 0


def test_the_examples_of_the_manual_are_accepted(folder):
    """Every `wattledger report` line in docs/report.md runs against a journal."""
    text = (REPOSITORY / "docs/report.md").read_text()
    lines = [line for line in text.splitlines() if line.startswith("wattledger report ")]
    assert len(lines) >= 4
    for line in lines:
        words = [word for word in line.split()[1:] if word != "sudo"]
        done = run(*words, env={"WATTLEDGER_STORAGE_PATH": str(folder)}, cwd=folder)
        assert done.returncode in (0, 1), f"{line}: {done.stderr}"
