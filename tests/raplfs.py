"""A FUSE file system of powercap zones that fail as the kernel's do.

It runs in a process of its own (`python -m tests.raplfs MOUNTPOINT ENTRY=NAME...`), for a reader that hangs
in it must not hang it. Its root has one folder per zone, as /sys/class/powercap has, and a file `ctl`;
a line `ENTRY COMMAND` written there changes a zone:

- a number: the counter's value from now on;
- `enodata`, `eio`, ...: every read of it fails so;
- `gone`: the zone vanishes, and files held open fail with ENODEV;
- `hang`: reads wait until another command comes;
- `ok`: all of this ends. A zone that was gone comes back with another inode.

The file `waiting` holds the number of reads that hang.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import errno
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

RANGE_UJ = 65_532_610_987
CTL, WAITING = "/ctl", "/waiting"


def missing() -> str:
    """Why FUSE cannot be used here, or ""."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no /dev/fuse that we may open"
    if not (ctypes.util.find_library("fuse") or ctypes.util.find_library("fuse3")):
        return "no libfuse"
    return ""


class Mount:
    """A mounted raplfs as its user sees it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def set(self, entry: str, command: str | int) -> None:
        fd = os.open(self.path / "ctl", os.O_WRONLY)
        try:
            os.write(fd, f"{entry} {command}\n".encode())
        finally:
            os.close(fd)

    def waiting(self) -> int:
        """How many reads hang now."""
        return int((self.path / "waiting").read_text())


@contextlib.contextmanager
def mounted(mountpoint: Path, **zones: str) -> Iterator[Mount]:
    """Mount zones given as entry=name, where `__` in an entry stands for `:` and `_` for `-`."""
    entries = [f"{key.replace('__', ':').replace('_', '-')}={name}" for key, name in zones.items()]
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.raplfs", str(mountpoint), *entries],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        for _ in range(200):
            if os.path.ismount(mountpoint):
                break
            if server.poll() is not None:
                raise RuntimeError(f"raplfs ended: {server.stdout.read().decode()}")
            time.sleep(0.05)
        else:
            raise RuntimeError("raplfs did not mount within 10 s")
        yield Mount(mountpoint)
    finally:
        if os.path.ismount(mountpoint):
            unmount = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount", "-u", "-z"]
            subprocess.run([*unmount, str(mountpoint)], check=False)
        server.terminate()
        server.wait(10)


def serve(mountpoint: str, zones: dict[str, str]) -> None:
    """Serve in the foreground until unmounted."""
    import mfusepy  # noqa: PLC0415 - the tests import this module where libfuse is missing too

    class RaplFS(mfusepy.Operations):
        def __init__(self) -> None:
            self.changed = threading.Condition()
            self.value = dict.fromkeys(zones, 0)
            self.state = dict.fromkeys(zones, "ok")
            self.inode = {entry: 1000 + 10 * i for i, entry in enumerate(zones)}
            self.waiting = 0

        def fail(self, code: int) -> None:
            raise mfusepy.FuseOSError(code)

        def locate(self, path: str) -> tuple[str, str]:
            entry, _, file = path.strip("/").partition("/")
            if entry not in zones or self.state[entry] == "gone":
                self.fail(errno.ENOENT)
            if file not in ("", "name", "energy_uj", "max_energy_range_uj"):
                self.fail(errno.ENOENT)
            return entry, file

        def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
            if path == "/":
                return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2, "st_ino": 1}
            if path in (CTL, WAITING):
                mode = stat.S_IFREG | 0o644
                return {"st_mode": mode, "st_nlink": 1, "st_size": 4096, "st_ino": 2 + (path == WAITING)}
            entry, file = self.locate(path)
            if not file:
                return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2, "st_ino": self.inode[entry]}
            inode = self.inode[entry] + 1 + ["name", "energy_uj", "max_energy_range_uj"].index(file)
            return {"st_mode": stat.S_IFREG | 0o444, "st_nlink": 1, "st_size": 4096, "st_ino": inode}

        def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, int], int]]:
            if path == "/":
                names = [entry for entry in zones if self.state[entry] != "gone"]
            else:
                names = ["name", "energy_uj", "max_energy_range_uj"]
            return [(name, self.getattr(os.path.join(path, name)), 0) for name in names]

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            if path == WAITING:
                content = str(self.waiting)
            else:
                entry, _, file = path.strip("/").partition("/")
                content = self.energy(entry) if file == "energy_uj" else zones[entry]
                if file == "max_energy_range_uj":
                    content = str(RANGE_UJ)
            return f"{content}\n".encode()[offset : offset + size]

        def energy(self, entry: str) -> str:
            with self.changed:
                if self.state[entry] == "hang":
                    self.waiting += 1
                    self.changed.wait_for(lambda: self.state[entry] != "hang")
                    self.waiting -= 1
                state = self.state[entry]
            if state == "gone":
                self.fail(errno.ENODEV)
            if state != "ok":
                self.fail(getattr(errno, state.upper()))
            return str(self.value[entry])

        def truncate(self, path: str, length: int, fh: int | None = None) -> int:
            return 0

        def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
            entry, command = data.decode().split()
            with self.changed:
                if command.isdecimal():
                    self.value[entry] = int(command)
                else:
                    if self.state[entry] == "gone":
                        self.inode[entry] += 100_000
                    self.state[entry] = command
                self.changed.notify_all()
            return len(data)

    mfusepy.FUSE(
        RaplFS(),
        mountpoint,
        foreground=True,
        direct_io=True,
        use_ino=True,
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
    )


if __name__ == "__main__":
    serve(sys.argv[1], dict(argument.split("=", 1) for argument in sys.argv[2:]))
