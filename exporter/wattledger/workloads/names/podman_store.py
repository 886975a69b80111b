"""The containers that podman has in one store."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec

from .base import ResolverError
from .parsed import Parsed, decode_json
from .rooted import MIB, Rooted
from .storage import Storage

_INDEX_LIMIT = 16 * MIB
_DATABASE_LIMIT = 32 * MIB
_ROWS = 20_000
_STEPS = 1000
_TURNS = 10_000
"""Ten million steps of SQLite's machine, about a second."""
_FORMAT_VERSIONS = slice(18, 20)  # of the header, https://www.sqlite.org/fileformat.html
_WAL = b"\x02\x02"
_ROLLBACK = b"\x01\x01"
T = TypeVar("T")
_QUERY = "SELECT c.ID, c.Name, c.JSON, p.Name FROM ContainerConfig c LEFT JOIN PodConfig p ON p.ID = c.PodID"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodmanContainer:
    """What a store knows of one container; `foreign` marks those of cri-o, which uses the same store."""

    name: str = ""
    image: str = ""
    pod: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    foreign: bool = False


class _Entry(msgspec.Struct, frozen=True):
    """A container in containers.json; `metadata` is JSON in a string."""

    id: str = ""
    names: list[str] | None = None
    metadata: str = ""


class _Metadata(msgspec.Struct, frozen=True, rename="kebab"):
    image_name: str = ""
    pod_id: str = ""


class _Config(msgspec.Struct, frozen=True, rename="camel"):
    """A container's configuration in the database of podman 4.8 and later."""

    rootfs_image_name: str = ""
    labels: dict[str, str] | None = None


class PodmanStore:
    """One store's index files, read again after a change: a rename is seen at the next question.

    `containers.json` has every container with an image, `volatile-containers.json` those that podman
    removes by itself (`--rm`), and `db.sql` also those without an image, with labels and pods.
    """

    def __init__(self, rooted: Rooted, storage: Storage) -> None:
        self._rooted = rooted
        self._folders = tuple(
            f"{root}/{driver}-containers"
            for driver in storage.drivers
            for root in (storage.graph, storage.run)
        )
        self._indexes = tuple(
            Parsed(rooted, f"{folder}/{file}.json", _parse_index, _INDEX_LIMIT)
            for folder in self._folders
            for file in ("containers", "volatile-containers")
        )
        self._databases = tuple(
            Parsed(rooted, f"{root}/db.sql", read_database, _DATABASE_LIMIT)
            for root in (storage.graph, storage.run)
        )

    def exists(self) -> bool:
        """Whether there is a store at all; raises ResolverError."""
        return any(self._rooted.exists(folder) for folder in self._folders)

    def find(self, ident: str) -> PodmanContainer | None:
        """What is known of a container, None if nothing.

        Raises ResolverError if a file cannot be read and no other knows the name.
        """
        failures: list[ResolverError] = []
        indexed = _first(self._indexes, ident, failures)
        entry = _of_entry(indexed) if indexed is not None else None
        row = _first(self._databases, ident, failures)
        if entry is not None and row is not None:
            return replace(entry, image=entry.image or row.image, pod=row.pod, labels=row.labels)
        if entry is None and row is None and failures:
            raise failures[-1]
        return entry or row


def _first(files: Sequence[Parsed[dict[str, T]]], ident: str, failures: list[ResolverError]) -> T | None:
    """What the first file that knows a container has of it; what cannot be read goes to `failures`."""
    for file in files:
        try:
            table = file.get()
        except ResolverError as error:
            failures.append(error)
            continue
        if table is not None and ident in table:
            return table[ident]
    return None


def _parse_index(data: bytes) -> dict[str, _Entry]:
    return {entry.id: entry for entry in decode_json(data, list[_Entry])}


def _of_entry(entry: _Entry) -> PodmanContainer:
    metadata = _Metadata()
    if entry.metadata:
        try:
            metadata = decode_json(entry.metadata, _Metadata)
        except ResolverError:
            pass  # the name does not need it
    return PodmanContainer(
        name=entry.names[0] if entry.names else "", image=metadata.image_name, foreign=bool(metadata.pod_id)
    )


def read_database(data: bytes) -> dict[str, PodmanContainer]:
    """The containers in a copy of podman's SQLite database; raises ResolverError("parse"), ("too_large").

    The database may be a user's: its schema is not trusted, and steps, lengths and rows are bounded.
    Nothing is read where Python's sqlite3 came without deserialize (SQLite before 3.36).
    """
    connection = sqlite3.connect(":memory:")
    try:
        if not data or not hasattr(connection, "deserialize"):
            return {}
        if data[_FORMAT_VERSIONS] == _WAL:
            data = data[: _FORMAT_VERSIONS.start] + _ROLLBACK + data[_FORMAT_VERSIONS.stop :]
        connection.text_factory = bytes
        connection.deserialize(data)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _DATABASE_LIMIT)
        connection.execute("PRAGMA trusted_schema = OFF")
        turns = iter(range(_TURNS))
        connection.set_progress_handler(lambda: next(turns, None) is None, _STEPS)
        return _containers(connection)
    except sqlite3.Error as error:
        raise ResolverError("parse", f"not the expected SQLite database: {type(error).__name__}") from None
    finally:
        connection.close()


def _containers(connection: sqlite3.Connection) -> dict[str, PodmanContainer]:
    found: dict[str, PodmanContainer] = {}
    size = 0
    for ident, name, text, pod in connection.execute(_QUERY):
        if not (isinstance(ident, bytes) and isinstance(name, bytes) and isinstance(text, bytes)):
            continue
        size += len(text) + len(name)
        if size > _DATABASE_LIMIT or len(found) >= _ROWS:
            raise ResolverError("too_large", f"more than {_ROWS} rows or {_DATABASE_LIMIT} bytes in them")
        try:
            config = decode_json(text, _Config)
        except ResolverError:
            config = _Config()  # the name does not need it
        found[_text(ident)] = PodmanContainer(
            name=_text(name),
            image=config.rootfs_image_name,
            pod=_text(pod) if isinstance(pod, bytes) else "",
            labels=config.labels or {},
        )
    return found


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
