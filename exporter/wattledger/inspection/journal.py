"""Whether the journal of the state directory can be read, for `wattledger check`."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from typing import Literal

from ..errors import StorageError
from ..ledger.journal_read import find_journal, open_for_reading
from ..model import S_NS, Finding

NAME = "storage"
_Status = Literal["usable", "absent", "denied", "failed"]


def journal_findings(folder: str | None) -> list[Finding]:
    """What the journal holds, or why it cannot be read; nothing without a state directory.

    It is opened read-only, beside an agent that may be writing to it.
    """
    if folder is None:
        return []
    status, why = _look(folder)
    return [Finding(sensor=NAME, subject="journal", status=status, why=why)]


def _look(folder: str) -> tuple[_Status, str]:
    try:
        path = find_journal(folder)
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return "absent", "none yet: the agent makes it at its start"
    except OSError as error:
        return "denied" if error.errno == errno.EACCES else "failed", f"{error.filename}: {error.strerror}"
    try:
        with open_for_reading(path) as journal:
            span, written_ns = journal.span(), journal.written_wall_ns()
    except StorageError as error:
        return "failed", str(error)
    if span is None:
        return "usable", "empty"
    hours = (span[1] - span[0]) // (3600 * S_NS)
    return "usable", f"{hours} h from {_utc(span[0])} on, last written {_utc(written_ns)}"


def _utc(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // S_NS, UTC).strftime("%Y-%m-%d %H:%M UTC")
