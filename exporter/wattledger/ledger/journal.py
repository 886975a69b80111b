"""The journal: hourly energy and emissions in SQLite, written by a thread of its own.

A commit waits for the disk, which may take long; the sampler only puts a batch into a queue. Whatever
happens to the file is counted and said once; since figures are cumulative, the next batch makes up for it.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from ..errors import StorageError
from ..model import S_NS, Workload
from .journal_file import FILE, OpenFile, UnreadableError, move_aside, open_file, spoilt
from .journal_marks import Marks
from .journal_prune import Retention, prune
from .journal_read import JournalReader, open_for_reading
from .journal_records import AccountSum, Batch, NodeSum
from .journal_schema import HOUR_NS
from .journal_write import Writer

__all__ = ["AccountSum", "Batch", "Journal", "NodeSum"]

log = logging.getLogger(__name__)

PENDING_HOURS = 12
AGAIN_S = 0.2

Lineage = tuple[str, str]
Found = TypeVar("Found")


class Journal:
    """The file `journal.sqlite3` in a state directory.

    `open()` comes first, then `start()`; `offer()` belongs to the sampler's thread, and `stop()` ends it all.
    `errors` counts what could not be written or read, `written_wall_ns` is the wall time of the newest
    batch in the file, 0 before there is one. While the file cannot be written, the last batch of each of
    `pending_hours` hours is kept; of a longer outage, the rest is booked to the first hour kept.
    """

    def __init__(self, folder: str, *, retention_ns: int, pending_hours: int = PENDING_HOURS) -> None:
        self.errors = 0
        self.written_wall_ns = 0
        self.path = os.path.join(folder, FILE)
        self._folder = folder
        self._retention = Retention(retention_ns)
        self._pending_hours = pending_hours
        self._pending: deque[Batch] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._file: OpenFile | None = None
        self._writer: Writer | None = None
        self._known: tuple[Lineage, Marks] | None = None
        self._budgets: tuple[object, ...] = ()
        self._broken = ""

    def open(self) -> None:
        """Make the file or take up the one that is there, bring it up to date or move it aside.

        Never raises for what is wrong with the folder or the file: then every batch tries again.
        """
        try:
            os.makedirs(self._folder, mode=0o755, exist_ok=True)
            file = self._open_file()
            last = file.connection.execute("SELECT max(wall_ns) FROM boot").fetchone()[0]
            self.written_wall_ns = int(last or 0)
            dumps = file.connection.execute("SELECT dump FROM budget ORDER BY position").fetchall()
            self._budgets = tuple(msgspec.msgpack.decode(dump) for (dump,) in dumps)
        except (sqlite3.Error, OSError, UnreadableError) as error:
            self._failed(error)
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            self._failed(UnreadableError(f"budgets: {error}"))

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    def configure(self, *, retention_ns: int) -> None:
        """Put a reloaded setting in force."""
        self._retention.configure(retention_ns)

    def offer(self, batch: Batch) -> None:
        """Have a batch written; never waits for the disk.

        Offer only what the checkpoint holds: then no crash can take the ledger back behind the journal.
        A batch takes the place of one of the same hour that still waits, for it tells all that one does.
        """
        with self._changed:
            if self._known is None and batch.covered_ns <= HOUR_NS:
                # Seen from its beginning, nothing of it can be booked in a file that has yet to be made.
                self._known = (_lineage(batch), Marks())
            last = self._pending[-1] if self._pending else None
            if last is not None and _same_hour(last, batch):
                self._pending[-1] = batch
            else:
                self._pending.append(batch)
                if len(self._pending) > self._pending_hours:
                    self._pending.popleft()
            self._changed.notify_all()

    def stop(self, timeout_s: float) -> bool:
        """Write what was offered and release the file; whether that was done within the time."""
        deadline_ns = time.monotonic_ns() + round(timeout_s * S_NS)
        thread = self._thread
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            while self._pending and thread is not None and thread.is_alive():
                left_ns = deadline_ns - time.monotonic_ns()
                if left_ns <= 0:
                    break
                self._changed.wait(left_ns / S_NS)
            written = not self._pending
            self._pending.clear()  # the thread gives up what it has not begun
            self._changed.notify_all()
        if thread is None:
            self._close()
            return written
        thread.join(max(0.0, (deadline_ns - time.monotonic_ns()) / S_NS))
        return written and not thread.is_alive()

    def budgets(self) -> Sequence[object]:
        """The budgets of the newest batch in the file that `open()` found, as they were given."""
        return self._budgets

    def look(self, ask: Callable[[JournalReader], Found]) -> Found | None:
        """What `ask` finds in the file, which it sees as it is at one moment; None where there is no file.

        May be called on any thread; reads the disk. What cannot be read is counted and gives None.
        """
        if not os.path.exists(self.path):
            return None
        try:
            with open_for_reading(self.path) as reader:
                return ask(reader)
        except (StorageError, sqlite3.Error, AttributeError, ValueError) as error:
            self.errors += 1
            log.error("journal cannot be read", extra={"path": self.path, "reason": str(error)})
            return None

    def sum_for(
        self,
        match: Callable[[Workload], bool] | None,
        start_ns: int,
        end_ns: int,
        *,
        embodied: bool,
    ) -> float:
        """Grams of the workloads that match (None: of the node) in a span of wall time.

        Hours partly inside count in proportion to the time that is booked of them. May be called on any
        thread; reads the disk. What cannot be read is counted as an error and gives 0.
        """
        return self.look(lambda reader: reader.grams(match, start_ns, end_ns, embodied=embodied)) or 0.0

    def _work(self) -> None:
        """The thread: write whatever waits; after a failure, wait for the next batch."""
        tried: Batch | None = None
        while True:
            with self._changed:
                while not self._stopping and (not self._pending or self._pending[-1] is tried):
                    self._changed.wait()
                if self._stopping and tried is not None and self._pending and self._pending[-1] is tried:
                    self._changed.wait(AGAIN_S)  # until stop() has no more time for it
                if not self._pending:
                    break
                batch, newest = self._pending[0], self._pending[-1]
            done = self._try(batch)
            with self._changed:
                if done and self._pending and self._pending[0] is batch:
                    self._pending.popleft()
                tried = None if done else newest
                self._changed.notify_all()
        self._close()

    def _try(self, batch: Batch) -> bool:
        """Write one batch; whether it is done with."""
        try:
            self._write(batch)
        except (sqlite3.Error, OSError, UnreadableError) as error:
            self._failed(error)
            return False
        except (ArithmeticError, TypeError, ValueError, msgspec.MsgspecError) as error:
            self._failed(error)  # never to be written; the next batch has the same figures and more
            return True
        if self._broken:
            log.info("journal is written again", extra={"path": self.path})
            self._broken = ""
        self.written_wall_ns = batch.wall_ns
        self._prune(batch)
        return True

    def _write(self, batch: Batch) -> None:
        """Write one batch, into a new file if the one there turns out to be broken."""
        if self._file is not None and not self._file.in_place():
            log.error("journal is no longer where it was", extra={"path": self.path})
            self._close()
        try:
            self._book(batch)
            return
        except UnreadableError as error:
            reason = str(error)
        except sqlite3.Error as error:
            if not spoilt(error):
                raise
            reason = str(error)
        self.errors += 1
        self._close()
        move_aside(self.path, reason)
        self._book(batch)

    def _book(self, batch: Batch) -> None:
        file = self._file or self._open_file()
        writer = self._writer
        if writer is None:
            writer = self._writer = Writer(file.connection, created=file.created)
        known = self._known[1] if self._known and self._known[0] == _lineage(batch) else None
        hour = batch.wall_ns // HOUR_NS
        marks = writer.write(batch, known)
        with self._changed:
            self._known = (_lineage(batch), marks)
        if hour != self.written_wall_ns // HOUR_NS:  # so that a copy of the main file alone is nearly whole
            file.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _prune(self, batch: Batch) -> None:
        """Apply retention, when it is due; a part of it if it is much."""
        cutoff_hour = self._retention.cutoff(batch)
        if cutoff_hour is None or self._file is None or self._writer is None:
            return
        try:
            if prune(self._file.connection, cutoff_hour):
                self._retention.done(batch)
            self._writer.forget_rows()
        except sqlite3.Error as error:
            self._retention.done(batch)  # again tomorrow, not with every batch
            self._failed(error)

    def _open_file(self) -> OpenFile:
        self._file = open_file(self._folder)
        self.path = self._file.path
        return self._file

    def _close(self) -> None:
        file, self._file, self._writer = self._file, None, None
        if file is not None:
            file.close()

    def _failed(self, error: Exception) -> None:
        """Count a failure, say it when it is another one, and open the file anew for the next batch."""
        self.errors += 1
        reason = str(error)
        if reason != self._broken:
            log.error(
                "journal cannot be written; it will catch up when it can",
                extra={"path": self.path, "reason": reason},
            )
        self._broken = reason
        self._close()


def _lineage(batch: Batch) -> Lineage:
    return (batch.boot_id, batch.lineage)


def _same_hour(one: Batch, other: Batch) -> bool:
    return _lineage(one) == _lineage(other) and one.wall_ns // HOUR_NS == other.wall_ns // HOUR_NS
