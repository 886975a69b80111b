"""Path resolution by hand, one component at a time, for kernels without openat2(2)."""

from __future__ import annotations

import errno
import os
import stat

_LINKS = 40  # as the kernel allows in one path (path_resolution(7))
_DEPTH = 128
_STEPS = 4096
_PATH_MAX = 4096


def walk_in_root(root_fd: int, path: str, follow: bool) -> int:
    """An O_PATH descriptor of `path` with the directory `root_fd` as its root; raises OSError.

    The kernel never sees `..` or a link, so no rename during the walk leads out of the root.
    With `follow` False a link in the last place is opened itself.
    """
    if len(os.fsencode(path)) >= _PATH_MAX:
        raise _too_long(path)
    above: list[int] = []
    try:
        return _walk(above, os.dup(root_fd), path, follow)
    finally:
        for fd in above:
            os.close(fd)


def _walk(above: list[int], here: int, path: str, follow: bool) -> int:
    """Walk from the root `here`; every descriptor that is open at the end but the result is in `above`."""
    above.append(here)
    todo = [part for part in reversed(path.split("/")) if part not in {"", "."}]
    links = steps = 0
    while todo:
        part = todo.pop()
        steps += 1
        if part == "..":
            if len(above) > 1:
                os.close(above.pop())
            continue
        if len(above) > _DEPTH or steps > _STEPS:
            raise _too_long(path)
        above.append(os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above[-1]))
        if not stat.S_ISLNK(os.fstat(above[-1]).st_mode):
            continue
        if not todo and not follow:
            break
        links += 1
        if links > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink("", dir_fd=above[-1])
        os.close(above.pop())
        if target.startswith("/"):
            while len(above) > 1:
                os.close(above.pop())
        todo += [part for part in reversed(target.split("/")) if part not in {"", "."}]
    return above.pop()


def _too_long(path: str) -> OSError:
    return OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
