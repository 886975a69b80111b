"""What the NVIDIA sensor makes of the worker's reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattledger.clock import ManualClock
from wattledger.gpu.messages import BoardReport, Report
from wattledger.gpu.mig import NOBODY
from wattledger.hostfs import HostFS
from wattledger.sensors.nvidia import Nvidia

S = 1_000_000_000


class ScriptedLink:
    """A worker whose reports are put in place by hand."""

    def __init__(self) -> None:
        self.newest: Report | None = None
        self.reason = self.detail = ""
        self.state = "running"
        self.silent = False

    def start(self) -> None: ...
    def poll(self) -> None: ...


class Script:
    """A sensor of one board of 100 W."""

    def __init__(self, folder: Path) -> None:
        self.link = ScriptedLink()
        self.clock = ManualClock()
        self.sensor = Nvidia(HostFS(procfs=str(folder)), self.clock, {})
        self.sensor._link = self.link  # type: ignore[assignment]
        self._sequence = 0
        self._at_s = 100

    def report(
        self, at_s: int, busy_us: dict[int, int], generation: str = "1", *, watched_s: float = 10.0
    ) -> None:
        """What the worker says at a moment; `watched_s` is how much time its `busy_us` tell of."""
        self.clock.advance(at_s - self._at_s)
        self._at_s = at_s
        self._sequence += 1
        board = BoardReport(
            uuid="GPU-x",
            index=0,
            pci="0000:1b:00.0",
            model="x",
            at_ns=at_s * S,
            energy_uj=at_s * 100_000_000,
            limit_mw=700_000,
            use_known=True,
            busy_us=busy_us,
            watched_us=round(watched_s * 1e6),
        )
        self.link.newest = Report(generation=generation, sequence=self._sequence, boards=(board,))

    def tick(self) -> dict[int, int]:
        """Who used the board since the tick before."""
        if self.sensor.wants_probe():
            self.sensor.probe()
        assert all(not reading.failure for reading in self.sensor.read())
        return {share.pid: share.weight for use in self.sensor.use() for share in use.shares}


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """A sensor after its first tick, at 100 s."""
    script = Script(tmp_path)
    script.report(100, {})
    assert script.tick() == {}
    return script


def test_use_is_what_was_done_between_two_ticks(script: Script) -> None:
    script.report(101, {7: 400_000}, watched_s=11)
    assert script.tick() == {7: 400_000}
    assert script.tick() == {}
    script.report(102, {7: 500_000, 8: 300_000}, watched_s=12)
    assert script.tick() == {7: 100_000, 8: 300_000}


def test_a_new_worker_knows_the_last_ten_seconds(script: Script) -> None:
    """The ring bridges so much, so all of the energy is that of the processes in it."""
    script.report(110, {7: 5_000_000}, generation="2")
    assert script.tick() == {7: 5_000_000}


@pytest.mark.parametrize(("generation", "watched_s"), [("1", 20), ("2", 10)])
def test_what_nobody_watched_is_nobodys(script: Script, generation: str, watched_s: int) -> None:
    """Boards released or hanging for 100 s: only the last 10 s are known, and the rest must not be theirs."""
    script.report(200, {7: 4_000_000, 8: 1_000_000}, generation, watched_s=watched_s)
    assert script.tick() == {7: 4_000_000, 8: 1_000_000, NOBODY: 45_000_000}
    script.report(201, {7: 5_000_000, 8: 1_000_000}, generation, watched_s=watched_s + 1)
    assert script.tick() == {7: 1_000_000}


def test_a_long_interval_that_was_watched_is_known(script: Script) -> None:
    """The agent ticks every 30 s, the worker looks every second."""
    script.report(130, {7: 6_000_000}, watched_s=40)
    assert script.tick() == {7: 6_000_000}


def test_a_board_that_rests_after_a_gap_is_not_known_to_have_been_idle(script: Script) -> None:
    """What it drew unwatched must teach no idle floor."""
    script.report(200, {}, "2")
    assert script.tick().keys() == {NOBODY}
