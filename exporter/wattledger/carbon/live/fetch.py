"""One bounded HTTP request, and the words for everything that can go wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ...errors import WattledgerError

REASONS = (
    "no_key",
    "connect",
    "tls",
    "timeout",
    "redirect",
    "too_large",
    "unauthorized",
    "plan",
    "not_found",
    "rate_limited",
    "server_error",
    "http",
    "bad_data",
    "wrong_units",
    "no_data",
)
"""All that can go wrong, as the `reason` of `wattledger_carbon_source_errors_total`."""


class FetchError(WattledgerError):
    """A request to a provider gave no usable answer.

    `reason` is one of REASONS; `unauthorized` means that the key is wrong, `plan` that the key is right,
    but its plan or access does not cover this.
    `retry_after_s` is what the server asked for. The message says what to do and never holds a key.
    """

    def __init__(self, reason: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A GET. `headers` and `basic` (user, password) may hold secrets, so they are left out of every repr."""

    url: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    basic: tuple[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A complete answer, whatever its status; `retry_after_s` where the server asked for it."""

    status: int
    body: bytes
    retry_after_s: float | None = None


class Get(Protocol):
    """Makes a request within its limits of time and size.

    Raises FetchError when there is no complete answer (`connect`, `tls`, `timeout`, `redirect`, `too_large`,
    `bad_data` for damaged compression, `no_key` for a key that no header can carry); a complete
    answer of any status is returned.
    """

    def __call__(self, request: Request) -> Reply: ...
