"""Reads a journal: sums and hours by workload, namespace, user or component, with what backs them up.

All spans are wall time in nanoseconds and mean the whole UTC hours that begin inside them: `start_ns` itself
is inside, `end_ns` is not. Energies are exact integers; grams are sums of integer nanograms.
"""

# ruff: noqa: S608 - queries are put together from names in this file, values are always bound

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from ..errors import StorageError
from ..model import Component, Workload
from .journal_file import FILE, address, fallback_name
from .journal_marks import node_sum
from .journal_records import NodeSum
from .journal_rows import By, GroupSum, HourCover, SourceSum
from .journal_schema import APPLICATION_ID, COMPONENT_OF, HOUR_NS, MODE_OF, NODE_COLUMNS, STEPS

BUSY_S = 5.0
CHUNK_HOURS = 24
"""Hours are fetched by the day, which bounds memory and spares SQLite sorting everything at once."""

_Group = tuple[int, int | str]
"""Hour, or 0, and the number of a workload or the name of a group."""
_WORKLOAD = "kind, ident, name, pod_namespace, pod_name, container_name, facts"
_NODE_NAMES = ", ".join(NODE_COLUMNS)
_NODE_SUMS = ", ".join(f"sum({column})" for column in NODE_COLUMNS)


class JournalReader:
    """An open journal; a context manager. Every method raises StorageError when the file cannot be read.

    All methods show the journal as it was at the first read, however much the agent writes meanwhile; its
    write-ahead log cannot shrink until the reader is closed. Not to be shared by threads.
    `complete` is False when a write-ahead log beside the file could not be used, so that the newest hours
    may be missing. Groups come in no order.
    """

    def __init__(self, path: str, connection: sqlite3.Connection, *, complete: bool) -> None:
        self.path = path
        self.complete = complete
        self._connection = connection
        self._known: dict[int, Workload] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._connection.close()

    def span(self) -> tuple[int, int] | None:
        """Where the first hour begins and the last one ends, None in an empty journal."""
        tables = ("hour_cover", "hour_node", "hour_energy")
        ends = " UNION ALL ".join(
            f"SELECT {end}(hour) FROM {table}" for table in tables for end in ("min", "max")
        )
        first, last = self.rows(
            f"SELECT min(hour), max(hour) FROM (SELECT 0 AS hour WHERE 0 UNION ALL {ends})"
        )[0]
        return None if first is None else (first * HOUR_NS, (last + 1) * HOUR_NS)

    def written_wall_ns(self) -> int:
        """The wall time of the newest batch, 0 if there is none."""
        return int(self.rows("SELECT max(wall_ns) FROM boot")[0][0] or 0)

    def workloads(self) -> dict[int, Workload]:
        """Every workload the journal knows, by its number in the file."""
        if self._known is None:
            rows = self.rows(f"SELECT id, {_WORKLOAD} FROM workload")
            self._known = {row[0]: _workload(row[1:]) for row in rows}
        return self._known

    def totals(self, start_ns: int, end_ns: int, *, by: By = "workload") -> list[GroupSum]:
        """The sums of each group over a span."""
        first, last = _hours(start_ns, end_ns)
        return [group for _, group in self._sums(first, last, by, hourly=False)]

    def hours(self, start_ns: int, end_ns: int, *, by: By = "workload") -> Iterator[GroupSum]:
        """The sums of each group in each hour, hours in order; a day at a time is held in memory."""
        first, last = _hours(start_ns, end_ns)
        for start in self._chunks(first, last):
            chunk = self._sums(start, min(last, start + CHUNK_HOURS), by, hourly=True)
            chunk.sort(key=lambda item: item[0])
            for _, group in chunk:
                yield group

    def nodes(self, start_ns: int, end_ns: int) -> dict[Component, NodeSum]:
        """The node's sums over a span, by component."""
        rows = self.rows(
            f"SELECT component, {_NODE_SUMS} FROM hour_node WHERE hour >= ? AND hour < ? GROUP BY component",
            _hours(start_ns, end_ns),
        )
        return {COMPONENT_OF[row[0]]: node_sum(tuple(row[1:])) for row in rows}

    def node_hours(self, start_ns: int, end_ns: int) -> Iterator[tuple[int, Component, NodeSum]]:
        """The node's sums of each hour (where it begins) and component, hours in order."""
        first, last = _hours(start_ns, end_ns)
        for start in self._chunks(first, last):
            rows = self.rows(
                f"SELECT hour, component, {_NODE_NAMES} FROM hour_node WHERE hour >= ? AND hour < ?"
                " ORDER BY hour, component",
                (start, min(last, start + CHUNK_HOURS)),
            )
            for hour, component, *amounts in rows:
                yield hour * HOUR_NS, COMPONENT_OF[component], node_sum(tuple(amounts))

    def cover(self, start_ns: int, end_ns: int) -> list[HourCover]:
        """The hours in which anything was booked, in order; what is missing was not covered."""
        rows = self.rows(
            "SELECT hour, covered_ns, embodied_ng FROM hour_cover WHERE hour >= ? AND hour < ? ORDER BY hour",
            _hours(start_ns, end_ns),
        )
        return [HourCover(hour * HOUR_NS, covered_ns, ng / 1e9) for hour, covered_ns, ng in rows]

    def sources(self, start_ns: int, end_ns: int) -> list[SourceSum]:
        """What each source of intensity priced, the one with the most energy first."""
        rows = self.rows(
            "SELECT provider, grid_zone, basis, kind, flow, licence, fallback, sum(energy_uj),"
            " sum(facility_uj), sum(emissions_ng), sum(covered_ns)"
            " FROM hour_source JOIN source ON source.id = hour_source.source"
            " WHERE hour >= ? AND hour < ? GROUP BY source.id ORDER BY sum(energy_uj) DESC, source.id",
            _hours(start_ns, end_ns),
        )
        return [
            SourceSum(
                provider=row[0],
                grid_zone=row[1],
                basis=row[2],
                kind=row[3],
                flow=row[4],
                licence=row[5],
                fallback=bool(row[6]),
                energy_uj=row[7],
                facility_uj=row[8],
                emissions_g=row[9] / 1e9,
                covered_ns=row[10],
            )
            for row in rows
        ]

    def agents(self, start_ns: int, end_ns: int) -> list[tuple[int, dict[str, str]]]:
        """Who made the figures of a span (version, ...), each with the wall time since when."""
        found = [
            (since, json.loads(facts))
            for since, facts in self.rows(
                "SELECT since_ns, facts FROM agent WHERE since_ns < ? ORDER BY since_ns", (end_ns,)
            )
        ]
        before = [agent for agent in found if agent[0] <= start_ns]
        return before[-1:] + [agent for agent in found if agent[0] > start_ns]

    def grams(
        self,
        match: Callable[[Workload], bool] | None,
        start_ns: int,
        end_ns: int,
        *,
        embodied: bool = False,
    ) -> float:
        """Grams of the workloads that match (None: of the node) between two moments.

        An hour partly inside counts in proportion to the time that is booked of it: of the hour that is
        still running, up to the newest batch.
        """
        written_ns = self.written_wall_ns()
        chosen = match is not None
        if match is not None:
            self._choose(match)
        grams = 0.0
        first, last = start_ns // HOUR_NS, -(-end_ns // HOUR_NS)
        edges = {first, last - 1} if last > first else set()
        for hour in edges:
            began_ns, ended_ns = hour * HOUR_NS, (hour + 1) * HOUR_NS
            if began_ns < written_ns < ended_ns:
                ended_ns = written_ns
            inside_ns = min(end_ns, ended_ns) - max(start_ns, began_ns)
            if inside_ns > 0:
                part = inside_ns / (ended_ns - began_ns)
                grams += part * self._nanograms(chosen, hour, hour + 1, embodied=embodied)
        return (grams + self._nanograms(chosen, first + 1, last - 1, embodied=embodied)) / 1e9

    def _nanograms(self, chosen: bool, first: int, last: int, *, embodied: bool) -> int:
        """Of the hours from `first` to before `last`: of the chosen workloads, else of the node."""
        if chosen:
            tables = {"hour_energy": "emissions_ng", "hour_embodied": "emissions_ng"}
        else:
            tables = {"hour_node": "emissions_ng", "hour_cover": "embodied_ng"}
        only = " AND workload IN (SELECT id FROM chosen)" if chosen else ""
        total = 0
        for table, column in list(tables.items())[: 2 if embodied else 1]:
            query = f"SELECT sum({column}) FROM {table} WHERE hour >= ? AND hour < ?{only}"
            total += self.rows(query, (first, last))[0][0] or 0
        return total

    def _choose(self, match: Callable[[Workload], bool]) -> None:
        """Put the workloads that match into a temporary table of this connection."""
        ids = [(id_,) for id_, known in self.workloads().items() if match(known)]
        self.rows("CREATE TEMPORARY TABLE IF NOT EXISTS chosen (id INTEGER PRIMARY KEY)")
        self.rows("DELETE FROM chosen")
        self._connection.executemany("INSERT INTO chosen VALUES (?)", ids)

    def _sums(self, first: int, last: int, by: By, *, hourly: bool) -> list[tuple[int, GroupSum]]:
        """Sums by group, and by hour if asked for; the hour is 0 else.

        Workloads are put into groups here: SQLite would sort every row of the span for it.
        """
        known = self.workloads()
        group_of = {id_: id_ if by == "workload" else _group(workload, by) for id_, workload in known.items()}
        cells: dict[_Group, dict[tuple[int, int], tuple[int, int]]] = {}
        embodied: dict[_Group, int] = {}
        at = "hour" if hourly else "0"
        for start in self._chunks(first, last):
            part = (start, min(last, start + CHUNK_HOURS))
            for hour, id_, component, mode, energy_uj, emissions_ng in self.rows(
                f"SELECT {at}, workload, component, mode, sum(energy_uj), sum(emissions_ng) FROM hour_energy"
                " WHERE hour >= ? AND hour < ? GROUP BY 1, 2, 3, 4",
                part,
            ):
                cell = cells.setdefault((hour, group_of[id_]), {})
                booked_uj, booked_ng = cell.get((component, mode), (0, 0))
                cell[component, mode] = (booked_uj + energy_uj, booked_ng + emissions_ng)
            for hour, id_, emissions_ng in self.rows(
                f"SELECT {at}, workload, sum(emissions_ng) FROM hour_embodied"
                " WHERE hour >= ? AND hour < ? GROUP BY 1, 2",
                part,
            ):
                key = (hour, group_of[id_])
                embodied[key] = embodied.get(key, 0) + emissions_ng
        sums = []
        for key in {**cells, **embodied}:
            hour, group = key
            workload = known[group] if isinstance(group, int) else None
            sums.append(
                (
                    hour,
                    GroupSum(
                        group=f"{workload.kind}/{workload.id}" if workload else str(group),
                        workload=workload,
                        cells={
                            (COMPONENT_OF[component], MODE_OF[mode]): (energy_uj, emissions_ng / 1e9)
                            for (component, mode), (energy_uj, emissions_ng) in cells.get(key, {}).items()
                        },
                        embodied_g=embodied.get(key, 0) / 1e9,
                        hour_ns=hour * HOUR_NS if hourly else None,
                    ),
                )
            )
        return sums

    def _chunks(self, first: int, last: int) -> range:
        """Where the chunks of a range of hours begin, without the empty time before and after the journal."""
        span = self.span()
        if span is None:
            return range(0)
        first, last = max(first, span[0] // HOUR_NS), min(last, span[1] // HOUR_NS)
        return range(first, last, CHUNK_HOURS)

    def rows(self, query: str, parameters: tuple[object, ...] = ()) -> list[Any]:
        """What a query over the tables of `journal_schema` gives."""
        try:
            return self._connection.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise StorageError(f"{self.path}: cannot be read: {error}") from error


def find_journal(folder: str) -> str:
    """The path of the journal in a state directory, whether it is there or not.

    That of `journal.sqlite3`, unless a newer version wrote it and an agent of this one wrote beside it.
    """
    path, beside = os.path.join(folder, FILE), os.path.join(folder, fallback_name(len(STEPS)))
    if os.path.exists(beside):
        try:
            open_for_reading(path).close()
        except StorageError:
            return beside
    return path


def open_for_reading(path: str) -> JournalReader:
    """The journal at `path`, opened read-only; works while the agent writes to it.

    A file that SQLite cannot lock where it is (a copy in a folder that is read-only for this user) is read
    as it is. Raises StorageError with what to do when there is none, or none that this version can read.
    """
    try:
        os.stat(path)
    except FileNotFoundError:
        raise StorageError(
            f"{path}: there is no journal; the agent writes one when it has a --storage.path"
        ) from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return _open(path, "mode=ro", complete=True)
    except sqlite3.Error as error:
        if os.access(os.path.dirname(os.path.abspath(path)), os.W_OK) or not os.access(path, os.R_OK):
            raise StorageError(f"{path}: cannot be read: {error}") from error
    try:
        whole = os.path.getsize(f"{path}-wal") == 0
    except OSError:
        whole = True
    try:
        return _open(path, "mode=ro&immutable=1", complete=whole)
    except sqlite3.Error as error:
        raise StorageError(f"{path}: cannot be read: {error}") from error


def _open(path: str, mode: str, *, complete: bool) -> JournalReader:
    connection = sqlite3.connect(address(path, mode), uri=True, timeout=BUSY_S, isolation_level=None)
    checked = False
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            empty = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            what = "the journal is still empty" if empty else "not a journal of Wattledger"
            raise StorageError(f"{path}: {what}")
        if version > len(STEPS):
            beside = os.path.join(os.path.dirname(path), fallback_name(len(STEPS)))
            raise StorageError(
                f"{path}: written by a newer version of Wattledger (schema {version}, this one reads up to"
                f" {len(STEPS)}); read it with that version"
                + (f", or {beside}, which an agent of this version wrote" if os.path.exists(beside) else "")
            )
        if version < len(STEPS):
            raise StorageError(
                f"{path}: written by an older version of Wattledger (schema {version}); start the agent once,"
                " which brings it up to date"
            )
        connection.execute("BEGIN")
        checked = True
    finally:
        if not checked:
            connection.close()
    return JournalReader(path, connection, complete=complete)


def _group(workload: Workload, by: By) -> str:
    if by == "namespace":
        return workload.pod_namespace
    if by == "kind":
        return workload.kind
    return dict(workload.facts).get(by, "")


def _hours(start_ns: int, end_ns: int) -> tuple[int, int]:
    """The hours that begin in a span, as the first and the one after the last."""
    return -(-start_ns // HOUR_NS), -(-end_ns // HOUR_NS)


def _workload(row: tuple[str, ...]) -> Workload:
    kind, id_, name, namespace, pod, container, facts = row
    return Workload(
        kind=kind,
        id=id_,
        name=name,
        pod_namespace=namespace,
        pod_name=pod,
        container_name=container,
        facts=tuple(json.loads(facts).items()),
    )
