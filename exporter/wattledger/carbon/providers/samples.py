"""From what a service says about moments to the points of a series (pure)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from msgspec.structs import replace

from ...model import S_NS
from ..live.fetch import FetchError
from ..series import Point, Unit

MINUTE_NS = 60 * S_NS
HOUR_NS = 3600 * S_NS
DAY_NS = 24 * HOUR_NS

MAX_G_PER_KWH = 5000.0
"""Beyond any fuel (brown coal is about 1200): such a value is in another unit, or garbage."""


class Sample(NamedTuple):
    """A value from `start_ns` to `end_ns` as the service gave it, None where it gave null."""

    start_ns: int
    end_ns: int
    value: float | None
    estimated: bool = False


def points_of(
    samples: Iterable[Sample], now_ns: int, *, service: str, unit: Unit = "g/kWh"
) -> tuple[Point, ...]:
    """Points in order and without overlap; nulls and impossible values are gaps.

    Of two samples for one start the one that is not estimated holds, else the later one. A point ends where
    the next begins. Raises FetchError `no_data` when nothing is left, and `bad_data` when all of it lies in
    the future, since either clock is wrong then.
    """
    top = 100.0 if unit == "percentile" else MAX_G_PER_KWH
    best: dict[int, Point] = {}
    for sample in samples:
        value = sample.value
        if value is None or not math.isfinite(value) or not 0.0 <= value <= top:
            continue
        known = best.get(sample.start_ns)
        if known is None or known.estimated or not sample.estimated:
            best[sample.start_ns] = Point(sample.start_ns, sample.end_ns, float(value), sample.estimated)
    ordered = [best[start_ns] for start_ns in sorted(best)]
    if not ordered:
        raise FetchError("no_data", f"{service}: the answer holds no usable value")
    first = ordered[0]
    if first.start_ns > now_ns + (first.end_ns - first.start_ns):
        raise FetchError(
            "bad_data",
            f"{service}: all of the answer lies in the future; check this host's clock, then the service's",
        )
    for index, (point, following) in enumerate(pairwise(ordered)):
        if point.end_ns > following.start_ns:
            ordered[index] = replace(point, end_ns=following.start_ns)
    return tuple(ordered)


def step_ns(starts_ns: Sequence[int], default_ns: int) -> int:
    """The distance that most neighbours have, at most an hour; `default_ns` where there are no two."""
    ordered = sorted(set(starts_ns))
    gaps = Counter(after - before for before, after in pairwise(ordered))
    if not gaps:
        return default_ns
    usual = max(gaps.items(), key=lambda gap: (gap[1], -gap[0]))[0]
    return min(usual, HOUR_NS)
