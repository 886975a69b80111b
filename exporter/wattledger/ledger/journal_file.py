"""The life of the journal's file: made, brought up to date, or moved aside when it cannot be read.

The file is in WAL mode, so that a reader never holds up the writer nor sees half a batch, and one of another
user with read access can read while the agent writes. `synchronous=FULL` costs one fsync a commit.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from .journal_schema import APPLICATION_ID, STEPS, TABLES

log = logging.getLogger(__name__)

FILE = "journal.sqlite3"
MODE = 0o640
BUSY_S = 1.0
SMALLEST = 512
"""What is shorter SQLite takes for empty and writes over."""
SPOILT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT})
"""Primary result codes that say the file itself is at fault; no constraint fails in a whole one."""

Steps = Sequence[Sequence[str]]


class UnreadableError(Exception):
    """The file is not a journal that can be used; the message says why."""


class NewerError(Exception):
    """The file was written by a newer version; the message says by which schema."""


@dataclass(slots=True)
class OpenFile:
    """An open journal. `created` when it had no tables before; `identity` tells whether it is still there."""

    path: str
    connection: sqlite3.Connection
    created: bool
    identity: tuple[int, int]

    def in_place(self) -> bool:
        """Whether the file at the path is still the one that is open."""
        try:
            return _identity(self.path) == self.identity
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Release the file; an error at that changes nothing any more."""
        try:
            self.connection.close()
        except sqlite3.Error as error:
            log.debug("journal was closed with an error", extra={"reason": str(error)})


def fallback_name(version: int) -> str:
    """The file of a version that found `journal.sqlite3` written by a newer one."""
    return f"journal-{version}.sqlite3"


def open_file(folder: str, steps: Steps = STEPS) -> OpenFile:
    """The journal of a folder, ready to be written.

    One that cannot be read is moved aside. One of a newer version stays as it is, and a file named after
    this version is used beside it. Raises sqlite3.Error or OSError when the folder or the disk is at fault.
    """
    path = os.path.join(folder, FILE)
    try:
        return _open_or_move(path, steps)
    except NewerError as error:
        beside = os.path.join(folder, fallback_name(len(steps)))
        log.error(
            "journal was written by a newer version and is left alone",
            extra={"path": path, "reason": str(error), "used_instead": beside},
        )
    try:
        return _open_or_move(beside, steps)
    except NewerError as error:
        raise OSError(f"{beside}: {error}") from error


def move_aside(path: str, reason: str) -> None:
    """Keep a file that cannot be read, with its write-ahead log, for whoever wants to look at it."""
    aside = f"{path}.unreadable-{time.time_ns()}"
    os.replace(path, aside)
    for suffix in ("-wal", "-journal"):
        if os.path.exists(path + suffix):
            os.replace(path + suffix, aside + suffix)
    if os.path.exists(path + "-shm"):
        os.unlink(path + "-shm")
    log.error("journal was not readable, starting afresh", extra={"moved_to": aside, "reason": reason})


def spoilt(error: sqlite3.Error) -> bool:
    """Whether an error means that the file itself is broken, rather than the disk or a lock."""
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF in SPOILT


def address(path: str, mode: str) -> str:
    """The path as SQLite's URI, opened as `mode` says."""
    return f"file:{quote(os.path.abspath(path))}?{mode}"


def _open_or_move(path: str, steps: Steps) -> OpenFile:
    try:
        return _open(path, steps)
    except UnreadableError as error:
        move_aside(path, str(error))
    except sqlite3.Error as error:
        if not spoilt(error):
            raise
        move_aside(path, str(error))
    return _open(path, steps)


def _open(path: str, steps: Steps) -> OpenFile:
    try:
        # Made here for its mode, which SQLite gives to the files beside it too. Only a new file is touched:
        # closing any descriptor of an open one would drop SQLite's locks on it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE))
    except FileExistsError:
        pass
    identity = _identity(path)
    if 0 < os.stat(path).st_size < SMALLEST:
        raise UnreadableError("too short to be a database")
    connection = sqlite3.connect(
        address(path, "mode=rw"), uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        created = _prepare(connection, steps)
    except (sqlite3.Error, UnreadableError, NewerError):
        connection.close()
        raise
    return OpenFile(path, connection, created, identity)


def _prepare(connection: sqlite3.Connection, steps: Steps) -> bool:
    """Check or make the tables; whether they were made."""
    application, version = _pragma(connection, "application_id"), _pragma(connection, "user_version")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    created = not tables and application in (0, APPLICATION_ID)
    if created:
        version = 0
    elif application != APPLICATION_ID:
        raise UnreadableError("a database, but not a journal of Wattledger")
    elif version > len(steps):
        raise NewerError(f"it has schema version {version}, this program knows {len(steps)}")
    elif version < 1 or not tables >= TABLES:
        raise UnreadableError("tables are missing")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # takes effect in a file without tables only
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = 4194304")
    if version < len(steps):
        _migrate(connection, steps, version)
    return created


def _migrate(connection: sqlite3.Connection, steps: Steps, version: int) -> None:
    """Go from `version` to the newest in one transaction, so that a crash leaves the old one whole."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for step in steps[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")
    if version:
        log.info("journal was brought up to date", extra={"from": version, "to": len(steps)})


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _identity(path: str) -> tuple[int, int]:
    stat = os.stat(path)
    return stat.st_dev, stat.st_ino
