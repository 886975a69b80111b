"""GPU boards: who used which, by process, and what becomes of those that are gone."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.scripted import J, S, ScriptedNode, ScriptedSensor, container, node_uj, workload_uj
from wattledger.attribution import Board, Frame, attribute
from wattledger.boards import Boards
from wattledger.clock import ManualClock
from wattledger.gpu.records import BoardUse, ProcessShare
from wattledger.idle import IdleFloor
from wattledger.model import EXITED, Share, Usage, Zone
from wattledger.simulation.demo import simulated_nodes

A, B = container(1), container(2)
BOARD = Zone(sensor="scripted", name="board", device="GPU-x", covers="gpu", max_power_w=1000.0)


@dataclass
class GpuSensor(ScriptedSensor):
    """Scripted boards that also tell who used them."""

    uses: list[BoardUse] = field(default_factory=list)

    def use(self):
        return self.uses


def use(*shares, holders=(), **more):
    return BoardUse(
        device="GPU-x", shares=tuple(ProcessShare(*share) for share in shares), holders=tuple(holders), **more
    )


@pytest.fixture
def node():
    node = ScriptedNode([BOARD])
    node.sensor = GpuSensor(node.clock, [BOARD])
    node.start()
    node.sampler.sensing.replace([node.sensor])
    node.workloads.bear(A)
    node.workloads.bear(B)
    node.workloads.owner = {11: A, 12: A, 21: B}
    node.step()
    return node


def draw(node, joules, *uses):
    node.sensor.spend(BOARD, joules * J)
    node.sensor.uses = list(uses)
    return node.step()


def test_two_containers_share_a_board_by_the_use_of_their_processes(node):
    """Two processes of A (2 + 1) and one of B (1): 3 to 1."""
    snapshot = draw(node, 100, use((11, 2), (12, 1), (21, 1)))
    assert workload_uj(snapshot, id=A.id, component="gpu") == 75 * J
    assert workload_uj(snapshot, id=B.id, component="gpu") == 25 * J
    assert workload_uj(snapshot) == node_uj(snapshot) == 100 * J


def test_a_process_that_is_gone_is_charged_to_its_workload_of_before(node):
    draw(node, 10, use((11, 1)))
    del node.workloads.owner[11]
    assert workload_uj(draw(node, 10, use((11, 1))), id=A.id) == 20 * J


def test_a_process_nobody_ever_saw_counts_as_exited(node):
    assert workload_uj(draw(node, 10, use((99, 1))), kind="exited", component="gpu") == 10 * J


def test_the_idle_floor_of_a_board_is_learned_while_nobody_uses_it(node):
    """A minute of 50 W unused, then 100 J in 5 s of work: 50 of them dynamic."""
    for _ in range(12):
        unused = draw(node, 250, use())
    assert workload_uj(unused, id=A.id) == 0
    busy = draw(node, 300, use((11, 1)))
    assert workload_uj(busy, id=A.id, mode="dynamic") == 50 * J
    assert workload_uj(busy) == node_uj(busy)
    assert [(row.idle_power_w, row.idle_source) for row in busy.nodes] == [(50.0, "observed")]


def test_configured_watts_are_shared_by_the_boards_and_shown(node):
    """30 W configured, one board: 5 s of 50 W are 150 J idle and 100 J of its user."""
    node.ledger.idle.configure({"gpu": 30.0})
    snapshot = draw(node, 250, use((11, 1)))
    assert workload_uj(snapshot, id=A.id, mode="dynamic") == 100 * J
    assert [row.idle_power_w for row in snapshot.nodes] == [30.0]


def test_a_board_that_gives_no_value_leaves_the_others_their_own_part_of_configured_watts():
    """80 W for eight boards are 10 W each, also while seven of them hang."""
    boards = Boards()
    idle = IdleFloor({"gpu": 80.0})
    (board,) = boards.join({"GPU-x": (50 * J, 1)}, [], dict, idle, 0, of_host=8)
    assert board.idle_floor_w == 10.0


def test_a_board_that_fails_keeps_no_cpu_time_for_later(node):
    """GPUs are split by their own use, so nothing is to be remembered for hours of a hang."""
    node.sensor.failing[BOARD.key] = "hung"
    for _ in range(3):
        node.workloads.use({A: 1_000_000_000})
        node.step()
    assert node.sampler._interval.carried == {}


def test_whole_boards_are_held_alone_also_while_processes_come_and_go():
    """A job's short-lived helper, which nobody saw alive, does not make the board a shared one."""
    board = Board(
        device="GPU-x", energy_uj=100, span_ns=S, idle_floor_w=60e-6, use={A: 3, EXITED: 1}, holders={A: 1}
    )
    usage = Usage(at_ns=S, cpus=1, busy_ns=0, cpu_ns={})
    frame = Frame(start_ns=0, end_ns=S, energy_uj={"gpu": 100}, usage=usage, boards=(board,))
    assert Share(A, "gpu", "idle", 60) in attribute(frame, "requests")


def test_a_board_that_always_works_has_no_idle_floor(node):
    """Its calmest minute is work, not idling: all of it is its user's."""
    for _ in range(20):
        snapshot = draw(node, 250, use((11, 1)))
    assert workload_uj(snapshot, id=A.id) == node_uj(snapshot) == 5000 * J


def test_a_sensor_whose_use_fails_loses_nothing_but_the_split(node):
    node.sensor.use = lambda: 1 / 0
    snapshot = draw(node, 10)
    assert workload_uj(snapshot, kind="unattributed") == 10 * J
    assert snapshot.health.failures == 1


def test_known_processes_are_forgotten_when_they_leave_the_board():
    boards, clock = Boards(), ManualClock()
    for pid in range(1000):
        boards.join(
            {"GPU-x": (1, 1)},
            [use((pid, 1))],
            lambda pids: dict.fromkeys(pids, A),
            IdleFloor(),
            clock.wall_ns(),
        )
    assert len(boards._known) == 1


def test_the_simulated_gpu_host_charges_its_jobs_for_their_boards():
    """Training, two model servers and a sharer: their GPU energy is theirs, and the balance holds."""
    clock = ManualClock()
    (simulated,) = simulated_nodes(1, clock)
    node = ScriptedNode([])
    node.clock = clock
    node.workloads = simulated.workloads
    node.sensor = simulated.sensors[0]
    node.start()
    node.sampler.sensing.replace(simulated.sensors)
    node.sampler._clock = clock
    node.sampler.tick()
    for _ in range(60):
        clock.advance(5)
        snapshot = node.sampler.tick()
    users = {
        row.workload.container_name or row.workload.name
        for row in snapshot.workloads
        for cell in row.cells
        if cell.component == "gpu" and row.workload.kind in {"container", "job"}
    }
    assert {"train-vision", "server", "notebook"} <= users
    assert [len(board.instances) for board in snapshot.boards] == [0] * 7 + [3]
    total = sum(row.energy_uj for row in snapshot.nodes)
    assert workload_uj(snapshot) == total
    assert workload_uj(snapshot, kind="unattributed", component="gpu") * 2 < node_uj(snapshot, "gpu")
