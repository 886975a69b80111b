"""What was spent before a budget was there: read from the journal, brought up to now by the accounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..carbon.budgets.book import Seed, fingerprint
from ..carbon.budgets.history import seed_from
from ..carbon.budgets.period import period_at
from ..carbon.budgets.selector import Selector
from ..model import Workload
from ..settings import BudgetSettings
from .accounts import Accounts
from .journal_booked import Booked, booked
from .journal_marks import nano, stored
from .journal_read import JournalReader
from .journal_schema import HOUR_NS

Spent = tuple[int, int, float]
"""Start and end of a period, and the grams that the journal has of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What a journal knew at one moment, which may be some time ago when it is put to use.

    `spent` has the current period of each budget that was asked for, by its fingerprint. `booked` tells up
    to where the ledger's own count was in it, so that what came later can be added, and is added once.
    """

    spent: Mapping[str, Spent]
    booked: Booked | None


@dataclass(frozen=True, slots=True)
class Count:
    """The ledger's running totals, as they stand at `wall_ns`."""

    accounts: Accounts
    embodied_g: float
    wall_ns: int
    covered_ns: int


def read_past(
    journal: JournalReader, budgets: Sequence[BudgetSettings], wall_ns: int, boot_id: str, lineage: str
) -> Past:
    """Read the journal, which takes milliseconds for a month and seconds for years.

    Raises StorageError, and SettingsError for a budget that cannot be used.
    """
    sum_of, spent = seed_from(journal.grams), {}
    for budget in budgets:
        start_ns, end_ns = period_at(budget.period, budget.timezone, wall_ns)
        spent[fingerprint(budget)] = (start_ns, end_ns, sum_of(budget, start_ns, end_ns) or 0.0)
    return Past(spent=spent, booked=booked(journal, boot_id, lineage))


def up_to_now(past: Past, count: Count) -> Seed:
    """The seed that gives what was spent until now: what was read, and what was booked since then.

    Reads nothing from the disk. What was booked since then counts evenly over its time where that reaches
    beyond the period.
    """
    done = past.booked
    if done is None and count.covered_ns <= HOUR_NS:
        # Of this count nothing is in the journal yet, and all of it was seen from its beginning.
        done = Booked(wall_ns=count.wall_ns - count.covered_ns, covered_ns=0)
    if done is None or count.covered_ns < done.covered_ns:
        return lambda budget, start_ns, end_ns: _read(past, budget, start_ns, end_ns)
    rests = _rests(done, count.accounts)
    node_g = sum(total.emissions_g for total in count.accounts.node.values()) - done.node_ng / 1e9
    embodied_g = count.embodied_g - done.embodied_ng / 1e9
    since_ns, now_ns = done.wall_ns, count.wall_ns

    def seed(budget: BudgetSettings, start_ns: int, end_ns: int) -> float:
        selector = Selector(budget.select)
        own_g, own_embodied_g = node_g, embodied_g
        if not selector.everything:
            own = [(g, embodied) for workload, g, embodied in rests if selector.matches(workload)]
            own_g, own_embodied_g = sum(g for g, _ in own), sum(embodied for _, embodied in own)
        rest_g = own_g + own_embodied_g if budget.scope == "total" else own_g
        if now_ns > since_ns:
            rest_g *= max(0, min(end_ns, now_ns) - max(start_ns, since_ns)) / (now_ns - since_ns)
        return _read(past, budget, start_ns, end_ns) + max(0.0, rest_g)

    return seed


def _read(past: Past, budget: BudgetSettings, start_ns: int, end_ns: int) -> float:
    """What was read of a period; 0 of another one, which has begun since."""
    began_ns, ends_ns, grams = past.spent.get(fingerprint(budget), (0, 0, 0.0))
    return grams if (began_ns, ends_ns) == (start_ns, end_ns) else 0.0


def _rests(done: Booked, accounts: Accounts) -> list[tuple[Workload, float, float]]:
    """What each account has beyond what is booked of it: operational and embodied grams.

    An account whose figures went down was dropped and began anew: all of it is new.
    """
    rests = []
    for account in accounts.everything():
        key = account.info.key
        done_ng, done_embodied_ng = done.accounts.get((stored(key[0]), stored(key[1])), (0, 0))
        grams_ng = sum([nano(cell.emissions_g) for cell in account.cells.values()])
        embodied_ng = nano(account.embodied_g)
        if grams_ng < done_ng or embodied_ng < done_embodied_ng:
            done_ng = done_embodied_ng = 0
        if grams_ng > done_ng or embodied_ng > done_embodied_ng:
            rests.append((account.info, (grams_ng - done_ng) / 1e9, (embodied_ng - done_embodied_ng) / 1e9))
    return rests
