"""The split of GPU boards, from the driver's answers to the accounts, in time that stands still.

The real binding, the worker's own rounds, the real sensor, sampler and ledger in one process, against the
fake driver: what is measured can be foretold.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_nvml.binding import bound
from tests.fake_nvml_driver import FakeBoard, FakeDriver, Instance, missing
from tests.scripted import ScriptedWorkloads, container, expired_uj, node_uj, static_price, workload_uj
from wattledger.clock import Clock, ManualClock
from wattledger.gpu import nvml
from wattledger.gpu.boards import Roster
from wattledger.gpu.messages import Report, decode, encode
from wattledger.gpu.mig import NOBODY
from wattledger.hostfs import HostFS
from wattledger.idle import IdleFloor
from wattledger.ledger.accounts import Accounts
from wattledger.ledger.book import Ledger
from wattledger.ledger.processes import Processes
from wattledger.sampler import Policy, Sampler
from wattledger.sensors.nvidia import Nvidia
from wattledger.snapshot import Snapshot

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(bool(missing()), reason=missing()),
]

PIDS = tuple(range(4001, 4008))
WORK_W = 400.0


class RosterLink:
    """A worker whose rounds take place in this process, when told to."""

    state, reason, detail, silent, pid = "running", "", "", False, None

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._sequence = 0
        self.newest: Report | None = None

    def start(self) -> None:
        """It runs already."""

    def poll(self) -> None:
        """Nothing arrives by itself."""

    def settle(self, seconds: float) -> None:
        """There is nothing to wait for."""

    def close(self) -> None:
        """It ends with the test."""

    def round(self) -> None:
        """One look at every board, told as a worker tells it."""
        self._sequence += 1
        reports = tuple(self._roster.reports())
        report = Report(generation=self._roster.generation, sequence=self._sequence, boards=reports)
        told = decode(encode(report))
        assert isinstance(told, Report)
        self.newest = told


class SplitHost:
    """A sampler whose only meter is the NVIDIA sensor; each of `PIDS` is a container of its own."""

    def __init__(self, folder: Path, driver: FakeDriver) -> None:
        self.driver = driver
        self.clock = ManualClock(
            now_ns=driver.now_us() * 1000, epoch_ns=(driver.unix_us() - driver.now_us()) * 1000
        )
        for pid in PIDS:
            (folder / "proc" / str(pid)).mkdir(parents=True)
        self._folder = folder
        self.workloads = ScriptedWorkloads(self.clock)
        self.workloads.owner = {
            pid: self.workloads.bear(container(number)) for number, pid in enumerate(PIDS)
        }

    def board(self) -> FakeBoard:
        """100 W idle, 500 W at most."""
        return self.driver.add_board(idle_w=100.0, max_w=100.0 + WORK_W)

    def start(self) -> Snapshot:
        """Open NVML and take the first tick."""
        nvml.start()
        sysfs = str(self._folder / "sys")
        roster = Roster(str(self._folder / "proc"), sysfs, "w", self.clock, touch=lambda what: None)
        roster.find()
        self.link = RosterLink(roster)
        self.link.round()
        sensor = Nvidia(
            HostFS(procfs=str(self._folder / "proc"), sysfs=sysfs), self.clock, {"WATTLEDGER_NVML": "force"}
        )
        sensor._link = self.link
        idle_w = 100.0 * len(self.driver.boards)
        ledger = _ledger(self.clock, idle_w)
        ledger.open()
        self.sampler = Sampler(
            sensors=[sensor],
            workloads=self.workloads,
            ledger=ledger,
            policy=Policy(pricing=static_price(360.0)),
            clock=self.clock,
        )
        return self.sampler.tick()

    def run(self, seconds: int) -> Snapshot:
        """Let time pass, with a round of the worker and a tick each second."""
        for _ in range(seconds):
            self.driver.advance(1.0)
            self.clock.advance(1.0)
            self.link.round()
            snapshot = self.sampler.tick()
            assert workload_uj(snapshot, component="gpu") + expired_uj(snapshot) == node_uj(snapshot, "gpu")
        return snapshot


def _ledger(clock: Clock, idle_w: float) -> Ledger:
    return Ledger(
        accounts=Accounts(series_limit=5000, grace_ns=300_000_000_000),
        processes=Processes(top=0, grace_ns=300_000_000_000),
        idle=IdleFloor({"gpu": idle_w}),
        clock=clock,
        boot_id="boot",
        folder=None,
    )


def dynamic_j(snapshot: Snapshot) -> list[float]:
    """What each of `PIDS` is charged with for its work."""
    return [
        workload_uj(snapshot, kind="container", id=container(n).id, component="gpu", mode="dynamic") / 1e6
        for n in range(len(PIDS))
    ]


def idle_j(snapshot: Snapshot) -> float:
    return workload_uj(snapshot, kind="idle", component="gpu") / 1e6


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SplitHost]:
    """No board is plugged in yet."""
    with FakeDriver(tmp_path / "nvidia", frozen=True) as driver, bound(driver):
        yield SplitHost(tmp_path, driver)


@pytest.mark.parametrize(
    ("shares", "tolerance"), [((0.6, 0.2), 0.03), ((0.75, 0.25), 0.03), ((0.15, 0.05), 0.15)]
)
def test_a_board_is_shared_three_to_one(
    host: SplitHost, shares: tuple[float, float], tolerance: float
) -> None:
    """Over a minute each gets its part of the 400 W that full work adds; idle is nobody's.

    The driver tells whole percents, cut off, so that little use is seen as less than it is.
    """
    board = host.board()
    host.start()
    for pid, share in zip(PIDS, shares, strict=False):
        board.set_use(pid, share)
    snapshot = host.run(60)
    work_j = 60 * WORK_W * sum(shares)
    assert node_uj(snapshot) == round((60 * 100 + work_j) * 1e6)
    assert idle_j(snapshot) == 6000
    large, small, *others = dynamic_j(snapshot)
    assert others == [0.0] * 5
    assert large + small == pytest.approx(work_j)
    assert large / small == pytest.approx(3.0, rel=tolerance)


def test_seven_instances_of_different_activity(host: SplitHost) -> None:
    """Seven of one slice: 16 of 132 SMs each, by activity; the two idle ones are charged nothing."""
    board = host.board()
    board.set_mig([Instance(slot=n, gi=n + 1) for n in range(7)])
    host.start()
    activities = (1.0, 0.0, 0.75, 0.5, 0.25, 0.0, 0.1)
    host.run(1)
    for number, activity in enumerate(activities):
        board.hold(PIDS[number], 1 << 30, gi=number + 1)
        board.set_activity(number + 1, activity)
    snapshot = host.run(60)
    assert dynamic_j(snapshot) == pytest.approx(
        [60 * WORK_W * 16 / 132 * activity for activity in activities], abs=0.02
    )
    assert idle_j(snapshot) == 6100


def test_seven_instances_of_different_sizes(host: SplitHost) -> None:
    """Two boards cut into 1 + 2 + 4 and 1 + 1 + 2 + 3 slices: activity times SMs, each board for itself."""
    cuts = ((1, 2, 4), (1, 1, 2, 3))
    profiles = {1: "1g.18gb", 2: "2g.35gb", 3: "3g.71gb", 4: "4g.71gb"}
    sms = {1: 16, 2: 32, 3: 60, 4: 64}
    activities = ((0.5, 0.0, 1.0), (0.0, 1.0, 0.25, 0.5))
    boards = [host.board(), host.board()]
    for board, slices in zip(boards, cuts, strict=True):
        board.set_mig([Instance(slot=n, gi=n + 1, profile=profiles[size]) for n, size in enumerate(slices)])
    host.start()
    host.run(1)
    expected_j = []
    pids = iter(PIDS)
    for board, slices, active in zip(boards, cuts, activities, strict=True):
        for number, (size, activity) in enumerate(zip(slices, active, strict=True), start=1):
            board.hold(next(pids), 1 << 30, gi=number)
            board.set_activity(number, activity)
            expected_j.append(60 * WORK_W * sms[size] / 132 * activity)
    snapshot = host.run(60)
    assert dynamic_j(snapshot) == pytest.approx(expected_j, abs=0.02)
    assert node_uj(snapshot) / 1e6 == pytest.approx(2 * 61 * 100 + sum(expected_j), abs=0.02)


def test_the_work_of_an_instance_without_a_process_is_nobodys(host: SplitHost) -> None:
    """Not its neighbour's, who holds memory and idles."""
    board = host.board()
    board.set_mig([Instance(slot=0, gi=1), Instance(slot=1, gi=2)])
    host.start()
    host.run(1)
    board.hold(PIDS[0], 1 << 30, gi=1)
    board.set_activity(2, 1.0)
    snapshot = host.run(30)
    assert dynamic_j(snapshot) == [0.0] * 7
    nobodys_uj = workload_uj(snapshot, kind="unattributed", component="gpu")
    assert nobodys_uj / 1e6 == pytest.approx(30 * WORK_W * 16 / 132, abs=0.02)


def test_instances_that_change_under_work(host: SplitHost) -> None:
    """An idle instance that stays is not charged with the work of those that come and go beside it."""
    board = host.board()
    stays = Instance(slot=0, gi=1)
    board.set_mig([stays])
    board.hold(PIDS[0], 1 << 30, gi=1)
    host.start()
    for number, profile in enumerate(("2g.35gb", "3g.71gb", "1g.18gb"), start=1):
        board.leave(PIDS[number - 1] if number > 1 else NOBODY)
        board.set_mig([stays, Instance(slot=1, gi=2, profile=profile, uuid=f"MIG-{number}")])
        board.hold(PIDS[number], 1 << 30, gi=2)
        board.set_activity(2, 1.0)
        snapshot = host.run(10)
    assert dynamic_j(snapshot)[0] == 0.0
    of_instances_j = [10 * WORK_W * sms / 132 for sms in (32, 60, 16)]
    for told_j, true_j in zip(dynamic_j(snapshot)[1:4], of_instances_j, strict=True):
        assert 0.85 * true_j < told_j < true_j, "the first look at an instance tells nothing yet"
    nobodys_j = workload_uj(snapshot, kind="unattributed", component="gpu") / 1e6
    assert sum(dynamic_j(snapshot)) + nobodys_j == pytest.approx(sum(of_instances_j), abs=0.05)
