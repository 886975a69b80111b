"""Process series: opt-in, at most the top N, with sticky membership.

They are a detail inside workloads and never added to them: a process gets the part of its workload's
dynamic energy that it had of the workload's CPU time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..model import ProcessUse, Workload
from ..snapshot import ProcessRow
from .totals import Total

DISPLACE_RATIO = 2.0
DECAY = 0.8

ProcessKey = tuple[int, int]


@dataclass(slots=True)
class _Process:
    comm: str
    kind: str
    id: str
    energy_uj: int
    emissions_g: float
    recent_uj: float
    seen_ns: int


class Processes:
    """The tracked processes, by (pid, start time).

    A newcomer takes a free place, or that of the weakest member when it used more than twice as much
    lately. A member that has used nothing for the grace period leaves. One whose pid went to another
    process of the same name and workload is succeeded by it: their labels are the same, so
    the series goes on.
    """

    def __init__(self, *, top: int, grace_ns: int) -> None:
        self._top = top
        self._grace_ns = grace_ns
        self._members: dict[ProcessKey, _Process] = {}

    def configure(self, *, top: int, grace_ns: int) -> None:
        """Change the bounds; with `top` 0 all series end."""
        self._top = top
        self._grace_ns = grace_ns

    def book(
        self,
        uses: Iterable[ProcessUse],
        cpu_ns: Mapping[Workload, int],
        dynamic: Mapping[tuple[str, str], Total],
        now_ns: int,
    ) -> None:
        """Book one interval. `dynamic` is each workload's dynamic energy with its emissions, by key."""
        for member in self._members.values():
            member.recent_uj *= DECAY
        newcomers: list[tuple[int, float, ProcessUse]] = []
        for use in uses:
            whole_ns = max(cpu_ns.get(use.workload, 0), use.cpu_ns)
            total = dynamic.get(use.workload.key)
            energy_uj = total.energy_uj * use.cpu_ns // whole_ns if total and whole_ns else 0
            grams = total.emissions_g * energy_uj / total.energy_uj if total and energy_uj else 0.0
            member_or_none = self._members.get((use.pid, use.start))
            if member_or_none is None:
                if energy_uj:
                    newcomers.append((energy_uj, grams, use))
                continue
            member_or_none.energy_uj += energy_uj
            member_or_none.emissions_g += grams
            member_or_none.recent_uj += energy_uj
            member_or_none.seen_ns = now_ns
        self._leave(now_ns)
        newcomers.sort(key=lambda item: item[0], reverse=True)
        namesakes = {_labels(key[0], m): key for key, m in self._members.items()} if newcomers else {}
        for energy_uj, grams, use in newcomers[: self._top]:
            fresh = _Process(
                comm=use.comm,
                kind=use.workload.kind,
                id=use.workload.id,
                energy_uj=energy_uj,
                emissions_g=grams,
                recent_uj=energy_uj,
                seen_ns=now_ns,
            )
            namesake = namesakes.pop(_labels(use.pid, fresh), None)
            ended = self._members.pop(namesake, None) if namesake else None
            if ended is not None:
                fresh.energy_uj += ended.energy_uj
                fresh.emissions_g += ended.emissions_g
            if ended is not None or self._make_room(energy_uj):
                self._members[use.pid, use.start] = fresh

    def rows(self) -> tuple[ProcessRow, ...]:
        """Every tracked process."""
        return tuple(
            [
                ProcessRow(
                    pid=pid,
                    comm=member.comm,
                    kind=member.kind,
                    id=member.id,
                    energy_uj=member.energy_uj,
                    emissions_g=member.emissions_g,
                )
                for (pid, _), member in self._members.items()
            ]
        )

    def dump(self) -> list[list[Any]]:
        """The members as plain lists."""
        return [
            [*key, m.comm, m.kind, m.id, m.energy_uj, m.emissions_g, m.recent_uj, m.seen_ns]
            for key, m in self._members.items()
        ]

    def load(self, saved: list[list[Any]]) -> None:
        """Take up a dump of the same boot."""
        self._members = {(pid, start): _Process(*rest) for pid, start, *rest in saved}

    def _leave(self, now_ns: int) -> None:
        gone = [key for key, member in self._members.items() if now_ns - member.seen_ns >= self._grace_ns]
        for key in gone:
            del self._members[key]
        while len(self._members) > self._top:
            del self._members[self._weakest()]

    def _make_room(self, energy_uj: int) -> bool:
        if len(self._members) < self._top:
            return True
        if not self._members:
            return False
        weakest = self._weakest()
        if energy_uj <= self._members[weakest].recent_uj * DISPLACE_RATIO:
            return False
        del self._members[weakest]
        return True

    def _weakest(self) -> ProcessKey:
        return min(self._members, key=lambda key: self._members[key].recent_uj)


def _labels(pid: int, process: _Process) -> tuple[int, str, str, str]:
    """What a series of this process is told apart by."""
    return (pid, process.comm, process.kind, process.id)
