"""Text of cgroup paths made fit for labels."""

from __future__ import annotations

import hashlib
import re

LABEL_LIMIT = 256
_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def unescape(text: str) -> str:
    r"""Undo systemd's `\xNN` escapes (systemd.unit(5)); the bytes are read as UTF-8."""
    if "\\x" not in text:
        return text
    data = text.encode("utf-8", "surrogateescape")
    data = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), data)
    return data.decode("utf-8", "surrogateescape")


def label(text: str) -> str:
    """`text` as a label value: valid UTF-8 without control characters, at most 256 characters.

    Text that had to be changed ends in `~` and a hash of the original: different texts stay different.
    """
    safe = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    safe = _CONTROL.sub("\ufffd", safe)
    if len(safe) <= LABEL_LIMIT and safe == text:
        return safe
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"{safe[: LABEL_LIMIT - 17]}~{digest}"
