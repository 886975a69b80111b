"""The grams of one budget by calendar period, whatever the wall clock does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ...model import S_NS
from ...settings import Period
from .period import period_at, zone

SLOTS_KEPT = 8
"""Periods remembered: the current one, and others that a wall clock set back may return to."""

SMALL_STEP_NS = 600 * S_NS
"""How far before its start a period is still the current one once it has begun: a clock set back by
less is being corrected and would else flap over the boundary."""

Begin = Callable[[int, int], float]
"""Grams already spent in a period that nothing is known of yet, given its start and end."""


@dataclass(slots=True)
class Slot:
    """One period and what was booked in it; `grams` never goes down."""

    start_ns: int
    end_ns: int
    grams: float = 0.0


class Tally:
    """What one budget consumed, by period; every gram stays in the period it was booked to.

    The zone is looked up once: its file may be replaced while the agent runs.
    A period that time returns to goes on with what it had. `begin` is asked once, for the first
    period that is entered, unless `load` knew it.
    """

    def __init__(self, period: Period, timezone: str, begin: Begin) -> None:
        self._period = period
        self._place = zone(timezone)
        self._begin = begin
        self._slots: dict[int, Slot] = {}
        self._current: Slot | None = None

    def enter(self, wall_ns: int) -> Slot:
        """The period that is current at a moment."""
        slot = self._current
        if slot is not None and slot.start_ns - SMALL_STEP_NS <= wall_ns < slot.end_ns:
            return slot
        start_ns, end_ns = period_at(self._period, self._place, wall_ns)
        known = start_ns in self._slots
        slot = self._slot(start_ns, end_ns)
        if self._current is None and not known:
            slot.grams = max(0.0, self._begin(start_ns, end_ns))
        self._current = slot
        return slot

    def add(self, start_ns: int, end_ns: int, grams: float) -> None:
        """Book the grams of an interval, split over period boundaries in proportion of time.

        All of it goes to the current period when the interval is empty or runs backwards.
        What belongs to periods too old to be remembered is left out. Only grams above zero count.
        """
        if not grams > 0.0:  # this way round NaN is left out too
            return
        # The end is excluded: what ends with the period belongs to it.
        slot = self.enter(end_ns - 1 if end_ns > start_ns else end_ns)
        if start_ns < slot.start_ns < end_ns:
            grams = self._split(slot, start_ns, end_ns, grams)
        slot.grams += grams

    def dump(self, more_grams: float = 0.0) -> list[tuple[int, int, float]]:
        """Start, end and grams of every period kept, with `more_grams` on the current one."""
        current = self._current
        return [
            (slot.start_ns, slot.end_ns, slot.grams + more_grams if slot is current else slot.grams)
            for slot in self._slots.values()
        ]

    def load(self, slots: Iterable[tuple[int, int, float]]) -> None:
        """Take up a dump; of two figures for one period the larger one holds.

        A period is found by its middle, so that it stays the same when the rules of its zone change.
        """
        for start_ns, end_ns, grams in slots:
            slot = self._slot(*period_at(self._period, self._place, (start_ns + end_ns) // 2))
            slot.grams = max(slot.grams, grams)

    def _split(self, slot: Slot, start_ns: int, end_ns: int, grams: float) -> float:
        """Book the part that lies before the current period to those before it; the rest remains."""
        rest, to_ns = grams, slot.start_ns
        parts: list[tuple[int, int, float]] = []
        while to_ns > start_ns and len(parts) < SLOTS_KEPT - 1:
            earlier_ns, its_end_ns = period_at(self._period, self._place, to_ns - 1)
            from_ns = max(start_ns, earlier_ns)
            parts.append((earlier_ns, its_end_ns, grams * ((to_ns - from_ns) / (end_ns - start_ns))))
            to_ns = from_ns
        for earlier_ns, its_end_ns, part in reversed(parts):
            self._slot(earlier_ns, its_end_ns).grams += part
            rest -= part
        if to_ns > start_ns:
            rest -= grams * ((to_ns - start_ns) / (end_ns - start_ns))
        self._slot(slot.start_ns, slot.end_ns)
        return max(0.0, rest)

    def _slot(self, start_ns: int, end_ns: int) -> Slot:
        """The slot of a period, which is now the latest in use; the one longest unused makes room."""
        slot = self._slots.pop(start_ns, None) or Slot(start_ns, end_ns)
        self._slots[start_ns] = slot
        while len(self._slots) > SLOTS_KEPT:
            oldest = next(key for key, kept in self._slots.items() if kept is not self._current)
            del self._slots[oldest]
        return slot
