"""What making the machine emitted, written off over its life (pure).

This is M of the Software Carbon Intensity specification (ISO/IEC 21031): total x time share x resource share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from ..model import IDLE, S_NS, Workload
from ..settings import EmbodiedSettings

_BASE_G = 1_000_000.0
_BASE_CPUS = 1
_BASE_MEMORY_GB = 16.0
_COMPONENTS_G: Mapping[str, float] = {
    "cpus": 100_000.0,
    "memory_gb": 1_388.0,
    "ssds": 100_000.0,
    "hdds": 50_000.0,
    "gpus": 150_000.0,
}
"""Cloud Carbon Footprint's model of a server: 1000 kg with one CPU and 16 GB, and what is added to that."""

COMPONENT_NAMES = tuple(_COMPONENTS_G)


def total_g(settings: EmbodiedSettings) -> float | None:
    """The whole machine's embodied emissions in grams: as configured, else by its components, else None.

    `components` counts CPUs (sockets), SSDs, HDDs and GPUs and gives the memory in GB; one CPU and 16 GB are
    in the base of 1000 kg, and what is not named adds nothing. Other names in it are left to the settings to
    refuse.
    """
    if settings.total_g is not None:
        return settings.total_g
    if settings.components is None:
        return None
    beyond = {"cpus": float(_BASE_CPUS), "memory_gb": _BASE_MEMORY_GB}
    return _BASE_G + sum(
        grams * max(0.0, settings.components.get(name, 0.0) - beyond.get(name, 0.0))
        for name, grams in _COMPONENTS_G.items()
    )


def rate_g_per_s(settings: EmbodiedSettings, wall_ns: int | None = None) -> float | None:
    """Grams per second while the machine is within its life; None where nothing is configured.

    With `wall_ns`, those of that moment: 0 before the machine came into service and after its lifespan.
    """
    total = total_g(settings)
    if total is None:
        return None
    if wall_ns is not None and settings.in_service_ns is not None:
        age_ns = wall_ns - settings.in_service_ns
        if not 0 <= age_ns < settings.lifespan_ns:
            return 0.0
    return total / (settings.lifespan_ns / S_NS)


def between(settings: EmbodiedSettings, start_wall_ns: int, end_wall_ns: int) -> float:
    """The grams that fall into an interval of wall time; 0 where nothing is configured.

    Where it is known when the machine came into service, nothing falls before that nor after the end of its
    lifespan, so the parts of its life add up to the total. An interval that runs backwards has none.
    """
    total = total_g(settings)
    if total is None:
        return 0.0
    if settings.in_service_ns is not None:
        start_wall_ns = max(start_wall_ns, settings.in_service_ns)
        end_wall_ns = min(end_wall_ns, settings.in_service_ns + settings.lifespan_ns)
    return total * max(0, end_wall_ns - start_wall_ns) / settings.lifespan_ns


def split(
    grams: float,
    reserved_cpus: Mapping[Workload, float],
    used_ns: Mapping[Workload, int],
    cpus: int,
    interval_ns: int,
) -> Mapping[Workload, float]:
    """Share an interval's grams among workloads by what they reserved, or else by what they used.

    A workload with a reservation gets its part of the machine's `cpus`, used or not; reservations beyond the
    machine are scaled down together. A workload without one gets its CPU time over the machine's capacity,
    scaled down together to what is unreserved. `IDLE` gets the rest. Only entries above zero; they add up to
    `grams` to the last bit, in any order. No grams, no entries.
    """
    if grams <= 0:
        return {}
    reserved = {workload: amount for workload, amount in reserved_cpus.items() if amount > 0}
    reserved.pop(IDLE, None)
    whole = max(float(cpus), sum(reserved.values()))
    parts = {workload: amount / whole for workload, amount in reserved.items()} if whole > 0 else {}
    free = max(0.0, 1.0 - sum(parts.values()))
    capacity_ns = cpus * interval_ns
    used = {
        workload: amount / capacity_ns
        for workload, amount in used_ns.items()
        if amount > 0 and capacity_ns > 0 and workload is not IDLE and workload not in reserved
    }
    wanted = sum(used.values())
    squeeze = min(1.0, free / wanted) if wanted > 0 else 0.0
    parts |= {workload: part * squeeze for workload, part in used.items()}
    return _exactly(grams, parts)


def _exactly(grams: float, parts: Mapping[Workload, float]) -> dict[Workload, float]:
    """`grams` times each part, in whole units of the last place of `grams`, and the rest to `IDLE`.

    In these units every sum of shares is an integer below 2**53, so none is rounded. A rest that is nothing
    but what rounding down left over goes to the last workload.
    """
    unit = math.ulp(grams)
    rest = whole = int(grams / unit)
    shares: dict[Workload, float] = {}
    for workload, part in parts.items():
        units = min(rest, int(whole * part))
        if units > 0:
            shares[workload] = units * unit
            rest -= units
    if rest <= len(parts) + 1 and shares:
        last = next(reversed(shares))
        shares[last] += rest * unit
    elif rest > 0:
        shares[IDLE] = rest * unit
    return shares
