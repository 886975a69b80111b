"""The system call perf_event_open(2), for counting events of a whole CPU."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Callable

OpenEvent = Callable[[int, int, int], int]
"""`(pmu_type, config, cpu)` to a file descriptor that reads as one native u64; raises OSError."""

_NUMBERS = {"x86_64": 298, "aarch64": 241}
_ATTR = struct.Struct("=IIQQQQQIIQ")  # struct perf_event_attr up to PERF_ATTR_SIZE_VER0
_ALL_PROCESSES = -1
_NO_GROUP = -1
_FLAG_FD_CLOEXEC = 8


def open_event(pmu_type: int, config: int, cpu: int) -> int:
    """Start counting event `config` of PMU `pmu_type` on `cpu`, from zero; raises OSError."""
    number = _NUMBERS.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"no number of perf_event_open is known for {platform.machine()}")
    attr = ctypes.create_string_buffer(_ATTR.pack(pmu_type, _ATTR.size, config, 0, 0, 0, 0, 0, 0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.syscall(
        ctypes.c_long(number),
        attr,
        ctypes.c_int(_ALL_PROCESSES),
        ctypes.c_int(cpu),
        ctypes.c_int(_NO_GROUP),
        ctypes.c_ulong(_FLAG_FD_CLOEXEC),
    )
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return fd
