"""What happened on a fake board: the time line that the state file tells, the counter's start, the truth."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

NO_INSTANCE = 0xFFFFFFFF
FULL = 10_000
"""A whole board, or a whole instance, in the units of shares."""
KEPT_US = 15_000_000
"""How much of the past the state file tells: more than the ring and the longest averaging window need."""


@dataclass(frozen=True, slots=True)
class Use:
    """What one process takes of a board, or of its GPU instance `gi`, in 1/100 %."""

    pid: int
    sm: int
    memory: int = 0
    encoder: int = 0
    decoder: int = 0
    gi: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What GPM says of a GPU instance (or of a whole board), in 1/100 % of it."""

    graphics: int
    sm: int
    occupancy: int
    tensor: int
    dram: int
    weight: float
    """SMs of the instance over SMs of the board."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A time in which nothing changed; it lasts until the next one starts."""

    start_us: int
    power_mw: int
    uses: tuple[Use, ...] = ()
    activities: tuple[tuple[int, Activity], ...] = ()

    def lines(self) -> list[str]:
        lines = [f"segment {self.start_us} {self.power_mw}"]
        lines += [f"use {u.pid} {u.sm} {u.memory} {u.encoder} {u.decoder}" for u in self.uses if u.gi is None]
        for gi, a in self.activities:
            lines.append(f"active {gi} {a.graphics} {a.sm} {a.occupancy} {a.tensor} {a.dram}")
        return lines

    def work(self, idle_mw: int) -> tuple[dict[int, float], dict[int, float]]:
        """Watts above idle by process, and by GPU instance."""
        work_w = max(0, self.power_mw - idle_mw) / 1000
        weights = {gi: activity.weight for gi, activity in self.activities}
        of_pids = {use.pid: use.sm * weights.get(_key(use.gi), 1.0) for use in self.uses}
        of_instances = {gi: activity.sm * activity.weight for gi, activity in self.activities}
        return _split(work_w, of_pids), _split(work_w, of_instances)


def _key(gi: int | None) -> int:
    return NO_INSTANCE if gi is None else gi


def _split(watts: float, weights: dict[int, float]) -> dict[int, float]:
    total = sum(weights.values())
    return {key: watts * weight / total for key, weight in weights.items()} if total else {}


@dataclass(slots=True, kw_only=True)
class History:
    """Segments in order of time. All instants are CLOCK_MONOTONIC microseconds."""

    idle_mw: int
    start_us: int
    segments: list[Segment] = field(init=False)
    total_j: float = 0.0
    """Energy truly drawn until the instant last settled."""
    worked_j: dict[int, float] = field(default_factory=dict)
    """The part of it above idle, by process."""
    instance_j: dict[int, float] = field(default_factory=dict)
    """The same by GPU instance."""
    gain_ppm: int = 1_000_000
    """What the energy counter shows of the truth."""
    epoch_us: int = field(init=False)
    epoch_nj: int = 0
    _settled_us: int = field(init=False)
    _lines: list[list[str]] = field(init=False)
    """Of each segment, for they are written again and again."""

    def __post_init__(self) -> None:
        self.epoch_us = self._settled_us = self.start_us
        self.segments = [Segment(self.start_us - 1, self.idle_mw)]  # it always idled before
        self._lines = [self.segments[0].lines()]

    def append(self, segment: Segment) -> None:
        """Let a segment hold from its start on, which is no earlier than any other's."""
        self.settle(segment.start_us)
        last = self.segments[-1]
        if replace(segment, start_us=last.start_us) == last:
            return
        if last.start_us == segment.start_us:
            self.segments.pop()
            self._lines.pop()
        self.segments.append(segment)
        self._lines.append(segment.lines())

    def settle(self, until_us: int) -> None:
        """Add what was drawn until an instant to the true sums."""
        for segment, start_us, end_us in self._parts(self._settled_us, until_us):
            seconds = (end_us - start_us) / 1e6
            self.total_j += segment.power_mw / 1000 * seconds
            for sums, watts in zip((self.worked_j, self.instance_j), segment.work(self.idle_mw), strict=True):
                for key, value in watts.items():
                    sums[key] = sums.get(key, 0.0) + value * seconds
        self._settled_us = max(until_us, self._settled_us)

    def fold(self, until_us: int) -> None:
        """Begin the counter's account anew at an instant, where the counter stands then."""
        parts = self._parts(self.epoch_us, until_us)
        true_nj = sum(segment.power_mw * (end_us - start_us) for segment, start_us, end_us in parts)
        self.epoch_nj += true_nj * self.gain_ppm // 1_000_000
        self.epoch_us = until_us

    def restart(self, at_us: int, energy_mj: int) -> None:
        self.epoch_us, self.epoch_nj = at_us, energy_mj * 1_000_000

    def forget_before(self, now_us: int) -> None:
        """Drop what no answer needs any more."""
        while len(self.segments) > 1 and self.segments[1].start_us <= now_us - KEPT_US:
            cut_us = self.segments[1].start_us
            if cut_us > self.epoch_us:
                self.fold(cut_us)
            self.settle(cut_us)
            del self.segments[0], self._lines[0]

    def lines(self) -> list[str]:
        lines = [f"epoch {self.epoch_us} {self.epoch_nj}", f"energy_gain_ppm {self.gain_ppm}"]
        for written in self._lines:
            lines += written
        return lines

    def _parts(self, from_us: int, until_us: int) -> list[tuple[Segment, int, int]]:
        parts = []
        end_us = until_us
        for segment in reversed(self.segments):
            if end_us <= from_us:
                break
            parts.append((segment, max(from_us, segment.start_us), end_us))
            end_us = min(until_us, segment.start_us)
        return [(segment, start_us, end_us) for segment, start_us, end_us in parts if end_us > start_us]
