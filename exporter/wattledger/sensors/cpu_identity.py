"""Which micro-architecture a CPU is, from the text of /proc/cpuinfo (pure).

Family and model numbers: Linux `arch/x86/include/asm/intel-family.h` and the family comments of
`arch/x86/kernel/cpu/amd.c`; ARM parts: `arch/arm64/include/asm/cputype.h`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .cpu_curves import UNKNOWN, UNKNOWN_ARM


@dataclass(frozen=True, slots=True)
class CpuIdentity:
    """A row of the curve table, and what told so."""

    microarchitecture: str
    why: str


_AMX = ("sapphire-rapids", "emerald-rapids", "granite-rapids")

# Brand strings: what sellers print, and what QEMU calls its CPU models.
_BRANDS: tuple[tuple[str, str], ...] = (
    (r"graniterapids|Xeon\(R\) 6\d{3}P", "granite-rapids"),
    (r"sapphirerapids", "sapphire-rapids"),
    (r"icelake", "ice-lake"),
    (r"cooperlake", "cooper-lake"),
    (r"cascadelake", "cascade-lake"),
    (r"skylake", "skylake"),
    (r"broadwell|Xeon\(R\) CPU E[57]-\S* v4", "broadwell"),
    (r"haswell|Xeon\(R\) CPU E[57]-\S* v3", "haswell"),
    (r"ivy ?bridge|Xeon\(R\) CPU E[57]-\S* v2", "ivy-bridge"),
    (r"sandy ?bridge|Xeon\(R\) CPU E5-\S* (?:0 )?@", "sandy-bridge"),
    (r"(?:Platinum 8|Gold [56]|Silver 4|Bronze 3)1\d\d", "skylake"),
    (r"(?:Platinum [89]|Gold [56]|Silver 4|Bronze 3)2\d\d", "cascade-lake"),
    (r"Platinum 83\d\dHL?\b|Gold [56]3\d\dHL?\b", "cooper-lake"),
    (r"(?:Platinum 8|Gold [56]|Silver 4)3\d\d", "ice-lake"),
    (r"(?:Platinum 8|Gold [56]|Silver 4|Bronze 3)4\d\d", "sapphire-rapids"),
    (r"(?:Platinum 8|Gold [56]|Silver 4|Bronze 3)5\d\d", "emerald-rapids"),
    (r"EPYC-Turin|EPYC 9\w\w5", "epyc-5th-gen"),
    (r"EPYC-Genoa|EPYC [89]\w\w4", "epyc-4th-gen"),
    (r"EPYC-Milan|EPYC 7\w\w3", "epyc-3rd-gen"),
    (r"EPYC-Rome|EPYC 7\w\w2", "epyc-2nd-gen"),
    (r"EPYC 7\w\w1", "epyc-1st-gen"),
)

_INTEL_MODELS: Mapping[int, str] = {
    **dict.fromkeys((0x2A, 0x2D), "sandy-bridge"),
    **dict.fromkeys((0x3A, 0x3E), "ivy-bridge"),
    **dict.fromkeys((0x3C, 0x3F, 0x45, 0x46), "haswell"),
    **dict.fromkeys((0x3D, 0x47, 0x4F, 0x56), "broadwell"),
    0x55: "skylake",  # and by stepping cascade-lake and cooper-lake
    **dict.fromkeys(
        (0x4E, 0x5E, 0x8E, 0x9E, 0xA5, 0xA6, 0xA7), "coffee-lake"
    ),  # desktop Skylake to Rocket Lake
    **dict.fromkeys((0x6A, 0x6C), "ice-lake"),
    0x8F: "sapphire-rapids",
    0xCF: "emerald-rapids",
    **dict.fromkeys((0xAD, 0xAE), "granite-rapids"),
}

_ARM_PARTS: Mapping[tuple[int, int], str] = {
    (0x41, 0xD0C): "neoverse-n1",
    (0x41, 0xD40): "neoverse-v1",
    (0x41, 0xD4F): "neoverse-v2",
}

# Largest third-level caches on sale, MiB: Sapphire Rapids 112.5, Emerald Rapids 320, Granite Rapids 504.
_AMX_BY_CACHE_KIB = ((112.5 * 1024, "sapphire-rapids"), (320 * 1024, "emerald-rapids"))


def identify(cpuinfo: str) -> CpuIdentity:
    """Name the micro-architecture: by brand string, then family and model, then feature flags.

    Hypervisors mask family and model more often than flags, so an AMX flag overrules an older model.
    `cpuinfo` may be cut off after the first CPU.
    """
    facts = _first_cpu(cpuinfo)
    if "CPU implementer" in facts:
        return _identify_arm(facts)
    flags = frozenset(facts.get("flags", "").split())
    brand = facts.get("model name", "")
    for found, why in (
        (_by_brand(brand), f"brand string {brand!r}"),
        (_by_model(facts), f"family {facts.get('cpu family')} model {facts.get('model')}"),
    ):
        if found and not ("amx_tile" in flags and found not in _AMX):
            return CpuIdentity(found, why)
    vendor = facts.get("vendor_id", "")
    by_flags = _by_intel_flags if vendor == "GenuineIntel" else _by_amd_flags if _is_amd(vendor) else None
    if by_flags is not None and (match := by_flags(flags, facts)):
        return CpuIdentity(match[0], f"{match[1]}, as brand and model do not say")
    return CpuIdentity(UNKNOWN, f"brand string {brand!r} and flags name no known micro-architecture")


def _first_cpu(cpuinfo: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in cpuinfo.strip().partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _number(text: str) -> int:
    """A decimal or 0x number, -1 for anything else."""
    try:
        return int(text, 0)
    except ValueError:
        return -1


def _is_amd(vendor: str) -> bool:
    return vendor in {"AuthenticAMD", "HygonGenuine"}


def _identify_arm(facts: Mapping[str, str]) -> CpuIdentity:
    implementer, part = facts["CPU implementer"], facts.get("CPU part", "")
    why = f"CPU implementer {implementer} part {part}"
    return CpuIdentity(_ARM_PARTS.get((_number(implementer), _number(part)), UNKNOWN_ARM), why)


def _by_brand(brand: str) -> str:
    return next((name for pattern, name in _BRANDS if re.search(pattern, brand, re.IGNORECASE)), "")


def _by_model(facts: Mapping[str, str]) -> str:
    vendor = facts.get("vendor_id", "")
    family, model = _number(facts.get("cpu family", "")), _number(facts.get("model", ""))
    if vendor == "GenuineIntel" and family == 6:
        stepping = _number(facts.get("stepping", ""))
        if model == 0x55 and stepping >= 5:
            return "cooper-lake" if stepping >= 10 else "cascade-lake"
        return _INTEL_MODELS.get(model, "")
    if _is_amd(vendor):
        return _by_amd_model(family, model)
    return ""


def _by_amd_model(family: int, model: int) -> str:
    if family == 0x18:  # Hygon, from the first generation
        return "epyc-1st-gen"
    if family == 0x17:
        return "epyc-1st-gen" if model < 0x30 else "epyc-2nd-gen"
    if family == 0x19:
        third = model < 0x10 or 0x20 <= model < 0x60
        return "epyc-3rd-gen" if third else "epyc-4th-gen"
    return "epyc-5th-gen" if family == 0x1A else ""


def _by_intel_flags(flags: frozenset[str], facts: Mapping[str, str]) -> tuple[str, str] | None:
    """The oldest server family that has the flags, as hypervisors hide flags but do not invent them."""
    if "amx_tile" in flags:
        size_kib = _number(facts.get("cache size", "").partition(" ")[0])
        family = next((name for limit, name in _AMX_BY_CACHE_KIB if size_kib <= limit), "granite-rapids")
        return family, f"flag amx_tile and {size_kib} KiB of cache"
    if "avx_vnni" in flags and "avx512f" not in flags:  # parts with efficiency cores: no figures
        return None
    for flag, family in (
        ("avx512_fp16", "sapphire-rapids"),
        ("avx512_vbmi2", "ice-lake"),
        ("avx512_bf16", "cooper-lake"),
        ("avx512_vnni", "cascade-lake"),
        ("avx512f", "skylake"),
        ("adx", "broadwell"),
        ("avx2", "haswell"),
        ("f16c", "ivy-bridge"),
        ("avx", "sandy-bridge"),
    ):
        if flag in flags:
            return family, f"flag {flag}"
    return None


def _by_amd_flags(flags: frozenset[str], facts: Mapping[str, str]) -> tuple[str, str] | None:  # noqa: ARG001
    for flag, family in (
        ("avx_vnni", "epyc-5th-gen"),
        ("avx512f", "epyc-4th-gen"),
        ("vaes", "epyc-3rd-gen"),
        ("clwb", "epyc-2nd-gen"),
        ("avx2", "epyc-1st-gen"),
    ):
        if flag in flags:
            return family, f"flag {flag}"
    return None
