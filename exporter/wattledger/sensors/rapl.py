"""What RAPL domains mean, whichever kernel interface shows them."""

from __future__ import annotations

from ..hostfs import HostFS, read_text
from ..model import Covers, Zone

PACKAGE_MAX_W = 1000.0
"""Plausible power of a socket: twice the largest TDP sold (500 W, Granite Rapids and Turin)."""

DRAM_MAX_W = 500.0
"""Plausible power of one socket's memory: 24 modules of 20 W.

The limits that dram zones declare are often unset or wrong.
"""

PSYS_MAX_W = 8000.0
"""Plausible power of a platform; at more, a 262 kJ counter read every 30 s might turn over unseen."""


def cpu_facts(hostfs: HostFS) -> str:
    """The head of cpuinfo, where the vendor and the flags of the first CPU are; "" when unreadable."""
    try:
        return read_text(f"{hostfs.procfs}/cpuinfo", 4096)
    except OSError:
        return ""


def is_amd(hostfs: HostFS) -> bool:
    """Whether the CPU is AMD's or Hygon's.

    Their energy MSRs belong to the whole socket, so die zones repeat it, and `core` reads one core only.
    """
    facts = cpu_facts(hostfs)
    return "AuthenticAMD" in facts or "HygonGenuine" in facts


def may_have_rapl(hostfs: HostFS) -> bool:
    """Whether this is a real x86 machine, which lacks RAPL at most for want of a kernel module."""
    facts = cpu_facts(hostfs)
    return (is_amd(hostfs) or "GenuineIntel" in facts) and " hypervisor" not in facts


def package_label(package: int, die: int | None = None) -> str:
    """The name powercap gives a package, or a die of one that has several (intel_rapl_common.c)."""
    return f"package-{package}" if die is None else f"package-{package}-die-{die}"


def rapl_zone(
    *,
    sensor: str,
    name: str,
    device: str,
    covers: Covers,
    range_uj: int = 0,
    max_power_w: float | None = None,
) -> Zone:
    """A zone of a RAPL counter, which the platform may clear in S3 and S4."""
    if max_power_w is None:
        domain = name.partition("-")[0]
        max_power_w = {"dram": DRAM_MAX_W, "psys": PSYS_MAX_W}.get(domain, PACKAGE_MAX_W)
    return Zone(
        sensor=sensor,
        name=name,
        device=device,
        covers=covers,
        range_uj=range_uj,
        max_power_w=max_power_w,
        survives_suspend=False,
    )
