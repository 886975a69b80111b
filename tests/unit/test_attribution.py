"""The split: conserving, by CPU time, with the idle part by policy."""

import pytest

from wattledger.attribution import Board, Frame, apportion, attribute
from wattledger.model import IDLE, Usage, Workload

A = Workload(kind="container", id="a")
B = Workload(kind="container", id="b")
J = 1_000_000
S = 1_000_000_000


def frame(energy_uj, cpu_ns, *, floor_w=None, seconds=10, **more):
    usage = Usage(at_ns=0, cpus=4, busy_ns=sum(cpu_ns.values()), cpu_ns=cpu_ns, **more.pop("usage", {}))
    return Frame(
        start_ns=0,
        end_ns=seconds * S,
        energy_uj=energy_uj,
        usage=usage,
        idle_floor_w=floor_w or {},
        **more,
    )


def booked(shares):
    return {(s.workload.kind, s.workload.id, s.component, s.mode): s.energy_uj for s in shares}


def test_shares_follow_the_weights_and_sum_exactly():
    """100 uJ by thirds: the largest remainder gets the odd microjoule."""
    assert apportion(100, {"a": 1, "b": 1, "c": 1}) == {"a": 34, "b": 33, "c": 33}
    assert apportion(100, {"a": 3, "b": 1}) == {"a": 75, "b": 25}
    assert apportion(0, {"a": 1}) == {"a": 0}


@pytest.mark.parametrize("weights", [{}, {"a": 0}])
def test_nobody_to_give_to_is_an_empty_split(weights):
    assert apportion(100, weights) == {}


def test_dynamic_energy_goes_by_cpu_time_and_idle_energy_to_idle():
    """100 J in 10 s with a floor of 4 W: 40 J idle, the other 60 J split 3 to 1."""
    shares = booked(attribute(frame({"cpu": 100 * J}, {A: 3 * S, B: 1 * S}, floor_w={"cpu": 4.0})))
    assert shares == {
        ("container", "a", "cpu", "dynamic"): 45 * J,
        ("container", "b", "cpu", "dynamic"): 15 * J,
        ("idle", "", "cpu", "idle"): 40 * J,
    }


def test_the_idle_part_never_exceeds_the_energy():
    """A floor of 20 W explains at most the 100 J there are."""
    shares = booked(attribute(frame({"cpu": 100 * J}, {A: S}, floor_w={"cpu": 20.0})))
    assert shares == {("idle", "", "cpu", "idle"): 100 * J}


def test_dynamic_energy_that_nobody_used_is_unattributed():
    shares = booked(attribute(frame({"cpu": 100 * J}, {}, floor_w={"cpu": 4.0})))
    assert shares == {("unattributed", "", "cpu", ""): 60 * J, ("idle", "", "cpu", "idle"): 40 * J}


def test_energy_from_before_the_start_is_nobodys():
    """What was drawn while the agent was down is not charged to whoever runs now."""
    shares = booked(attribute(frame({}, {A: S}, recovered_uj={"cpu": 70 * J})))
    assert shares == {("unattributed", "", "cpu", ""): 70 * J}


def test_usage_policy_splits_the_idle_part_like_the_dynamic_one():
    shares = booked(attribute(frame({"cpu": 100 * J}, {A: 3 * S, B: S}, floor_w={"cpu": 4.0}), "usage"))
    assert shares["container", "a", "cpu", "idle"] == 30 * J
    assert shares["container", "b", "cpu", "idle"] == 10 * J
    assert sum(shares.values()) == 100 * J


def test_memory_policy_splits_only_dram_by_memory():
    shares = booked(
        attribute(
            frame(
                {"cpu": 100 * J, "dram": 50 * J},
                {A: S},
                floor_w={"cpu": 4.0, "dram": 4.0},
                usage={"memory_bytes": {A: 100, B: 300}},
            ),
            "memory",
        )
    )
    assert shares["container", "a", "dram", "idle"] == 10 * J
    assert shares["container", "b", "dram", "idle"] == 30 * J
    assert shares["idle", "", "cpu", "idle"] == 40 * J


def test_requests_policy_charges_reservations_and_leaves_the_rest_to_idle():
    """1 of 4 CPUs reserved: a quarter of 40 J."""
    reserved = {"reserved_cpus": {A: 1.0}}
    shares = booked(
        attribute(frame({"cpu": 100 * J}, {B: S}, floor_w={"cpu": 4.0}, usage=reserved), "requests")
    )
    assert shares["container", "a", "cpu", "idle"] == 10 * J
    assert shares["idle", "", "cpu", "idle"] == 30 * J


def test_reservations_beyond_the_machine_are_scaled_down():
    reserved = {"reserved_cpus": {A: 6.0, B: 2.0}}
    shares = booked(
        attribute(frame({"cpu": 100 * J}, {B: S}, floor_w={"cpu": 4.0}, usage=reserved), "requests")
    )
    assert shares["container", "a", "cpu", "idle"] == 30 * J
    assert shares["container", "b", "cpu", "idle"] == 10 * J
    assert ("idle", "", "cpu", "idle") not in shares


def test_a_late_reading_is_split_by_the_use_it_spans():
    """A ran while the meter could not be read, B runs now: both get their part of the late energy."""
    late = frame(
        {"cpu": 100 * J}, {B: S}, floor_w={"cpu": 1.0}, span_ns={"cpu": 20 * S}, carried={"cpu": {A: 3 * S}}
    )
    shares = booked(attribute(late))
    assert shares["container", "a", "cpu", "dynamic"] == 60 * J
    assert shares["container", "b", "cpu", "dynamic"] == 20 * J
    assert shares["idle", "", "cpu", "idle"] == 20 * J


def boards_frame(*boards):
    energy_uj = sum(board.energy_uj for board in boards)
    return frame({"gpu": energy_uj} if boards else {}, {A: S}, boards=boards)


def test_a_board_without_a_known_user_stays_unattributed():
    """GPU energy is never charged by CPU time."""
    shares = booked(attribute(boards_frame(Board(device="x", energy_uj=100 * J, span_ns=10 * S))))
    assert shares == {("unattributed", "", "gpu", ""): 100 * J}


def test_each_board_is_split_by_its_own_use_above_its_own_floor():
    """100 J over 4 W and 3 to 1 on one board, 50 J of somebody else on the other."""
    shared = Board(device="x", energy_uj=100 * J, span_ns=10 * S, idle_floor_w=4.0, use={A: 3, B: 1})
    own = Board(device="y", energy_uj=50 * J, span_ns=10 * S, use={B: 7})
    totals = {}
    for share in attribute(boards_frame(shared, own)):
        key = (share.workload.kind, share.workload.id, share.mode)
        totals[key] = totals.get(key, 0) + share.energy_uj
    assert totals == {
        ("container", "a", "dynamic"): 45 * J,
        ("container", "b", "dynamic"): 65 * J,
        ("idle", "", "idle"): 40 * J,
    }


@pytest.mark.parametrize(
    ("policy", "holder"),
    [("unallocated", "idle"), ("usage", "a"), ("memory", "b"), ("requests", "idle")],
)
def test_a_boards_idle_energy_follows_the_policy(policy, holder):
    """A uses it, B holds memory on it: who is charged with 40 J of idle energy."""
    board = Board(
        device="x", energy_uj=100 * J, span_ns=10 * S, idle_floor_w=4.0, use={A: 1}, holders={B: 1000}
    )
    idle = [share for share in attribute(boards_frame(board), policy) if share.mode == "idle"]
    assert [(share.workload.id or share.workload.kind, share.energy_uj) for share in idle] == [
        (holder, 40 * J)
    ]


def test_a_board_held_by_one_workload_is_charged_to_it_whole():
    board = Board(
        device="x", energy_uj=100 * J, span_ns=10 * S, idle_floor_w=4.0, use={A: 1}, holders={A: 1000}
    )
    shares = booked(attribute(boards_frame(board), "requests"))
    assert shares == {("container", "a", "gpu", "dynamic"): 60 * J, ("container", "a", "gpu", "idle"): 40 * J}


def test_idle_is_one_shared_record():
    shares = attribute(frame({"cpu": 10 * J}, {A: S}, floor_w={"cpu": 1.0}))
    assert [share.workload for share in shares if share.mode == "idle"] == [IDLE]
