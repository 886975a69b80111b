"""What systemd and the agent tell each other: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Talks to the service manager; does nothing where there is none.

    `address` is the value of `NOTIFY_SOCKET`: a path, or `@name` for an abstract socket.
    Every method returns whether the message was handed over and never raises for the socket's state.
    """

    def __init__(self, address: str | None) -> None:
        self._address = address or ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Notifier:
        """The notifier that systemd asked for in `NOTIFY_SOCKET`."""
        return cls(environ.get("NOTIFY_SOCKET"))

    @property
    def enabled(self) -> bool:
        """Whether there is a socket to talk to; vsock addresses are not supported."""
        return self._address.startswith(("/", "@"))

    def ready(self, status: str = "") -> bool:
        """Say that start-up, or a reload, is complete."""
        return self._send("READY=1", *_status(status))

    def status(self, status: str) -> bool:
        """Show one line in `systemctl status`."""
        return self._send(*_status(status))

    def watchdog(self) -> bool:
        """Say that the agent still does its work."""
        return self._send("WATCHDOG=1")

    def reloading(self, monotonic_ns: int) -> bool:
        """Say that a reload began at CLOCK_MONOTONIC `monotonic_ns`; `ready` ends it."""
        return self._send("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns // 1000}")

    def stopping(self, status: str = "") -> bool:
        """Say that the agent is shutting down."""
        return self._send("STOPPING=1", *_status(status))

    def _send(self, *fields: str) -> bool:
        if not self.enabled or not fields:
            return False
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        message = "\n".join(fields).encode("utf-8", "replace")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                # A full queue must not stall the sampler: systemd is told again at the next tick.
                channel.setblocking(False)
                channel.sendto(message, address)
        except OSError:
            return False
        return True


def _status(text: str) -> tuple[str, ...]:
    """The STATUS field, kept to one line; none for an empty text."""
    line = " ".join(text.split())
    return (f"STATUS={line}",) if line else ()


def watchdog_interval_ns(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> int | None:
    """How long systemd waits for a `WATCHDOG=1` before it restarts the service, in nanoseconds.

    None when no watchdog is wanted of this process (`WATCHDOG_USEC` unset or senseless, or
    `WATCHDOG_PID` naming another one). Send at half of it or sooner, as sd_watchdog_enabled(3) advises.
    """
    if "WATCHDOG_PID" in environ and environ["WATCHDOG_PID"] != str(os.getpid() if pid is None else pid):
        return None
    try:
        usec = int(environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return usec * 1000 if usec > 0 else None


FIRST_FD = 3
MAX_SOCKETS = 64


def listening_sockets(
    environ: Mapping[str, str] = os.environ, pid: int | None = None, first_fd: int = FIRST_FD
) -> tuple[socket.socket, ...]:
    """The sockets that systemd bound for this process (socket activation), none where it did not.

    They are made close-on-exec, so that no child inherits them. What is no listening
    stream socket is left alone. To be called once.
    """
    if environ.get("LISTEN_PID") != str(os.getpid() if pid is None else pid):
        return ()
    try:
        count = int(environ.get("LISTEN_FDS", "0"))
    except ValueError:
        return ()
    found = []
    for fd in range(first_fd, first_fd + min(max(count, 0), MAX_SOCKETS)):
        try:
            os.set_inheritable(fd, False)
            given = socket.socket(fileno=fd)
            usable = given.type == socket.SOCK_STREAM and given.getsockopt(
                socket.SOL_SOCKET, socket.SO_ACCEPTCONN
            )
        except OSError:
            continue
        if usable:
            found.append(given)
        else:
            given.detach()
    return tuple(found)
