"""The collectors there are, in the order in which they are probed.

The order is a preference: a component is covered by the first sensor that measures it.
"""

# Sensors are imported when they are built: one that is switched off costs nothing and cannot fail.
# ruff: noqa: PLC0415
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..clock import Clock
from ..errors import SettingsError
from ..hostfs import HostFS
from ..settings import SensorSettings, Settings
from .base import Sensor
from .place import ON_HOST, Place, find_place


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildContext:
    """What a sensor may be built from."""

    hostfs: HostFS
    clock: Clock
    settings: SensorSettings
    place: Place = ON_HOST


@dataclass(frozen=True, slots=True)
class Collector:
    """One kind of sensor as a user sees it: `--collector.NAME`, `--no-collector.NAME`.

    `configured`: it is built from settings, and so built anew when they change.
    """

    name: str
    default: bool
    build: Callable[[BuildContext], Sensor]
    help: str
    configured: bool = False


def _powercap(context: BuildContext) -> Sensor:
    from .powercap import Powercap

    return Powercap(context.hostfs, context.clock, context.place)


def _perf(context: BuildContext) -> Sensor:
    from .perf import Perf

    return Perf(context.hostfs, context.clock, place=context.place)


def _hwmon(context: BuildContext) -> Sensor:
    from .hwmon import Hwmon

    return Hwmon(context.hostfs, context.clock, context.place)


def _nvidia(context: BuildContext) -> Sensor:
    from .nvidia import Nvidia

    return Nvidia(context.hostfs, context.clock)


def _amdgpu(context: BuildContext) -> Sensor:
    from ..gpu.amd_counter import AmdSmiCounter
    from .amdgpu import AmdGpu

    return AmdGpu(context.hostfs, context.clock, AmdSmiCounter(), context.place)


def _intelgpu(context: BuildContext) -> Sensor:
    from .intelgpu import IntelGpu

    return IntelGpu(context.hostfs, context.clock, context.place)


def _estimate(context: BuildContext) -> Sensor:
    from .estimate import Estimate

    return Estimate(context.hostfs, context.clock, context.settings.estimate)


COLLECTORS: tuple[Collector, ...] = (
    Collector("powercap", True, _powercap, "Intel and AMD RAPL counters through sysfs"),
    Collector("perf", True, _perf, "RAPL counters through perf_event_open, where sysfs may not be read"),
    Collector("hwmon", True, _hwmon, "power and energy sensors of hwmon chips"),
    Collector("nvidia", True, _nvidia, "NVIDIA GPUs: boards, processes and MIG instances, by NVML"),
    Collector("amdgpu", True, _amdgpu, "AMD graphics cards: power and processes through sysfs and /proc"),
    Collector("intelgpu", True, _intelgpu, "Intel graphics cards: energy and processes, sysfs and /proc"),
    Collector(
        "estimate", True, _estimate, "CPU power from utilisation, where nothing measures it", configured=True
    ),
)


def build_sensors(settings: Settings, clock: Clock, present: Iterable[Sensor] = ()) -> list[Sensor]:
    """Build the sensors that are switched on, in probe order; raises SettingsError on an unknown name.

    Of those `present`, the ones that no setting changes are taken over with all they hold.
    """
    wanted = settings.sensors.enabled
    names = [collector.name for collector in COLLECTORS]
    for name in wanted:
        if name not in names:
            raise SettingsError(f"sensors: no collector is called {name!r}; there are {', '.join(names)}")
    place = find_place(settings.paths)
    context = BuildContext(hostfs=settings.paths, clock=clock, settings=settings.sensors, place=place)
    kept = {sensor.name: sensor for sensor in present}
    return [
        kept[collector.name]
        if collector.name in kept and not collector.configured
        else collector.build(context)
        for collector in COLLECTORS
        if wanted.get(collector.name, collector.default)
    ]
