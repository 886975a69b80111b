"""The web configuration in force, read again when its file or a certificate changed."""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from ..clock import Clock
from ..errors import SettingsError
from ..model import S_NS
from .web_config import read_web_config
from .web_records import WebConfig
from .web_tls import tls_context

CHECK_NS = S_NS
"""Files are looked at once in this time at most, and only when somebody asks."""

log = logging.getLogger(__name__)

_Stamp = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration with the TLS context made of it, None where plain HTTP is served."""

    config: WebConfig
    context: ssl.SSLContext | None
    stamps: tuple[tuple[str, _Stamp], ...]


class WebFile:
    """The web configuration at `path`; raises SettingsError when it cannot be used from the start.

    A later state of the files that cannot be used is logged once, and leaves all of the one before in force.
    `on_reload` is told whether a new state could be used.
    """

    def __init__(self, path: str, clock: Clock, on_reload: Callable[[bool], None] | None = None) -> None:
        self._path = os.path.abspath(path)
        self._clock = clock
        self._on_reload = on_reload or (lambda _: None)
        self._told: set[str] = set()
        self._failure = ""
        self._loaded = _load(self._path)
        self._checked_ns = clock.monotonic_ns()
        self._tell_notes()

    @property
    def secure(self) -> bool:
        """Whether TLS is served; this stays as it is until the next start."""
        return self._loaded.context is not None

    def current(self) -> Loaded:
        """What is in force now. Not for several threads."""
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._checked_ns >= CHECK_NS:
            self._checked_ns = now_ns
            # A state that cannot be used may be one between two writes within a tick of the file's clock.
            if self._failure or any(_stamp(file) != stamp for file, stamp in self._loaded.stamps):
                self._load_again()
        return self._loaded

    def context(self) -> ssl.SSLContext:
        """The TLS context for a new connection; only where TLS is served."""
        context = self.current().context
        assert context is not None  # noqa: S101 - the kind of service stays
        return context

    def _load_again(self) -> None:
        try:
            fresh = _load(self._path)
            if (fresh.context is None) == self.secure:
                change = "from TLS to plain HTTP" if self.secure else "from plain HTTP to TLS"
                raise SettingsError(f"{self._path}: a change {change} takes a restart")
        except SettingsError as error:
            if str(error) != self._failure:
                self._failure = str(error)
                log.error(
                    "web configuration not reloaded, the old one stays in force",
                    extra={"reason": self._failure},
                )
                self._on_reload(False)
            return
        self._failure = ""
        self._loaded = fresh
        log.info("web configuration reloaded")
        self._on_reload(True)
        self._tell_notes()

    def _tell_notes(self) -> None:
        for note in self._loaded.config.notes:
            if note not in self._told:
                self._told.add(note)
                log.warning(
                    "the web configuration has a part without effect, or a weak one", extra={"reason": note}
                )


def check_web_config(path: str) -> None:
    """Raises SettingsError when the web configuration at `path`, or a certificate of it, cannot be used."""
    _load(os.path.abspath(path))


def _load(path: str) -> Loaded:
    # Looked at before they are read, so that a change in between shows the next time.
    stamps = [(path, _stamp(path))]
    config = read_web_config(path)
    context = None
    if config.tls is not None:
        stamps += [(file, _stamp(file)) for file in config.tls.files]
        context = tls_context(config.tls)
    if config.users:
        _require_bcrypt(path)
    return Loaded(config=config, context=context, stamps=tuple(stamps))


def _require_bcrypt(path: str) -> None:
    try:
        import bcrypt  # noqa: F401, PLC0415 - nothing is paid for it where there are no passwords
    except ImportError:
        raise SettingsError(
            f"{path}: basic_auth_users: needs the Python package bcrypt;"
            " install it (python3-bcrypt on Debian, else pip install bcrypt), or leave the users out"
        ) from None


def _stamp(path: str) -> _Stamp:
    """What differs when a file was written, replaced, or became readable; empty where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
