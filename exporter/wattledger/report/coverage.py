"""How much of a period was covered by samples, and where the gaps are (pure)."""

from __future__ import annotations

from collections.abc import Mapping

from ..model import S_NS
from .records import Coverage, Gap
from .span import HOUR_NS

TOLERANCE_NS = 60 * S_NS
"""Less is no gap: an interval over the turn of an hour, at most 30 s, counts where it ends."""


def coverage(covered_ns: Mapping[int, int], start_ns: int, end_ns: int) -> Coverage:
    """The coverage of the hours from `start_ns` to `end_ns`, of which the last may still be running.

    `covered_ns` is the time with samples by the start of the hour it was booked to. What an hour has too
    much was booked late, and fills the gaps right before it.
    """
    gaps: list[Gap] = []
    spare_ns = missed_ns = late_ns = 0
    first_ns = start_ns - start_ns % HOUR_NS
    last_ns = -(-end_ns // HOUR_NS) * HOUR_NS - HOUR_NS
    for hour_ns in range(last_ns, first_ns - 1, -HOUR_NS):
        until_ns = min(hour_ns + HOUR_NS, end_ns)
        lacking_ns = until_ns - max(hour_ns, start_ns) - covered_ns.get(hour_ns, 0)
        if lacking_ns <= 0:
            spare_ns -= lacking_ns
            continue
        filled_ns = min(spare_ns, lacking_ns)
        spare_ns -= filled_ns
        lacking_ns -= filled_ns
        if filled_ns > TOLERANCE_NS:
            late_ns += filled_ns
        missed_ns += lacking_ns
        if lacking_ns > TOLERANCE_NS:
            _add(gaps, Gap(hour_ns, until_ns, lacking_ns))
    period_ns = max(0, end_ns - start_ns)
    return Coverage(
        period_ns=period_ns,
        covered_ns=period_ns - missed_ns,
        gaps=tuple(reversed(gaps)),
        late_ns=late_ns,
    )


def _add(gaps: list[Gap], gap: Gap) -> None:
    """Put a gap before the others, which lie after it, and join it to the first where they touch."""
    if gaps and gaps[-1].start_ns == gap.end_ns:
        after = gaps.pop()
        gap = Gap(gap.start_ns, after.end_ns, gap.missing_ns + after.missing_ns)
    gaps.append(gap)
