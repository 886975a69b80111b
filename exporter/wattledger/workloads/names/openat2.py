"""The system call openat2(2), for paths that must stay below a directory."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

_NUMBER = 437  # the same on every architecture but alpha; Linux 5.6 and later
_HOW = struct.Struct("=QQQ")  # struct open_how: flags, mode, resolve
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_ATTEMPTS = 8


class OpenInRoot:
    """Calls openat2(2) of this kernel."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def __call__(self, root_fd: int, path: str, follow: bool) -> int:
        """An O_PATH descriptor of `path` with the directory `root_fd` as its root; raises OSError.

        Absolute links and `..` end at that root, magic links of /proc fail with ELOOP.
        With `follow` False a link in the last place is opened itself. ENOSYS or EPERM mean that the kernel
        or a seccomp filter has no such call; ValueError is a path that no file can have.
        """
        name = os.fsencode(path)
        if b"\0" in name:
            raise ValueError("embedded null byte")
        flags = os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
        how = ctypes.create_string_buffer(_HOW.pack(flags, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS))
        code = 0
        for _ in range(_ATTEMPTS):
            fd: int = self._libc.syscall(
                ctypes.c_long(_NUMBER), ctypes.c_int(root_fd), name, how, ctypes.c_size_t(_HOW.size)
            )
            if fd >= 0:
                return fd
            code = ctypes.get_errno()
            if code not in {errno.EAGAIN, errno.EINTR}:  # EAGAIN: a rename while `..` was resolved
                break
        raise OSError(code, os.strerror(code), path)
