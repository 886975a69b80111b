"""A request that a series can do without: past or forecast beside the present."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ...model import S_NS
from ..live.fetch import FetchError
from .samples import DAY_NS, Sample

log = logging.getLogger(__name__)

_CONTRADICTIONS = frozenset({"bad_data", "wrong_units"})
_REFUSALS = frozenset({"plan", "unauthorized", "not_found"})


class Part:
    """One optional part of a provider's series.

    What the plan refuses is asked for once a day at most; after another failure it is asked for at the next
    fetch, or when the server said so.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._reason = ""
        self._failed_ns = 0
        self._wait_ns = 0

    @property
    def refused(self) -> bool:
        """Whether the last request for it was refused by the plan."""
        return self._reason == "plan"

    def due(self, now_ns: int) -> bool:
        """Whether it may be asked for at a moment; a clock that was set back never blocks it."""
        return not 0 <= now_ns - self._failed_ns < self._wait_ns

    def ask(self, fetch: Callable[[], list[Sample]], now_ns: int) -> list[Sample]:
        """Its samples, none when it is not due or cannot be had; a change of that is logged once.

        Raises FetchError only for `bad_data` and `wrong_units`: an answer that contradicts the question
        makes the whole of it doubtful.
        """
        if not self.due(now_ns):
            return []
        try:
            found = fetch()
        except FetchError as error:
            if error.reason in _CONTRADICTIONS:
                raise
            self.failed(error, now_ns)
            return []
        if self._reason:
            log.info("carbon part available", extra={"part": self._name})
        self._reason, self._wait_ns = "", 0
        return found

    def failed(self, error: FetchError, now_ns: int) -> None:
        """Remember a failure."""
        if error.reason != self._reason:
            log.warning(
                "carbon part missing",
                extra={"part": self._name, "reason": error.reason, "detail": str(error)},
            )
        self._reason = error.reason
        self._failed_ns = now_ns
        refused = error.reason in _REFUSALS
        self._wait_ns = DAY_NS if refused else int((error.retry_after_s or 0.0) * S_NS)
