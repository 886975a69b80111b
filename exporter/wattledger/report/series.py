"""Joins hours to days, weeks or months of a time zone (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..carbon.budgets.period import period_at
from ..model import Component
from ..settings import Period
from .records import Slice

MOST_BARS = 93
"""More steps than a quarter has days cannot be told apart on a page."""

_COARSER: tuple[Period, ...] = ("day", "week", "month", "year")


@dataclass(slots=True)
class Sum:
    """A slice that is being added up."""

    components: dict[Component, int] = field(default_factory=dict)
    facility_uj: float = 0.0
    emissions_g: float = 0.0
    embodied_g: float = 0.0
    fallback_uj: int = 0
    covered_ns: int = 0

    def add(self, part: Slice) -> None:
        """Add a slice to it."""
        for component, energy_uj in part.components.items():
            self.components[component] = self.components.get(component, 0) + energy_uj
        self.facility_uj += part.facility_uj
        self.emissions_g += part.emissions_g
        self.embodied_g += part.embodied_g
        self.fallback_uj += part.fallback_uj
        self.covered_ns += part.covered_ns

    def slice(self, start_ns: int, end_ns: int) -> Slice:
        """The sum as a slice."""
        return Slice(
            start_ns=start_ns,
            end_ns=end_ns,
            components=self.components,
            facility_uj=self.facility_uj,
            emissions_g=self.emissions_g,
            embodied_g=self.embodied_g,
            fallback_uj=self.fallback_uj,
            covered_ns=self.covered_ns,
        )


def joined(
    parts: Iterable[Slice], period: Period, timezone: str, start_ns: int, end_ns: int
) -> tuple[Slice, ...]:
    """One slice per calendar period, also where nothing was booked; a part belongs where it begins."""
    slices: list[tuple[int, int, Sum]] = []
    at_ns = start_ns
    while at_ns < end_ns:
        _, next_ns = period_at(period, timezone, at_ns)
        slices.append((at_ns, min(next_ns, end_ns), Sum()))
        at_ns = next_ns
    index = 0
    for part in sorted(parts, key=lambda one: one.start_ns):
        while index < len(slices) - 1 and part.start_ns >= slices[index][1]:
            index += 1
        slices[index][2].add(part)
    return tuple(total.slice(begin_ns, until_ns) for begin_ns, until_ns, total in slices)


def drawable(days: Sequence[Slice], hours: Sequence[Slice], timezone: str) -> tuple[Sequence[Slice], str]:
    """The series to draw, and what its steps are called: hours of up to two days, else not too many steps."""
    if len(days) <= 2 and hours:
        return hours, "hour"
    if len(days) <= MOST_BARS:
        return days, "day"
    for period in _COARSER[1:]:
        steps = joined(days, period, timezone, days[0].start_ns, days[-1].end_ns)
        if len(steps) <= MOST_BARS:
            return steps, period
    return steps, period
