"""The worker's end of the way to the agent."""

from __future__ import annotations

import os
import socket

from .messages import Message, Orders, encode

PROGRESS_BYTES = 64


class Channel:
    """Reports go through a socket that keeps their borders; what is being touched is noted in a file."""

    def __init__(self, orders: Orders) -> None:
        self._socket = socket.socket(fileno=orders.channel_fd)
        self._progress_fd = orders.progress_fd

    def send(self, message: Message) -> None:
        """Send without waiting: an agent that is behind gets the next one. Ends this process without one."""
        try:
            self._socket.send(encode(message), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            os._exit(0)

    def touch(self, what: str) -> None:
        """Note what is touched next, for the agent to read if it never comes back; "" for nothing."""
        os.pwrite(self._progress_fd, what.encode()[:PROGRESS_BYTES].ljust(PROGRESS_BYTES, b"\0"), 0)


def touched(progress_fd: int) -> str:
    """What a worker noted last."""
    return os.pread(progress_fd, PROGRESS_BYTES, 0).rstrip(b"\0").decode("utf-8", "replace")
