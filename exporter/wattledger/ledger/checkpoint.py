"""The checkpoint: one file with two checksummed slots, written before every snapshot is published.

Layout: two slots of half the file each. A slot is a header (magic, format version, sequence, payload
length, CRC-32 of the payload) and a MessagePack payload. Writes alternate between the slots, so that a
process killed in mid-write leaves the previous slot whole. Nothing is synced on every tick: what a
process wrote survives its own death in the page cache, and after a power cut the counters start
at zero anyway because the boot is another one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import time
import zlib
from typing import Any

import msgspec

from ..errors import StorageError

log = logging.getLogger(__name__)

MAGIC = b"WLedger\n"
VERSION = 1
HEADER = struct.Struct("<8sIIQQI")
MIN_SLOT = 128 * 1024

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()


class Checkpoint:
    """The file `ledger.ckpt` in a state directory, locked against a second agent while open.

    `open()` returns what the last process wrote, or None; a file that cannot be understood is moved aside.
    Raises StorageError when the directory cannot be used at all.
    """

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, "ledger.ckpt")
        self._folder = folder
        self._fd = -1
        self._lock_fd = -1
        self._slot_size = MIN_SLOT
        self._sequence = 0

    def open(self) -> dict[str, Any] | None:
        """Lock the directory and read the newest whole slot."""
        try:
            os.makedirs(self._folder, mode=0o755, exist_ok=True)
            self._lock_fd = os.open(
                os.path.join(self._folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644
            )
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise StorageError(
                f"{self._folder}: another wattledger is using this state directory; "
                "stop it or give this one another --storage.path"
            ) from None
        except OSError as error:
            self.close()
            raise StorageError(
                f"{self._folder}: cannot use the state directory: {error.strerror}; "
                "make it writable for this user or leave --storage.path out to keep everything in memory"
            ) from error
        saved = self._read()
        if self._fd < 0:
            self._create(MIN_SLOT)
        return saved

    def write(self, state: dict[str, Any]) -> None:
        """Write the next slot; raises OSError (the previous slot stays whole then)."""
        payload = _encoder.encode(state)
        needed = HEADER.size + len(payload)
        if needed > self._slot_size:
            self._create(1 << (needed + needed // 4).bit_length())
        sequence = self._sequence + 1
        header = HEADER.pack(MAGIC, VERSION, 0, sequence, len(payload), zlib.crc32(payload))
        _write_all(self._fd, header + payload, (sequence & 1) * self._slot_size)
        self._sequence = sequence  # only now: after a failure the next write goes to the same torn slot

    def reject(self, reason: str) -> None:
        """What was read makes no sense to the ledger: move it aside and start a fresh file."""
        log.error("checkpoint has unexpected content", extra={"reason": reason})
        self._move_aside()
        self._sequence = 0
        self._create(MIN_SLOT)

    def close(self) -> None:
        """Sync and release the file and the lock."""
        if self._fd >= 0:
            os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _read(self) -> dict[str, Any] | None:
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.error("checkpoint unreadable", extra={"path": self.path, "reason": error.strerror})
            self._move_aside()
            return None
        size = os.fstat(self._fd).st_size
        self._slot_size = max(size // 2, 1)
        best: dict[str, Any] | None = None
        for offset in (0, self._slot_size):
            sequence, state = _read_slot(self._fd, offset, self._slot_size)
            if state is not None and sequence > self._sequence:
                self._sequence, best = sequence, state
        if best is None or self._slot_size < HEADER.size:
            if os.pread(self._fd, 1, 0).strip(b"\0") or os.pread(self._fd, 1, self._slot_size).strip(b"\0"):
                self._move_aside()
            else:
                os.close(self._fd)
                self._fd = -1
        return best

    def _move_aside(self) -> None:
        """Keep a file that cannot be read for whoever wants to look at it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        aside = f"{self.path}.unreadable-{time.time_ns()}"
        try:
            os.replace(self.path, aside)
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be read nor moved aside: {error.strerror}") from error
        log.error("checkpoint was not readable, starting afresh", extra={"moved_to": aside})

    def _create(self, slot_size: int) -> None:
        """Put a new empty file with larger slots in place; the space is allocated now, so a disk that
        fills up later cannot stop the ledger."""
        fresh = f"{self.path}.new"
        try:
            fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, 2 * slot_size)
                if self._fd >= 0:
                    newest = os.pread(self._fd, self._slot_size, (self._sequence & 1) * self._slot_size)
                    _write_all(fd, newest, (self._sequence & 1) * slot_size)
                os.replace(fresh, self.path)
            except OSError:
                os.close(fd)
                raise
        except OSError as error:
            if self._fd >= 0:
                raise
            raise StorageError(f"{self.path}: cannot be created: {error.strerror}") from error
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._slot_size = slot_size


def _write_all(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view = view[written:]
        offset += written


def _read_slot(fd: int, offset: int, slot_size: int) -> tuple[int, dict[str, Any] | None]:
    """The sequence and state of a slot, or (0, None) when it is torn, foreign or of another version."""
    raw = os.pread(fd, slot_size, offset)
    if len(raw) < HEADER.size:
        return 0, None
    magic, version, _, sequence, length, checksum = HEADER.unpack_from(raw)
    payload = raw[HEADER.size : HEADER.size + length]
    if magic != MAGIC or version != VERSION or len(payload) != length or zlib.crc32(payload) != checksum:
        return 0, None
    try:
        state = _decoder.decode(payload)
    except msgspec.MsgspecError:
        return 0, None
    return (sequence, state) if isinstance(state, dict) else (0, None)
