"""Stands before the application: rate limit, names of clients, passwords, headers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from ..clock import Clock
from ..model import S_NS
from .messages import Application, Message, Receive, Request, Response, Scope, Send, send_response
from .web_config import san_of
from .web_file import Loaded
from .web_limit import Limiter
from .web_passwords import Passwords, Verdict

PEER = "wattledger.peer"
"""Under which a connection's `Peer` stands in the state of an ASGI scope; plain HTTP has none."""

_CLOSE = (b"connection", b"close")
_UNAUTHORIZED = Response(
    status=401,
    body=b"give a user and a password\n",
    headers=(("WWW-Authenticate", 'Basic realm="wattledger", charset="UTF-8"'),),
)
_FORBIDDEN = Response(status=403, body=b"no name in the client's certificate is allowed here\n")
_BUSY = Response(status=503, body=b"too many passwords to compare at once\n", headers=(("Retry-After", "1"),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The context that secured a connection, and the names in the client's certificate, if it has one."""

    context: ssl.SSLContext
    names: frozenset[str] = frozenset()


def peer_of(transport: asyncio.BaseTransport) -> Peer | None:
    """Who is at the other end of a connection, None where it is not secured.

    Python tells nothing of a certificate that was not verified.
    """
    context = transport.get_extra_info("sslcontext")
    if context is None:
        return None
    certificate = transport.get_extra_info("peercert") or {}
    names = (san_of(value) for _, value in certificate.get("subjectAltName", ()))
    return Peer(context=context, names=frozenset(names))


class Guard:
    """The application with what the web configuration in force asks for around it.

    Every path is guarded, as in other exporters. A connection made under a context that is no longer in
    force is closed with its next answer, so that it comes back under the new one.
    """

    def __init__(self, app: Application, current: Callable[[], Loaded], clock: Clock) -> None:
        self._app = app
        self._current = current
        self._clock = clock
        self._limiter: Limiter | None = None
        self._passwords = Passwords()

    def close(self) -> None:
        """Let go of the passwords that wait to be compared."""
        self._passwords.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        loaded = self._current()
        peer: Peer | None = scope.get("state", {}).get(PEER)
        refusal = await self._refusal(scope, loaded, peer)
        outdated = peer is not None and peer.context is not loaded.context
        ends = outdated or (refusal is not None and refusal.status in (401, 403))
        if ends or loaded.config.headers:
            send = _with_headers(send, (*loaded.config.headers, *((_CLOSE,) if ends else ())))
        if refusal is not None:
            await send_response(send, Request.of(scope), refusal)
        else:
            await self._app(scope, receive, send)

    async def _refusal(self, scope: Scope, loaded: Loaded, peer: Peer | None) -> Response | None:
        """What to answer instead of the application, None to let it answer."""
        config = loaded.config
        if config.rate is not None:
            if self._limiter is None or self._limiter.rate != config.rate:
                self._limiter = Limiter(config.rate)
            if not self._limiter.allows(self._clock.monotonic_ns()):
                wait_s = -(-config.rate.interval_ns // S_NS)
                return Response(
                    status=429, body=b"too many requests\n", headers=(("Retry-After", str(wait_s)),)
                )
        if config.tls is not None and config.tls.allowed_sans:
            names = frozenset() if peer is None else peer.names
            if names.isdisjoint(config.tls.allowed_sans):
                return _FORBIDDEN
        if not config.users:
            return None
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1:
            return _UNAUTHORIZED
        verdict = await self._passwords.check(config.users, given[0])
        if verdict is Verdict.BUSY:
            return _BUSY
        return None if verdict is Verdict.ALLOWED else _UNAUTHORIZED


def _with_headers(send: Send, headers: tuple[tuple[bytes, bytes], ...]) -> Send:
    """Sends with these headers, in place of any of the same name."""
    names = {name for name, _ in headers}

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [one for one in message["headers"] if one[0] not in names]
            message = {**message, "headers": [*kept, *headers]}
        await send(message)

    return sending
