"""Tells whether the state directory can be used, for `wattledger check`."""

from __future__ import annotations

import errno
import os
import tempfile

from .model import Finding


def check_storage(path: str | None) -> list[Finding]:
    """Whether the state directory can be used, as a finding."""
    if path is None:
        return [
            Finding(
                sensor="storage",
                subject="state directory",
                status="absent",
                why="none configured: counters start anew with every start",
                fix="wattledger run --storage.path /var/lib/wattledger",
            )
        ]
    folder = os.path.abspath(path)
    while not os.path.lexists(folder):  # it is made at the start
        folder = os.path.dirname(folder)
    try:
        with tempfile.TemporaryFile(dir=folder):  # permissions alone say little: read-only mounts, /sys, root
            pass
    except OSError as error:
        if error.errno == errno.EACCES:
            why, fix = "not writable for this user", f"install -d -o {os.getuid()} {path}"
            return [Finding(sensor="storage", subject=path, status="denied", why=why, fix=fix)]
        why = f"{folder}: {error.strerror}; give another --storage.path"
        return [Finding(sensor="storage", subject=path, status="failed", why=why)]
    return [Finding(sensor="storage", subject=path, status="usable", why="writable")]
