"""Log lines on stderr as logfmt or JSON.

A line has the stable keys `ts`, `level`, `logger` and `msg`; whatever the caller gave in
`extra={...}` follows in the order given, and `error` with `traceback` where an exception was logged.
Every line is one line: control characters are escaped, bytes that were not UTF-8 too.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

Level = Literal["debug", "info", "warn", "error"]
Format = Literal["logfmt", "json"]

_LEVELS: dict[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_LEVEL_WORDS = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warn",
    logging.ERROR: "error",
    logging.CRITICAL: "error",
}
# What every LogRecord carries; all other attributes came from the caller's `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_NOT_IN_KEYS = re.compile(r"[^A-Za-z0-9_.\-]")
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """The keys and values of one line, in the order they are written."""
    when = datetime.fromtimestamp(record.created, UTC)
    fields: dict[str, object] = {
        "ts": when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z",
        "level": _LEVEL_WORDS.get(record.levelno, record.levelname.lower()),
        "logger": record.name,
        "msg": record.getMessage(),
    }
    for key, value in vars(record).items():
        if key not in _STANDARD:
            fields.setdefault(key, value)
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        fields["error"] = f"{type(error).__name__}: {error}"
        fields["traceback"] = logging.Formatter().formatException(record.exc_info)
    return fields


def quote(text: str) -> str:
    """`text` as a logfmt value: bare where that is unambiguous, else quoted with escapes."""
    if text and text.isprintable() and not any(c in ' ="\\' for c in text):
        return text
    return '"' + "".join(_escape(c) for c in text) + '"'


def _escape(char: str) -> str:
    if char in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[char]
    if char.isprintable() or char == " ":
        return char
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _word(value: object) -> str:
    """A value as text; booleans and None as JSON spells them, so that both formats agree."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


class LogfmtFormatter(logging.Formatter):
    """One record as `key=value key="quoted value"`."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(
            f"{_NOT_IN_KEYS.sub('_', key) or '_'}={quote(_word(value))}"
            for key, value in fields_of(record).items()
        )


class JsonFormatter(logging.Formatter):
    """One record as a JSON object in ASCII; numbers and booleans keep their type."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps({key: _json_value(value) for key, value in fields_of(record).items()})


def _json_value(value: object) -> str | int | float | None:
    """The value as strict JSON can hold it: no NaN, no lone surrogates."""
    if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _word(value).encode("utf-8", "backslashreplace").decode("utf-8")


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to a stream; a line that cannot be written is dropped and never stops the agent."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name logging calls
        """Do nothing: the only place to report it is the stream that just failed."""


def configure(level: Level, format: Format, stream: TextIO | None = None) -> None:
    """Send every log line of this process to `stream` (stderr by default); may be called again.

    Wattledger's own loggers follow `level`. Other libraries are heard from `warn` up, or from `level`
    where that is higher, and at `debug` in full. Of uvicorn only errors are: it warns of every request
    that is none, so that anyone who reaches the port could fill the log. Its access log is not wanted.
    """
    handler = StderrHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else LogfmtFormatter())
    number = _LEVELS[level]
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, StderrHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(number if level == "debug" else max(number, logging.WARNING))
    logging.getLogger("wattledger").setLevel(number)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET if level == "debug" else logging.ERROR)
        logger.propagate = name != "uvicorn.access"
