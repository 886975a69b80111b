"""Where podman and cri-o keep their containers: containers-storage.conf(5)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from .base import ResolverError
from .parsed import Parsed
from .rooted import Rooted
from .users import Account

_SYSTEM = ("/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
_DRIVERS = ("overlay", "vfs", "btrfs", "zfs")


class Storage(NamedTuple):
    """A store: `graph` stays over a boot, `run` does not."""

    graph: str
    run: str
    drivers: tuple[str, ...] = _DRIVERS


class _Table(msgspec.Struct, frozen=True):
    driver: str = ""
    graphroot: str = ""
    runroot: str = ""
    rootless_storage_path: str = ""


class _File(msgspec.Struct, frozen=True):
    storage: _Table = _Table()


class StorageConfig:
    """The stores of root and of users, by the files that configure them or by their defaults."""

    def __init__(self, rooted: Rooted) -> None:
        self._rooted = rooted
        self._system = [Parsed(rooted, path, _parse) for path in _SYSTEM]

    def rootful(self) -> Storage:
        """Root's store; raises ResolverError if its configuration cannot be read."""
        table = self._table()
        return Storage(
            table.graphroot or "/var/lib/containers/storage",
            table.runroot or "/run/containers/storage",
            _drivers(table),
        )

    def rootless(self, account: Account) -> Storage:
        """A user's store; raises ResolverError if its configuration cannot be read."""
        values = {"HOME": account.home, "UID": str(account.uid), "USER": account.name}
        try:
            own = _parse(self._rooted.read(f"{account.home}/.config/containers/storage.conf"))
        except FileNotFoundError:
            own = _Table()
        return Storage(
            _expand(own.graphroot or own.rootless_storage_path, values)
            or _expand(self._table().rootless_storage_path, values)
            or f"{account.home}/.local/share/containers/storage",
            _expand(own.runroot, values) or f"/run/user/{account.uid}/containers",
            _drivers(own),
        )

    def _table(self) -> _Table:
        for file in self._system:
            table = file.get()
            if table is not None:
                return table
        return _Table()


def _drivers(table: _Table) -> tuple[str, ...]:
    driver = "overlay" if table.driver == "overlay2" else table.driver
    return tuple(dict.fromkeys((driver, *_DRIVERS))) if driver else _DRIVERS


def _parse(data: bytes) -> _Table:
    try:
        return msgspec.convert(tomllib.loads(data.decode()), _File).storage
    except (ValueError, RecursionError) as error:
        raise ResolverError("parse", f"not the expected TOML: {type(error).__name__}") from None


def _expand(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value).replace(f"${name}", value)
    return text
