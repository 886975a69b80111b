"""How long to wait after failures, and which boards to leave alone (pure)."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_NS = 5_000_000_000
LONGEST_NS = 300_000_000_000
QUARANTINE_NS = 60_000_000_000
QUARANTINE_MAX_NS = 3_600_000_000_000
HANGS_ALLOWED = 1
"""One hang may be the machine's; a board that was being touched at the second is left alone."""


class Backoff:
    """5 s after the first failure, doubling to 5 min, until all was well for a while."""

    def __init__(self) -> None:
        self._delay_ns = FIRST_NS

    def next_ns(self) -> int:
        """How long to wait after one more failure."""
        delay_ns, self._delay_ns = self._delay_ns, min(2 * self._delay_ns, LONGEST_NS)
        return delay_ns

    def reset(self) -> None:
        """All is well."""
        self._delay_ns = FIRST_NS


@dataclass(slots=True)
class _Suspect:
    hangs: int = 0
    until_ns: int | None = None


class Quarantine:
    """The boards on which workers hung, so that a sick one does not hide the others.

    A board is avoided for a minute after its second hang in a row, and twice as long after each further one.
    """

    def __init__(self) -> None:
        self._suspects: dict[str, _Suspect] = {}

    def blame(self, board: str, now_ns: int) -> None:
        """A worker hung while it touched this board; "" when it touched none."""
        if not board:
            return
        suspect = self._suspects.setdefault(board, _Suspect())
        suspect.hangs += 1
        if suspect.hangs > HANGS_ALLOWED:
            doublings = suspect.hangs - HANGS_ALLOWED - 1
            suspect.until_ns = now_ns + min(QUARANTINE_NS << doublings, QUARANTINE_MAX_NS)

    def avoided(self, now_ns: int) -> tuple[str, ...]:
        """The boards a new worker must not touch; the others get another chance."""
        avoided = []
        for board, suspect in self._suspects.items():
            if suspect.until_ns is not None and now_ns >= suspect.until_ns:
                suspect.until_ns = None
            if suspect.until_ns is not None:
                avoided.append(board)
        return tuple(avoided)

    def is_over(self, now_ns: int) -> bool:
        """Whether a board that the present worker avoids may be tried again."""
        return any(s.until_ns is not None and now_ns >= s.until_ns for s in self._suspects.values())

    def absolve(self) -> None:
        """The present worker has been well for a while: forget the hangs of the boards it touched."""
        self._suspects = {board: s for board, s in self._suspects.items() if s.until_ns is not None}
