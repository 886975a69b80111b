"""GPU boards of one interval: their energy joined with the workloads that used them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from .attribution import Board
from .gpu.mig import NOBODY
from .gpu.records import BoardUse
from .idle import IdleFloor
from .model import EXITED, UNATTRIBUTED, Workload
from .snapshot import BoardRow, MigRow

Owners = Callable[[Collection[int]], Mapping[int, Workload]]


class Boards:
    """Maps the processes on GPU boards to workloads, from one interval to the next.

    A process that is gone when its use is told belongs to the workload it had in the interval before;
    one that was never seen alive counts as `exited`.
    """

    def __init__(self) -> None:
        self._known: dict[int, Workload] = {}

    def join(
        self,
        energies: Mapping[str, tuple[int, int]],
        uses: Iterable[BoardUse],
        owners: Owners,
        idle: IdleFloor,
        wall_ns: int,
        *,
        of_host: int = 1,
    ) -> tuple[Board, ...]:
        """The boards that have an energy, with their users and idle floors.

        `energies` are microjoules and nanoseconds by device, of the `of_host` boards there are. A board's
        idle floor is learned from the intervals in which nobody used it, so one that always works has none.
        """
        by_device = {use.device: use for use in uses}
        pids = {share.pid for use in by_device.values() for share in use.shares}
        pids |= {pid for use in by_device.values() for pid, _ in use.holders}
        found = dict(owners(pids)) if pids else {}
        of_pid = {pid: found.get(pid) or self._known.get(pid, EXITED) for pid in pids}
        if NOBODY in of_pid:
            of_pid[NOBODY] = UNATTRIBUTED
        self._known = of_pid
        boards = []
        for device, (energy_uj, span_ns) in energies.items():
            use = by_device.get(device)
            shares: dict[Workload, int] = {}
            holders: dict[Workload, int] = {}
            if use is not None:
                for share in use.shares:
                    _add(shares, of_pid[share.pid], share.weight)
                for pid, held_bytes in use.holders:
                    _add(holders, of_pid[pid], held_bytes)
                if not shares:
                    idle.observe(f"gpu/{device}", wall_ns, span_ns, energy_uj, 0.0)
            boards.append(
                Board(
                    device=device,
                    energy_uj=energy_uj,
                    span_ns=span_ns,
                    idle_floor_w=_floor_w(device, use, idle, max(of_host, len(energies))),
                    use=shares,
                    holders=holders,
                )
            )
        return tuple(boards)


def rows(boards: Iterable[Board], uses: Iterable[BoardUse]) -> tuple[BoardRow, ...]:
    """What a snapshot shows of the boards beyond their zones."""
    floors_w = {board.device: board.idle_floor_w for board in boards}
    return tuple(
        [
            BoardRow(
                device=use.device,
                idle_power_w=floors_w.get(use.device) or None,
                check_ratio=use.check_ratio,
                quality=use.quality,
                instances=tuple(
                    [
                        MigRow(
                            uuid=instance.uuid,
                            profile=instance.profile,
                            gpu_instance=instance.gpu_instance,
                            compute_instance=instance.compute_instance,
                        )
                        for instance in use.instances
                    ]
                ),
            )
            for use in uses
        ]
    )


def _floor_w(device: str, use: BoardUse | None, idle: IdleFloor, boards: int) -> float:
    """Configured watts of the component are shared evenly by its boards."""
    configured = idle.floor("gpu")
    if configured is not None:
        return configured.power_w / boards
    if use is not None and use.idle_power_w is not None:
        return use.idle_power_w
    floor = idle.floor(f"gpu/{device}")
    return floor.power_w if floor is not None else 0.0


def _add(totals: dict[Workload, int], workload: Workload, amount: int) -> None:
    if amount > 0:
        totals[workload] = totals.get(workload, 0) + amount
