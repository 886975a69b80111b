"""The last series of a role on disk, so that a restart need not ask again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat

import msgspec

from ...hostfs import reason_of
from ...settings import IntensitySettings, Role
from ..series import Series
from .history import fault_of

log = logging.getLogger(__name__)

SIZE_LIMIT = 8 << 20
_VERSION = 1


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """`fresh` is the newest series as fetched, `course` the days before it and what it forecasts."""

    version: int
    identity: str
    fresh: Series
    course: Series


class SeriesCache:
    """`intensity-<role>.json` in the state directory; None as folder keeps nothing.

    What is there counts only for the configuration that fetched it. No method raises: what cannot be read or
    written is logged once and done without.
    """

    def __init__(self, folder: str | None, role: Role, settings: IntensitySettings) -> None:
        self._path = None if folder is None else os.path.join(folder, f"intensity-{role}.json")
        self._identity = identity_of(settings)
        self._failed = False

    def load(self) -> tuple[Series, Series] | None:
        """The newest series and the course around it; None where there is nothing that can be used."""
        if self._path is None:
            return None
        found, why = None, ""
        try:
            found = msgspec.json.decode(_read(self._path), type=_File)
        except FileNotFoundError:
            return None
        except OSError as error:
            why = reason_of(error)
        except (ValueError, RecursionError, msgspec.MsgspecError):
            why = "not a file of this kind"
        if found is not None:
            why = self._objection(found)
        if found is None or why:
            log.warning("cached intensity ignored", extra={"path": self._path, "why": why})
            return None
        return found.fresh, found.course

    def store(self, fresh: Series, course: Series) -> None:
        """Put both in place of what was there, at once or not at all, readable for this user only."""
        if self._path is None:
            return
        content = msgspec.json.encode(
            _File(version=_VERSION, identity=self._identity, fresh=fresh, course=course)
        )
        try:
            _replace(self._path, content)
        except OSError as error:
            if not self._failed:
                log.warning(
                    "intensity not kept on disk",
                    extra={"path": self._path, "error": error.strerror, "meaning": "a restart asks anew"},
                )
            self._failed = True
        else:
            self._failed = False

    def _objection(self, found: _File) -> str:
        if found.version != _VERSION or found.identity != self._identity:
            return "of another configuration"
        return fault_of(found.fresh) or fault_of(found.course)


def identity_of(settings: IntensitySettings) -> str:
    """What a series was fetched for, as a hash: it changes with everything that changes the answer."""
    asked = (
        settings.provider,
        settings.grid_zone,
        settings.basis,
        settings.flow,
        settings.url,
        settings.api_version,
    )
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("not a regular file")
        content = file.read(SIZE_LIMIT + 1)
    if len(content) > SIZE_LIMIT:
        raise ValueError("too large")
    return content


def _replace(path: str, content: bytes) -> None:
    """Not synced: after a power failure the old file, the new one or none is as good as before."""
    fresh = f"{path}.new"
    try:
        os.unlink(fresh)
    except FileNotFoundError:
        pass  # the usual case
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(content)
        os.rename(fresh, path)
    except OSError:
        os.unlink(fresh)
        raise
