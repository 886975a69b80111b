"""What the journal gets to know of the ledger, and when."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from ..carbon.budgets.book import Seed
from ..carbon.budgets.history import seed_from
from ..carbon.pricing import Prices
from ..model import S_NS, Intensity
from ..settings import BudgetSettings
from .accounts import Accounts
from .journal import Batch, Journal, NodeSum
from .past import Count, Past, read_past, up_to_now

EVERY_NS = 60 * S_NS
HOUR_NS = 3600 * S_NS
STOP_TIMEOUT_S = 1.0


class _State(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint keeps: which count it is, how far it got, and at which price."""

    lineage: str
    covered_ns: int
    wall_ns: int
    intensity: Intensity | None


class History:
    """Hands the ledger's figures to the journal once a minute, and at the end of every hour.

    What is handed over is never more than the checkpoint holds, so that after a crash the next process
    and the journal agree. `budgets` and `seed` tell what the journal knows.
    """

    def __init__(self, folder: str, *, retention_ns: int, boot_id: str, agent: Mapping[str, str]) -> None:
        self._journal = Journal(folder, retention_ns=retention_ns)
        self._boot_id = boot_id
        self._agent = dict(agent)
        self.seed: Seed = seed_from(self._journal.sum_for)
        self._state = _State(lineage=uuid.uuid4().hex, covered_ns=0, wall_ns=0, intensity=None)
        self._offered_ns = 0

    @property
    def errors(self) -> int:
        """Writes to the journal that failed."""
        return self._journal.errors

    @property
    def written_wall_ns(self) -> int:
        """When the journal was last written, 0 before."""
        return self._journal.written_wall_ns

    def open(self) -> None:
        """Open the journal; one that cannot be used is told of in the log and counted, never raised."""
        self._journal.open()

    def start(self) -> None:
        """Begin writing."""
        self._journal.start()

    def configure(self, *, retention_ns: int, agent: Mapping[str, str]) -> None:
        """Put reloaded settings in force."""
        self._journal.configure(retention_ns=retention_ns)
        self._agent = dict(agent)

    def budgets(self) -> list[Any]:
        """The budgets as the journal knows them."""
        return list(self._journal.budgets())

    def past(self, budgets: Sequence[BudgetSettings], wall_ns: int) -> Past:
        """What the journal knows of budgets that are to come; for any thread but the sampler's: it reads.

        What cannot be read is counted and told of, and nothing is known then. Raises SettingsError.
        """
        boot_id, lineage = self._boot_id, self._state.lineage
        found = self._journal.look(
            lambda journal: read_past(journal, budgets, wall_ns, boot_id, lineage) if budgets else None
        )
        return found or Past(spent={}, booked=None)

    def up_to_now(self, past: Past, accounts: Accounts, embodied_g: float) -> Seed:
        """The seed of what was read, with what the ledger booked since then; reads nothing."""
        state = self._state
        return up_to_now(past, Count(accounts, embodied_g, state.wall_ns, state.covered_ns))

    def note(self, prices: Prices, interval_ns: int) -> None:
        """An interval was booked at these prices."""
        self._state = _State(
            lineage=self._state.lineage,
            covered_ns=self._state.covered_ns + interval_ns,
            wall_ns=prices.end_ns,
            intensity=prices.now.intensity,
        )

    def hour_ends(self, wall_ns: int) -> bool:
        """Whether the interval about to be booked ends in another hour than the last one."""
        return self._state.wall_ns != 0 and wall_ns // HOUR_NS != self._state.wall_ns // HOUR_NS

    def due(self, boottime_ns: int) -> bool:
        """Whether it is time to write, which is then taken for done."""
        if boottime_ns - self._offered_ns < EVERY_NS:
            return False
        self._offered_ns = boottime_ns
        return True

    def offer(self, accounts: Accounts, embodied_g: float, budgets: Any) -> None:
        """Hand over the figures as they stand; never waits."""
        self._offer(self._boot_id, self._state, accounts, embodied_g, budgets)

    def conclude(self, saved: Mapping[str, Any]) -> None:
        """Book the rest of another boot, from its last checkpoint.

        Raises KeyError, TypeError or ValueError where that cannot be understood.
        """
        state = msgspec.convert(saved["history"], _State | None)
        if state is not None:
            accounts = Accounts()
            accounts.load(saved["accounts"], 0)
            self._offer(saved["boot_id"], state, accounts, saved["embodied"][0], saved["budgets"])

    def dump(self) -> dict[str, Any]:
        """What a later process of this boot needs to go on with the same count."""
        dumped: dict[str, Any] = msgspec.to_builtins(self._state)
        return dumped

    def load(self, saved: Any) -> None:
        """Take up a dump; raises ValueError for what is none."""
        state = msgspec.convert(saved, _State | None)
        if state is not None:
            self._state = state

    def close(self) -> None:
        """Have what was handed over written, for which the disk gets a second."""
        self._journal.stop(STOP_TIMEOUT_S)

    def _offer(
        self, boot_id: str, state: _State, accounts: Accounts, embodied_g: float, budgets: Any
    ) -> None:
        if state.intensity is None:
            return
        sums = {component: NodeSum(**asdict(total)) for component, total in accounts.node.items()}
        batch = Batch(
            boot_id=boot_id,
            lineage=state.lineage,
            wall_ns=state.wall_ns,
            covered_ns=state.covered_ns,
            node=sums,
            accounts=[
                (
                    account.info,
                    [
                        (cell.component, cell.mode, cell.energy_uj, cell.emissions_g)
                        for cell in account.cells.values()
                    ],
                    account.embodied_g,
                )
                for account in accounts.everything()
            ],
            intensity=state.intensity,
            embodied_g=embodied_g,
            budgets=[budgets],
            agent=self._agent,
        )
        self._journal.offer(batch)
