"""Which energy events the kernel's `power` PMU offers, and what each measures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from ..errors import SensorError
from ..hostfs import HostFS, read_int, read_text
from ..model import Covers, Finding, Zone
from .rapl import is_amd, may_have_rapl, package_label, rapl_zone

SENSOR = "perf"

_DOMAINS: dict[str, tuple[str, Covers]] = {
    "energy-pkg": ("package", "cpu"),
    "energy-ram": ("dram", "dram"),
    "energy-cores": ("core", ""),
    "energy-gpu": ("uncore", ""),
    "energy-psys": ("psys", "node"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PmuEvent:
    """One event on one CPU. `uj_per_count` is exact, so that no energy is rounded away over time."""

    zone: Zone
    subject: str
    pmu_type: int
    config: int
    cpu: int
    uj_per_count: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class PmuSurvey:
    """The events of a host, and what to say of everything else that was found."""

    events: tuple[PmuEvent, ...] = ()
    findings: tuple[Finding, ...] = ()


def survey(hostfs: HostFS) -> PmuSurvey:
    """Look at the PMU's description in sysfs; what cannot be understood is a finding, never an error."""
    root = f"{hostfs.sysfs}/bus/event_source/devices/power"
    try:
        pmu_type = read_int(f"{root}/type")
    except SensorError:
        why = "the kernel offers no `power` PMU (no RAPL, a virtual machine, or the module is not loaded)"
        fix = "sudo modprobe rapl" if may_have_rapl(hostfs) else ""
        return PmuSurvey(findings=(_finding(root, "absent", why, fix),))
    amd = is_amd(hostfs)
    try:
        devices = _devices(hostfs, _cpulist(read_text(f"{root}/cpumask")), amd=amd)
    except (OSError, ValueError, SensorError) as error:
        return PmuSurvey(findings=(_finding(root, "failed", f"its CPUs cannot be placed: {error}"),))
    events: list[PmuEvent] = []
    findings: list[Finding] = []
    for event, (domain, covers) in _DOMAINS.items():
        if amd and domain == "core":
            continue
        try:
            config, uj_per_count = _describe(f"{root}/events/{event}")
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            findings.append(_finding(event, "failed", str(error)))
            continue
        for cpu, device, name in _placed(domain, devices):
            zone = rapl_zone(sensor=SENSOR, name=name, device=device, covers=covers)
            subject = f"{event} on CPU {cpu}, {device}"
            events.append(
                PmuEvent(
                    zone=zone,
                    subject=subject,
                    pmu_type=pmu_type,
                    config=config,
                    cpu=cpu,
                    uj_per_count=uj_per_count,
                )
            )
    return PmuSurvey(events=tuple(events), findings=tuple(findings))


def _devices(hostfs: HostFS, cpus: list[int], *, amd: bool) -> dict[str, int]:
    """The CPU to count on for each package, or die of a package that has several; raises SensorError.

    AMD's counter belongs to the socket, so of its dies only the first counts.
    """
    places = []
    for cpu in cpus:
        topology = f"{hostfs.sysfs}/devices/system/cpu/cpu{cpu}/topology"
        places.append((cpu, read_int(f"{topology}/physical_package_id"), topology))
    packages = [package for _, package, _ in places]
    devices: dict[str, int] = {}
    for cpu, package, topology in places:
        several = packages.count(package) > 1 and not amd
        device = package_label(package, read_int(f"{topology}/die_id") if several else None)
        devices.setdefault(device, cpu)
    return devices


def _placed(domain: str, devices: dict[str, int]) -> Iterator[tuple[int, str, str]]:
    """The (CPU, device, zone name) of a domain, named as powercap names them; psys is one per platform."""
    for device, cpu in devices.items():
        if domain == "psys":
            yield cpu, "psys", "psys"
            return
        yield cpu, device, device if domain == "package" else domain


def _describe(path: str) -> tuple[int, Fraction]:
    """The event's number and its exact unit in microjoules; raises OSError or ValueError."""
    term, _, number = read_text(path).partition("=")
    if term != "event":
        raise ValueError(f"{path}: expected event=NUMBER")
    unit = read_text(f"{path}.unit")
    if unit != "Joules":
        raise ValueError(f"{path}.unit: expected Joules, not {unit!r}")
    scale = Fraction(read_text(f"{path}.scale"))
    if scale <= 0:
        raise ValueError(f"{path}.scale: expected more than 0")
    return int(number, 0), scale * 1_000_000


def _cpulist(text: str) -> list[int]:
    """The kernel's list format, such as `0,28` or `0-1,4`; raises ValueError."""
    cpus: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


def _finding(subject: str, status: Literal["absent", "failed"], why: str, fix: str = "") -> Finding:
    return Finding(sensor=SENSOR, subject=subject, status=status, why=why, fix=fix)
