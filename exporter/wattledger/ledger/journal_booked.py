"""What a journal says of the ledger's own count: how far it is booked, and the budgets of its last batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from .journal_marks import Key
from .journal_read import JournalReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """How much of a lineage's running totals is in the hours of the journal.

    `wall_ns` and `covered_ns` are those of the batch up to which it is; nanograms, operational and embodied,
    of the node and of each account.
    """

    wall_ns: int
    covered_ns: int
    node_ng: int = 0
    embodied_ng: int = 0
    accounts: Mapping[Key, tuple[int, int]] = field(default_factory=dict)


def booked(journal: JournalReader, boot_id: str, lineage: str) -> Booked | None:
    """What is booked of a lineage; None where the journal knows nothing of it. Raises StorageError."""
    found = journal.rows(
        "SELECT id, wall_ns, covered_ns, embodied_ng FROM boot WHERE boot_id = ? AND lineage = ?",
        (boot_id, lineage),
    )
    if not found:
        return None
    boot, wall_ns, covered_ns, embodied_ng = found[0]
    accounts: dict[Key, tuple[int, int]] = {
        (kind, ident): (0, grams_ng)
        for kind, ident, grams_ng in journal.rows(
            "SELECT kind, ident, embodied_ng FROM mark_account JOIN workload ON id = workload WHERE boot = ?",
            (boot,),
        )
    }
    for kind, ident, grams_ng in journal.rows(
        "SELECT kind, ident, sum(emissions_ng) FROM mark_energy JOIN workload ON id = workload"
        " WHERE boot = ? GROUP BY id",
        (boot,),
    ):
        accounts[kind, ident] = (grams_ng, accounts.get((kind, ident), (0, 0))[1])
    (node_ng,) = journal.rows("SELECT sum(emissions_ng) FROM mark_node WHERE boot = ?", (boot,))[0]
    return Booked(
        wall_ns=wall_ns,
        covered_ns=covered_ns,
        node_ng=node_ng or 0,
        embodied_ng=embodied_ng,
        accounts=accounts,
    )


def budget_dumps(journal: JournalReader) -> list[Any]:
    """The budgets of the newest batch, as the ledger gave them.

    Raises StorageError, and ValueError for what cannot be understood.
    """
    try:
        return [
            msgspec.msgpack.decode(dump)
            for (dump,) in journal.rows("SELECT dump FROM budget ORDER BY position")
        ]
    except TypeError as error:
        raise ValueError(f"budgets: {error}") from error
