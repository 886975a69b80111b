"""Who did how much on a board cut into MIG instances, and which short processes count."""

from __future__ import annotations

import pytest

from wattledger.gpu.accounting import Accounted, ShortLived
from wattledger.gpu.mig import NOBODY, Context, MigDevice, MigSize, weaker, work
from wattledger.gpu.records import MigInstance

SECOND = 1_000_000


def device(gpu_instance: int, multiprocessors: int, compute_instance: int = 0) -> MigDevice:
    """A MIG device that fills its GPU instance."""
    instance = MigInstance(
        uuid=f"MIG-{gpu_instance}-{compute_instance}",
        profile="1g.10gb",
        gpu_instance=gpu_instance,
        compute_instance=compute_instance,
        multiprocessors=multiprocessors,
        memory_bytes=0,
    )
    return MigDevice(instance, multiprocessors)


def test_an_instance_works_by_activity_times_size() -> None:
    """Half of 60 multiprocessors are as much as all of 30; an idle neighbour has done nothing."""
    devices = [device(1, 60), device(2, 30), device(3, 30)]
    contexts = [Context(10, 1, 1), Context(20, 2, 1), Context(30, 3, 1)]
    done, quality = work(devices, {1: 50.0, 2: 100.0, 3: 0.0}, contexts, SECOND)
    assert done == {10: 30 * SECOND, 20: 30 * SECOND}
    assert quality == ""


@pytest.mark.parametrize(
    ("held", "shares", "quality"),
    [
        ((300, 100), {10: 12 * SECOND, 11: 4 * SECOND}, "mig-memory"),
        ((300, 0), {10: 8 * SECOND, 11: 8 * SECOND}, "mig-equal"),
    ],
)
def test_processes_of_one_instance_share_it(
    held: tuple[int, int], shares: dict[int, int], quality: str
) -> None:
    """By memory where the driver tells it of all, else evenly; and the split says which."""
    contexts = [Context(10, 1, held[0]), Context(11, 1, held[1])]
    assert work([device(1, 16)], {1: 100.0}, contexts, SECOND) == (shares, quality)


def test_without_activity_those_in_use_count_by_size() -> None:
    """Boards before Hopper: an instance without a process gets nothing."""
    devices = [device(1, 42), device(2, 14), device(3, 14)]
    done, quality = work(devices, dict.fromkeys((1, 2, 3)), [Context(10, 1, 1), Context(20, 2, 1)], SECOND)
    assert done == {10: 42 * SECOND, 20: 14 * SECOND}
    assert quality == "mig-share"


def test_work_of_unknown_processes_stays_nobodys() -> None:
    """Where processes may not be listed, the neighbours must not pay."""
    done, _ = work([device(1, 16), device(2, 16)], {1: 100.0, 2: 25.0}, [Context(20, 2, 1)], SECOND)
    assert done == {NOBODY: 16 * SECOND, 20: 4 * SECOND}


def test_a_context_listed_twice_counts_once() -> None:
    """The same process may be in the lists of compute and graphics."""
    contexts = [Context(10, 1, 100), Context(10, 1, 100), Context(11, 1, 100)]
    done, _ = work([device(1, 16)], {1: 100.0}, contexts, SECOND)
    assert done == {10: 8 * SECOND, 11: 8 * SECOND}


def test_compute_instances_share_the_activity_of_their_gpu_instance() -> None:
    """GPM tells of the GPU instance: its size counts once."""
    devices = [device(1, 60, 0), device(1, 60, 1)]
    done, _ = work(devices, {1: 50.0}, [Context(10, 1, 1)], SECOND)
    assert done == {10: 30 * SECOND}


def test_the_size_behind_a_part_of_an_instance() -> None:
    """16 multiprocessors in one of four slices: the activity refers to 64."""
    assert MigSize(16, 4, 1, 1024).whole_multiprocessors == 64
    assert MigSize(60, 3, 3, 1024).whole_multiprocessors == 60
    assert MigSize(132, 0, 0, 0).whole_multiprocessors == 132


def test_the_weakest_part_labels_a_board() -> None:
    """From good to weak."""
    assert weaker("", "mig-memory") == "mig-memory"
    assert weaker("mig-share", "mig-equal") == "mig-share"


def test_a_process_between_two_looks_is_credited_once() -> None:
    """50 % of 200 ms are 100 ms; what samples have shown, and what ended before, is not counted."""
    known = {
        1: Accounted(100, 5000, False),
        2: Accounted(50, 200, False),
        3: Accounted(100, 900, False),
    }
    short = ShortLived()
    assert short.take([1], set(), known.get) == {}
    assert short.take([1, 2, 3], {3}, known.get) == {2: 100_000}
    assert short.take([1, 2, 3], {3}, known.get) == {}


def test_a_running_process_waits_for_its_end() -> None:
    """Its life time is told only then."""
    short = ShortLived()
    short.take([], set(), {}.get)
    assert short.take([5], set(), {5: Accounted(40, 0, True)}.get) == {}
    assert short.take([5], set(), {5: Accounted(40, 1000, False)}.get) == {5: 400_000}


def test_what_the_driver_forgot_is_no_failure() -> None:
    """Its buffer turns over."""
    short = ShortLived()
    short.take([], set(), {}.get)
    assert short.take([5], set(), {}.get) == {}


def test_a_process_older_than_the_first_look_is_not_credited_with_its_life() -> None:
    """Ten hours of work before this worker began must not weigh in the second in which it ends."""
    short = ShortLived()
    assert short.take([5], set(), {5: Accounted(0, 0, True)}.get) == {}
    assert short.take([5], set(), {5: Accounted(90, 36_000_000, False)}.get) == {}
