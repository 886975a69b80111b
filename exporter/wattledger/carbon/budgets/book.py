"""The budgets of a node: what was booked is counted against every budget that selects it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from ...errors import SettingsError
from ...model import BudgetRow, Workload
from ...settings import BudgetSettings
from .grouping import Grouping
from .period import zone
from .selector import Selector
from .tally import Slot, Tally

Charge = tuple[int, Workload, bool, float, float]
"""One account in one interval: uid, the workload as known now, whether its series are shown,
operational grams, embodied grams. The uid changes whenever a label does and is never reused."""

Seed = Callable[[BudgetSettings, int, int], float | None]
"""Sums the journal's history for a budget over a span of wall time; None where it knows nothing."""

Known = Callable[[tuple[str, str]], Workload | None]
"""What the workload with this key is known as now, None where it is not known any more."""

HELD_LIMIT = 10_000
"""Workloads whose grams wait for a name; beyond, the oldest count as what they are known as."""

_Moment = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
_Grams = Annotated[float, msgspec.Meta(ge=0, lt=1e18)]


class _Saved(msgspec.Struct, frozen=True):
    """One budget in a dump."""

    fingerprint: str
    slots: list[tuple[_Moment, _Moment, _Grams]]
    limit_g: float | None = None


@dataclass(frozen=True, slots=True)
class _Budget:
    """A budget, what it selects and what it consumed."""

    settings: BudgetSettings
    selector: Selector
    fingerprint: str
    tally: Tally

    def grams(self, operational_g: float, embodied_g: float) -> float:
        """What of an amount counts."""
        return operational_g + embodied_g if self.settings.scope == "total" else operational_g


@dataclass(slots=True)
class _Held:
    """Grams of a workload whose series wait for its name; `until_ns` in the book's own elapsed time.

    `names` are the budgets that select `matched`, as which the workload was last looked at.
    """

    workload: Workload
    since_ns: int
    until_ns: int
    operational_g: float = 0.0
    embodied_g: float = 0.0
    matched: Workload | None = None
    names: tuple[str, ...] = ()


class Budgets:
    """Every budget's consumption in its current period.

    Budgets that select nothing in particular count the node's grams; the others those of the workloads they
    select. What is held back for its name counts once it is shown, at the latest after `hold_ns`, by
    what `known` then says it is. Grams once counted stay counted: a later name moves none.
    Pure but for the zone database: all times are given. Not for use by several threads.

    Life: `load` each dump there is, `open`, then `charge` and `rows` in every tick. A seed is asked by
    `open` and `configure`, on the thread of their caller, and given up by them.
    Raises SettingsError for two budgets of one name, an unknown time zone and an unusable selector.
    """

    def __init__(
        self,
        budgets: Sequence[BudgetSettings] = (),
        *,
        hold_ns: int = 0,
        seed: Seed | None = None,
        known: Known | None = None,
    ) -> None:
        self._hold_ns = hold_ns
        self._seed = seed
        self._known = known
        self._elapsed_ns = 0
        self._held: dict[tuple[str, str], _Held] = {}
        self._budgets: dict[str, _Budget] = {}
        self._accepted: set[tuple[str, str, float]] = set()
        self._charged = False
        self._use(self._make_all(budgets))

    def unknown(self, budgets: Iterable[BudgetSettings]) -> list[BudgetSettings]:
        """Those that would begin with what a seed tells, because they are new or count something else.

        May be called on any thread. Raises nothing: what cannot be used is refused by `configure`.
        """
        now = self._budgets
        return [
            budget
            for budget in budgets
            if budget.name not in now or now[budget.name].fingerprint != fingerprint(budget)
        ]

    def configure(
        self,
        budgets: Sequence[BudgetSettings],
        *,
        hold_ns: int,
        wall_ns: int,
        seed: Seed | None = None,
    ) -> None:
        """Put reloaded settings in force.

        A budget with another limit goes on with its consumption; one that is new or counts something
        else begins with what `seed` tells. Raises SettingsError before anything is changed.
        """
        made = self._make_all(budgets)
        self._seed = seed
        for held in self._held.values():
            self._release(held, wall_ns)
        self._held = {}
        self._hold_ns = hold_ns
        self._use(made)
        self.open(wall_ns)

    def load(self, dumped: Mapping[str, Any]) -> None:
        """Take up a dump, decoded; of the figures of several dumps for one period the largest holds.

        Budgets that are not configured any more, or now count something else, are left out.
        Raises ValueError, with nothing taken up, for what is no dump.
        """
        saved = msgspec.convert(dumped, dict[str, _Saved])
        for name, entry in saved.items():
            if entry.limit_g is not None:
                self._accepted.add((name, entry.fingerprint, entry.limit_g))
            budget = self._budgets.get(name)
            if budget is not None and budget.fingerprint == entry.fingerprint:
                budget.tally.load(entry.slots)

    def was_in_force(self, budget: BudgetSettings) -> bool:
        """Whether, by the dumps taken up, something was booked under this very budget, limit and all."""
        return (budget.name, fingerprint(budget), budget.limit_g) in self._accepted

    def open(self, wall_ns: int) -> None:
        """Enter the current periods; asks `seed` for budgets whose period no dump knew.

        To be called before the journal books anything more, which the seed would then hold twice.
        """
        for budget in self._budgets.values():
            budget.tally.enter(wall_ns)
        self._seed = None

    @property
    def wants_rows(self) -> bool:
        """Whether any budget selects workloads; `charge` needs no rows otherwise."""
        return bool(self._selecting)

    def charge(
        self,
        start_wall_ns: int,
        end_wall_ns: int,
        node_g: float,
        node_embodied_g: float = 0.0,
        rows: Iterable[Charge] = (),
    ) -> None:
        """Count what was booked in an interval: for the node, and for each account that was touched.

        The start should be the end less the elapsed time, so that a step of the wall clock within the
        interval does not stretch it. An interval over a boundary is split in proportion of time.
        """
        self._charged = True
        for budget in self._whole:
            budget.tally.add(start_wall_ns, end_wall_ns, budget.grams(node_g, node_embodied_g))
        if not self._selecting:
            return
        self._elapsed_ns += max(0, end_wall_ns - start_wall_ns)
        grouping, held = self._grouping, self._held
        grouping.age()
        recent = grouping.recent
        operational, embodied = [0.0] * len(grouping.groups), [0.0] * len(grouping.groups)
        for uid, workload, shown, operational_g, embodied_g in rows:
            if not shown:
                self._hold(workload, start_wall_ns, operational_g, embodied_g)
                continue
            if held and workload.key in held:
                waited = held.pop(workload.key)
                waited.workload = workload
                self._release(waited, end_wall_ns)
            group = recent.get(uid)
            if group is None:
                group = grouping.number(uid, workload)
                if group == len(operational):
                    operational.append(0.0)
                    embodied.append(0.0)
            operational[group] += operational_g
            embodied[group] += embodied_g
        for group, names in enumerate(grouping.groups):
            self._add(names, start_wall_ns, end_wall_ns, operational[group], embodied[group])
        if held:
            self._release_due(end_wall_ns)

    def rows(self, wall_ns: int) -> tuple[BudgetRow, ...]:
        """Every budget as of a moment, in the order of the settings; a new period begins at 0."""
        return tuple(_row(budget, budget.tally.enter(wall_ns)) for budget in self._budgets.values())

    def dump(self) -> dict[str, Any]:
        """Everything a later process needs, in what MessagePack can carry.

        What is still held counts by what it is known as now, since a later process cannot ask. The limit is
        there once something was booked under it: a start that is refused leaves none.
        """
        more = dict.fromkeys(self._selecting, 0.0)
        for held in self._held.values():
            for name in self._selecting_now(held):
                more[name] += self._selecting[name].grams(held.operational_g, held.embodied_g)
        return {
            name: {
                "fingerprint": budget.fingerprint,
                "slots": budget.tally.dump(more.get(name, 0.0)),
                "limit_g": budget.settings.limit_g
                if self._charged or self.was_in_force(budget.settings)
                else None,
            }
            for name, budget in self._budgets.items()
        }

    def _make_all(self, settings: Sequence[BudgetSettings]) -> dict[str, _Budget]:
        """The budgets by name, with the tallies of those that are there already and count the same."""
        budgets: dict[str, _Budget] = {}
        for one in settings:
            if one.name in budgets:
                raise SettingsError(f"budgets: two are called {one.name!r}; names have to differ")
            budgets[one.name] = self._make(one)
        return budgets

    def _use(self, budgets: dict[str, _Budget]) -> None:
        self._budgets = budgets
        self._whole = [budget for budget in budgets.values() if budget.selector.everything]
        self._selecting = {name: budget for name, budget in budgets.items() if not budget.selector.everything}
        self._grouping = Grouping({name: budget.selector for name, budget in self._selecting.items()})

    def _make(self, settings: BudgetSettings) -> _Budget:
        try:
            zone(settings.timezone)
            selector = Selector(settings.select)
        except SettingsError as error:
            raise SettingsError(f"budgets: {settings.name}: {error}") from error
        mark = fingerprint(settings)
        before = self._budgets.get(settings.name)
        if before is not None and before.fingerprint == mark:
            return _Budget(settings, selector, mark, before.tally)

        def begin(start_ns: int, end_ns: int) -> float:
            return (self._seed(settings, start_ns, end_ns) or 0.0) if self._seed is not None else 0.0

        return _Budget(settings, selector, mark, Tally(settings.period, settings.timezone, begin))

    def _add(
        self, names: Iterable[str], start_ns: int, end_ns: int, operational_g: float, embodied_g: float
    ) -> None:
        for name in names:
            budget = self._selecting[name]
            budget.tally.add(start_ns, end_ns, budget.grams(operational_g, embodied_g))

    def _hold(self, workload: Workload, since_ns: int, operational_g: float, embodied_g: float) -> None:
        held = self._held.get(workload.key)
        if held is None:
            held = _Held(workload, since_ns, self._elapsed_ns + self._hold_ns)
            self._held[workload.key] = held
        held.workload = workload
        held.operational_g += operational_g
        held.embodied_g += embodied_g

    def _selecting_now(self, held: _Held) -> tuple[str, ...]:
        """The budgets that select a held workload by what it is known as now."""
        now = self._known(held.workload.key) if self._known is not None else None
        now = now or held.workload
        if now is not held.matched:
            held.matched, held.names = now, self._grouping.selecting(now)
        return held.names

    def _release(self, held: _Held, end_ns: int) -> None:
        """Count what was held, over the time it was drawn in."""
        names = self._selecting_now(held)
        self._add(names, held.since_ns, end_ns, held.operational_g, held.embodied_g)

    def _release_due(self, end_ns: int) -> None:
        """Count what waited long enough, and the oldest where too many wait."""
        crowd = len(self._held) - HELD_LIMIT
        due = [
            key
            for place, (key, held) in enumerate(self._held.items())
            if place < crowd or held.until_ns <= self._elapsed_ns
        ]
        for key in due:
            self._release(self._held.pop(key), end_ns)


def fingerprint(budget: BudgetSettings) -> str:
    """What a budget counts, as a short text: everything of its definition but name and limit."""
    select = {label: sorted(set(patterns)) for label, patterns in sorted(budget.select.items())}
    definition = [budget.period, budget.timezone, budget.scope, select]
    return hashlib.sha256(msgspec.json.encode(definition)).hexdigest()[:16]


def _row(budget: _Budget, slot: Slot) -> BudgetRow:
    settings = budget.settings
    return BudgetRow(
        name=settings.name,
        period=settings.period,
        limit_g=settings.limit_g,
        consumed_g=slot.grams,
        start_ns=slot.start_ns,
        end_ns=slot.end_ns,
        timezone=settings.timezone,
        scope=settings.scope,
        selects=budget.selector.text,
    )
