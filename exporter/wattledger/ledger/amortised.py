"""Embodied emissions over boot time: every second of the machine is written off once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..carbon.embodied import between, split, total_g
from ..model import S_NS, UNATTRIBUTED, Usage, Workload
from ..settings import EmbodiedSettings

TOLERANCE_NS = S_NS // 10


class Amortised:
    """Takes each interval's grams and shares them out.

    Time runs by CLOCK_BOOTTIME from the first interval that is seen, or from `begin`. What passed without an
    agent is nobody's. While nothing is configured time passes without grams.
    """

    def __init__(self, settings: EmbodiedSettings) -> None:
        self._settings = settings
        self.grams = 0.0
        self._at_ns: int | None = None

    @property
    def wanted(self) -> bool:
        """Whether embodied emissions are configured."""
        return total_g(self._settings) is not None

    def configure(self, settings: EmbodiedSettings) -> None:
        """Put reloaded settings in force from now on."""
        self._settings = settings

    def begin(self, boottime_ns: int) -> None:
        """Count from this moment."""
        self._at_ns = boottime_ns

    @property
    def counted_ns(self) -> int | None:
        """The boot time up to which all is counted, None before the first interval."""
        return self._at_ns

    def take(self, usage: Usage, start_ns: int, end_ns: int, wall_ns: int) -> Mapping[Workload, float]:
        """The shares of the interval (boot time) that ended at `wall_ns`, with what passed before it."""
        at_ns, self._at_ns = self._at_ns, end_ns
        if not self.wanted or at_ns is None:
            return {}
        gap_ns = start_ns - at_ns if start_ns - at_ns > TOLERANCE_NS else 0
        start_wall_ns = wall_ns - (end_ns - at_ns) + gap_ns
        grams = between(self._settings, start_wall_ns, wall_ns)
        shares = dict(split(grams, usage.reserved_cpus, usage.cpu_ns, usage.cpus, wall_ns - start_wall_ns))
        missed_g = between(self._settings, start_wall_ns - gap_ns, start_wall_ns)
        if missed_g > 0:
            shares[UNATTRIBUTED] = shares.get(UNATTRIBUTED, 0.0) + missed_g
        self.grams += grams + missed_g
        return shares

    def dump(self) -> list[Any]:
        """What a later process needs to go on."""
        return [self.grams, self._at_ns]

    def load(self, saved: list[Any]) -> None:
        """Take up a dump."""
        grams, at_ns = saved
        self.grams, self._at_ns = float(grams), None if at_ns is None else int(at_ns)
