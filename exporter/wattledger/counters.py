"""What two reads of one counter say about the energy between them (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .model import Reading, Zone

Outcome = Literal[
    "first", "advanced", "wrapped", "reset", "implausible", "replaced", "suspended", "ambiguous"
]

SUSPEND_TOLERANCE_NS = 10_000_000
"""Boot time and monotonic time are read one after the other; less than this apart is no suspend."""

JITTER_NS = 10_000_000
"""RAPL counters step about once a millisecond, and reader and stamp may be apart by a scheduling delay."""

STEP_UJ = 1_000_000
"""The coarsest energy unit of any known counter: psys of Sapphire Rapids counts whole joules."""


@dataclass(frozen=True, slots=True)
class CounterState:
    """Where a counter stood: everything a later reading needs to be compared with it.

    `suspended_ns` is CLOCK_BOOTTIME minus CLOCK_MONOTONIC at that read.
    """

    lineage: str
    raw_uj: int
    at_ns: int
    suspended_ns: int


@dataclass(frozen=True, slots=True)
class Step:
    """The energy since the previous reading, never negative; None when it cannot be known.

    - `first`: nothing to compare with.
    - `advanced`, `wrapped`: exact.
    - `ambiguous`: the counter may have turned over more than once; the energy is the certain minimum.
    - `reset`: it ran backwards, and a wrap would need more power than the zone can draw.
    - `implausible`: it ran forwards by more than the zone can draw.
    - `replaced`: another counter answered (the zone went and came back, or another boot).
    - `suspended`: the machine slept, and this counter may have been cleared meanwhile.
    """

    delta_uj: int | None
    outcome: Outcome


def advance(
    zone: Zone, previous: CounterState | None, reading: Reading, suspended_ns: int
) -> tuple[CounterState, Step]:
    """Compare `reading` with `previous` and return the state to compare the next one with.

    `reading` must have a value: a failed read is not passed, and the next good one spans it.
    The modulus is `zone.range_uj`; Linux publishes the largest value instead of the modulus
    (`max_energy_range_uj`, `drivers/powercap/intel_rapl_common.c`), so a wrap comes out one counter
    unit (15 to 61 uJ) short of the hardware.
    """
    raw_uj = reading.raw_uj
    if raw_uj is None:
        raise ValueError("advance() needs a reading with a value")
    state = CounterState(reading.lineage, raw_uj, reading.at_ns, suspended_ns)
    if previous is None:
        return state, Step(None, "first")
    if previous.lineage != reading.lineage:
        return state, Step(None, "replaced")
    slept_ns = abs(suspended_ns - previous.suspended_ns)
    if slept_ns > SUSPEND_TOLERANCE_NS and not zone.survives_suspend:
        return state, Step(None, "suspended")
    return state, _step(zone, raw_uj - previous.raw_uj, max(0, reading.at_ns - previous.at_ns))


def _step(zone: Zone, difference_uj: int, elapsed_ns: int) -> Step:
    """Judge a raw difference over `elapsed_ns`; watts times nanoseconds are nanojoules."""
    range_uj = zone.range_uj
    if 0 < range_uj <= zone.max_power_w * elapsed_ns / 1000:
        return Step(difference_uj % range_uj, "ambiguous")
    most_uj = zone.max_power_w * (elapsed_ns + JITTER_NS) / 1000 + STEP_UJ
    if difference_uj >= 0:
        return Step(difference_uj, "advanced") if difference_uj <= most_uj else Step(None, "implausible")
    if range_uj > 0 and 0 <= difference_uj + range_uj <= most_uj:
        return Step(difference_uj + range_uj, "wrapped")
    return Step(None, "reset")
