"""The whole agent with NVIDIA boards: its process, its worker, real processes, against the fake driver.

Each test has the boards stand still before the agent sees them and again at the end, so that what the agent
booked must be what the boards' own counters count, to the millijoule.
Every scrape on the way must be answered, with a newer sample than the one before.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.agent_process import REPOSITORY, AgentProcess, Scrape
from tests.bench.load import Load, hierarchies
from tests.bench.test_smoke import can_make_cgroups
from tests.fake_nvml.binding import run as ask_driver
from tests.fake_nvml_driver import FakeBoard, FakeDriver, Instance, missing
from tests.podman_containers import Podman, needs_podman
from wattledger.gpu.control import workers_of

needs_driver = pytest.mark.skipif(bool(missing()), reason=missing())
needs_cgroups = pytest.mark.skipif(not can_make_cgroups(), reason="needs root, writable cgroups and busybox")
pytestmark = pytest.mark.e2e

IDLE_W, MAX_W = 100.0, 500.0
PATIENCE_S = 60.0
APART_S = 1.2
"""Between two scrapes: a scrape that finds a sample older than a second asks for a new one."""

SHARED_S = 60
"""Long enough for the driver's samples to tell shares to a few percent."""

ENERGY_CALL = "nvmlDeviceGetTotalEnergyConsumption"
WORKLOADS = "wattledger_workload_energy_joules_total"
EXPIRED = "wattledger_workload_expired_energy_joules"
NODE = "wattledger_node_energy_joules_total"
BOARDS = "wattledger_gpu_energy_joules_total"
LAST_SUCCESS = "wattledger_sampler_last_success_timestamp_seconds"
DROPPED = "wattledger_sensor_dropped_intervals_total"
ERRORS = "wattledger_sensor_read_errors_total"


class GpuHost:
    """An agent beside a live fake driver; boards are added with `board`, standing still until `let_go`."""

    def __init__(self, folder: Path, driver: FakeDriver) -> None:
        self.folder = folder
        self.driver = driver
        self.state_folder = folder / "state"
        self._last_success_s = 0.0
        self._scraped_s = 0.0

    def board(self, architecture: str = "hopper", *, accounting: bool = False) -> FakeBoard:
        """A board that draws nothing at all until `let_go`."""
        board = self.driver.add_board(architecture, idle_w=IDLE_W, max_w=MAX_W, accounting=accounting)
        board.set_power(0.0)
        return board

    @contextmanager
    def agent(self, *flags: str, forced: bool = True) -> Iterator[AgentProcess]:
        """The agent, with every board up; an idle board's power is configured."""
        settings = self.folder / "wattledger.yml"
        idle_w = IDLE_W * len(self.driver.boards)
        settings.write_text(f"attribution: {{idle_watts: {{gpu: {idle_w}}}}}\n")
        environment = self.driver.environment({}) | ({"WATTLEDGER_NVML": "force"} if forced else {})
        self.state_folder.mkdir()
        arguments = (
            f"--config.file={settings}",
            f"--storage.path={self.state_folder}",
            "--sampling.interval=1s",
            "--no-names",
            "--no-collector.estimate",
            *flags,
        )
        self.agent_process = AgentProcess(*arguments, folder=self.folder, environment=environment)
        with self.agent_process as agent:
            self.until(lambda scrape: up(scrape) == dict.fromkeys(self.uuids, 1.0))
            self.began_mj = self.counters_mj()
            yield agent

    @property
    def uuids(self) -> list[str]:
        return [board.uuid for board in self.driver.boards]

    def let_go(self) -> None:
        """Let every board draw what its use makes it draw."""
        for board in self.driver.boards:
            board.set_power(None)

    @contextmanager
    def idling_around(self) -> Iterator[None]:
        """Let every board idle before and after.

        In an interval in which it drew less than that, the work would seem less than it was.
        """
        self.let_go()
        self.scrapes(2)
        yield
        self.scrapes(2)

    def scrape(self) -> Scrape:
        """One scrape, answered with a newer sample than the one before, whatever the boards do."""
        time.sleep(max(0.0, self._scraped_s + APART_S - time.monotonic()))
        scrape = self.agent_process.scrape()
        self._scraped_s = time.monotonic()
        last_success_s = scrape.value(LAST_SUCCESS)
        assert last_success_s > self._last_success_s, "no tick since the last scrape"
        self._last_success_s = last_success_s
        assert_balanced(scrape)
        return scrape

    def until(self, condition: Callable[[Scrape], bool]) -> Scrape:
        """Scrape until something comes that must come."""
        end_s = time.monotonic() + PATIENCE_S
        while not condition(scrape := self.scrape()):
            assert time.monotonic() < end_s, f"it never came\n{self.agent_process.log}"
        return scrape

    def scrapes(self, number: int) -> Scrape:
        """So many scrapes; the last."""
        return [self.scrape() for _ in range(number)][-1]

    def counters_mj(self) -> dict[str, int]:
        """The boards' own counters, asked by another program."""
        told = ask_driver(
            self.driver,
            "for i in range(n.nvmlDeviceGetCount()):\n"
            "    h = n.nvmlDeviceGetHandleByIndex(i)\n"
            "    print(n.nvmlDeviceGetUUID(h), n.nvmlDeviceGetTotalEnergyConsumption(h))",
        )
        return {uuid: int(energy_mj) for uuid, energy_mj in map(str.split, told.splitlines())}

    def stand_still(self) -> None:
        """Have the boards draw nothing, and wait until their counters have taken their last step."""
        for board in self.driver.boards:
            board.set_power(0.0)
        time.sleep(0.5)

    def drawn_uj(self) -> dict[str, int]:
        """What each counter counts beyond what it showed when the agent came."""
        now_mj = self.counters_mj()
        return {uuid: (now_mj[uuid] - self.began_mj[uuid]) * 1000 for uuid in now_mj}

    def settled(self, expected_uj: dict[str, int]) -> Scrape:
        """Wait until every board's energy has arrived, and a little longer for what must not come."""
        self.until(lambda scrape: board_uj(scrape) == expected_uj)
        scrape = self.scrapes(2)
        assert board_uj(scrape) == expected_uj
        assert scrape.sum_uj(NODE, component="gpu") == sum(expected_uj.values())
        return scrape


def up(scrape: Scrape) -> dict[str, float]:
    """Which boards give a value."""
    found = scrape.select("wattledger_sensor_up", sensor="nvidia")
    return {scrape.labels[key]["device"]: value for key, value in found.items()}


def board_uj(scrape: Scrape) -> dict[str, int]:
    """Energy by board."""
    return {scrape.labels[key]["gpu_uuid"]: round(j * 1e6) for key, j in scrape.select(BOARDS).items()}


def dynamic_j(scrape: Scrape, ident: str) -> float:
    """What a container's work on GPUs cost."""
    return scrape.sum(WORKLOADS, kind="container", id=ident, component="gpu", mode="dynamic")


def unattributed_j(scrape: Scrape) -> float:
    return scrape.sum(WORKLOADS, kind="unattributed", component="gpu")


def assert_balanced(scrape: Scrape) -> None:
    """What workloads are charged with, and what is not shown, is what the node and its boards drew."""
    shown_uj = scrape.sum_uj(WORKLOADS, component="gpu") + scrape.sum_uj(EXPIRED, component="gpu")
    assert shown_uj == scrape.sum_uj(NODE, component="gpu") == scrape.sum_uj(BOARDS)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GpuHost]:
    """No board is plugged in yet."""
    with FakeDriver(tmp_path / "nvidia", live=True) as driver:
        yield GpuHost(tmp_path, driver)


@contextmanager
def containers(number: int) -> Iterator[dict[str, int]]:
    """Containers of one sleeping process each, by id, with the pid."""
    with Load(number, number) as load:
        found = {}
        for folder in load.cgroups(hierarchies()[0]):
            pids = (folder / "cgroup.procs").read_text().split()
            if folder.name.startswith("docker-"):
                (pid,) = pids
                found[folder.name.removeprefix("docker-").removesuffix(".scope")] = int(pid)
        yield found


@needs_driver
@needs_podman
def test_two_containers_share_a_board_three_to_one(host: GpuHost) -> None:
    """Each is charged with the work it did, and both with it three to one, within 5 %.

    Their shares are steady: the driver finds one process in each of seven samples a second, and where shares
    waver that alone is an uncertainty of a tenth after a minute.
    """
    board = host.board()
    with Podman() as podman:
        large, small = podman.run("sleep 600"), podman.run("sleep 600")
        with host.agent():
            with host.idling_around():
                board.set_use(large.pid, 0.6)
                board.set_use(small.pid, 0.2)
                time.sleep(SHARED_S)
                board.leave(large.pid)
                board.leave(small.pid)
            host.stand_still()
            worked_j = {one.id: board.worked_joules(one.pid) for one in (large, small)}
            scrape = host.settled(host.drawn_uj())
    told_j = {ident: dynamic_j(scrape, ident) for ident in worked_j}
    assert told_j == pytest.approx(worked_j, rel=0.05)
    assert told_j[large.id] / told_j[small.id] == pytest.approx(3.0, rel=0.05)
    assert scrape.sum(DROPPED) == scrape.sum(ERRORS, sensor="nvidia") == 0


@needs_driver
@needs_cgroups
def test_mig_instances_sum_to_their_boards_and_idle_ones_cost_nothing(host: GpuHost) -> None:
    """Seven instances of one to four slices on two boards, three of them idle."""
    layout = [
        # board, profile, activity; an H200 gives 16 SMs to one slice, 32 to two, 60 to three, 64 to four
        (0, "1g.18gb", 1.0),
        (0, "2g.35gb", 0.0),
        (0, "4g.71gb", 0.5),
        (1, "1g.18gb", 0.0),
        (1, "1g.18gb", 0.6),
        (1, "2g.35gb", 0.3),
        (1, "3g.71gb", 0.0),
    ]
    boards = [host.board(), host.board()]
    placed = [(boards[b], Instance(slot=n, gi=n + 1, profile=p)) for n, (b, p, _) in enumerate(layout)]
    with containers(7) as pids:
        for board in boards:
            board.set_mig([instance for where, instance in placed if where is board])
        for (board, instance), pid in zip(placed, pids.values(), strict=True):
            board.hold(pid, 1 << 30, gi=instance.gi)
        with host.agent():
            with host.idling_around():
                for (board, instance), (_, _, activity) in zip(placed, layout, strict=True):
                    board.set_activity(instance.gi, activity)
                time.sleep(8)
                for board, instance in placed:
                    board.set_activity(instance.gi, 0.0)
            host.stand_still()
            worked_j = [board.instance_joules(instance.gi) for board, instance in placed]
            scrape = host.settled(host.drawn_uj())
    told_j = [dynamic_j(scrape, ident) for ident in pids]
    assert [told for told, (_, _, activity) in zip(told_j, layout, strict=True) if not activity] == [0, 0, 0]
    assert told_j == pytest.approx(worked_j, rel=0.05)
    assert sum(told_j) == pytest.approx(sum(worked_j), rel=0.05)


@needs_driver
@needs_cgroups
def test_a_hang_delays_no_scrape_and_loses_no_joule(host: GpuHost) -> None:
    """Both boards go down, the worker is replaced, and what was drawn meanwhile goes to those who worked."""
    boards = [host.board(), host.board()]
    with containers(2) as pids, host.agent() as agent:
        with host.idling_around():
            for board, pid in zip(boards, pids.values(), strict=True):
                board.set_use(pid, 0.5)
            (worker,) = workers_of(agent.pid)
            boards[0].hang(ENERGY_CALL)
            host.until(lambda scrape: up(scrape) == dict.fromkeys(host.uuids, 0.0))
            boards[0].heal()
            host.until(lambda scrape: up(scrape) == dict.fromkeys(host.uuids, 1.0))
            assert workers_of(agent.pid) not in ([], [worker])
            for board, pid in zip(boards, pids.values(), strict=True):
                board.leave(pid)
        host.stand_still()
        worked_j = [board.worked_joules(pid) for board, pid in zip(boards, pids.values(), strict=True)]
        scrape = host.settled(host.drawn_uj())
    assert scrape.sum(ERRORS, sensor="nvidia", reason="hung") >= 2
    assert scrape.sum(DROPPED) == 0
    assert [dynamic_j(scrape, ident) for ident in pids] == pytest.approx(worked_j, rel=0.05)


@needs_driver
@needs_cgroups
def test_a_lost_board_and_a_reload_and_new_instances(host: GpuHost) -> None:
    """A board beside it stays up; a restarted counter is continued; instances change; all is booked once."""
    sick, well = host.board(), host.board()
    with containers(2) as pids:
        for board, pid in zip((sick, well), pids.values(), strict=True):
            board.set_use(pid, 0.5)
        with host.agent():
            host.let_go()

            sick.lose()
            host.until(lambda scrape: up(scrape) == {sick.uuid: 0.0, well.uuid: 1.0})
            frozen_uj = board_uj(host.scrape())
            later_uj = board_uj(host.scrapes(2))
            assert later_uj[sick.uuid] == frozen_uj[sick.uuid]
            assert later_uj[well.uuid] > frozen_uj[well.uuid]
            sick.heal()
            host.until(lambda scrape: up(scrape) == dict.fromkeys(host.uuids, 1.0))

            well.set_mig([Instance(slot=0, gi=1, profile="3g.71gb"), Instance(slot=1, gi=2)])
            host.scrapes(2)
            well.set_mig([Instance(slot=n, gi=n + 1) for n in range(7)])
            host.scrapes(2)
            well.set_mig(None)
            host.scrapes(2)

            host.stand_still()
            before_uj = host.drawn_uj()
            host.settled(before_uj)
            host.driver.reload()
            host.began_mj = dict.fromkeys(host.uuids, 0)
            host.until(lambda scrape: scrape.sum(ERRORS, sensor="nvidia", reason="restarted") == 2)
            host.let_go()
            host.scrapes(2)
            host.stand_still()
            since_uj = host.drawn_uj()
            scrape = host.settled({uuid: before_uj[uuid] + since_uj[uuid] for uuid in before_uj})
    assert all(0 < since_uj[uuid] < before_uj[uuid] for uuid in before_uj)
    assert scrape.sum(ERRORS, sensor="nvidia", reason="gpu_is_lost") >= 1
    assert scrape.sum(DROPPED) == 0


@needs_driver
def test_a_reload_in_full_work_loses_only_what_nobody_can_know(host: GpuHost) -> None:
    """Between the last look and the restart, a second or so; never is more booked than was drawn."""
    board = host.board()
    with host.agent():
        board.set_power(MAX_W)
        host.scrapes(2)
        host.driver.reload()
        host.until(lambda scrape: scrape.sum(ERRORS, sensor="nvidia", reason="restarted") == 1)
        host.scrapes(2)
        host.stand_still()
        end_uj = host.counters_mj()[board.uuid] * 1000
        true_uj = round(board.true_joules() * 1e6)
        known_uj = true_uj - true_uj % 1000
        scrape = host.until(lambda scrape: len(set(booked(host, scrape))) == 1)
        (booked_uj,) = set(booked(host, scrape))
    assert end_uj < booked_uj <= known_uj
    assert known_uj - booked_uj < MAX_W * 5 * 1e6
    assert scrape.sum(DROPPED) == 0


def booked(host: GpuHost, scrape: Scrape) -> list[int]:
    """The energy of all boards now and a tick later."""
    return [sum(board_uj(one).values()) for one in (scrape, host.scrape())]


@needs_driver
def test_release_and_acquire(host: GpuHost) -> None:
    """The commands free the device file and take it back; the boards are down between, nothing is lost."""
    host.board()
    with host.agent() as agent:
        host.let_go()
        assert host.driver.holders() == workers_of(agent.pid)
        assert "released" in command(host, "release")
        assert host.driver.holders() == workers_of(agent.pid) == []
        host.until(lambda scrape: set(up(scrape).values()) == {0.0})
        host.scrapes(2)
        command(host, "acquire")
        host.until(lambda scrape: set(up(scrape).values()) == {1.0})
        assert host.driver.holders() == workers_of(agent.pid) != []
        host.stand_still()
        scrape = host.settled(host.drawn_uj())
    assert scrape.sum(ERRORS, sensor="nvidia", reason="released") >= 1
    assert scrape.sum(DROPPED) == 0


def command(host: GpuHost, name: str) -> str:
    """What `wattledger gpu NAME` prints."""
    return subprocess.run(
        [sys.executable, "-m", "wattledger", "gpu", name, f"--storage.path={host.state_folder}"],
        cwd=REPOSITORY / "exporter",
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@needs_driver
def test_a_trace_of_the_driver_is_enough(host: GpuHost) -> None:
    """A device file below the root of the host: the worker is started without being told to."""
    board = host.board()
    (host.folder / "root/dev").mkdir(parents=True)
    (host.folder / "root/dev/nvidiactl").touch()
    with host.agent(f"--path.rootfs={host.folder}/root", forced=False):
        assert up(host.scrape()) == {board.uuid: 1.0}


def test_without_a_driver_there_is_neither_worker_nor_error(tmp_path: Path) -> None:
    """No zone, no error, no warning, no process."""
    (tmp_path / "root").mkdir()
    flags = (f"--path.rootfs={tmp_path}/root", "--no-names", "--sampling.interval=1s")
    with AgentProcess(*flags, folder=tmp_path) as agent:
        time.sleep(APART_S)
        scrape = agent.scrape()
        assert workers_of(agent.pid) == []
        assert scrape.select("wattledger_sensor_up", sensor="nvidia") == {}
        assert scrape.sum(ERRORS, sensor="nvidia") == 0
        assert scrape.sum("wattledger_sampler_failures_total") == 0
        assert "nvidia" not in agent.log
        assert "gpu" not in agent.log


@needs_driver
@pytest.mark.parametrize("call", ["*", "nvmlInitWithFlags"])
def test_a_hanging_driver_holds_up_neither_start_nor_end(host: GpuHost, call: str) -> None:
    """SIGTERM ends the agent at once, and its worker with it."""
    host.board()
    if call == "*":
        with host.agent() as agent:
            host.driver.hang(call)
            host.scrapes(2)
            assert_ends(agent)
        return
    host.driver.hang(call)
    environment = host.driver.environment({}) | {"WATTLEDGER_NVML": "force"}
    flags = ("--sampling.interval=1s", "--no-names")
    with AgentProcess(*flags, folder=host.folder, environment=environment) as agent:
        assert agent.scrape().value(LAST_SUCCESS) > 0
        assert_ends(agent)


def assert_ends(agent: AgentProcess) -> None:
    (worker,) = workers_of(agent.pid)
    status, seconds = agent.terminate()
    assert status == 0, agent.log
    assert seconds < 5
    end_s = time.monotonic() + PATIENCE_S
    while is_alive(worker):
        assert time.monotonic() < end_s, "the worker outlives the agent"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
