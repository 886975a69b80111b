"""Files that are parsed again only after they changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from .base import ResolverError
from .rooted import MIB, Rooted, Stamp

T = TypeVar("T")


class Parsed(Generic[T]):
    """The parsed content of one file, kept until its inode, size or times change.

    `parse` raises ResolverError for what it cannot read; that outcome is kept as well,
    so a broken file costs one parse per change.
    """

    def __init__(self, rooted: Rooted, path: str, parse: Callable[[bytes], T], limit: int = MIB) -> None:
        self._rooted = rooted
        self._path = path
        self._parse = parse
        self._limit = limit
        self._stamp: Stamp | None = None
        self._value: T | None = None
        self._failure: tuple[str, str] | None = None

    def get(self) -> T | None:
        """The content as the file is now, None if there is no file; raises ResolverError."""
        try:
            stamp = self._rooted.stamp(self._path)
            if stamp != self._stamp:
                self._stamp = None
                self._load()
                self._stamp = stamp
        except FileNotFoundError:
            self._stamp = self._value = self._failure = None
        if self._failure is not None:
            raise ResolverError(*self._failure)
        return self._value

    def _load(self) -> None:
        self._value = self._failure = None
        try:
            self._value = self._parse(self._rooted.read(self._path, self._limit))
        except ResolverError as error:
            self._failure = (
                error.reason,
                f"{self._path}: {error}" if error.reason == "parse" else str(error),
            )


def decode_json(data: bytes | str, shape: type[T], path: str = "") -> T:
    """JSON of the given shape, fields it does not name skipped; raises ResolverError("parse").

    The message says where it is wrong, `path` included, never what is written there.
    """
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = str(error) if isinstance(error, msgspec.DecodeError) else type(error).__name__
        raise ResolverError("parse", f"{path}: not the expected JSON: {reason}".removeprefix(": ")) from None
