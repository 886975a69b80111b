"""When to ask a provider again."""

from __future__ import annotations

from random import Random

from ...model import S_NS

BACKOFF_S = (30.0, 3600.0)
REFUSED_S = (900.0, 3600.0)
RETRY_AFTER_LIMIT_S = 86400.0
JITTER = 0.1
REFUSALS = frozenset({"no_key", "unauthorized", "plan"})
"""What only a person can mend."""


class Pace:
    """Waits between requests, spread so that a fleet does not ask in step.

    After a success `refresh_ns`, a tenth more or less, at least `min_refresh_ns`. After a failure a random
    time between 30 s and a bound that doubles from 60 s to 1 h, after a refusal between 15 min and a bound
    from 30 min to 1 h; what the server asked for is the least, up to a day.
    """

    def __init__(self, refresh_ns: int, min_refresh_ns: int, rng: Random) -> None:
        self._least_s = min_refresh_ns / S_NS
        self._refresh_s = max(refresh_ns, min_refresh_ns) / S_NS
        self._rng = rng
        self._failures = 0

    def rest_s(self, age_ns: int) -> float:
        """What is left to wait after an answer of that age; none where its age makes no sense."""
        return max(0.0, self._refresh_s - age_ns / S_NS) if age_ns >= 0 else 0.0

    def succeeded(self) -> float:
        """Seconds until the next request."""
        self._failures = 0
        return max(self._least_s, self._refresh_s * self._rng.uniform(1 - JITTER, 1 + JITTER))

    def failed(self, reason: str, retry_after_s: float | None) -> float:
        """Seconds until the next try."""
        least_s, most_s = REFUSED_S if reason in REFUSALS else BACKOFF_S
        self._failures = min(self._failures + 1, 20)
        wait_s = self._rng.uniform(least_s, min(most_s, least_s * 2.0**self._failures))
        if reason == "rate_limited" and retry_after_s is None:
            retry_after_s = self._least_s
        return max(wait_s, min(retry_after_s or 0.0, RETRY_AFTER_LIMIT_S))
