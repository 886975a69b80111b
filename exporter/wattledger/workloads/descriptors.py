"""How many file descriptors may be held open for cgroup counters."""

from __future__ import annotations

import resource

_RESERVE = 256  # for listeners, scrapes, sensors, the ledger
_CEILING = 65536


def raise_descriptor_limit() -> int:
    """Raise this process's soft limit of open files to its hard limit; returns the soft limit then in force.

    The app calls it once at start. A system that refuses keeps its limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return soft
    return hard


def fd_budget() -> int:
    """Descriptors that may be held under the present soft limit, a reserve for the rest of the agent kept."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _CEILING
    return max(0, min(soft, _CEILING) - _RESERVE)
