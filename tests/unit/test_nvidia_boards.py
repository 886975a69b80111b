"""What the NVML worker finds out about each board: the real binding against the fake driver."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_nvml.binding import bound
from tests.fake_nvml_driver import FakeBoard, FakeDriver, Instance, missing
from wattledger.clock import ManualClock
from wattledger.gpu import nvml
from wattledger.gpu.boards import Roster
from wattledger.gpu.messages import BoardReport
from wattledger.gpu.mig import NOBODY

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

PIDS = (4001, 4002, 4003, 4004, 4005, 4006, 4007)
LOST = 15
NOT_SUPPORTED = 3
NO_PERMISSION = 4


class Machine:
    """A frozen driver, the clock that goes with it, and roots with a few processes."""

    def __init__(self, folder: Path, driver: FakeDriver) -> None:
        self.driver = driver
        self.clock = ManualClock(
            now_ns=driver.now_us() * 1000, epoch_ns=(driver.unix_us() - driver.now_us()) * 1000
        )
        self.procfs = folder / "proc"
        self.sysfs = folder / "sys"
        for pid in PIDS:
            (self.procfs / str(pid)).mkdir(parents=True)
        self.touched: list[str] = []
        self.roster: Roster | None = None

    def open(self, *avoid: str) -> None:
        """Open NVML and find the boards, as a worker does."""
        nvml.start()
        self.roster = Roster(
            str(self.procfs), str(self.sysfs), "w", self.clock, avoid=avoid, touch=self.touched.append
        )
        self.roster.find()

    def find_again(self) -> None:
        """As a worker does when boards came or went."""
        assert self.roster is not None
        self.roster.close()
        nvml.stop()
        nvml.start()
        self.roster.find()

    def look(self, seconds: float = 0.0) -> list[BoardReport]:
        """What is reported after some time, one round a second on the way."""
        assert self.roster is not None
        reports = self.roster.reports() if not seconds else []
        for _ in range(round(seconds)):
            self.driver.advance(1.0)
            self.clock.advance(1.0)
            reports = self.roster.reports()
        return reports

    def on_bus(self, board: FakeBoard, status: str = "active") -> Path:
        """Show a board in sysfs; the file with its power state."""
        folder = self.sysfs / "bus/pci/devices" / board.pci.lower().removeprefix("0000")
        (folder / "power").mkdir(parents=True)
        (folder / "vendor").write_text("0x10de\n")
        (folder / "class").write_text("0x030200\n")
        (folder / "power/runtime_status").write_text(f"{status}\n")
        return folder / "power/runtime_status"

    def off_bus(self, board: FakeBoard) -> None:
        """Take it out of sysfs."""
        shutil.rmtree(self.sysfs / "bus/pci/devices" / board.pci.lower().removeprefix("0000"))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine without boards yet."""
    with FakeDriver(tmp_path / "nvidia", frozen=True) as driver, bound(driver):
        yield Machine(tmp_path, driver)


def test_energy_is_the_counters_to_the_millijoule(machine: Machine) -> None:
    """123.456 W for 10 s are 1,234,560 mJ, stamped with the boot time of the call."""
    board = machine.driver.add_board()
    board.set_power(123.456)
    machine.open()
    (before,) = machine.look(1)
    (after,) = machine.look(10)
    assert before.energy_uj is not None
    assert after.energy_uj is not None
    assert after.energy_uj - before.energy_uj == 1_234_560_000
    assert after.at_ns - before.at_ns == 10_000_000_000
    assert (after.source, after.limit_mw, after.persistent) == ("counter", 700_000, True)


def test_a_board_without_counter_has_its_samples_integrated(machine: Machine) -> None:
    """Pascal: 100 W for 10 s, at the stamps of the samples themselves."""
    board = machine.driver.add_board("pascal")
    board.set_power(100.0)
    machine.open()
    (before,) = machine.look(3)
    (after,) = machine.look(10)
    assert before.energy_uj is not None
    assert after.energy_uj is not None
    assert after.source == "samples"
    assert after.energy_uj - before.energy_uj == (after.at_ns - before.at_ns) // 10
    assert after.at_ns <= machine.clock.boottime_ns()


@pytest.mark.parametrize(
    ("refused", "source"),
    [
        (("nvmlDeviceGetSamples",), "average"),
        (("nvmlDeviceGetSamples", "field:185:0"), "power"),
        (("nvmlDeviceGetSamples", "field:185:0", "nvmlDeviceGetPowerUsage"), "module"),
    ],
)
def test_power_is_taken_from_what_there_is(machine: Machine, refused: tuple[str, ...], source: str) -> None:
    """In the order of worth; a module's power comes last, for it contains a CPU."""
    board = machine.driver.add_board()
    board.set_scopes(module_extra_w=100.0)
    board.set_power(200.0)
    for call in ("nvmlDeviceGetTotalEnergyConsumption", *refused):
        board.answer(call, NOT_SUPPORTED)
    machine.open()
    (before,) = machine.look(2)
    (after,) = machine.look(10)
    assert after.source == source
    assert before.energy_uj is not None
    assert after.energy_uj is not None
    watts = 300 if source == "module" else 200
    assert after.energy_uj - before.energy_uj == watts * 10_000_000


def test_counter_and_power_are_compared(machine: Machine) -> None:
    """A counter that shows 10 % more than the power readings has the ratio 1.1 after a minute."""
    board = machine.driver.add_board()
    board.set_power(200.0)
    board.set_gains(energy=1.1)
    machine.open()
    (early,) = machine.look(30)
    assert early.check_ratio is None
    (late,) = machine.look(40)
    assert late.check_ratio == pytest.approx(1.1, rel=0.005)


def test_processes_share_by_utilisation(machine: Machine) -> None:
    """60 % and 20 % of a minute are 36 s and 12 s; the ring's quantum is a seventh of a second."""
    board = machine.driver.add_board()
    machine.open()
    machine.look(1)
    board.set_use(PIDS[0], 0.6)
    board.set_use(PIDS[1], 0.2)
    (report,) = machine.look(60)
    assert report.use_known
    assert report.busy_us[PIDS[0]] / 1e6 == pytest.approx(36.0, rel=0.05)
    assert report.busy_us[PIDS[1]] / 1e6 == pytest.approx(12.0, rel=0.05)
    assert dict(report.holders) == {PIDS[0]: 512 << 20, PIDS[1]: 512 << 20}


def test_an_idle_board_is_nobodys(machine: Machine) -> None:
    """NVML's NOT_FOUND is "nobody", and no failure."""
    machine.driver.add_board()
    machine.open()
    (report,) = machine.look(5)
    assert (report.failure, report.use_known, report.busy_us) == ("", True, {})


def test_impossible_entries_are_left_out(machine: Machine) -> None:
    """Pids of 0 and 0xFFFFFFFF, pids swapped with sizes, 150 % and stamps of the past."""
    board = machine.driver.add_board()
    board.set_garbage(3)
    board.set_use(PIDS[0], 0.5)
    machine.open()
    (report,) = machine.look(10)
    assert set(report.busy_us) == {PIDS[0]}
    assert {pid for pid, _ in report.holders} == {PIDS[0]}


def test_a_context_of_a_process_that_is_gone_holds_nothing(machine: Machine) -> None:
    """What the scrambled lists of the 535 drivers come to."""
    board = machine.driver.add_board()
    board.hold(999_999, 1 << 30)
    board.hold(PIDS[0], 1 << 20)
    board.hold(PIDS[0], 1 << 20, kind="graphics")
    machine.open()
    (report,) = machine.look(1)
    assert report.holders == ((PIDS[0], 1 << 20),)


def test_mps_is_marked(machine: Machine) -> None:
    """Its samples name the server or a client."""
    board = machine.driver.add_board()
    board.hold(PIDS[0], 1 << 20, kind="mps")
    machine.open()
    (report,) = machine.look(1)
    assert report.quality == "mps"


def test_an_old_driver_without_the_third_version_of_the_lists(machine: Machine) -> None:
    """Then the second is asked."""
    board = machine.driver.add_board()
    board.hold(PIDS[0], 1 << 20)
    board.answer("nvmlDeviceGetComputeRunningProcesses_v3", 13)
    machine.open()
    (report,) = machine.look(1)
    assert report.holders == ((PIDS[0], 1 << 20),)


@pytest.mark.parametrize("code", [NOT_SUPPORTED, NO_PERMISSION])
def test_without_use_by_process_the_holders_share(machine: Machine, code: int) -> None:
    """By memory, while the board works, and labelled so."""
    board = machine.driver.add_board()
    board.set_use(PIDS[0], 0.4, memory_bytes=3 << 30)
    board.hold(PIDS[1], 1 << 30)
    board.answer("nvmlDeviceGetProcessUtilization", code)
    machine.open()
    (report,) = machine.look(20)
    assert report.quality == "holders"
    assert report.busy_us[PIDS[0]] == pytest.approx(3 * report.busy_us[PIDS[1]], rel=0.01)


def test_accounting_mode_finds_who_lived_between_two_looks(machine: Machine) -> None:
    """A process that samples never showed is credited with what it is said to have used, once."""
    board = machine.driver.add_board(accounting=True)
    board.answer("nvmlDeviceGetProcessUtilization", NOT_SUPPORTED)
    board.answer("nvmlDeviceGetUtilizationRates", NOT_SUPPORTED)
    machine.open()
    machine.look(5)
    board.set_use(PIDS[2], 0.5)
    machine.driver.advance(1.0)
    machine.clock.advance(1.0)
    board.leave(PIDS[2])
    (report,) = machine.look(20)
    assert report.busy_us == {PIDS[2]: 500_000}


def test_a_lost_board_hides_no_other(machine: Machine) -> None:
    """Its neighbours give values as if nothing had happened, and it comes back when it answers again."""
    boards = [machine.driver.add_board() for _ in range(3)]
    machine.open()
    machine.look(1)
    boards[1].lose()
    reports = machine.look(1)
    assert [report.failure for report in reports] == ["", "gpu_is_lost", ""]
    assert [report.energy_uj is None for report in reports] == [False, True, False]
    boards[1].heal()
    assert [report.failure for report in machine.look(1)] == ["", "", ""]


def test_a_board_that_was_lost_is_remembered_when_boards_are_found_anew(machine: Machine) -> None:
    """It tells not even its name, but the bus still has it."""
    boards = [machine.driver.add_board() for _ in range(2)]
    for board in boards:
        machine.on_bus(board)
    machine.open()
    machine.look(1)
    boards[0].lose()
    machine.find_again()
    by_uuid = {report.uuid: report.failure for report in machine.look(1)}
    assert by_uuid == {boards[0].uuid: "gpu_is_lost", boards[1].uuid: ""}
    assert machine.roster is not None
    assert machine.roster.incomplete()


def test_a_board_that_was_never_seen_well_has_no_name(machine: Machine) -> None:
    """Lost before the agent started: told by its place, and no obstacle to the others."""
    sick, well = machine.driver.add_board(), machine.driver.add_board()
    sick.lose()
    machine.open()
    assert machine.roster is not None
    assert [(place.where, place.failure) for place in machine.roster.unnamed] == [("#0", "gpu_is_lost")]
    assert [report.uuid for report in machine.look(1)] == [well.uuid]


def test_a_board_plugged_in_is_found(machine: Machine) -> None:
    """The bus says so; until then its index means nothing."""
    first = machine.driver.add_board()
    machine.on_bus(first)
    machine.open()
    second = machine.driver.add_board()
    machine.on_bus(second)
    assert machine.roster is not None
    assert machine.roster.moved()
    machine.find_again()
    assert [report.uuid for report in machine.look(1)] == [first.uuid, second.uuid]
    assert not machine.roster.moved()


def test_a_board_pulled_out_is_gone(machine: Machine) -> None:
    """Once neither the bus nor the driver has it."""
    boards = [machine.driver.add_board() for _ in range(2)]
    for board in boards:
        machine.on_bus(board)
    machine.open()
    machine.look(1)
    machine.driver.remove_board(boards[0])
    machine.off_bus(boards[0])
    machine.find_again()
    assert [report.uuid for report in machine.look(1)] == [boards[1].uuid]


def test_a_sleeping_board_is_not_touched(machine: Machine) -> None:
    """No call names it, not even one for its handle; when it wakes it is found."""
    asleep, awake = machine.driver.add_board(), machine.driver.add_board()
    status = machine.on_bus(asleep, "suspended")
    machine.on_bus(awake)
    machine.driver.log_calls()
    machine.open()
    assert [report.uuid for report in machine.look(3)] == [awake.uuid]
    assert machine.roster is not None
    assert [place.failure for place in machine.roster.unnamed] == ["asleep"]
    assert asleep.uuid not in {uuid for _, _, uuid in machine.driver.calls()}
    assert not machine.roster.woken()
    assert not machine.roster.incomplete()
    status.write_text("active\n")
    assert machine.roster.woken()
    machine.find_again()
    assert {report.uuid for report in machine.look(1)} == {asleep.uuid, awake.uuid}


def test_a_board_that_falls_asleep_is_left_alone(machine: Machine) -> None:
    """From the next round on."""
    board = machine.driver.add_board()
    status = machine.on_bus(board)
    machine.open()
    machine.look(1)
    status.write_text("suspended\n")
    machine.driver.log_calls()
    (report,) = machine.look(3)
    assert report.failure == "asleep"
    assert machine.driver.calls() == []


@pytest.mark.parametrize("on_bus", [True, False])
def test_an_avoided_board_is_not_looked_at(machine: Machine, on_bus: bool) -> None:
    """The agent says so after workers hung on it; without sysfs only its handle is asked for."""
    sick, well = machine.driver.add_board(), machine.driver.add_board()
    if on_bus:
        machine.on_bus(sick)
        machine.on_bus(well)
    machine.open("0000:1b:00.0")
    sick.hang("nvmlDeviceGetTotalEnergyConsumption")
    reports = {report.uuid: report.failure for report in machine.look(2)}
    assert reports[well.uuid] == ""
    assert reports.get(sick.uuid, "hung") == "hung"


def test_what_is_touched_is_noted(machine: Machine) -> None:
    """So that the agent knows where a worker hung."""
    machine.driver.add_board()
    machine.open()
    machine.look(1)
    assert machine.touched == ["find #0", "", "0000:1b:00.0", ""]


SEVEN = [Instance(slot=number, gi=number + 7, profile="1g.18gb") for number in range(7)]


def test_seven_instances_work_by_activity(machine: Machine) -> None:
    """Each does its own share, an idle one nothing, and work of unlisted processes is nobody's."""
    board = machine.driver.add_board()
    board.set_mig(SEVEN)
    machine.open()
    machine.look(2)
    shares = (1.0, 0.5, 0.25, 0.25, 0.0, 0.1, 0.4)
    for number, (pid, share) in enumerate(zip(PIDS[:6], shares, strict=False)):
        board.set_use(pid, share, gi=number + 7)
    board.set_activity(13, shares[6])
    (before,) = machine.look(1)
    (after,) = machine.look(10)
    assert after.mig
    assert len(after.instances) == 7
    assert after.instances[0].profile == "1g.18gb"
    done = {pid: busy - before.busy_us.get(pid, 0) for pid, busy in after.busy_us.items()}
    expected = {pid: share for pid, share in zip((*PIDS[:6], NOBODY), shares, strict=True) if share}
    assert done.keys() == expected.keys()
    for pid, share in expected.items():
        assert done[pid] == pytest.approx(share * 16 * 10_000_000, rel=0.01)


def test_instances_of_different_size(machine: Machine) -> None:
    """A fully busy 3g (60 multiprocessors) does what a fully busy 1g (16) does, times 60/16."""
    board = machine.driver.add_board()
    board.set_mig([Instance(slot=0, gi=1, profile="3g.71gb"), Instance(slot=4, gi=9, profile="1g.18gb")])
    board.set_use(PIDS[0], 1.0, gi=1)
    board.set_use(PIDS[1], 1.0, gi=9)
    machine.open()
    (before,) = machine.look(2)
    (after,) = machine.look(10)
    large, small = (after.busy_us[pid] - before.busy_us[pid] for pid in PIDS[:2])
    assert large / small == pytest.approx(60 / 16, rel=0.001)


def test_an_a100_shares_by_size(machine: Machine) -> None:
    """No GPM before Hopper: instances with a process count as busy, labelled `mig-share`."""
    board = machine.driver.add_board("ga100")
    board.set_mig([Instance(slot=0, gi=1, profile="3g.20gb"), Instance(slot=1, gi=2, profile="1g.5gb")])
    board.set_use(PIDS[0], 0.5, gi=1)
    machine.open()
    (report,) = machine.look(5)
    assert report.quality == "mig-share"
    assert set(report.busy_us) == {PIDS[0]}


def test_instances_are_taken_apart_and_made_anew(machine: Machine) -> None:
    """The number of an instance is used again; the newcomer does not inherit its activity."""
    board = machine.driver.add_board()
    board.set_mig([Instance(slot=0, gi=7, uuid="MIG-old")])
    board.set_use(PIDS[0], 1.0, gi=7)
    machine.open()
    machine.look(5)
    board.set_mig([Instance(slot=2, gi=7, uuid="MIG-new")])
    board.leave(PIDS[0])
    (changed,) = machine.look(1)
    assert [instance.uuid for instance in changed.instances] == ["MIG-new"]
    board.set_use(PIDS[1], 0.5, gi=7)
    (before,) = machine.look(2)
    (after,) = machine.look(10)
    done = {pid: busy - before.busy_us.get(pid, 0) for pid, busy in after.busy_us.items()}
    assert done[PIDS[1]] == pytest.approx(0.5 * 16 * 10_000_000, rel=0.01)
    assert done.get(PIDS[0], 0) == 0


def test_mig_is_switched_while_we_look(machine: Machine) -> None:
    """Utilisation by process ends with it and begins again after it; energy never stops."""
    board = machine.driver.add_board()
    board.set_power(100.0)
    machine.open()
    (start,) = machine.look(1)
    board.set_use(PIDS[0], 0.5)
    board.set_power(100.0)
    machine.look(5)
    board.leave(PIDS[0])
    board.set_power(100.0)
    board.set_mig([Instance(slot=0, gi=7)])
    (on,) = machine.look(5)
    board.set_mig(None)
    board.set_use(PIDS[1], 0.5)
    (off,) = machine.look(15)
    assert (on.mig, off.mig) == (True, False)
    assert set(off.busy_us) == {PIDS[1]}
    assert start.energy_uj is not None
    assert off.energy_uj is not None
    assert off.energy_uj - start.energy_uj == 25 * 100_000_000


@pytest.mark.parametrize("call", ["nvmlDeviceGetMigDeviceHandleByIndex", "nvmlDeviceGetAttributes_v2"])
def test_instances_that_may_not_be_seen_hide_no_energy(machine: Machine, call: str) -> None:
    """As in a container without the instances' capabilities: 100 W for 10 s, used by nobody knows whom."""
    board = machine.driver.add_board()
    board.set_mig([Instance(slot=0, gi=7)])
    board.set_power(100.0)
    machine.driver.answer(call, NO_PERMISSION)
    machine.open()
    (before,) = machine.look(1)
    (after,) = machine.look(10)
    assert (after.failure, after.use_known, after.mig) == ("", False, True)
    assert before.energy_uj is not None
    assert after.energy_uj is not None
    assert after.energy_uj - before.energy_uj == 1_000_000_000


def test_finding_the_boards_anew_counts_no_work_twice(machine: Machine) -> None:
    """Process 4001 ended 5 s ago; that another board is looked for does not make it work again."""
    board = machine.driver.add_board()
    board.set_use(PIDS[0], 0.5)
    machine.open()
    machine.look(20)
    board.leave(PIDS[0])
    (before,) = machine.look(5)
    machine.find_again()
    (after,) = machine.look(2)
    assert after.busy_us[PIDS[0]] == before.busy_us[PIDS[0]]
