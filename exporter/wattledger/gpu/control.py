"""How a command reaches the GPU side of a running agent: two signals, and who holds the device files.

SIGUSR1 asks an agent to let go of the boards, SIGUSR2 to take them back.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

from ..errors import WattledgerError
from ..hostfs import read_bytes, read_text, read_whole

RELEASE = signal.SIGUSR1
ACQUIRE = signal.SIGUSR2
WORKER = b"wattledger.gpu.worker"
DEVICES = "/dev/nvidia"


class ControlError(WattledgerError):
    """The agent cannot be found or reached; the message says what to do."""


def agent_of(state_folder: str, procfs: str = "/proc") -> int:
    """The process that holds the lock of a state directory; raises ControlError."""
    lock = os.path.join(state_folder, "lock")
    try:
        inode = os.stat(lock).st_ino
        lines = read_whole(f"{procfs}/locks", 1 << 20).decode("ascii", "replace").splitlines()
    except OSError as error:
        raise ControlError(f"{lock}: {error.strerror}; name the agent with --pid") from error
    for line in lines:
        # `1: FLOCK  ADVISORY  WRITE 4711 fd:01:131 0 EOF` (fs/locks.c, lock_get_status)
        fields = line.split()
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):
            pid = int(fields[4])
            if pid > 0 and _catches(pid, RELEASE, procfs) and _has_open(pid, lock, procfs):
                return pid
    raise ControlError(f"{state_folder}: no agent uses this state directory; name it with --pid")


def ask(pid: int, request: signal.Signals, procfs: str = "/proc") -> None:
    """Send a request to an agent; raises ControlError. A process without a handler is left in peace."""
    if not _catches(pid, request, procfs):
        raise ControlError(f"process {pid} is not an agent that can let go of its GPUs")
    try:
        os.kill(pid, request)
    except OSError as error:
        raise ControlError(f"process {pid}: {error.strerror}; try again with sudo") from error


def workers_of(pid: int, procfs: str = "/proc") -> list[int]:
    """The NVML workers of an agent that are alive."""
    return [child for child in _pids(procfs) if _is_worker(child, pid, procfs)]


def holders(procfs: str = "/proc", devices: str = DEVICES) -> list[tuple[int, str]]:
    """(pid, name) of every process that has a device file of NVIDIA's open, as far as we may see."""
    found = []
    for pid in _pids(procfs):
        folder = f"{procfs}/{pid}/fd"
        try:
            if any(os.readlink(f"{folder}/{fd}").startswith(devices) for fd in os.listdir(folder)):
                found.append((pid, read_text(f"{procfs}/{pid}/comm", 64)))
        except OSError:
            continue
    return found


def _pids(procfs: str) -> Iterator[int]:
    return (int(name) for name in os.listdir(procfs) if name.isdigit())


def _is_worker(child: int, parent: int, procfs: str) -> bool:
    try:
        # The name, in parentheses, may hold anything; the parent is the second field after it.
        after_name = read_bytes(f"{procfs}/{child}/stat", 1024).rpartition(b")")[2].split()
        return (
            int(after_name[1]) == parent
            and after_name[0] != b"Z"
            and WORKER in read_bytes(f"{procfs}/{child}/cmdline")
        )
    except (OSError, IndexError, ValueError):
        return False


def _has_open(pid: int, path: str, procfs: str) -> bool:
    """Whether a process has this file open: another file system may use the same inode number."""
    folder = f"{procfs}/{pid}/fd"
    try:
        return any(_is_same(f"{folder}/{fd}", path) for fd in os.listdir(folder))
    except PermissionError:
        return True  # it cannot be asked either, which is to be said
    except OSError:
        return False


def _is_same(link: str, path: str) -> bool:
    try:
        return os.path.samefile(link, path)
    except OSError:
        return False


def _catches(pid: int, number: signal.Signals, procfs: str) -> bool:
    """Whether a process has a handler for a signal (`SigCgt` in its status)."""
    try:
        status = read_text(f"{procfs}/{pid}/status")
    except OSError:
        return False
    for line in status.splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False
