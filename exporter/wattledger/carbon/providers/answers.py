"""What every provider does with an answer: its status to a reason, its JSON to a typed record."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from ..live.fetch import FetchError, Get, Reply, Request

T = TypeVar("T")

LATEST_NS = 1 << 62
"""The year 2116: no service means a later moment, and caches hold 64 bits."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ask(get: Get, request: Request, shape: type[T], *, service: str, zones: str, keyed: bool) -> T:
    """The answer to a request, decoded into `shape`.

    `service` begins every message and `zones` says where its zones are listed. Raises FetchError. No message
    quotes the answer: a server may echo what it was sent, the key too.
    """
    reply = get(request)
    check_status(reply, service=service, zones=zones, keyed=keyed)
    return decode(reply.body, shape, service=service)


def check_status(reply: Reply, *, service: str, zones: str, keyed: bool) -> None:
    """Nothing for a 200, else FetchError with the reason that the status stands for."""
    status, after_s = reply.status, reply.retry_after_s
    if status == 200:
        return
    if status == 204:
        raise FetchError("no_data", f"{service}: the answer is empty (HTTP 204)")
    if 300 <= status < 400:
        raise FetchError("redirect", f"{service}: redirected (HTTP {status}); set url to where it lives now")
    if status == 401 and keyed:
        raise FetchError("unauthorized", f"{service}: the key was refused (HTTP 401); check the key")
    if status == 401:
        raise FetchError(
            "unauthorized", f"{service}: asks for a login that it should not need (HTTP 401); check url"
        )
    if status == 403 and keyed:
        raise FetchError("plan", f"{service}: the key's plan does not cover this (HTTP 403)")
    if status == 404:
        raise FetchError("not_found", f"{service}: knows no such zone (HTTP 404); {zones}")
    if status == 429:
        wait = f"; wait {after_s:.0f} s" if after_s is not None else ""
        raise FetchError("rate_limited", f"{service}: asked too often (HTTP 429){wait}", after_s)
    if status >= 500:
        raise FetchError("server_error", f"{service}: is in trouble (HTTP {status})", after_s)
    hint = "; check grid_zone" if status in {400, 422} else ""
    raise FetchError("http", f"{service}: refused the request (HTTP {status}){hint}", after_s)


def decode(body: bytes, shape: type[T], *, service: str) -> T:
    """JSON as `shape`, unknown fields left alone; FetchError `bad_data` for anything else."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = str(error) if isinstance(error, msgspec.DecodeError) else type(error).__name__
        raise FetchError("bad_data", f"{service}: the answer is not what it documents: {detail}") from None


def instant_ns(text: str, *, service: str, zone_given: bool = True) -> int:
    """Nanoseconds since 1970 UTC of an ISO 8601 time with an offset; `zone_given` False: UTC by definition.

    Raises FetchError `bad_data` for anything else, a time without an offset included.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise FetchError("bad_data", f"{service}: a time in the answer is not ISO 8601") from None
    if moment.tzinfo is None:
        if zone_given:
            raise FetchError("bad_data", f"{service}: a time in the answer has no UTC offset")
        moment = moment.replace(tzinfo=UTC)
    wall_ns = _since_epoch_us(moment) * 1000
    if not 0 <= wall_ns < LATEST_NS:
        raise FetchError("bad_data", f"{service}: a time in the answer is beyond 1970 to 2116")
    return wall_ns


def stamp(wall_ns: int) -> str:
    """A moment of wall time in whole minutes, `2026-11-20T12:30Z`."""
    return datetime.fromtimestamp(wall_ns // 60_000_000_000 * 60, UTC).strftime("%Y-%m-%dT%H:%MZ")


def _since_epoch_us(moment: datetime) -> int:
    delta = moment - _EPOCH
    return (delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds
