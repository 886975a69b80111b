"""Retention: hours that are too old go, in small transactions, and give their space back."""

# ruff: noqa: S608 - statements are put together from names in this file, values are always bound

from __future__ import annotations

import sqlite3

from ..model import S_NS
from .journal_records import Batch
from .journal_schema import HOUR_NS

HOUR_TABLES = ("hour_energy", "hour_embodied", "hour_node", "hour_cover", "hour_source")
SLICE_HOURS = 6
SLICES = 28
WORKLOADS = 5000
VACUUM_PAGES = 2000
SLACK = 8
"""Free pages up to this part of the file stay: the next hours need them anyway."""

PROOF_NS = HOUR_NS
TOLERANCE_NS = 600 * S_NS
EVERY_HOURS = 24


class Retention:
    """When to prune, and up to where (pure): once a day, and only by a clock that can be trusted.

    A wall clock that is years ahead for a moment must not delete the journal. So it is believed only after
    it has kept step with the time that the agent took samples, for an hour.
    """

    def __init__(self, retention_ns: int) -> None:
        self._retention_ns = retention_ns
        self._proof: Batch | None = None
        self._pruned_hour: int | None = None

    def configure(self, retention_ns: int) -> None:
        """Another retention, from the next batch on."""
        if retention_ns != self._retention_ns:
            self._retention_ns = retention_ns
            self._pruned_hour = None

    def cutoff(self, batch: Batch) -> int | None:
        """The first hour to keep, when it is time to prune; else None. Called with every batch written."""
        proof = self._proof
        hour = batch.wall_ns // HOUR_NS
        if proof is None or not _in_step(proof, batch):
            # Only what is needed: a batch is large.
            self._proof = Batch(
                boot_id=batch.boot_id,
                wall_ns=batch.wall_ns,
                covered_ns=batch.covered_ns,
                node={},
                accounts=(),
                intensity=batch.intensity,
            )
            return None
        if batch.covered_ns - proof.covered_ns < PROOF_NS:
            return None
        if self._pruned_hour is not None and abs(hour - self._pruned_hour) < EVERY_HOURS:
            return None
        return (batch.wall_ns - self._retention_ns) // HOUR_NS

    def done(self, batch: Batch) -> None:
        """Everything before the cutoff is gone."""
        self._pruned_hour = batch.wall_ns // HOUR_NS


def prune(connection: sqlite3.Connection, cutoff_hour: int) -> bool:
    """Delete a part of what is older than `cutoff_hour`; whether all of it is gone.

    At most 28 transactions of six hours each, so that the next batch does not wait for long.
    Raises sqlite3.Error.
    """
    for _ in range(SLICES):
        oldest = _oldest(connection)
        if oldest is None or oldest >= cutoff_hour:
            break
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for table in HOUR_TABLES:
                connection.execute(
                    f"DELETE FROM {table} WHERE hour < ?",
                    (min(cutoff_hour, oldest + SLICE_HOURS),),
                )
    else:
        return False
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        gone = connection.execute(
            "DELETE FROM workload WHERE id IN (SELECT id FROM workload WHERE last_hour < ?"
            " AND id NOT IN (SELECT workload FROM mark_energy UNION SELECT workload FROM mark_account)"
            " LIMIT ?)",
            (cutoff_hour, WORKLOADS),
        ).rowcount
    spare = _number(connection, "freelist_count") - _number(connection, "page_count") // SLACK
    if spare > 0:
        # Not execute(), which takes one step only, and with it one page.
        connection.executescript(f"PRAGMA incremental_vacuum({min(spare, VACUUM_PAGES)})")
    return gone < WORKLOADS and spare <= VACUUM_PAGES


def _in_step(proof: Batch, batch: Batch) -> bool:
    passed_ns = batch.covered_ns - proof.covered_ns
    return (
        batch.boot_id == proof.boot_id
        and passed_ns >= 0
        and abs(batch.wall_ns - proof.wall_ns - passed_ns) <= TOLERANCE_NS
    )


def _oldest(connection: sqlite3.Connection) -> int | None:
    """The first hour that any table has."""
    hours = [connection.execute(f"SELECT min(hour) FROM {table}").fetchone()[0] for table in HOUR_TABLES]
    return min((int(hour) for hour in hours if hour is not None), default=None)


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
