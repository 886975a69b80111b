"""What of a boot's cumulative figures is already booked, and what a batch adds to it (pure).

Booked is only the difference to the marks, and both are written in one transaction: however often a batch is
handed over, and wherever a crash falls, every joule is booked once. Grams are rounded as cumulative
figures, so that the hours of an account add up to its total to the nanogram.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..model import Workload
from .journal_records import AccountSum, Batch, NodeSum
from .journal_schema import COMPONENT_CODES, MODE_CODES, NODE_COLUMNS

Key = tuple[str, str]
CellKey = tuple[int, int]
"""Codes of component and mode."""
Amount = tuple[int, int]
"""Microjoules and nanograms."""
NodeAmounts = tuple[int, ...]
"""In the order of NODE_COLUMNS."""

NO_AMOUNTS: NodeAmounts = (0,) * len(NODE_COLUMNS)


@dataclass(frozen=True, slots=True)
class AccountMark:
    """The booked part of one account."""

    cells: Mapping[CellKey, Amount] = field(default_factory=dict)
    embodied_ng: int = 0

    def beyond(self, other: AccountMark) -> bool:
        """Whether any figure is larger than that of `other`."""
        if self.embodied_ng > other.embodied_ng:
            return True
        for cell, (energy_uj, emissions_ng) in self.cells.items():
            other_uj, other_ng = other.cells.get(cell, (0, 0))
            if energy_uj > other_uj or emissions_ng > other_ng:
                return True
        return False


UNBOOKED = AccountMark()


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The booked part of one boot and lineage. `rolled_back` is explained at `compare`."""

    covered_ns: int = 0
    embodied_ng: int = 0
    rolled_back: bool = False
    node: Mapping[int, NodeAmounts] = field(default_factory=dict)
    accounts: Mapping[Key, AccountMark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """What one account adds, and its new mark."""

    key: Key
    workload: Workload
    adds: AccountMark
    mark: AccountMark
    anew: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a batch adds to its hour, and the marks once that is booked."""

    covered_ns: int
    embodied_ng: int
    node: Mapping[int, NodeAmounts]
    accounts: list[AccountEntry]
    forgotten: list[Key]
    marks: Marks


def nano(amount: float) -> int:
    """Grams in nanograms, or litres in nanolitres."""
    return round(amount * 1e9)


def stored(text: str) -> str:
    """Text as the database can hold it: bytes of a path that were not UTF-8 are escaped."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def compare(marks: Marks, batch: Batch, *, every: bool = False) -> Entry:
    """What a batch adds to what is booked; with `every`, accounts to which it adds nothing are listed too.

    An account whose figures went down was dropped by the ledger and began anew: all of it is new. Unless
    the whole ledger went back to an older state, which shows in `covered_ns`: then, and from then on in
    this lineage, nothing is booked until a figure exceeds its mark.
    """
    rolled_back = marks.rolled_back or batch.covered_ns < marks.covered_ns
    entries: list[AccountEntry] = []
    accounts: dict[Key, AccountMark] = {}
    for key, (workload, given) in _figures(batch).items():
        old = marks.accounts.get(key, UNBOOKED)
        now = _larger(given, old) if rolled_back else given
        if now == old:
            accounts[key] = old
            if every:
                entries.append(AccountEntry(key, workload, UNBOOKED, old, anew=False))
            continue
        anew = old.beyond(now)
        if anew:
            old = UNBOOKED
        accounts[key] = now
        entries.append(AccountEntry(key, workload, _difference(now, old), now, anew))
    gone = [] if rolled_back else [key for key in marks.accounts if key not in accounts]
    if rolled_back:
        accounts = {**marks.accounts, **accounts}
    node_marks = dict(marks.node)
    node: dict[int, NodeAmounts] = {}
    for component, total in batch.node.items():
        code = COMPONENT_CODES[component]
        booked = node_marks.get(code, NO_AMOUNTS)
        node_marks[code] = tuple(map(max, node_amounts(total), booked))
        node[code] = tuple(new - old for new, old in zip(node_marks[code], booked, strict=True))
    covered_ns = max(batch.covered_ns, marks.covered_ns)
    embodied_ng = max(nano(batch.embodied_g), marks.embodied_ng)
    return Entry(
        covered_ns=covered_ns - marks.covered_ns,
        embodied_ng=embodied_ng - marks.embodied_ng,
        node=node,
        accounts=entries,
        forgotten=gone,
        marks=Marks(
            covered_ns=covered_ns,
            embodied_ng=embodied_ng,
            rolled_back=rolled_back,
            node=node_marks,
            accounts=accounts,
        ),
    )


def node_amounts(total: NodeSum) -> NodeAmounts:
    """The sums of a component as the database keeps them."""
    return (
        total.energy_uj,
        nano(total.emissions_g),
        nano(total.market_g),
        nano(total.water_l),
        total.estimated_uj,
        total.fallback_uj,
        total.weak_uj,
        round(total.facility_uj),
    )


def node_sum(amounts: NodeAmounts) -> NodeSum:
    """The inverse of `node_amounts`."""
    energy_uj, emissions_ng, market_ng, water_nl, estimated_uj, fallback_uj, weak_uj, facility_uj = amounts
    return NodeSum(
        energy_uj=energy_uj,
        emissions_g=emissions_ng / 1e9,
        market_g=market_ng / 1e9,
        water_l=water_nl / 1e9,
        estimated_uj=estimated_uj,
        fallback_uj=fallback_uj,
        weak_uj=weak_uj,
        facility_uj=float(facility_uj),
    )


def _figures(batch: Batch) -> dict[Key, tuple[Workload, AccountMark]]:
    """The batch's accounts by the key they are stored under; two that fall on one key are added up."""
    figures: dict[Key, tuple[Workload, AccountMark]] = {}
    for account in batch.accounts:
        workload = account[0]
        kind, id_ = workload.key
        key = workload.key if kind.isascii() and id_.isascii() else (stored(kind), stored(id_))
        now = _account_mark(account)
        if key in figures:
            now = _added(figures[key][1], now)
        figures[key] = (workload, now)
    return figures


def _account_mark(account: AccountSum) -> AccountMark:
    _, cells, embodied_g = account
    return AccountMark(
        {
            (COMPONENT_CODES[component], MODE_CODES[mode]): (energy_uj, round(emissions_g * 1e9))
            for component, mode, energy_uj, emissions_g in cells
        },
        round(embodied_g * 1e9),
    )


def _difference(now: AccountMark, old: AccountMark) -> AccountMark:
    """What is new, without cells in which nothing is."""
    adds: dict[CellKey, Amount] = {}
    for cell, (energy_uj, emissions_ng) in now.cells.items():
        booked_uj, booked_ng = old.cells.get(cell, (0, 0))
        if energy_uj != booked_uj or emissions_ng != booked_ng:
            adds[cell] = (energy_uj - booked_uj, emissions_ng - booked_ng)
    return AccountMark(adds, now.embodied_ng - old.embodied_ng)


def _larger(one: AccountMark, other: AccountMark) -> AccountMark:
    """The larger of each figure."""
    cells = dict(other.cells)
    for cell, (energy_uj, emissions_ng) in one.cells.items():
        other_uj, other_ng = cells.get(cell, (0, 0))
        cells[cell] = (max(energy_uj, other_uj), max(emissions_ng, other_ng))
    return AccountMark(cells, max(one.embodied_ng, other.embodied_ng))


def _added(one: AccountMark, other: AccountMark) -> AccountMark:
    cells = dict(one.cells)
    for cell, (energy_uj, emissions_ng) in other.cells.items():
        other_uj, other_ng = cells.get(cell, (0, 0))
        cells[cell] = (energy_uj + other_uj, emissions_ng + other_ng)
    return AccountMark(cells, one.embodied_ng + other.embodied_ng)
