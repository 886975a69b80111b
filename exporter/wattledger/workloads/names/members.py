"""The processes of one cgroup and what may be read of them."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from ...hostfs import HostFS, read_bytes, read_whole

PIDS = 256
"""Processes looked at per cgroup."""
_FOLDERS = 512
_LIST_LIMIT = 1 << 16
_STATUS_LIMIT = 4096
_COMMAND_LIMIT = 1 << 17
_ENVIRONMENT_LIMIT = 1 << 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process as `/proc/PID/status` shows it; `uid` is its real uid."""

    pid: int
    comm: str
    uid: int


class Members:
    """Reads processes through `hostfs.procfs`, which is to show the host's pid namespace.

    What has ended, may not be read or is malformed is left out: nothing here raises OSError.
    """

    def __init__(self, hostfs: HostFS) -> None:
        self._procfs = hostfs.procfs

    def of(self, cgroup: str) -> list[Process]:
        """The processes in the folder `cgroup` and in those below it, at most 256, nearest first."""
        found: dict[int, Process] = {}
        for folder in _folders(cgroup):
            for pid in _pids(folder):
                process = self._status(pid)
                if process is not None:
                    found[pid] = process
                if len(found) >= PIDS:
                    return list(found.values())
        return list(found.values())

    def command(self, pid: int) -> list[str]:
        """The arguments of a process, the first 128 KiB of them; empty for one that may not be read."""
        return [os.fsdecode(argument) for argument in self._strings(pid, "cmdline", _COMMAND_LIMIT)]

    def environment(self, pid: int, wanted: Collection[str]) -> dict[str, str] | None:
        """Only the wanted variables out of the first 512 KiB of what a process was started with.

        None if it may not be read: that takes the process's own user, or CAP_SYS_PTRACE.
        """
        strings = self._strings(pid, "environ", _ENVIRONMENT_LIMIT)
        if not strings:
            return None
        keys = {os.fsencode(key): key for key in wanted}
        found: dict[str, str] = {}
        for string in strings:
            key, _, value = string.partition(b"=")
            if key in keys:
                found.setdefault(keys[key], os.fsdecode(value))
        return found

    def _strings(self, pid: int, file: str, limit: int) -> list[bytes]:
        try:
            data = read_bytes(f"{self._procfs}/{pid}/{file}", limit)
        except OSError:
            return []
        strings = data.split(b"\0")
        strings.pop()  # empty, or cut off by the limit
        return strings

    def _status(self, pid: int) -> Process | None:
        try:
            text = os.fsdecode(read_bytes(f"{self._procfs}/{pid}/status", _STATUS_LIMIT))
        except OSError:
            return None
        fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        uids = fields.get("Uid", "").split()
        if not uids or not uids[0].isdecimal():
            return None
        return Process(pid=pid, comm=fields.get("Name", "").strip(), uid=int(uids[0]))


def _folders(cgroup: str) -> list[str]:
    """The cgroup and those below it, breadth first, 512 at most."""
    folders = [cgroup] if cgroup else []
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                folders.extend(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
        except OSError:
            pass  # ended in the meantime
        if len(folders) >= _FOLDERS:
            return folders[:_FOLDERS]
    return folders


def _pids(folder: str) -> list[int]:
    try:
        listing = read_whole(f"{folder}/cgroup.procs", _LIST_LIMIT)
    except OSError:
        return []  # ended, or a threaded cgroup: the one above lists its processes
    # Processes outside the reader's pid namespace show up as 0.
    return [int(pid) for pid in listing.split() if pid.isdigit() and pid != b"0"]
