"""Serves an ASGI application by uvicorn on sockets bound here."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from email.utils import formatdate
from typing import TYPE_CHECKING, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..clock import Clock, SystemClock
from ..errors import SettingsError
from .messages import Application

if TYPE_CHECKING:
    from uvicorn._types import ASGIApplication

    from .web_file import WebFile

MAX_CONNECTIONS = 500  # idle ones included; more get 503
KEEP_ALIVE_S = (
    65  # longer than the usual scrape intervals of 15 to 60 s, so that scrapers keep their connection
)
HANDSHAKE_S = 10.0
FIRST_REQUEST_S = 10  # a connection that has not asked anything by then is closed
GRACE_S = 1  # what requests in flight get at the end
FAREWELL_S = 0.5  # what the peer of an idle TLS connection gets then to say goodbye

_Where = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]  # as getaddrinfo gives it

_FLAG = "--web.listen-address"


class Server:
    """A web server whose sockets are bound from the start, so that a taken port is an error before any work.

    `urls` says where to look, one per address; a wildcard address is shown as localhost.
    Sockets that are `inherited` (socket activation) are used instead of the addresses.
    `web_config_file` may ask for TLS, passwords, headers and a rate limit, and is read again when it changed;
    `on_web_reload` is told whether that worked.
    Raises SettingsError for an address or a file that cannot be used.
    Signals are the caller's: `stop()` may be called from a handler.
    """

    def __init__(
        self,
        app: Application,
        listen_addresses: Sequence[str],
        *,
        inherited: Sequence[socket.socket] = (),
        web_config_file: str | None = None,
        on_web_reload: Callable[[bool], None] | None = None,
        clock: Clock | None = None,
        first_request_s: float = FIRST_REQUEST_S,
        handshake_s: float = HANDSHAKE_S,
    ) -> None:
        web, self._guard = None, None
        if web_config_file:
            # YAML, TLS and passwords cost memory that only those who use them should pay; so below.
            from .web_file import WebFile  # noqa: PLC0415
            from .web_guard import Guard  # noqa: PLC0415

            clock = clock or SystemClock()
            web = WebFile(web_config_file, clock, on_web_reload)
            self._guard = Guard(app, web.current, clock)
        self._sockets = tuple(inherited) or bind_all(listen_addresses)
        for bound in self._sockets:
            _send_at_once(bound)
        secure = web is not None and web.secure
        self.urls = tuple(_url(bound, "https" if secure else "http") for bound in self._sockets)
        config = uvicorn.Config(
            cast("ASGIApplication", self._guard or app),
            loop="asyncio",
            http=type("_ImpatientProtocol", (_Protocol,), {"first_request_s": first_request_s}),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level=None,  # the application's to choose
            access_log=False,
            proxy_headers=False,
            date_header=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        self._server = _Uvicorn(config, web if secure else None, handshake_s)

    def serve(self) -> None:
        """Serve in the calling thread until `stop()`; ends within 2 s of it, open connections or not."""
        try:
            asyncio.run(self._server.serve(sockets=list(self._sockets)))
        finally:
            if self._guard is not None:
                self._guard.close()

    def stop(self) -> None:
        """Ask for the end, from any thread or signal handler, before or during `serve()`."""
        self._server.end()

    def close(self) -> None:
        """Give the sockets back without having served."""
        for bound in self._sockets:
            bound.close()


class _Uvicorn(uvicorn.Server):
    """Sleeps until it is told to end; looking ten times a second would cost more than all the sampling.

    With a `web` that has TLS, connections are accepted by `TlsFront`: uvicorn would wait a minute for each
    handshake, for any number of them, under the context of the start.
    """

    def __init__(self, config: uvicorn.Config, web: WebFile | None, handshake_s: float) -> None:
        super().__init__(config)
        self._web = web
        self._handshake_s = handshake_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signal handlers alone: they are the application's."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept."""
        if self._web is None:
            await super().startup(sockets)
            return
        from .web_accept import TlsFront  # noqa: PLC0415

        front = TlsFront(
            sockets or (),
            self._protocol,
            context=self._web.context,
            established=lambda: len(self.server_state.connections),
            handshake_s=self._handshake_s,
        )
        self.servers = cast("list[asyncio.base_events.Server]", [front])
        self.started = True

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config,
            server_state=self.server_state,
            app_state={},
            _loop=asyncio.get_running_loop(),
        )

    async def main_loop(self) -> None:
        """Wait for `end()`."""
        self._loop = asyncio.get_running_loop()
        if not self.should_exit:
            await self._ended.wait()

    def end(self) -> None:
        """Make `main_loop` return, now or as soon as it is entered."""
        self.should_exit = True
        if self._loop is not None:
            try:
                self._loop.call_soon_threadsafe(self._ended.set)
            except RuntimeError:
                pass  # it has ended already


class _Protocol(H11Protocol):
    """Closes connections that never ask: each would otherwise hold one of MAX_CONNECTIONS for ever."""

    first_request_s: float

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if transport.get_extra_info("sslcontext") is not None:
            from .web_guard import PEER, peer_of  # noqa: PLC0415

            self.app_state = {PEER: peer_of(transport)}
        self._patience = self.loop.call_later(self.first_request_s, self._close_unless_asked)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of what a connection holds, which is 0.3 MiB with TLS.

        uvicorn would keep that of one that was reset for as long as it keeps idle ones.
        """
        super().connection_lost(exc)
        self._patience.cancel()
        self._unset_keepalive_if_required()
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Date the answers to come."""
        self.server_state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        super().data_received(data)

    def shutdown(self) -> None:
        """End the connection, after its answer where there is one to come."""
        super().shutdown()
        if self.scheme == "https":
            self.loop.call_later(FAREWELL_S, self._abort_when_answered)

    def _abort_when_answered(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()

    def _close_unless_asked(self) -> None:
        if self.cycle is None:
            self.transport.abort()


def bind_all(listen_addresses: Sequence[str]) -> tuple[socket.socket, ...]:
    """Bind every address (`:port`, `host:port`, `[v6]:port`); raises SettingsError and leaves none bound."""
    bound: list[socket.socket] = []
    try:
        for address in listen_addresses:
            bound.append(_bind(address))  # noqa: PERF401 - what was bound must be known when one fails
    except SettingsError:
        for one in bound:
            one.close()
        raise
    if not bound:
        raise SettingsError(f"{_FLAG}: give at least one address such as :19190")
    return tuple(bound)


def _bind(address: str) -> socket.socket:
    host, port = _parse(address)
    try:
        candidates = _candidates(host, port)
    except socket.gaierror as error:
        raise SettingsError(f"{_FLAG} {address}: cannot resolve the host: {error.strerror}") from error
    failure: OSError | None = None
    for family, where in candidates:
        try:
            return _listen(family, where)
        except OSError as error:
            failure = error
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                break
    raise SettingsError(f"{_FLAG} {address}: {_advice(failure, port)}") from failure


def _parse(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    plain = ":" not in host and "[" not in host and "]" not in host
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or not (bracketed or plain):
        raise SettingsError(f"{_FLAG} {address}: expected host:port, :port or [v6]:port, port 0 to 65535")
    return (host[1:-1] if bracketed else host), int(port)


def _candidates(host: str, port: int) -> list[tuple[int, _Where]]:
    """What to try in order: for all interfaces both families on one socket, else IPv4 before IPv6."""
    if not host:
        return [(socket.AF_INET6, ("::", port)), (socket.AF_INET, ("0.0.0.0", port))]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [(family, where) for family, _, _, _, where in sorted(found, key=lambda one: one[0])]


def _listen(family: int, where: _Where) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if where[0] == "::" else 1)
        made.bind(where)
        made.listen()
    except OSError:
        made.close()
        raise
    return made


def _send_at_once(bound: socket.socket) -> None:
    """Have connections send the body without waiting for the peer to acknowledge the head (40 ms).

    asyncio does it for sockets that were made with a protocol number only; accepted ones inherit it here.
    """
    if bound.family in (socket.AF_INET, socket.AF_INET6):
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _advice(failure: OSError | None, port: int) -> str:
    if failure is not None and failure.errno == errno.EADDRINUSE:
        return (
            f"the port is taken by another program; `ss -ltnp 'sport = :{port}'` shows which."
            f" Stop it or choose another port with {_FLAG}"
        )
    if failure is not None and failure.errno == errno.EACCES:
        return "no permission to use this port; choose one from 1024 on"
    if failure is not None and failure.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address; `ip address` lists those it has"
    return f"cannot listen: {failure.strerror if failure else 'no address found'}"


def _url(bound: socket.socket, scheme: str) -> str:
    if bound.family == socket.AF_UNIX:
        return f"unix:{bound.getsockname()}"
    host, port = bound.getsockname()[:2]
    if host in ("::", "0.0.0.0"):
        host = "localhost"
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"
