"""Compares passwords with bcrypt hashes, away from the event loop."""

from __future__ import annotations

import asyncio
import base64
import binascii
import enum
import hashlib
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

LONGEST_PASSWORD_BYTES = 72  # bcrypt looks at no more
MAX_WAITING = 20
MAX_REMEMBERED = 1000
_NOBODY = b"." * 53  # salt and digest of a hash that no password has


class Verdict(enum.Enum):
    """What came of a request's credentials; BUSY: too many wait for a comparison already."""

    ALLOWED = enum.auto()
    REFUSED = enum.auto()
    BUSY = enum.auto()


class Passwords:
    """Checks credentials of HTTP basic authentication.

    One comparison runs at a time, in a thread of its own. Those that went well are remembered by a hash
    keyed with a secret of this process, so that a scrape costs a comparison once; at most MAX_REMEMBERED.
    An unknown user takes as long as a known one with a wrong password.
    """

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._remembered: dict[bytes, None] = {}
        self._waiting = 0
        self._worker: ThreadPoolExecutor | None = None

    async def check(self, users: Mapping[str, bytes], authorization: bytes) -> Verdict:
        """Whether the value of an Authorization header has the name and the password of one of `users`."""
        credentials = _credentials(authorization)
        if credentials is None:
            return Verdict.REFUSED
        user, password = credentials
        known = users.get(user)
        hashed = known or b"$2b$%02d$" % max(map(_cost, users.values())) + _NOBODY
        mark = self._mark(user.encode(), hashed, password)
        if mark in self._remembered:
            return Verdict.ALLOWED
        if self._waiting >= MAX_WAITING:
            return Verdict.BUSY
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="passwords")
        self._waiting += 1
        try:
            right = await asyncio.get_running_loop().run_in_executor(
                self._worker, self._compare, mark, password, hashed
            )
        finally:
            self._waiting -= 1
        if not (right and known):
            return Verdict.REFUSED
        self._remember(mark)
        return Verdict.ALLOWED

    def close(self) -> None:
        """Let go of the comparisons that still wait."""
        if self._worker is not None:
            self._worker.shutdown(wait=False, cancel_futures=True)
            self._worker = None

    def _compare(self, mark: bytes, password: bytes, hashed: bytes) -> bool:
        import bcrypt  # noqa: PLC0415 - nothing is paid for it where there are no passwords

        return mark in self._remembered or bcrypt.checkpw(password, hashed)

    def _mark(self, *parts: bytes) -> bytes:
        mark = hashlib.blake2b(key=self._secret, digest_size=32)
        for part in parts:
            mark.update(len(part).to_bytes(8, "big") + part)
        return mark.digest()

    def _remember(self, mark: bytes) -> None:
        while len(self._remembered) >= MAX_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[mark] = None


def _credentials(authorization: bytes) -> tuple[str, bytes] | None:
    """Name and password, None when there are none that could be right."""
    scheme, _, encoded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        name = user.decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    if not colon or len(password) > LONGEST_PASSWORD_BYTES or b"\0" in password:
        return None
    return name, password


def _cost(hashed: bytes) -> int:
    return int(hashed[4:6])
