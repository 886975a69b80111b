"""The ledger: books frames, keeps what must outlive the process, and shows the account."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..attribution import Frame
from ..carbon.budgets.book import Budgets
from ..carbon.pricing import Prices
from ..clock import Clock
from ..idle import Floor, IdleFloor
from ..meters import Meters
from ..model import COMPONENTS, S_NS, BudgetRow, Component, Price, Share
from ..settings import BudgetSettings, EmbodiedSettings
from ..snapshot import NodeRow, ProcessRow, WorkloadRow
from .accounts import Accounts
from .amortised import Amortised
from .checkpoint import Checkpoint
from .floors import FloorsFile
from .history import History
from .past import Past
from .processes import Processes
from .totals import Total

log = logging.getLogger(__name__)

FLOORS_EVERY_NS = 300 * S_NS
JOURNAL_ERRORS = "journal_errors"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a snapshot shows of the ledger."""

    workloads: tuple[WorkloadRow, ...]
    processes: tuple[ProcessRow, ...]
    series: int
    limited: int
    self_energy_uj: int
    embodied_g: float | None
    expired_embodied_g: float
    budgets: tuple[BudgetRow, ...]
    journal_errors: int
    journal_written_wall_ns: int


class Ledger:
    """Accounts, process detail, budgets and idle floors, with their storage.

    `folder` is the state directory, None to keep everything in memory. `counts` are the agent's counts of
    its own doings, which go on after a restart like every other counter. `agent` says for the journal what
    made the figures.
    """

    def __init__(
        self,
        *,
        accounts: Accounts,
        processes: Processes,
        idle: IdleFloor,
        clock: Clock,
        boot_id: str = "",
        folder: str | None = None,
        embodied: EmbodiedSettings | None = None,
        budgets: Sequence[BudgetSettings] = (),
        hold_ns: int = 0,
        retention_ns: int | None = None,
        agent: Mapping[str, str] | None = None,
    ) -> None:
        self.accounts = accounts
        self.processes = processes
        self.idle = idle
        self.checkpoint_errors = 0
        self.counts: dict[str, int] = {}
        self._clock = clock
        self._boot_id = boot_id
        self._floors = FloorsFile(folder or "")
        self._checkpoint = Checkpoint(folder) if folder else None
        self._history = None
        if folder and retention_ns is not None:
            self._history = History(folder, retention_ns=retention_ns, boot_id=boot_id, agent=agent or {})
        self._embodied = Amortised(embodied or EmbodiedSettings())
        self.accounts.embodied = self._embodied.wanted
        self.budgets = Budgets(
            budgets,
            hold_ns=hold_ns,
            seed=self._history.seed if self._history else None,
            known=self.accounts.known,
        )
        self._saved_meters: dict[str, Any] | None = None
        self._self_energy_uj = 0
        self._journal_errors_before = 0
        self._floors_ns = clock.boottime_ns()
        self._floors_broken = False
        self._broken = False
        self._saved = True

    def open(self) -> None:
        """Take up what the last process left; raises StorageError when the directory cannot be used."""
        if self._checkpoint is None:
            log.warning("no state directory: counters and idle floors start anew with every start")
            self.budgets.open(self._clock.wall_ns())
            return
        self._floors.load(self.idle, self._clock.wall_ns())
        saved = self._checkpoint.open()
        if self._history is not None:
            self._history.open()
        if saved is not None:
            self._take_up(saved, self._checkpoint)
        self._open_budgets(saved)
        if self._history is not None:
            self._history.start()

    def _take_up(self, saved: dict[str, Any], checkpoint: Checkpoint) -> None:
        """Go on where a process of this boot stopped; of another boot, see its figures into the journal."""
        if saved.get("boot_id") != self._boot_id:
            log.info("another boot: counters start at zero")
            self._embodied.begin(0)  # the agent belongs to this machine: its time counts from the boot
            self._conclude(saved)
            return
        now_ns = self._clock.boottime_ns()
        try:
            counts, down_ns = dict(saved["counts"]), now_ns - int(saved["at_ns"])
            self_energy_uj, checkpoint_errors = int(saved["self_energy_uj"]), int(saved["checkpoint_errors"])
            # All of it has to be understood before any is taken up: half of it would not balance.
            Meters().load(saved["meters"], ())
            Processes(top=0, grace_ns=0).load(saved["processes"])
            Accounts().load(saved["accounts"], now_ns)
            Amortised(EmbodiedSettings()).load(saved["embodied"])
            if self._history is not None:
                self._history.load(saved["history"])
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            checkpoint.reject(repr(error))
            return
        self.processes.load(saved["processes"])
        self.accounts.load(saved["accounts"], now_ns)
        self._embodied.load(saved["embodied"])
        self._self_energy_uj, self.checkpoint_errors, self.counts = self_energy_uj, checkpoint_errors, counts
        self._journal_errors_before = counts.get(JOURNAL_ERRORS, 0)
        self._saved_meters = saved["meters"]  # which the sampler takes up when it has probed
        log.info("going on from the checkpoint", extra={"down_seconds": round(down_ns / S_NS, 3)})

    def _conclude(self, saved: dict[str, Any]) -> None:
        """See another boot's last figures into the journal."""
        if self._history is None:
            return
        try:
            self._history.conclude(saved)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            log.warning("the last boot's rest is not in the journal", extra={"reason": repr(error)})

    def _open_budgets(self, saved: dict[str, Any] | None) -> None:
        """What was consumed is in the checkpoint, of whatever boot, and in the journal: the most holds."""
        dumps = [saved.get("budgets") if saved else None]
        if self._history is not None:
            dumps += self._history.budgets()
        for dump in dumps:
            try:
                if dump:
                    self.budgets.load(dump)
            except ValueError as error:
                log.warning("saved budgets were not readable", extra={"reason": str(error)})
        self.budgets.open(self._clock.wall_ns())

    def past(self, budgets: Sequence[BudgetSettings]) -> Past | None:
        """What was spent of those budgets that are new or count something else, for `configure`.

        Reads the journal, which may take seconds: not to be called on the sampler's thread while it ticks.
        None where there is no journal. Raises SettingsError.
        """
        if self._history is None:
            return None
        return self._history.past(self.budgets.unknown(budgets), self._clock.wall_ns())

    def configure(
        self,
        *,
        series_limit: int,
        grace_ns: int,
        hold_ns: int,
        top: int,
        idle_watts: Mapping[str, float],
        embodied: EmbodiedSettings,
        budgets: Sequence[BudgetSettings],
        retention_ns: int,
        agent: Mapping[str, str],
        past: Past | None,
    ) -> None:
        """Put reloaded settings in force; raises SettingsError for budgets, with nothing changed.

        `past` is what `past()` gave for these budgets, a moment ago and on another thread.
        """
        seed = None
        if past is not None and self._history is not None:
            seed = self._history.up_to_now(past, self.accounts, self._embodied.grams)
        self.budgets.configure(budgets, hold_ns=hold_ns, wall_ns=self._clock.wall_ns(), seed=seed)
        self._embodied.configure(embodied)
        self.accounts.embodied = self._embodied.wanted
        if self._history is not None:
            self._history.configure(retention_ns=retention_ns, agent=agent)
        self.accounts.configure(series_limit=series_limit, grace_ns=grace_ns, hold_ns=hold_ns)
        self.processes.configure(top=top, grace_ns=grace_ns)
        self.idle.configure(idle_watts)

    def take_saved_meters(self) -> dict[str, Any] | None:
        """The meters' part of the checkpoint, once."""
        saved, self._saved_meters = self._saved_meters, None
        return saved

    def declare(self, components: Iterable[Component], *, node: bool) -> None:
        """Show components that are metered from the start, at zero."""
        self.accounts.declare([*components, *(["other"] if node else [])])  # type: ignore[list-item]

    def book(
        self,
        frame: Frame,
        shares: Sequence[Share],
        prices: Prices,
        *,
        estimated: Collection[Component] = (),
        self_energy_uj: int = 0,
    ) -> None:
        """Book one frame; what a frame holds is booked exactly once.

        `estimated` are the components whose energy is an estimate.
        """
        usage = frame.usage
        if self._history is not None and self._saved and self._history.hour_ends(prices.end_ns):
            self._history.offer(self.accounts, self._embodied.grams, self.budgets.dump())
        self._saved = False
        self.accounts.meet(usage.born, usage.ended, frame.end_ns)
        self.accounts.book(shares, usage.cpu_ns, prices, estimated=estimated)
        counted_ns = self._embodied.counted_ns
        embodied = self._embodied.take(usage, frame.start_ns, frame.end_ns, prices.end_ns)
        start_ns = prices.start_ns
        if embodied and counted_ns is not None:
            self.accounts.book_embodied(embodied)
            start_ns = min(start_ns, prices.end_ns - (frame.end_ns - counted_ns))
        self._charge(start_ns, prices.end_ns, sum(embodied.values()))
        if self._history is not None:
            self._history.note(prices, frame.end_ns - frame.start_ns)
        self._self_energy_uj += self_energy_uj
        dynamic: dict[tuple[str, str], Total] = {}
        if usage.processes:
            for share in shares:
                if share.mode == "dynamic":
                    total = dynamic.setdefault(share.workload.key, Total())
                    total.add(share.energy_uj, share.energy_uj * prices.of(share.component).grams_per_uj)
        self.processes.book(usage.processes, usage.cpu_ns, dynamic, frame.end_ns)

    def _charge(self, start_ns: int, end_ns: int, embodied_g: float) -> None:
        """Count the interval against the budgets."""
        touched = self.accounts.touched
        rows = (
            (
                account.uid,
                account.info,
                account.held_until_ns is None,
                account.interval_g,
                account.interval_embodied_g,
            )
            for account in touched
        )
        node_g = sum([account.interval_g for account in touched])
        self.budgets.charge(start_ns, end_ns, node_g, embodied_g, rows if self.budgets.wants_rows else ())

    @property
    def _journal_errors(self) -> int:
        return self._journal_errors_before + (self._history.errors if self._history else 0)

    def view(self, interval_ns: int) -> View:
        """The account now."""
        return View(
            embodied_g=self._embodied.grams if self._embodied.wanted else None,
            expired_embodied_g=self.accounts.embodied_not_shown(),
            budgets=self.budgets.rows(self._clock.wall_ns()),
            journal_errors=self._journal_errors,
            journal_written_wall_ns=self._history.written_wall_ns if self._history else 0,
            workloads=self.accounts.rows(interval_ns),
            processes=self.processes.rows(),
            series=self.accounts.series,
            limited=self.accounts.limited,
            self_energy_uj=self._self_energy_uj,
        )

    def node_rows(self, frame: Frame, estimated: Collection[Component], price: Price) -> list[NodeRow]:
        """The node's totals, in component order; market-based emissions and water where they have a price."""
        rows = []
        for component in COMPONENTS:
            total = self.accounts.node.get(component)
            if total is None:
                continue
            not_shown = self.accounts.not_shown(component)
            floor = self.idle.floor(component) or _boards_floor(component, frame)
            energy_uj = frame.energy_uj.get(component)
            span_ns = frame.span_ns.get(component, frame.end_ns - frame.start_ns)
            rows.append(
                NodeRow(
                    component=component,
                    energy_uj=total.energy_uj,
                    emissions_g=total.emissions_g,
                    expired_uj=not_shown.energy_uj,
                    expired_g=max(0.0, not_shown.emissions_g),
                    power_w=energy_uj * (S_NS / 1e6) / span_ns
                    if energy_uj is not None and span_ns > 0
                    else None,
                    idle_power_w=floor.power_w if floor else None,
                    idle_source=floor.source if floor else "",
                    estimated=component in estimated,
                    market_g=total.market_g if price.market else None,
                    water_l=total.water_l if price.wue_l_per_kwh is not None else None,
                )
            )
        return rows

    def checkpoint(self, meters: Meters) -> None:
        """Write what the next snapshot will show. A failing disk is counted and never stops the agent."""
        if self._checkpoint is None:
            return
        now_ns = self._clock.boottime_ns()
        self.counts[JOURNAL_ERRORS] = self._journal_errors
        state = {
            "boot_id": self._boot_id,
            "at_ns": now_ns,
            "accounts": self.accounts.dump(),
            "processes": self.processes.dump(),
            "meters": meters.dump(),
            "self_energy_uj": self._self_energy_uj,
            "checkpoint_errors": self.checkpoint_errors,
            "counts": self.counts,
            "embodied": self._embodied.dump(),
            "budgets": self.budgets.dump(),
            "history": self._history.dump() if self._history else None,
        }
        try:
            self._checkpoint.write(state)
        except OSError as error:
            self.checkpoint_errors += 1
            if not self._broken:
                log.error(
                    "checkpoint cannot be written; a restart now would lose the account",
                    extra={"path": self._checkpoint.path, "reason": error.strerror},
                )
            self._broken = True
            return
        self._saved = True
        if now_ns - self._floors_ns >= FLOORS_EVERY_NS:
            self._floors_ns = now_ns
            self._save_floors()
        if self._history is not None and self._history.due(now_ns):
            # Only what the checkpoint holds: the journal must never know more than a next process.
            self._history.offer(self.accounts, self._embodied.grams, state["budgets"])
        if self._broken:
            log.info("checkpoint is written again", extra={"path": self._checkpoint.path})
        self._broken = False

    def close(self) -> None:
        """Write the journal's rest, save the idle floors, and release the state directory."""
        if self._checkpoint is None:
            return
        if self._history is not None:
            if self._saved:
                self._history.offer(self.accounts, self._embodied.grams, self.budgets.dump())
            self._history.close()
        self._save_floors()
        try:
            self._checkpoint.close()
        except OSError as error:
            log.error("state could not be saved at the end", extra={"reason": error.strerror})

    def _save_floors(self) -> None:
        """The idle floors are no part of the account: without them it is whole, and they are learned anew."""
        try:
            self._floors.save(self.idle)
        except OSError as error:
            if not self._floors_broken:
                log.error(
                    "idle floors cannot be saved; after a restart they would start anew",
                    extra={"reason": error.strerror},
                )
            self._floors_broken = True
            return
        self._floors_broken = False


def _boards_floor(component: Component, frame: Frame) -> Floor | None:
    """The idle power of the GPU boards together, as far as it is known."""
    known_w = [board.idle_floor_w for board in frame.boards if board.idle_floor_w]
    return Floor(sum(known_w), "observed") if component == "gpu" and known_w else None
