"""Loopback ports for the servers that tests start."""

from __future__ import annotations

import functools
import itertools
import os
import random
import socket
from collections.abc import Iterator

FIRST, END = 20_000, 32_000
WORKERS = 8
"""Test processes beside each other that take their ports from parts of their own."""


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on, and that is given to nobody else for a long time.

    It lies below the range from which the kernel takes the ports of outgoing connections: a client that
    retries against a port of that range, while its server is down, can be connected to itself.
    """
    for port in itertools.islice(_ports(), 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port between {FIRST} and {END}")


@functools.cache
def _ports() -> Iterator[int]:
    """Those of this process's part, in circles, from somewhere on: a server may bind its port much later."""
    part = (END - FIRST) // WORKERS
    name = os.environ.get("PYTEST_XDIST_WORKER", "")
    number = int(name.removeprefix("gw")) if name else random.randrange(WORKERS)
    first = FIRST + part * (number % WORKERS)
    return itertools.cycle(random.sample(range(first, first + part), part))
