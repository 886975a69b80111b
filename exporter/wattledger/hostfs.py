"""Injected file system: where /proc, /sys, the cgroup tree and / are."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from .errors import SensorError


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFS:
    """The roots under which the host is read (`--path.*`); a fixture host is another set of roots."""

    procfs: str = "/proc"
    sysfs: str = "/sys"
    cgroupfs: str = "/sys/fs/cgroup"
    rootfs: str = "/"

    @classmethod
    def at(cls, root: str) -> HostFS:
        """A host whose `proc`, `sys` and the rest lie under the folder `root`."""
        return cls(
            procfs=os.path.join(root, "proc"),
            sysfs=os.path.join(root, "sys"),
            cgroupfs=os.path.join(root, "sys/fs/cgroup"),
            rootfs=root,
        )

    def boot_id(self) -> str:
        """The kernel's random id of this boot, or "" where the host has none."""
        try:
            return read_text(f"{self.procfs}/sys/kernel/random/boot_id")
        except OSError:
            return ""


def read_bytes(path: str, limit: int = 65536) -> bytes:
    """Read up to `limit` bytes of a small file in three system calls; raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.read(fd, limit)
    finally:
        os.close(fd)


def read_whole(path: str, limit: int = 1 << 24) -> bytes:
    """Read up to `limit` bytes of a list, to its end; raises OSError.

    A list that the kernel makes line by line (`cgroup.procs`, `mountinfo`, `locks`) is handed out a page
    at a time, however much is asked for (seq_read_iter in fs/seq_file.c).
    """
    with open(path, "rb", opener=_open_plainly) as listing:
        return listing.read(limit)


def _open_plainly(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def read_text(path: str, limit: int = 65536) -> str:
    """Like read_bytes, stripped and decoded; bytes that are not UTF-8 become U+FFFD."""
    return read_bytes(path, limit).decode("utf-8", "replace").strip()


def reason_of(error: OSError) -> str:
    """The bounded label value for an OSError: its errno's name in lower case, such as `eacces`."""
    return errno.errorcode.get(error.errno or 0, "os").lower()


def read_int(path: str) -> int:
    """Read one decimal integer; raises SensorError with a bounded reason."""
    try:
        text = read_bytes(path, 64)
    except OSError as error:
        raise SensorError(reason_of(error), f"{path}: {error.strerror}") from error
    try:
        return int(text)
    except ValueError:
        raise SensorError("parse", f"{path}: not an integer: {text[:40]!r}") from None
