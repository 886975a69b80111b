"""Who did how much on a board that is cut into MIG instances (pure).

Power exists only for the whole board, and utilisation by process not at all. A GPU instance's work is its
activity times its multiprocessors; its processes share it evenly or by the memory they hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .records import MigInstance

NO_INSTANCE = 0xFFFFFFFF
NOBODY = 0
"""The pid that stands for work of no known process."""

QUALITIES = ("", "mps", "mig-memory", "mig-equal", "mig-share", "holders")
"""How a board's work was split, from good to weak.

- `mps`: samples name the MPS server or its clients, whichever the driver saw.
- `mig-memory`, `mig-equal`: several processes in one instance.
- `mig-share`: no activity is told (before Hopper), so instances in use count by size.
- `holders`: the driver tells no use by process, so those that hold memory count by it while the board works.
"""


class Context(NamedTuple):
    """A process that holds memory on a board, inside a GPU instance or `NO_INSTANCE`."""

    pid: int
    gpu_instance: int
    memory_bytes: int


class MigSize(NamedTuple):
    """The size of a MIG device, as its own attributes tell it."""

    multiprocessors: int
    gpu_instance_slices: int
    compute_instance_slices: int
    memory_mb: int

    @property
    def whole_multiprocessors(self) -> int:
        """Multiprocessors of the GPU instance around it, to which the activity refers."""
        own = max(1, self.compute_instance_slices)
        return round(self.multiprocessors * max(own, self.gpu_instance_slices) / own)


class MigDevice(NamedTuple):
    """A MIG device and the multiprocessors of the GPU instance it lies in."""

    instance: MigInstance
    whole_multiprocessors: int


def weaker(one: str, other: str) -> str:
    """The weaker of two of `QUALITIES`."""
    return max(one, other, key=QUALITIES.index)


def work(
    devices: Sequence[MigDevice],
    activity: Mapping[int, float | None],
    contexts: Iterable[Context],
    window_us: int,
) -> tuple[dict[int, int], str]:
    """Busy microseconds times multiprocessors by process over a window, and the quality of the split.

    `activity` is percent by GPU instance; None where the board cannot tell: then every instance that holds a
    process counts as fully busy. Work in an instance without a known process goes to `NOBODY`.
    """
    sizes: dict[int, int] = {}
    for device in devices:
        instance = device.instance.gpu_instance
        sizes[instance] = max(sizes.get(instance, 0), device.whole_multiprocessors)
    holders: dict[int, dict[int, int]] = {}
    for pid, gpu_instance, memory_bytes in contexts:
        in_instance = holders.setdefault(gpu_instance, {})
        in_instance[pid] = max(in_instance.get(pid, 0), memory_bytes)
    done: dict[int, int] = {}
    quality = ""
    for gpu_instance, multiprocessors in sizes.items():
        percent = activity.get(gpu_instance)
        processes = holders.get(gpu_instance, {})
        if percent is None:
            percent = 100.0 if processes else 0.0
            quality = weaker(quality, "mig-share") if processes else quality
        amount = round(percent * multiprocessors * window_us / 100)
        if amount <= 0:
            continue
        shares, how = _inside(amount, processes)
        quality = weaker(quality, how)
        for pid, share in shares.items():
            done[pid] = done.get(pid, 0) + share
    return done, quality


def _inside(amount: int, processes: Mapping[int, int]) -> tuple[dict[int, int], str]:
    """Split an instance's work among its processes, given the bytes each holds."""
    if len(processes) <= 1:
        return {next(iter(processes), NOBODY): amount}, ""
    by_memory = all(processes.values())
    weights = processes if by_memory else dict.fromkeys(processes, 1)
    total = sum(weights.values())
    shares = {pid: amount * weight // total for pid, weight in weights.items()}
    return shares, "mig-memory" if by_memory else "mig-equal"
