"""The idle floors in the state directory; unlike counters they outlive the boot."""

from __future__ import annotations

import logging
import os

import msgspec

from ..idle import Hour, IdleFloor

log = logging.getLogger(__name__)

FILE = "idle-floor.json"


class FloorsFile:
    """The file `idle-floor.json` in a folder."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, FILE)

    def save(self, idle: IdleFloor) -> None:
        """Replace the file in one step, synced; raises OSError."""
        fd = os.open(f"{self._path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            data = memoryview(msgspec.json.encode(idle.dump()))
            while data:  # a disk that is nearly full takes a part, and refuses the rest at the next try
                data = data[os.write(fd, data) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(f"{self._path}.new", self._path)

    def load(self, idle: IdleFloor, wall_ns: int) -> None:
        """Take up what was saved; what cannot be read is told of, and the floors start anew."""
        try:
            with open(self._path, "rb") as file:
                saved = msgspec.json.decode(file.read(), type=dict[str, list[Hour]])
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("idle floors start anew", extra={"path": self._path, "reason": str(error)})
            return
        idle.load(saved, wall_ns)
