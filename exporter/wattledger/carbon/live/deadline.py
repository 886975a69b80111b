"""An end for a whole exchange over a socket, however slowly the other side sends."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType
from typing import Self

from .fetch import FetchError


class Deadline:
    """From entry to exit: opens sockets, and shuts them down when `total_s` have passed.

    Whoever waits in a read or write then gets an error or the end of the stream, and finds `passed` true.
    A timeout of the socket would start anew with every byte. What is shut down is a duplicate of the socket
    below TLS, whose state belongs to the thread that reads.
    """

    def __init__(self, connect_s: float, total_s: float) -> None:
        self.passed = False
        self._connect_s = connect_s
        self._total_s = total_s
        self._end_s = time.monotonic() + total_s
        self._lock = threading.Lock()
        self._handles: list[socket.socket] = []
        self._timer = threading.Timer(total_s, self._pass)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for handle in self._handles:
                handle.close()
            self._handles.clear()

    def error(self, label: str) -> FetchError:
        """What to raise when it has passed."""
        return FetchError("timeout", f"{label}: no whole answer within {self._total_s:g} s")

    def connect(self, host: str, port: int) -> socket.socket:
        """A socket to the first address of a host that answers; raises OSError.

        All addresses together have the time to connect, each an even part of what is left of it.
        """
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        limit_s = min(time.monotonic() + self._connect_s, self._end_s)
        last: OSError = TimeoutError("timed out")
        for index, (family, kind, protocol, _, address) in enumerate(found):
            left_s = limit_s - time.monotonic()
            if left_s <= 0:
                break
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(left_s / (len(found) - index))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(None)  # a timeout of its own would race the end
                self._watch(sock)
            except OSError as error:
                sock.close()
                last = error
            else:
                return sock
        raise last

    def _watch(self, sock: socket.socket) -> None:
        with self._lock:
            if self.passed:
                raise TimeoutError("timed out")
            self._handles.append(sock.dup())

    def _pass(self) -> None:
        with self._lock:
            self.passed = True
            for handle in self._handles:
                try:
                    handle.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # already over
