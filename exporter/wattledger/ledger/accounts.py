"""The accounts: every accrued joule on exactly one workload series, every series bounded.

A series that ended stays visible for the grace period, then becomes dormant: it is no longer shown, and
its total counts as expired, so that visible plus expired always equals the node's total. If the
workload comes back while its dormant account is still kept, the series goes on where it stopped.

A workload whose names are still being looked up is held back for a moment, so that its series are born with
their names; what accrues meanwhile counts as not shown, like what expired.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count
from operator import attrgetter
from typing import Any

import msgspec

from ..carbon.pricing import Prices
from ..model import COMPONENTS, OTHER, S_NS, Component, Share, Workload
from ..snapshot import Cell, WorkloadRow
from .account import (
    PSEUDO,
    Account,
    CellKey,
    Key,
    dump_account,
    encode_accounts,
    load_account,
    named,
    same_labels,
)
from .admission import Admission
from .totals import NodeTotal, Total

DORMANT_LIMIT = 1000

_all_of = attrgetter(*NodeTotal.__slots__)  # astuple() would copy each value deeply, at every checkpoint


class Accounts:
    """All accounts of a node.

    `series_limit` bounds the workload series shown; what cannot get a series of its own accrues into
    the pseudo-workload `other`. `embodied` says whether embodied emissions are shown, one more series each.
    New workloads of `held_kinds` are shown when `name()` says so, at the latest after `hold_ns`.
    """

    def __init__(
        self,
        *,
        series_limit: int = 5000,
        grace_ns: int = 300 * S_NS,
        held_kinds: Collection[str] = (),
        hold_ns: int = 0,
    ) -> None:
        self.node: dict[Component, NodeTotal] = {}
        self.expired: dict[Component, Total] = {}
        self.expired_embodied_g = 0.0
        self.limited = 0
        self.embodied = False
        self._series_limit = series_limit
        self._grace_ns = grace_ns
        self._held_kinds = held_kinds
        self._hold_ns = hold_ns
        self._held: dict[Key, Account] = {}
        self._uids = count(1)
        self._open: dict[Key, Account] = {}
        self._dormant: dict[Key, Account] = {}
        self._ended: dict[Key, Account] = {}
        self._admission = Admission()
        self._cell_keys: set[CellKey] = set()
        self._touched: list[Account] = []
        self._dormant_dump: msgspec.Raw | None = None

    def configure(self, *, series_limit: int, grace_ns: int, hold_ns: int) -> None:
        """Change the bounds; series already shown stay until they end."""
        self._hold_ns = hold_ns
        self._series_limit = series_limit
        self._grace_ns = grace_ns

    def meet(self, born: Iterable[Workload], ended: Iterable[Workload], now_ns: int) -> None:
        """Open accounts for workloads that appeared and start the grace period of those that vanished."""
        for workload in ended:
            account = self._open.get(workload.key)
            if account is not None and workload.kind not in PSEUDO:
                account.ended_ns = now_ns
                self._ended[workload.key] = account
            self._admission.leave_queue(workload.key)
        # Those who are back come before those whose time is over: they may be the same.
        new = [workload for workload in born if workload.kind not in PSEUDO and not self._revive(workload)]
        self._expire(now_ns)
        for key in [key for key, held in self._held.items() if now_ns >= (held.held_until_ns or 0)]:
            self._show(key)
        self._admission.resize(self._capacity())
        for workload in new:
            if self._admission.enter(workload.key, workload):
                self._open_account(workload, now_ns)
            else:
                self.limited += 1
        for old, promoted in self._admission.exchange(self._ended):
            if old is not None:
                self._admission.wait(old, self._open[old].workload)
                self._to_dormant(old)
            self._open_account(promoted, now_ns)

    def name(self, key: Key, names: Workload, *, final: bool) -> None:
        """Take what was found out about a workload.

        Names go onto the energy series only while these are not shown yet, and always onto its info;
        `final` says that nothing more is to be expected soon, so that a held workload can be shown.
        """
        account = self._open.get(key)
        if account is None or key[0] in PSEUDO:
            return
        info = named(account.info, names)
        if same_labels(info, account.info):
            if final and account.held_until_ns is not None:
                self._show(key)
            return
        account.info = info
        account.uid = next(self._uids)
        account.row = account.labels = None
        if account.held_until_ns is not None:
            account.workload = account.info
            if final:
                self._show(key)

    def end_all(self, now_ns: int) -> None:
        """Take every workload for ended until it is met again: another source of workloads takes over."""
        for key, account in self._open.items():
            if account.workload.kind not in PSEUDO and account.ended_ns is None:
                account.ended_ns = now_ns
                self._ended[key] = account
        self._admission.clear_queue()

    def book(
        self,
        shares: Iterable[Share],
        cpu_ns: Mapping[Workload, int],
        prices: Prices,
        *,
        estimated: Collection[Component] = (),
    ) -> None:
        """Book one interval: each share and each workload's CPU time to exactly one account.

        Emissions are booked at the price of the component's interval and never changed afterwards.
        `estimated` are the components whose energy is an estimate.
        """
        for account in self._touched:
            account.interval_uj = 0
            account.interval_g = account.interval_embodied_g = 0.0
            account.row = None
        touched = self._touched = []
        opened = self._open
        grams_per_uj = {component: prices.of(component).grams_per_uj for component in COMPONENTS}
        drawn_uj: dict[Component, int] = {}
        for share in shares:
            component, mode, energy_uj = share.component, share.mode, share.energy_uj
            account = opened.get(share.workload.key) or self._account(share.workload)
            if not account.interval_uj:
                touched.append(account)
            grams = energy_uj * grams_per_uj[component]
            account.interval_uj += energy_uj
            account.interval_g += grams
            account.row = None
            key = (component, mode)
            cell = account.cells.get(key)
            if cell is None:
                cell = Cell(component, mode, 0, 0.0)
                if share.workload.kind not in PSEUDO:
                    self._cell_keys.add(key)
            account.cells[key] = Cell(component, mode, cell.energy_uj + energy_uj, cell.emissions_g + grams)
            drawn_uj[component] = drawn_uj.get(component, 0) + energy_uj
        for component, energy_uj in drawn_uj.items():
            self._node_total(component).book(
                energy_uj, prices.of(component), estimated=component in estimated
            )
        crowded = self._admission.crowded
        for workload, used_ns in cpu_ns.items():
            account = opened.get(workload.key) or self._account(workload)
            account.row = None
            account.cpu_ns += used_ns
            if crowded:
                self._admission.note(workload.key, used_ns)

    def book_embodied(self, grams: Mapping[Workload, float]) -> None:
        """Book embodied emissions of the interval that `book` was called for last."""
        for workload, embodied_g in grams.items():
            account = self._open.get(workload.key) or self._account(workload)
            if not account.interval_uj and not account.interval_embodied_g:
                self._touched.append(account)
            account.embodied_g += embodied_g
            account.interval_embodied_g += embodied_g
            account.row = None

    @property
    def touched(self) -> Sequence[Account]:
        """The accounts to which the last interval booked energy or embodied emissions."""
        return self._touched

    def known(self, key: Key) -> Workload | None:
        """What a workload is known as now."""
        account = self._open.get(key) or self._dormant.get(key)
        return account.info if account else None

    def everything(self) -> Iterator[Account]:
        """All accounts there are, also those that are not shown."""
        yield from self._open.values()
        yield from self._dormant.values()

    def living(self) -> list[Workload]:
        """The workloads that have not ended."""
        return [account.workload for account in self._open.values() if account.ended_ns is None]

    def not_shown(self, component: Component) -> Total:
        """What is booked to workload series that are not shown: expired, or held back."""
        expired = self.expired.get(component) or Total()
        total = Total(expired.energy_uj, expired.emissions_g)
        for account in self._held.values():
            for cell in account.cells.values():
                if cell.component == component:
                    total.add(cell.energy_uj, cell.emissions_g)
        return total

    def embodied_not_shown(self) -> float:
        """Embodied emissions on workload series that are not shown."""
        return max(0.0, self.expired_embodied_g) + sum(
            [account.embodied_g for account in self._held.values()]
        )

    def declare(self, components: Iterable[Component]) -> None:
        """Make node totals of zero for components that can be measured but have not drawn anything yet."""
        for component in components:
            self._node_total(component)

    def rows(self, interval_ns: int) -> tuple[WorkloadRow, ...]:
        """Every visible account. `interval_ns` is the length of the last interval, for its mean power."""
        per_watt = (S_NS / 1e6) / interval_ns if interval_ns > 0 else 0.0
        rows = []
        for account in self._open.values():
            row = account.row
            if account.held_until_ns is not None:
                continue
            if row is None:
                row = account.row = WorkloadRow(
                    account.uid,
                    account.workload,
                    account.cpu_ns,
                    account.interval_uj * per_watt,
                    tuple(account.cells.values()),
                    account.info,
                    account.embodied_g,
                )
            rows.append(row)
        return tuple(rows)

    @property
    def series(self) -> int:
        """How many workload series are shown now."""
        shown = [account for account in self._open.values() if account.held_until_ns is None]
        embodied = [account for account in shown if account.embodied_g > 0] if self.embodied else ()
        return sum([2 * len(account.cells) + 2 for account in shown]) + len(embodied)

    def dump(self) -> dict[str, Any]:
        """Everything a later process of the same boot needs, in what MessagePack can carry."""
        if self._dormant_dump is None:
            self._dormant_dump = encode_accounts(self._dormant.values())
        return {
            "node": {component: _all_of(total) for component, total in self.node.items()},
            "expired": {key: [total.energy_uj, total.emissions_g] for key, total in self.expired.items()},
            "expired_embodied_g": self.expired_embodied_g,
            "limited": self.limited,
            "open": [dump_account(account) for account in self._open.values()],
            "dormant": self._dormant_dump,
        }

    def load(self, saved: dict[str, Any], now_ns: int) -> None:
        """Take up a dump, decoded. Workloads count as ended until a scan reports them born again."""
        node = {component: NodeTotal(*fields) for component, fields in saved["node"].items()}
        expired = {component: Total(*pair) for component, pair in saved["expired"].items()}
        expired_embodied_g = float(saved["expired_embodied_g"])
        limited = int(saved["limited"])
        opened = [self._load(fields) for fields in saved["open"]]
        dormant = [self._load(fields) for fields in saved["dormant"]]
        # All of it could be understood, so take it up; half of it would not balance.
        self.node, self.expired, self.limited = node, expired, limited
        self.expired_embodied_g = expired_embodied_g
        for account in opened:
            self._open[account.workload.key] = account
            if account.workload.kind not in PSEUDO:
                if account.ended_ns is None:
                    account.ended_ns = now_ns
                self._ended[account.workload.key] = account
                self._admission.restore(account.workload.key)
        for account in dormant:
            self._dormant[account.workload.key] = account
        self._dormant_dump = None

    def _account(self, workload: Workload) -> Account:
        account = self._open.get(workload.key)
        if account is not None:
            return account
        if workload.kind in PSEUDO:
            return self._open_account(PSEUDO[workload.kind])
        return self._open.get(OTHER.key) or self._open_account(OTHER)

    def _open_account(self, workload: Workload, now_ns: int | None = None) -> Account:
        account = self._dormant.pop(workload.key, None)
        if account is None:
            account = Account(next(self._uids), workload, workload)
            if now_ns is not None and self._hold_ns and workload.kind in self._held_kinds:
                account.held_until_ns = now_ns + self._hold_ns
                self._held[workload.key] = account
        else:
            self._dormant_dump = None
            self._move_expired(account, -1)
            account.uid = next(self._uids)
            account.ended_ns = account.row = None
        self._open[workload.key] = account
        return account

    def _show(self, key: Key) -> None:
        """From now on the workload's series are shown, with the labels it has now."""
        account = self._held.pop(key)
        account.held_until_ns = account.row = None

    def _revive(self, workload: Workload) -> bool:
        """A workload that is back within its grace period keeps its series."""
        account = self._open.get(workload.key)
        if account is None:
            return False
        account.ended_ns = account.row = None
        self._ended.pop(workload.key, None)
        return True

    def _expire(self, now_ns: int) -> None:
        due = [
            key
            for key, account in self._ended.items()
            if account.ended_ns is not None and now_ns - account.ended_ns >= self._grace_ns
        ]
        for key in due:
            self._to_dormant(key)
            self._admission.leave(key)

    def _to_dormant(self, key: Key) -> None:
        account = self._open.pop(key)
        self._ended.pop(key, None)
        if self._held.pop(key, None) is not None:
            account.held_until_ns = None
        account.row = None
        account.interval_uj = 0
        account.interval_g = account.interval_embodied_g = 0.0
        self._move_expired(account, 1)
        self._dormant[key] = account
        self._dormant_dump = None
        while len(self._dormant) > DORMANT_LIMIT:
            del self._dormant[next(iter(self._dormant))]

    def _move_expired(self, account: Account, sign: int) -> None:
        for cell in account.cells.values():
            total = self.expired.setdefault(cell.component, Total())
            total.add(sign * cell.energy_uj, sign * cell.emissions_g)
        self.expired_embodied_g += sign * account.embodied_g

    def _capacity(self) -> int:
        """How many workloads fit the series limit: two series per energy cell, CPU time, info, embodied.

        The pseudo-workloads' places are kept free from the start, so that the capacity does not
        shrink when one of them appears.
        """
        per_workload = 2 * max(1, len(self._cell_keys)) + 2 + self.embodied
        return max(1, self._series_limit // per_workload - len(PSEUDO))

    def _node_total(self, component: Component) -> NodeTotal:
        total = self.node.get(component)
        if total is None:
            total = self.node[component] = NodeTotal()
        return total

    def _load(self, fields: list[Any]) -> Account:
        account = load_account(fields, next(self._uids))
        if account.workload.kind not in PSEUDO:
            self._cell_keys.update(account.cells)
        return account
