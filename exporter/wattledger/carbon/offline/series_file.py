"""Grid intensity from a time series in a file, which is read again when it changes."""

from __future__ import annotations

import io
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from ...model import S_NS, Basis, FeedHealth, Intensity
from ...settings import IntensitySettings, Role
from ..intensity import IntensitySource
from ..known import known_at, known_or_fallback, mean_known, why_unknown
from ..live.fetch import FetchError
from ..series import Series
from .series_csv import csv_rows
from .series_json import json_rows
from .series_points import points_around
from .series_row import Row, Shape, bad

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

log = logging.getLogger(__name__)

CSV_LIMIT_BYTES = 64 << 20
JSON_LIMIT_BYTES = 16 << 20
"""JSON is read as a whole, CSV row by row."""

CHECK_S = 15.0
"""How often the file is looked at."""

QUIET_NS = 2 * S_NS
"""A file that changed less long ago may still be being written."""

_MOST_POSTPONED = 3
_RETRY_NS = 3600 * S_NS
_DAY_NS = 86400 * S_NS

AROUND_NS = 9 * _DAY_NS
"""What is held before and after now: the week that the outlook ranks by, a day until it moves, a spare."""

_ELECTRICITY_MAPS_LICENCE = "ODbL 1.0, Electricity Maps"


class Stamp(NamedTuple):
    """What changes when a file does."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read last: of which version of the file, around when, and when it was last seen the same."""

    series: Series
    stamp: Stamp
    read_ns: int
    fresh_ns: int


@dataclass(frozen=True, slots=True)
class _Refused:
    """The version of the file that could not be used, when, and why."""

    stamp: Stamp
    at_ns: int
    reason: str
    message: str


class FileSeries:
    """An IntensitySource and a `watch.Feed`. `at`, `over` and `series` only look at memory, `refresh` reads.

    Beyond the data the last value holds for the maximum age, then `fallback`. A file that cannot be used
    leaves the data of the old one in force and counts an error.
    """

    def __init__(self, settings: IntensitySettings, fallback: IntensitySource, role: Role) -> None:
        self._path = settings.file or ""
        self._settings = settings
        self._fallback = fallback
        self._role = role
        self._known: _Known | None = None
        self._refused: _Refused | None = None
        self._postponed = 0
        self._fell_back = False
        self._errors: dict[str, int] = {}
        self._health = FeedHealth(
            role=role, provider="file", up=False, last_success_ns=0, errors={}, error="not read yet"
        )

    @property
    def health(self) -> FeedHealth:
        """Whether the file could be used when it was last looked at."""
        return self._health

    def at(self, wall_ns: int) -> Intensity:
        known = self._known
        return known_or_fallback(
            known.series if known else None,
            wall_ns,
            fresh_ns=known.fresh_ns if known else 0,
            max_age_ns=self._settings.max_age_ns,
            fallback=self._fallback,
        )

    def over(self, start_ns: int, end_ns: int) -> Intensity:
        known = self._known
        return mean_known(
            known.series if known else None,
            start_ns,
            end_ns,
            fresh_ns=known.fresh_ns if known else 0,
            max_age_ns=self._settings.max_age_ns,
            fallback=self._fallback,
        )

    def series(self, start_ns: int, end_ns: int) -> Series | None:
        """What the file has of a span, None where it has nothing; the fallback's before anything was read."""
        known = self._known
        if known is None:
            return self._fallback.series(start_ns, end_ns)
        points = tuple(p for p in known.series.points if p.end_ns > start_ns and p.start_ns < end_ns)
        return replace(known.series, points=points) if points else None

    def first_due_s(self, now_ns: int) -> float:  # noqa: ARG002 - the protocol's parameter
        """The file is read at once."""
        return 0.0

    def refresh(self, now_ns: int) -> float:
        """Look at the file and read it if it has changed; seconds until the next look."""
        try:
            return self._look(now_ns)
        except OSError as error:
            reason = "not_found" if isinstance(error, FileNotFoundError | NotADirectoryError) else "connect"
            self._fail(FetchError(reason, f"{self._path}: {error.strerror}"))
        except FetchError as error:
            self._fail(error)
        return CHECK_S

    def notice(self, now_ns: int) -> None:
        """Log when the file's data has come to its end, and when there is some again."""
        fell_back = self.at(now_ns).fallback
        if fell_back and not self._fell_back:
            log.warning("carbon file has no value for now", extra=self._names())
        elif self._fell_back and not fell_back:
            log.info("carbon file has a value again", extra=self._names())
        self._fell_back = fell_back

    def _look(self, now_ns: int) -> float:
        fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            stamp = _stamp(fd, self._path)
            known = self._known
            if known is None or known.stamp != stamp or abs(now_ns - known.read_ns) >= _DAY_NS:
                self._check_not_refused(stamp, now_ns)
                if known is not None and self._is_being_written(stamp, now_ns):
                    return QUIET_NS / S_NS
                series = self._read(fd, stamp, now_ns)
                if _stamp(fd, self._path) != stamp and self._postpone():
                    return QUIET_NS / S_NS
                known = _Known(series, stamp, now_ns, now_ns)
        finally:
            os.close(fd)
        self._known = _Known(known.series, stamp, known.read_ns, now_ns)
        self._postponed = 0
        if known_at(known.series, now_ns, now_ns, self._settings.max_age_ns) is None:
            raise FetchError("no_data", f"{self._path}: {why_unknown(known.series, now_ns)}")
        if self._health.error and self._errors:
            log.info("carbon file works again", extra=self._names())
        self._health = FeedHealth(
            role=self._role, provider="file", up=True, last_success_ns=now_ns, errors=dict(self._errors)
        )
        return CHECK_S

    def _check_not_refused(self, stamp: Stamp, now_ns: int) -> None:
        """A refused version is not parsed again for an hour: time alone may bring rows around now."""
        refused = self._refused
        if refused and refused.stamp == stamp and abs(now_ns - refused.at_ns) < _RETRY_NS:
            raise FetchError(refused.reason, refused.message)

    def _is_being_written(self, stamp: Stamp, now_ns: int) -> bool:
        return 0 <= now_ns - stamp.modified_ns < QUIET_NS and self._postpone()

    def _postpone(self) -> bool:
        """Whether to wait once more for a file to come to rest."""
        self._postponed += 1
        return self._postponed <= _MOST_POSTPONED

    def _read(self, fd: int, stamp: Stamp, now_ns: int) -> Series:
        try:
            shape, rows = _open(fd, stamp.size, self._path, self._settings.basis)
            self._check_kind(shape)
            location, points = points_around(
                rows, self._path, self._settings.grid_zone, now_ns - AROUND_NS, now_ns + AROUND_NS
            )
        except FetchError as error:
            self._refused = _Refused(stamp, now_ns, error.reason, str(error))
            raise
        self._refused = None
        maps = shape.kind == "electricity-maps"
        made_ns = min(stamp.modified_ns, now_ns)
        return Series(
            points=points,
            provider="file",
            grid_zone=self._settings.grid_zone or location,
            basis=shape.basis or self._settings.basis or "lifecycle",
            flow=self._settings.flow or ("consumption" if maps else ""),
            licence=_ELECTRICITY_MAPS_LICENCE if maps else "",
            generated_ns=made_ns,
            fetched_ns=made_ns,
        )

    def _check_kind(self, shape: Shape) -> None:
        if shape.kind == "carbon-aware-sdk" and self._settings.basis is None and self._role != "signal":
            raise bad(
                self._path,
                "is in the Carbon Aware SDK's shape, which does not tell averages from marginal values;"
                " set basis (lifecycle or direct) if they are averages, else put it under carbon.signal",
            )

    def _fail(self, error: FetchError) -> None:
        if self._health.error != str(error):
            log.warning(
                "carbon file failed", extra={**self._names(), "reason": error.reason, "error": str(error)}
            )
        self._errors[error.reason] = self._errors.get(error.reason, 0) + 1
        self._health = FeedHealth(
            role=self._role,
            provider="file",
            up=False,
            last_success_ns=self._health.last_success_ns,
            errors=dict(self._errors),
            error=str(error),
        )

    def _names(self) -> dict[str, str]:
        return {"role": self._role, "file": self._path}


class _Limited(io.RawIOBase):
    """The first `size` bytes of a file, however much it grows. Does not close it."""

    def __init__(self, fd: int, size: int) -> None:
        super().__init__()
        self._fd = fd
        self._at = 0
        self._size = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        data = os.pread(self._fd, min(len(view), self._size - self._at), self._at)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def _open(fd: int, size: int, path: str, basis: Basis | None) -> tuple[Shape, Iterator[Row]]:
    """The rows of a file, JSON where its first character is a bracket, else CSV."""
    start = os.pread(fd, 1024, 0).removeprefix(b"\xef\xbb\xbf").lstrip()
    limit = JSON_LIMIT_BYTES if start[:1] in {b"[", b"{"} else CSV_LIMIT_BYTES
    if size > limit:
        raise FetchError("too_large", f"{path}: has {size} bytes, more than {limit >> 20} MiB")
    if not start:
        raise FetchError("no_data", f"{path}: is empty")
    stream = io.BufferedReader(_Limited(fd, size), 1 << 16)
    if limit == JSON_LIMIT_BYTES:
        return json_rows(stream.read().removeprefix(b"\xef\xbb\xbf"), path)
    return csv_rows(stream, path, basis)


def _stamp(fd: int, path: str) -> Stamp:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise bad(path, "is no regular file")
    return Stamp(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
