"""Runs a function where the kernel refuses openat2(2), as old seccomp profiles do."""

from __future__ import annotations

import ctypes
import multiprocessing
import struct
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar

T = TypeVar("T")

_OPENAT2 = 437
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_LOAD_NUMBER = (0x20, 0, 0, 0)
_RETURN = 0x06
_JUMP_IF_EQUAL = 0x15


def without_openat2(function: Callable[[], T], code: int) -> T:
    """The result of `function()`, run in a forked child whose openat2 fails with the errno `code`."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(function, code, theirs))
    child.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        child.join()


def _child(function: Callable[[], object], code: int, result: Connection) -> None:
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            _LOAD_NUMBER,
            (_JUMP_IF_EQUAL, 0, 1, _OPENAT2),
            (_RETURN, 0, 0, _ERRNO | code),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
    code_buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code_buffer))
    header_buffer = ctypes.create_string_buffer(header, len(header))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header_buffer, 0, 0
    ):
        raise OSError(ctypes.get_errno(), "no seccomp filter could be set")
    result.send(function())
