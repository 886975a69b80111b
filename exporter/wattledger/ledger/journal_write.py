"""Books batches into an open journal, each in one transaction with the marks of what is booked."""

# ruff: noqa: S608 - statements are put together from names in this file, values are always bound

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from ..model import Intensity, Workload
from .journal_file import UnreadableError
from .journal_marks import UNBOOKED, AccountMark, CellKey, Entry, Key, Marks, compare, stored
from .journal_records import Batch
from .journal_schema import HOUR_NS, NODE_COLUMNS

log = logging.getLogger(__name__)

KEPT_BOOTS = 2
"""The marks of this boot, and of the previous one, whose rest may still be handed over after a restart."""

_NODE_NAMES = ", ".join(NODE_COLUMNS)
_NODE_SLOTS = ", ".join("?" * (2 + len(NODE_COLUMNS)))
_NODE_SUMS = ", ".join(f"{column} = {column} + excluded.{column}" for column in NODE_COLUMNS)

ADD_ENERGY = """INSERT INTO hour_energy VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (hour, workload, component, mode) DO UPDATE SET
    energy_uj = energy_uj + excluded.energy_uj, emissions_ng = emissions_ng + excluded.emissions_ng"""
ADD_EMBODIED = """INSERT INTO hour_embodied VALUES (?, ?, ?)
    ON CONFLICT (hour, workload) DO UPDATE SET emissions_ng = emissions_ng + excluded.emissions_ng"""
ADD_NODE = f"""INSERT INTO hour_node VALUES ({_NODE_SLOTS})
    ON CONFLICT (hour, component) DO UPDATE SET {_NODE_SUMS}"""
ADD_COVER = """INSERT INTO hour_cover VALUES (?, ?, ?)
    ON CONFLICT (hour) DO UPDATE SET
    covered_ns = covered_ns + excluded.covered_ns, embodied_ng = embodied_ng + excluded.embodied_ng"""
ADD_SOURCE = """INSERT INTO hour_source VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (hour, source) DO UPDATE SET
    energy_uj = energy_uj + excluded.energy_uj, facility_uj = facility_uj + excluded.facility_uj,
    emissions_ng = emissions_ng + excluded.emissions_ng, covered_ns = covered_ns + excluded.covered_ns"""

SourceKey = tuple[str, str, str, str, str, str, int]


@dataclass(slots=True)
class _Row:
    """A workload's row as it is in the file; `workload` is the object it was last brought up to date from."""

    id: int
    labels: tuple[str, ...]
    facts: dict[str, str]
    first_hour: int
    last_hour: int
    workload: Workload | None = None


class Writer:
    """Writes into one connection, which nothing else writes to meanwhile.

    `created` says that the file had no tables before. After an exception the writer is of no further use:
    what it remembers of the file may have been rolled back.
    """

    def __init__(self, connection: sqlite3.Connection, *, created: bool) -> None:
        self._connection = connection
        self._created = created
        self._lineage: tuple[str, str] | None = None
        self._boot = 0
        self._marks = Marks()
        self._rows: dict[Key, _Row] = {}
        self._sources: dict[SourceKey, int] = {}
        self._budgets: list[bytes] | None = None
        self._agent: str | None = None

    def write(self, batch: Batch, known: Marks | None = None) -> Marks:
        """Book what the batch adds, and return the marks as they are now.

        `known` are the marks of the batch's lineage where this process had them in a file that is gone: a
        new file goes on from them. A new file that knows nothing begins with the batch, when that is more
        than an hour into a boot: nobody can tell to which hours its figures belong.
        Raises sqlite3.Error, UnreadableError for a file that contradicts itself, and ValueError or TypeError
        for a batch that cannot be stored; nothing of the batch is booked then.
        """
        lineage = (batch.boot_id, batch.lineage)
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            whole = blank = False
            if lineage != self._lineage:
                marks = self._load(lineage)
                if marks is None:
                    whole = self._created and known is not None
                    blank = self._created and known is None and batch.covered_ns > HOUR_NS
                    marks = known if whole and known is not None else Marks()
                    self._boot = self._new_boot(lineage)
            else:
                marks = self._marks
            entry = compare(marks, batch, every=whole or blank)
            if entry.marks.rolled_back and not marks.rolled_back:
                log.warning("ledger went back behind the journal, which waits until it has caught up")
            hour = batch.wall_ns // HOUR_NS
            if blank:
                log.warning("journal begins in the middle of a boot; what was drawn before is not in it")
            else:
                self._book_node(entry, hour, self._source(batch.intensity))
            self._book_accounts(entry, hour, booked=not blank, whole=whole or blank)
            self._mark_node(entry, batch.wall_ns)
            self._keep_budgets(batch.budgets)
            self._keep_agent(batch)
        self._created = False
        self._lineage, self._marks = lineage, entry.marks
        if len(self._rows) > 1000 + 2 * len(entry.marks.accounts):
            self.forget_rows()
        return entry.marks

    def forget_rows(self) -> None:
        """Look the workloads up anew; rows may have been deleted."""
        self._rows = {}

    def _book_node(self, entry: Entry, hour: int, source: int) -> None:
        execute = self._connection.execute
        for component, amounts in entry.node.items():
            if any(amounts):
                execute(ADD_NODE, (hour, component, *amounts))
        if entry.covered_ns or entry.embodied_ng:
            execute(ADD_COVER, (hour, entry.covered_ns, entry.embodied_ng))
        sums = dict(zip(NODE_COLUMNS, map(sum, zip(*entry.node.values(), strict=True)), strict=False))
        energy_uj = sums.get("energy_uj", 0)
        if energy_uj or entry.covered_ns:
            more = (sums.get("facility_uj", 0), sums.get("emissions_ng", 0), entry.covered_ns)
            execute(ADD_SOURCE, (hour, source, energy_uj, *more))

    def _book_accounts(self, entry: Entry, hour: int, *, booked: bool, whole: bool) -> None:
        """Book the accounts' part; with `whole` write all their marks, for none is in the file yet."""
        boot, connection = self._boot, self._connection
        energy: list[tuple[int, int, int, int, int, int]] = []
        energy_marks: list[tuple[int, int, int, int, int, int]] = []
        embodied: list[tuple[int, int, int]] = []
        embodied_marks: list[tuple[int, int, int]] = []
        for account in entry.accounts:
            mark, adds = account.mark, account.adds
            if not whole and not adds.cells and not adds.embodied_ng and not account.anew:
                continue
            row = self._row(account.key, account.workload, hour)
            if account.anew:
                self._forget(row)
            if booked and adds.embodied_ng:
                embodied.append((hour, row, adds.embodied_ng))
            if whole or adds.embodied_ng:
                embodied_marks.append((boot, row, mark.embodied_ng))
            if booked:
                for (component, mode), amount in adds.cells.items():
                    energy.append((hour, row, component, mode, *amount))
            marked = mark.cells if whole else adds.cells
            energy_marks += [(boot, row, *cell, *mark.cells[cell]) for cell in marked]
        connection.executemany(ADD_ENERGY, sorted(energy))
        connection.executemany(ADD_EMBODIED, sorted(embodied))
        connection.executemany(
            "INSERT OR REPLACE INTO mark_energy VALUES (?, ?, ?, ?, ?, ?)", sorted(energy_marks)
        )
        connection.executemany("INSERT OR REPLACE INTO mark_account VALUES (?, ?, ?)", sorted(embodied_marks))
        for key in entry.forgotten:
            known = self._rows.pop(key, None) or self._find(key)
            if known is not None:
                self._forget(known.id)

    def _forget(self, workload: int) -> None:
        """Drop the marks of an account."""
        for table in ("mark_energy", "mark_account"):
            self._connection.execute(
                f"DELETE FROM {table} WHERE boot = ? AND workload = ?",
                (self._boot, workload),
            )

    def _mark_node(self, entry: Entry, wall_ns: int) -> None:
        marks = entry.marks
        self._connection.execute(
            "UPDATE boot SET wall_ns = ?, covered_ns = ?, embodied_ng = ?, rolled_back = ? WHERE id = ?",
            (wall_ns, marks.covered_ns, marks.embodied_ng, marks.rolled_back, self._boot),
        )
        self._connection.executemany(
            f"INSERT OR REPLACE INTO mark_node VALUES ({_NODE_SLOTS})",
            [(self._boot, component, *amounts) for component, amounts in marks.node.items()],
        )

    def _load(self, lineage: tuple[str, str]) -> Marks | None:
        """The marks of a lineage; None when the file has none of it."""
        execute = self._connection.execute
        found = execute(
            "SELECT id, covered_ns, embodied_ng, rolled_back FROM boot WHERE boot_id = ? AND lineage = ?",
            lineage,
        ).fetchone()
        if found is None:
            return None
        self._boot, covered_ns, embodied_ng, rolled_back = found
        cells: dict[Key, dict[CellKey, tuple[int, int]]] = {}
        embodied: dict[Key, int] = {}
        for kind, ident, grams_ng in execute(
            "SELECT kind, ident, embodied_ng FROM mark_account LEFT JOIN workload ON id = workload"
            " WHERE boot = ?",
            (self._boot,),
        ):
            embodied[kind, ident] = grams_ng
        for kind, ident, component, mode, energy_uj, emissions_ng in execute(
            "SELECT kind, ident, component, mode, energy_uj, emissions_ng"
            " FROM mark_energy LEFT JOIN workload ON id = workload WHERE boot = ?",
            (self._boot,),
        ):
            cells.setdefault((kind, ident), {})[component, mode] = (energy_uj, emissions_ng)
        node = {
            row[0]: tuple(row[1:])
            for row in execute(
                f"SELECT component, {_NODE_NAMES} FROM mark_node WHERE boot = ?",
                (self._boot,),
            )
        }
        numbers = [covered_ns, embodied_ng, *embodied.values(), *(n for row in node.values() for n in row)]
        numbers += [number for account in cells.values() for pair in account.values() for number in pair]
        keys = [text for key in (*cells, *embodied) for text in key]
        if not all(isinstance(n, int) for n in numbers) or not all(isinstance(text, str) for text in keys):
            raise UnreadableError("the marks of what is booked make no sense")
        return Marks(
            covered_ns=covered_ns,
            embodied_ng=embodied_ng,
            rolled_back=bool(rolled_back),
            node=node,
            accounts={
                key: AccountMark(cells.get(key, UNBOOKED.cells), embodied.get(key, 0))
                for key in {**cells, **embodied}
            },
        )

    def _new_boot(self, lineage: tuple[str, str]) -> int:
        """A row for a boot that was not seen before; the marks of the oldest go."""
        execute = self._connection.execute
        cursor = execute("INSERT INTO boot VALUES (NULL, ?, ?, 0, 0, 0, 0)", lineage)
        boot = int(cursor.lastrowid or 0)
        old = execute("SELECT id FROM boot ORDER BY id DESC LIMIT -1 OFFSET ?", (KEPT_BOOTS,)).fetchall()
        for table, column in (
            ("mark_node", "boot"),
            ("mark_account", "boot"),
            ("mark_energy", "boot"),
            ("boot", "id"),
        ):
            self._connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", old)
        return boot

    def _row(self, key: Key, workload: Workload, hour: int) -> int:
        """The id of a workload's row, which is made, or brought up to date, where needed."""
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = self._find(key) or self._insert(key, hour)
        if row.workload is not workload:
            row.workload = workload
            self._relabel(row, workload)
        if not row.first_hour <= hour <= row.last_hour:
            row.first_hour, row.last_hour = min(row.first_hour, hour), max(row.last_hour, hour)
            self._connection.execute(
                "UPDATE workload SET first_hour = ?, last_hour = ? WHERE id = ?",
                (row.first_hour, row.last_hour, row.id),
            )
        return row.id

    def _find(self, key: Key) -> _Row | None:
        found = self._connection.execute(
            "SELECT id, name, pod_namespace, pod_name, container_name, facts, first_hour, last_hour"
            " FROM workload WHERE kind = ? AND ident = ?",
            key,
        ).fetchone()
        if found is None:
            return None
        id_, *labels, facts, first_hour, last_hour = found
        return _Row(id_, tuple(labels), json.loads(facts), first_hour, last_hour)

    def _insert(self, key: Key, hour: int) -> _Row:
        cursor = self._connection.execute(
            "INSERT INTO workload VALUES (NULL, ?, ?, '', '', '', '', '', '', '{}', ?, ?)", (*key, hour, hour)
        )
        return _Row(int(cursor.lastrowid or 0), ("", "", "", ""), {}, hour, hour)

    def _relabel(self, row: _Row, workload: Workload) -> None:
        """Take what is known of a workload now; what is not known at the moment stays as it was."""
        now = (workload.name, workload.pod_namespace, workload.pod_name, workload.container_name)
        labels = tuple([stored(new) or old for new, old in zip(now, row.labels, strict=True)])
        facts = {**row.facts, **{stored(name): stored(value) for name, value in workload.facts}}
        if labels == row.labels and facts == row.facts:
            return
        row.labels, row.facts = labels, facts
        self._connection.execute(
            "UPDATE workload SET name = ?, pod_namespace = ?, pod_name = ?, container_name = ?,"
            " user = ?, account = ?, facts = ? WHERE id = ?",
            (*labels, facts.get("user", ""), facts.get("account", ""), json.dumps(facts), row.id),
        )

    def _source(self, intensity: Intensity) -> int:
        """The id of a source of intensity."""
        texts = (
            intensity.provider,
            intensity.grid_zone,
            intensity.basis,
            intensity.kind,
            intensity.flow,
            intensity.licence,
        )
        provider, zone, basis, kind, flow, licence = map(stored, texts)
        key: SourceKey = (provider, zone, basis, kind, flow, licence, int(intensity.fallback))
        if key not in self._sources:
            execute = self._connection.execute
            execute("INSERT OR IGNORE INTO source VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", key)
            found = execute(
                "SELECT id FROM source WHERE provider = ? AND grid_zone = ? AND basis = ? AND kind = ?"
                " AND flow = ? AND licence = ? AND fallback = ?",
                key,
            ).fetchone()
            self._sources[key] = int(found[0])
        return self._sources[key]

    def _keep_budgets(self, budgets: Sequence[object]) -> None:
        dumps = [msgspec.msgpack.encode(budget) for budget in budgets]
        if dumps == self._budgets:
            return
        self._connection.execute("DELETE FROM budget")
        self._connection.executemany("INSERT INTO budget VALUES (?, ?)", list(enumerate(dumps)))
        self._budgets = dumps

    def _keep_agent(self, batch: Batch) -> None:
        """Note who made the figures, whenever that changes."""
        facts = json.dumps({stored(name): stored(value) for name, value in batch.agent.items()})
        if facts == self._agent:
            return
        last = self._connection.execute("SELECT facts FROM agent ORDER BY since_ns DESC LIMIT 1").fetchone()
        if last is None or last[0] != facts:
            self._connection.execute("INSERT OR REPLACE INTO agent VALUES (?, ?)", (batch.wall_ns, facts))
        self._agent = facts
