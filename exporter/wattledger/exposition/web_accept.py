"""Accepts TLS connections so that none that dawdles holds up another."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Sequence

MAX_HANDSHAKES = 64
"""Unfinished handshakes at once; the oldest gives way to one more, for an honest one takes milliseconds."""

MAX_CONNECTIONS = 100
"""Connections past their handshake; each holds 0.3 MiB, so what comes beyond them is closed at once."""

_GOODBYE_S = 10.0  # for a slow peer to take what was sent, and to end its side
_PAUSE_S = 1.0  # after the process ran out of descriptors or memory
_BATCH = 32  # accepted before other work gets its turn

log = logging.getLogger(__name__)


class TlsFront:
    """Accepts on listening sockets and hands each connection over once it is secured.

    `make` makes the protocol of a connection, `context` gives the TLS context of the moment, `established`
    says how many connections are past their handshake. In uvicorn it stands where an asyncio server would:
    `close()` ends accepting. The listening sockets stay the caller's.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        make: Callable[[], asyncio.BaseProtocol],
        *,
        context: Callable[[], ssl.SSLContext],
        established: Callable[[], int],
        handshake_s: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets = tuple(sockets)
        self._make = make
        self._context = context
        self._established = established
        self._handshake_s = handshake_s
        self._unfinished: dict[socket.socket, None] = {}  # oldest first
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        for bound in self._sockets:
            bound.setblocking(False)
            self._loop.add_reader(bound, self._accept, bound)

    def close(self) -> None:
        """Accept no more, and drop the connections whose handshake is under way."""
        self._closed = True
        for bound in self._sockets:
            self._loop.remove_reader(bound)
        for connection in tuple(self._unfinished):
            self._drop(connection)

    async def wait_closed(self) -> None:
        """Wait until what was dropped is gone."""
        await asyncio.gather(*self._tasks)

    def _accept(self, bound: socket.socket) -> None:
        for _ in range(_BATCH):
            try:
                connection, peer = bound.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("cannot accept connections", extra={"reason": error.strerror})
                self._loop.remove_reader(bound)
                self._loop.call_later(_PAUSE_S, self._resume, bound)
                return
            if self._established() >= MAX_CONNECTIONS:
                connection.close()
                continue
            while len(self._unfinished) >= MAX_HANDSHAKES:
                self._drop(next(iter(self._unfinished)))
            self._unfinished[connection] = None
            task = self._loop.create_task(self._secure(connection, peer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _resume(self, bound: socket.socket) -> None:
        if not self._closed:
            self._loop.add_reader(bound, self._accept, bound)

    async def _secure(self, connection: socket.socket, peer: object) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._make,
                connection,
                ssl=self._context(),
                ssl_handshake_timeout=self._handshake_s,
                ssl_shutdown_timeout=_GOODBYE_S,
            )
        except OSError as error:  # ssl.SSLError and a timeout are such
            log.debug("TLS handshake failed", extra={"peer": str(peer), "reason": str(error)})
            # Its frames hold the connection's buffers, and it is in circles with them.
            error.__traceback__ = None
        finally:
            self._unfinished.pop(connection, None)

    def _drop(self, connection: socket.socket) -> None:
        """End a connection whose handshake is under way; its transport sees the end and cleans up."""
        self._unfinished.pop(connection, None)
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer was faster
