"""Limits how many requests are answered in a time."""

from __future__ import annotations

from .web_records import RateLimit


class Limiter:
    """Lets `burst` requests through at once and then one per interval (a generic cell rate algorithm)."""

    def __init__(self, rate: RateLimit) -> None:
        self.rate = rate
        self._full_until_ns = 0

    def allows(self, now_ns: int) -> bool:
        """Whether a request may pass at this time of a monotonic clock; one that may is counted."""
        ahead_ns = max(self._full_until_ns - now_ns, 0)
        if ahead_ns > (self.rate.burst - 1) * self.rate.interval_ns:
            return False
        self._full_until_ns = now_ns + ahead_ns + self.rate.interval_ns
        return True
