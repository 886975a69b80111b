"""The cgroup mounts that the agent sees."""

from __future__ import annotations

import os
import re

from ..hostfs import read_whole

_TYPES = frozenset({b"cgroup", b"cgroup2"})
_ESCAPED = re.compile(rb"\\([0-3][0-7]{2})")


def cgroup_mounts(procfs: str) -> dict[str, str]:
    """What each cgroup mount shows as its root, by mount point; empty where the mount table is not shown.

    Of mounts on the same point, the last one is seen. The form is that of proc_pid_mountinfo(5).
    """
    try:
        table = read_whole(f"{procfs}/self/mountinfo")
    except OSError:
        return {}
    found: dict[str, str] = {}
    for line in table.split(b"\n"):
        fields, separator, rest = line.partition(b" - ")
        words = fields.split(b" ")
        if not separator or len(words) < 5:
            continue
        point = _plain(words[4])
        if rest.split(b" ", 1)[0] in _TYPES:
            found[point] = _plain(words[3])
        else:
            found.pop(point, None)
    return found


def _plain(field: bytes) -> str:
    return os.fsdecode(_ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), field))
