"""The key of a live provider, read from a file or the environment at every request."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping

from ...settings import IntensitySettings
from .fetch import FetchError

log = logging.getLogger(__name__)

SIZE_LIMIT = 16 << 10


class KeyReader:
    """A `providers.base.Key`: reads `key_file`, or else the environment variable `key_variable`.

    Where a file is named the variable is not looked at: an old key there would hide that the file is gone.
    A file that every user can read is used, with one warning. Raises FetchError `no_key`, which says what to
    set and never holds any of what was read.
    """

    def __init__(self, settings: IntensitySettings, environ: Mapping[str, str] = os.environ) -> None:
        self._path = settings.key_file
        self._variable = settings.key_variable
        self._environ = environ
        self._warned = False

    def __call__(self) -> str:
        if self._path is not None:
            return _checked(self._read(self._path), self._path)
        if not self._variable:
            raise FetchError("no_key", "no key: set key_file to the path of a file that holds it")
        key = self._environ.get(self._variable, "")
        if not key.strip():
            raise FetchError(
                "no_key",
                f"no key: set key_file to the path of a file that holds it, or the variable {self._variable}",
            )
        return _checked(key.encode("utf-8", "surrogateescape"), self._variable)

    def _read(self, path: str) -> bytes:
        why = ""
        try:
            content, mode = _read_regular(path)
        except OSError as error:
            content, mode, why = b"", 0, error.strerror or "cannot be read"
        if why:
            raise FetchError("no_key", f"key_file {path}: {why}; put the key there, readable for this user")
        if mode & stat.S_IROTH and not self._warned:
            self._warned = True
            log.warning("key file readable by everybody", extra={"path": path, "fix": f"chmod 0400 {path}"})
        return content


def _read_regular(path: str) -> tuple[bytes, int]:
    """Content and mode; one byte more than the limit tells that a file is too large."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise FetchError("no_key", f"key_file {path}: not a regular file")
        return os.read(fd, SIZE_LIMIT + 1), mode
    finally:
        os.close(fd)


def _checked(content: bytes, where: str) -> str:
    """The key without the white space around it."""
    if len(content) > SIZE_LIMIT:
        raise FetchError("no_key", f"{where}: larger than {SIZE_LIMIT} bytes; is this the key?")
    text = content.decode("utf-8", "replace").strip()
    if not text:
        raise FetchError("no_key", f"{where}: empty; put the key there")
    if not text.isprintable() or "\ufffd" in text:
        raise FetchError("no_key", f"{where}: more than one line of text; put the key alone there")
    return text
