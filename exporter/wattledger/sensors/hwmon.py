"""Power and energy meters that the kernel shows under hwmon.

Counters (`amd_energy`) are passed on as they are. Power is integrated over CLOCK_MONOTONIC, which stands
still while the machine sleeps, by the trapezoid rule. A read that fails for up to MAX_GAP_NS is bridged in
a straight line; after a longer gap the integral continues under a new lineage, so that nobody takes the
unknown time for a time without consumption.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..clock import Clock
from ..errors import SensorError
from ..hostfs import HostFS, read_int, read_text, reason_of
from ..model import S_NS, Finding, Probe, Reading, Zone
from .hwmon_chips import KNOWN_CHIPS, Channel, channels_of, settle_node
from .integrate import SampledPower
from .place import ON_HOST, Place

NAME = "hwmon"

MAX_GAP_NS = 60 * S_NS
"""Longest time between two samples that is joined: two of the longest sampling intervals."""

PROVEN_NS = 600 * S_NS
"""How long a meter that worked keeps its place while it fails, so that one bad value does not hand its
component over to an estimate and back."""

_CHANNEL_FILE = re.compile(r"(?:power|energy|in|curr)\d+_\w+|in_power\d+_input|rail_name_\d+|label")
_TEXT_FILE = re.compile(r"\w+_(?:label|oem_info|is_battery)|rail_name_\d+|label")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chip:
    """A chip as found: `device` is its place on the bus, `files` the paths by attribute name."""

    name: str
    device: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meter:
    """A zone and the files of its value; `sampled` is None for a counter of the hardware."""

    zone: Zone
    channel: Channel
    paths: tuple[str, ...]
    chip: str
    sampled: SampledPower | None

    def value(self) -> int:
        """Microwatts, or the counter in microjoules; raises SensorError.

        A machine that runs draws power, so a meter of the CPU or the node at 0 W does not measure (`zero`);
        a power below zero or beyond the zone's bound is a code for "unknown" (`implausible`).
        """
        value = self.channel.scale
        for path in self.paths:
            value *= read_int(path)
        if self.sampled is None:
            return value
        if value == 0 and self.zone.covers:
            raise SensorError("zero", f"{self.paths[0]}: 0 W")
        if not 0 <= value <= self.zone.max_power_w * 1e6:
            raise SensorError("implausible", f"{self.paths[0]}: {value / 1e6:.0f} W")
        return value

    def finding(self) -> Finding:
        """What this meter is, once it was read."""
        kind = "energy counter" if self.sampled is None else "power, integrated"
        use = f"counts towards {self.zone.covers}" if self.zone.covers else "only shown"
        why = "; ".join(part for part in (f"{self.chip}: {kind}", use, self.channel.note) if part)
        subject = f"{self.zone.device} {self.zone.name}"
        return Finding(sensor=NAME, subject=subject, status="usable", why=why)


class Hwmon:
    """The known chips of this host; see `hwmon_chips` for what their channels mean."""

    def __init__(self, hostfs: HostFS, clock: Clock, place: Place = ON_HOST) -> None:
        self._hostfs = hostfs
        self._place = place
        self._clock = clock
        self._token = secrets.token_hex(6)
        self._boot_id = ""
        self._meters: tuple[_Meter, ...] = ()
        self._sampled: dict[tuple[str, str, str], SampledPower] = {}
        self._good_ns: dict[tuple[str, str, str], int] = {}

    @property
    def name(self) -> str:
        return NAME

    def probe(self) -> Probe:
        """Look for chips anew; the integral of a zone that was known before goes on."""
        self._boot_id = self._hostfs.boot_id()
        unknown: list[str] = []
        findings: list[Finding] = []
        readable: list[tuple[_Chip, Channel]] = []
        for chip in [*self._hwmon_chips(unknown), *self._iio_chips()]:
            for channel in channels_of(chip.name, chip.files, _texts(chip.files)):
                problem = self._problem(chip, self._without_repeats(channel))
                if problem is None:
                    readable.append((chip, channel))
                else:
                    findings.append(problem)
        settled = settle_node([channel for _, channel in readable])
        meters: dict[tuple[str, str, str], _Meter] = {}
        for (chip, _), channel in zip(readable, settled, strict=True):
            meter = self._meter(chip, channel)
            if meter.zone.key in meters:  # two channels of one chip with the same label
                meter = self._meter(chip, replace(channel, name=f"{channel.name} {channel.files[0]}"))
            meters[meter.zone.key] = meter
            findings.append(meter.finding())
        proven = [meter for meter in self._meters if meter.zone.key not in meters and self._proven(meter)]
        self._meters = (*meters.values(), *proven)
        self._good_ns = {key: at_ns for key, at_ns in self._good_ns.items() if key in self._keys()}
        if not findings:
            why = f"no power or energy meter in {self._hostfs.sysfs}/class/hwmon"
            findings.append(Finding(sensor=NAME, subject=NAME, status="absent", why=why))
        if unknown:
            names = ", ".join(sorted(set(unknown)))
            why = f"{len(unknown)} without a meter known to this agent: {names}"
            findings.append(Finding(sensor=NAME, subject="other chips", status="ignored", why=why))
        return Probe(zones=tuple(meter.zone for meter in self._meters), findings=tuple(findings))

    def _keys(self) -> set[tuple[str, str, str]]:
        return {meter.zone.key for meter in self._meters}

    def _proven(self, meter: _Meter) -> bool:
        """Whether a meter that does not answer now did so lately and is still there."""
        good_ns = self._good_ns.get(meter.zone.key)
        lately = good_ns is not None and self._clock.monotonic_ns() - good_ns < PROVEN_NS
        return lately and all(os.path.lexists(path) for path in meter.paths)

    def read(self) -> Sequence[Reading]:
        """Read every zone of the last probe, at three system calls a file.

        What a read takes beyond that is the driver's: firmware or a bus may need milliseconds to answer.
        """
        return [self._read(meter) for meter in self._meters]

    def _read(self, meter: _Meter) -> Reading:
        try:
            value = meter.value()
            inode = os.stat(meter.paths[0]).st_ino if meter.sampled is None else 0
        except SensorError as error:
            return Reading(meter.zone, self._clock.boottime_ns(), None, failure=error.reason)
        except OSError as error:
            return Reading(meter.zone, self._clock.boottime_ns(), None, failure=reason_of(error))
        at_ns = self._clock.boottime_ns()
        self._good_ns[meter.zone.key] = self._clock.monotonic_ns()
        if meter.sampled is None:
            return Reading(meter.zone, at_ns, value, lineage=f"{self._boot_id}:{inode}:{meter.chip}")
        meter.sampled.sample(self._clock.monotonic_ns(), value)
        lineage = f"{self._token}.{meter.sampled.gaps}"
        return Reading(meter.zone, at_ns, meter.sampled.energy_uj, lineage=lineage)

    def _problem(self, chip: _Chip, channel: Channel) -> Finding | None:
        """Why the channel cannot be used, after one read of it; None if it can."""
        subject = f"{chip.device} {channel.name}"
        if channel.ignored:
            return Finding(sensor=NAME, subject=subject, status="ignored", why=channel.ignored)
        meter = self._meter(chip, channel)
        try:
            meter.value()
        except SensorError as error:
            if error.reason in {"eacces", "eperm"}:
                fix = self._place.to_read(f"sudo chmod a+r {' '.join(meter.paths)}")
                return Finding(sensor=NAME, subject=subject, status="denied", why=str(error), fix=fix)
            return Finding(sensor=NAME, subject=subject, status="failed", why=str(error))
        return None

    def _meter(self, chip: _Chip, channel: Channel) -> _Meter:
        zone = Zone(
            sensor=NAME,
            name=channel.name,
            device=chip.device,
            covers=channel.covers,
            range_uj=channel.range_uj,
            max_power_w=channel.max_power_w,
            uncertainty_ratio=channel.uncertainty_ratio,
            survives_suspend=not channel.counter,
        )
        sampled = None if channel.counter else self._sampled.setdefault(zone.key, SampledPower(MAX_GAP_NS))
        paths = tuple(chip.files[name] for name in channel.files)
        return _Meter(zone=zone, channel=channel, paths=paths, chip=chip.name, sampled=sampled)

    def _hwmon_chips(self, unknown: list[str]) -> Iterator[_Chip]:
        """Known chips of the hwmon class; the names of the others are added to `unknown`."""
        root = f"{self._hostfs.sysfs}/class/hwmon"
        for entry in sorted(_listing(root), key=lambda name: (len(name), name)):
            folder = f"{root}/{entry}"
            # Chips of the kernel's older interface keep their files, and even their name, in device/.
            name = _text(f"{folder}/name") or _text(f"{folder}/device/name")
            if name in KNOWN_CHIPS:
                link = f"{folder}/device"
                device = os.path.basename(os.path.realpath(link)) if os.path.islink(link) else entry
                yield _Chip(
                    name=name, device=device, files={**_channel_files(link), **_channel_files(folder)}
                )
            elif name:
                unknown.append(name)

    def _iio_chips(self) -> Iterator[_Chip]:
        root = f"{self._hostfs.sysfs}/bus/i2c/drivers/ina3221x"
        for device in sorted(_listing(root)):
            for entry in sorted(_listing(f"{root}/{device}")):
                if entry.startswith("iio:device"):
                    files = _channel_files(f"{root}/{device}/{entry}")
                    yield _Chip(name="ina3221x", device=device, files=files)

    def _without_repeats(self, channel: Channel) -> Channel:
        """Ignore an `EsocketN` that repeats its socket.

        The driver makes one per NUMA node and reads the whole socket's register through each,
        so with several nodes per socket only the one of a socket's first node counts.
        """
        match = re.fullmatch(r"Esocket(\d+)", channel.name)
        if match is None:
            return channel
        node = int(match[1])
        package = self._package_of(node)
        repeats = [other for other in range(node) if package and self._package_of(other) == package]
        return replace(channel, ignored=f"repeats Esocket{repeats[0]}") if repeats else channel

    def _package_of(self, node: int) -> str:
        devices = f"{self._hostfs.sysfs}/devices/system"
        cpu = re.match(r"\d+", _text(f"{devices}/node/node{node}/cpulist"))
        return _text(f"{devices}/cpu/cpu{cpu[0]}/topology/physical_package_id") if cpu else ""


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _text(path: str) -> str:
    try:
        return read_text(path, 4096)
    except OSError:
        return ""


def _channel_files(folder: str) -> dict[str, str]:
    return {name: f"{folder}/{name}" for name in _listing(folder) if _CHANNEL_FILE.fullmatch(name)}


def _texts(files: Mapping[str, str]) -> dict[str, str]:
    return {name: _text(path) for name, path in files.items() if _TEXT_FILE.fullmatch(name)}
