"""Which powercap folders are RAPL counters, what each measures, and which must not be added."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from ..errors import SensorError
from ..hostfs import HostFS, read_int, read_text, reason_of
from ..model import Covers, Finding, Zone
from .rapl import PACKAGE_MAX_W, is_amd, may_have_rapl, rapl_zone

SENSOR = "powercap"
MSR = "intel-rapl"
MMIO = "intel-rapl-mmio"

MIN_PACKAGE_MAX_W = 300.0
LIMITS_MAX_W = 3000.0
"""Declared limits give the plausible power of a package only up to here; 4096 W means `no limit`."""

MAX_CONSTRAINTS = 10
"""As many as the kernel allows per zone (MAX_CONSTRAINTS_PER_ZONE, powercap_sys.c)."""

_Status = Literal["absent", "denied", "failed", "ignored"]
_TOP = re.compile(r"package-(\d+)(?:-die-(\d+))?|psys(?:-\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class RaplZone:
    """A counter worth reading.

    `energy_path` is its `energy_uj` file. `identity` are the (path, content) pairs of the `name` files of the
    folder and its parent: folders are numbered as they appear, so after a hot-unplug the same folder may be
    another zone. `added` is False for a counter that repeats another and is only shown.
    `note` says what it is used for, or why it is not.
    """

    zone: Zone
    subject: str
    energy_path: str
    identity: tuple[tuple[str, str], ...]
    added: bool
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The counters of a host, and what to say of everything else that was found."""

    zones: tuple[RaplZone, ...] = ()
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folder:
    """One folder of the powercap class. `package` is None for psys and for what has no known parent."""

    entry: str
    path: str
    name: str
    identity: tuple[tuple[str, str], ...]
    device: str
    package: int | None
    die: int | None
    top: bool

    @property
    def control_type(self) -> str:
        return self.entry.partition(":")[0]

    @property
    def domain(self) -> str:
        """`package`, `psys`, or the name of a zone inside a package."""
        return self.name.partition("-")[0] if self.top else self.name

    @property
    def subject(self) -> str:
        return f"{self.entry} {self.name if self.top else f'{self.device}/{self.name}'}"


def survey(hostfs: HostFS) -> Survey:
    """Look through the powercap class folder; unreadable entries are findings, never errors."""
    root = f"{hostfs.sysfs}/class/powercap"
    try:
        entries = sorted(os.listdir(root), key=_natural)
    except OSError:
        entries = []
    findings = list(_foreign(entries))
    names, broken = _read_names(root, [entry for entry in entries if _is_rapl(entry) and ":" in entry])
    if broken and not names and set(broken.values()) == {"enoent"}:
        return Survey(findings=(*findings, _masked(root)))
    findings += [
        _finding(entry, "failed", f"its name cannot be read ({reason.upper()})")
        for entry, reason in broken.items()
    ]
    if not names and not broken:
        findings.append(_absent(hostfs))
    folders = [_folder(root, entry, names) for entry in names]
    zones: list[RaplZone] = []
    for folder, covers, shown, why in _judge(folders, amd=is_amd(hostfs)):
        if shown:
            zones.append(_zone(folder, covers, _unique_device(folder, zones), why))
        else:
            findings.append(_finding(folder.subject, "ignored", why))
    return Survey(zones=tuple(zones), findings=tuple(findings))


def _judge(folders: list[_Folder], *, amd: bool) -> Iterator[tuple[_Folder, Covers, bool, str]]:
    """Say of each folder what it covers, whether it is read at all, and why it is ignored ("" if it is not).

    Not read is what is known to be wrong or the same counter again; what merely repeats another is shown.
    """
    direct = {(f.domain, f.package) for f in folders if f.control_type == MSR}
    identities: set[tuple[str, str, str]] = set()
    packages: set[tuple[str, int | None]] = set()
    psys_seen = False
    for folder in folders:
        identity = (folder.control_type, folder.device, folder.name)
        place = (folder.control_type, folder.package)
        if folder.control_type == MMIO and (folder.domain, folder.package) in direct:
            yield folder, "", False, f"the same counter as the {MSR} zone, through another register"
        elif amd and not folder.top and folder.name == "core":
            yield folder, "", False, "on AMD this counter is that of one core, not of all"
        elif identity in identities:
            yield folder, "", True, "another zone has the same name and parent; shown, not added"
        elif folder.domain == "psys":
            why = "a further view of the platform that psys already measures; shown, not added"
            yield folder, "" if psys_seen else "node", True, why if psys_seen else ""
            psys_seen = True
        elif folder.domain == "package" and amd and folder.die is not None and place in packages:
            yield folder, "", True, "on AMD each die zone repeats the whole socket; shown, not added"
        elif folder.domain == "package":
            packages.add(place)
            yield folder, "cpu", True, ""
        elif folder.domain == "dram" and not folder.top:
            yield folder, "dram", True, ""
        elif folder.top:
            yield folder, "", True, "not a zone name this version knows; shown, not added"
        else:
            yield folder, "", True, ""
        identities.add(identity)


def _read_names(root: str, entries: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The names by entry, and the reasons by entry where there is none."""
    names: dict[str, str] = {}
    broken: dict[str, str] = {}
    for entry in entries:
        try:
            names[entry] = read_text(f"{root}/{entry}/name", 256)
        except OSError as error:
            broken[entry] = reason_of(error)
    return names, broken


def _folder(root: str, entry: str, names: dict[str, str]) -> _Folder:
    """Place an entry: the kernel names a child folder after its parent's (`powercap_register_zone`)."""
    top_entry = ":".join(entry.split(":")[:2])
    top_name = names.get(top_entry, "")
    found = _TOP.fullmatch(top_name)
    package, die = (found[1], found[2]) if found else (None, None)
    identity = [(f"{root}/{entry}/name", names[entry])]
    if top_entry != entry and top_name:
        identity.append((f"{root}/{top_entry}/name", top_name))
    return _Folder(
        entry=entry,
        path=f"{root}/{entry}",
        name=names[entry],
        identity=tuple(identity),
        device=top_name or top_entry,
        package=None if package is None else int(package),
        die=None if die is None else int(die),
        top=top_entry == entry,
    )


def _zone(folder: _Folder, covers: Covers, device: str, ignored: str) -> RaplZone:
    range_uj = _positive(f"{folder.path}/max_energy_range_uj")
    note = ignored or (f"counts towards {covers}" if covers else "shown, not added: inside its package")
    if not range_uj:
        note += "; no max_energy_range_uj, so an interval in which it runs backwards is dropped"
    return RaplZone(
        zone=rapl_zone(
            sensor=SENSOR,
            name=folder.name,
            device=device,
            covers=covers,
            range_uj=range_uj,
            max_power_w=_package_max_w(folder.path) if folder.domain == "package" else None,
        ),
        subject=folder.subject,
        energy_path=f"{folder.path}/energy_uj",
        identity=folder.identity,
        added=not ignored,
        note=note,
    )


def _package_max_w(path: str) -> float:
    """1.5 times the sum of the package's declared limits, where that is believable.

    Of each constraint the larger of its maximum and its present limit counts: on client chips the maximum
    is the TDP, or 0, while the short-term limit allows several times as much. At least
    MIN_PACKAGE_MAX_W, for too low a bound would drop real energy.
    """
    limits_uw = 0
    for constraint in range(MAX_CONSTRAINTS):
        prefix = f"{path}/constraint_{constraint}"
        limits_uw += max(_positive(f"{prefix}_max_power_uw"), _positive(f"{prefix}_power_limit_uw"))
    bound_w = 1.5 * limits_uw / 1e6
    if not 0 < bound_w <= LIMITS_MAX_W:
        return PACKAGE_MAX_W
    return max(MIN_PACKAGE_MAX_W, bound_w)


def _positive(path: str) -> int:
    """The integer in a file that may be missing or unreadable (constraints give ENODATA): 0 then."""
    try:
        return max(0, read_int(path))
    except SensorError:
        return 0


def _unique_device(folder: _Folder, zones: list[RaplZone]) -> str:
    """The package's name, which outlives a renumbering; the folder's own where that is taken."""
    taken = {(other.zone.name, other.zone.device) for other in zones}
    return folder.entry if (folder.name, folder.device) in taken else folder.device


def _natural(entry: str) -> list[tuple[int, int, str]]:
    """Sort key that puts `intel-rapl:2` before `intel-rapl:10`, and letters after numbers."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in entry.split(":")]


def _is_rapl(entry: str) -> bool:
    return entry.partition(":")[0] in (MSR, MMIO)


def _foreign(entries: list[str]) -> Iterator[Finding]:
    for control_type in sorted({entry.partition(":")[0] for entry in entries if not _is_rapl(entry)}):
        yield _finding(control_type, "ignored", "not RAPL: what its zones measure is not defined")


def _finding(subject: str, status: _Status, why: str, fix: str = "") -> Finding:
    return Finding(sensor=SENSOR, subject=subject, status=status, why=why, fix=fix)


def _masked(root: str) -> Finding:
    """Docker, podman and containerd hide /sys/devices/virtual/powercap; the class links then dangle."""
    return _finding(
        root,
        "denied",
        "zones are listed, but their folders are hidden: a container runtime masks them",
        "# start the container with the host's /sys mounted elsewhere, and name it:\n"
        "docker run --volume /sys:/host/sys:ro ... --path.sysfs=/host/sys",
    )


def _absent(hostfs: HostFS) -> Finding:
    root = f"{hostfs.sysfs}/class/powercap"
    if may_have_rapl(hostfs):
        return _finding(root, "absent", "no RAPL zone: is the module loaded?", "sudo modprobe intel_rapl_msr")
    return _finding(root, "absent", "no RAPL zone: a virtual machine, or a CPU without RAPL")
