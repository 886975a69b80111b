"""Loopback ports for the servers that tests start."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on.

    It lies below the range from which the kernel takes the ports of outgoing connections: a client that
    retries against a port of that range, while its server is down, can be connected to itself.
    """
    for _ in range(200):
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port between 20000 and 32000")
