"""Reading below a root that nothing leads out of."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ...hostfs import reason_of
from .base import ResolverError
from .openat2 import OpenInRoot
from .walk import walk_in_root

MIB = 1 << 20
ENTRIES = 20_000
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
_NO_SUCH_CALL = frozenset({errno.ENOSYS, errno.EPERM})

Opener = Callable[[int, str, bool], int]
"""`(root_fd, path, follow)` to an O_PATH descriptor of `path` inside the root; raises OSError."""


class Stamp(NamedTuple):
    """Changes whenever a file is written or replaced."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class Rooted:
    """The files below one folder; links are followed as if that folder were `/`.

    Paths may be absolute or relative and mean the same. Every method raises FileNotFoundError if there is
    no such file and ResolverError for everything else: an errno's name, `not_regular`, `too_large`.
    Nothing but regular files and directories is ever opened for reading, so no device is touched
    and no FIFO is waited for. /proc of the agent itself must be mounted.
    """

    def __init__(self, root: str, opener: Opener | None = None) -> None:
        self._root = root
        self._opener: Opener = opener or OpenInRoot()
        self._outer: Rooted | None = None

    def below(self, path: str) -> Rooted:
        """The files below a folder inside this root, which links in it cannot leave either."""
        inner = Rooted(path, self._opener)
        inner._outer = self
        return inner

    def read(self, path: str, limit: int = MIB) -> bytes:
        """The content of a regular file of at most `limit` bytes."""
        with self._opened(path) as handle:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise ResolverError("not_regular", f"{path}: not a regular file")
            if status.st_size > limit:
                raise ResolverError("too_large", f"{path}: {status.st_size} bytes, more than {limit}")
            # What was looked at is what gets opened, whatever its path leads to by now.
            fd = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                return _read_all(fd, path, limit)
            finally:
                os.close(fd)

    def listdir(self, path: str, limit: int = ENTRIES) -> list[str]:
        """The names in a directory of at most `limit` entries; links in it are not followed."""
        names: list[str] = []
        with self._opened(path) as handle:
            fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle)
            try:
                with os.scandir(fd) as entries:
                    for entry in entries:
                        names.append(entry.name)
                        if len(names) > limit:
                            raise ResolverError("too_large", f"{path}: more than {limit} entries")
            finally:
                os.close(fd)
        return names

    def readlink(self, path: str) -> str:
        """Where a link points, as it is written; a file that is no link raises ResolverError("einval")."""
        with self._opened(path, follow=False) as handle:
            if not stat.S_ISLNK(os.fstat(handle).st_mode):
                raise ResolverError("einval", f"{path}: not a link")
            return os.readlink("", dir_fd=handle)

    def stamp(self, path: str) -> Stamp:
        """What to compare in order to know whether a file or directory changed."""
        with self._opened(path) as handle:
            status = os.fstat(handle)
        return Stamp(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def exists(self, path: str) -> bool:
        """Whether there is such a file or directory; ResolverError if that cannot be known."""
        try:
            self.stamp(path)
        except FileNotFoundError:
            return False
        return True

    @contextmanager
    def _opened(self, path: str, follow: bool = True) -> Iterator[int]:
        """A descriptor of `path` while in the block, and the errors of the block in the promised form."""
        try:
            root = self._open_root()
            try:
                handle = self._open(root, path, follow)
            finally:
                os.close(root)
            try:
                yield handle
            finally:
                os.close(handle)
        except OSError as error:
            if error.errno in _ABSENT:
                raise FileNotFoundError(error.errno, error.strerror, path) from error
            raise ResolverError(reason_of(error), f"{path}: {error.strerror}") from error
        except ValueError as error:  # a NUL or what no file name can be encoded from
            raise ResolverError("einval", f"no file name: {error}") from error

    def _open_root(self) -> int:
        if self._outer is None:
            return os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        outer = self._outer._open_root()
        try:
            return self._outer._open(outer, self._root, True)
        finally:
            os.close(outer)

    def _open(self, root: int, path: str, follow: bool) -> int:
        try:
            return self._opener(root, path or ".", follow)
        except OSError as error:
            if error.errno not in _NO_SUCH_CALL:
                raise
        return walk_in_root(root, path, follow)


def _read_all(fd: int, path: str, limit: int) -> bytes:
    chunks: list[bytes] = []
    left = limit + 1
    while left > 0:
        chunk = os.read(fd, left)
        if not chunk:
            break
        chunks.append(chunk)
        left -= len(chunk)
    if left <= 0:
        raise ResolverError("too_large", f"{path}: more than {limit} bytes")
    return b"".join(chunks)
