"""The energy of one board: its own counter, else its power integrated."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..errors import SensorError
from . import nvml
from .power import CrossCheck, PowerIntegral

Read = Callable[[nvml.Handle, int, int], list[tuple[int, int]]]


class Energy(NamedTuple):
    """Cumulative energy at a boot time, and where it comes from (see `BoardReport`)."""

    at_ns: int
    energy_uj: int
    source: str


class Moment(NamedTuple):
    """One moment on the clocks that NVML and the agent use."""

    boottime_ns: int
    wall_us: int


class EnergyMeter:
    """Reads one board's energy, and compares its counter with its power.

    The sources are tried in the order of their worth once, and again while none has answered:
    the energy counter (Volta and newer), the ring of power samples, the mean over a second, the plain power,
    and last the power of the module, which contains a CPU.
    """

    def __init__(self, handle: nvml.Handle) -> None:
        self._handle = handle
        self._counter: bool | None = None
        self._power: tuple[str, Read] | None = None
        self._powerless = False
        self._integral = PowerIntegral()
        self._check = CrossCheck()

    @property
    def check_ratio(self) -> float | None:
        """The energy counter's mean power over the integrated one, once both were watched for a minute."""
        return self._check.ratio

    def resume(self, before: EnergyMeter) -> None:
        """Go on with the integral and the comparison of another meter of the same board."""
        self._integral = before._integral
        self._check = before._check

    def read(self, now: Callable[[], Moment]) -> Energy:
        """The energy now; raises SensorError when there is none."""
        if self._counter is not False:
            try:
                energy_uj = nvml.energy_mj(self._handle) * 1000
            except SensorError as error:
                if self._counter or error.reason not in nvml.UNSUPPORTED:
                    raise
                self._counter = False
            else:
                self._counter = True
                moment = now()
                self._compare(moment, energy_uj)
                return Energy(moment.boottime_ns, energy_uj, "counter")
        moment = now()
        source = self._integrate(moment)
        if not self._integral.newest_us:
            raise SensorError("no_data", "no power sample yet")
        late_us = max(0, moment.wall_us - self._integral.newest_us)
        return Energy(moment.boottime_ns - late_us * 1000, self._integral.energy_uj, source)

    def _compare(self, moment: Moment, energy_uj: int) -> None:
        """Keep the cross-check going; without power there is none, and that is no failure."""
        if self._powerless:
            return
        try:
            self._integrate(moment)
        except SensorError as error:
            self._powerless = error.reason in nvml.UNSUPPORTED
            return
        self._check.take(moment.boottime_ns // 1000, energy_uj, self._integral)

    def _integrate(self, moment: Moment) -> str:
        """Add the newest power to the integral and return the source's name."""
        self._integral.rewind(moment.wall_us)
        since_us = max(self._integral.newest_us, moment.wall_us - 2_000_000)
        if self._power is not None:
            name, read = self._power
            self._integral.take(read(self._handle, since_us, moment.wall_us))
            return name
        for name, read in _POWER_SOURCES:
            try:
                samples = read(self._handle, since_us, moment.wall_us)
            except SensorError as error:
                if error.reason not in nvml.UNSUPPORTED:
                    raise
                continue
            self._power = (name, read)
            self._integral.take(samples)
            return name
        raise SensorError("not_supported", "the board tells neither energy nor power")


def _samples(handle: nvml.Handle, since_us: int, _now_us: int) -> list[tuple[int, int]]:
    return nvml.power_samples(handle, since_us)


def _average(handle: nvml.Handle, _since_us: int, now_us: int) -> list[tuple[int, int]]:
    return [(now_us, nvml.power_field_mw(handle, nvml.POWER_AVERAGE))]


def _plain(handle: nvml.Handle, _since_us: int, now_us: int) -> list[tuple[int, int]]:
    return [(now_us, nvml.power_mw(handle))]


def _module(handle: nvml.Handle, _since_us: int, now_us: int) -> list[tuple[int, int]]:
    return [(now_us, nvml.power_field_mw(handle, nvml.POWER_INSTANT, nvml.MODULE_SCOPE))]


_POWER_SOURCES: tuple[tuple[str, Read], ...] = (
    ("samples", _samples),
    ("average", _average),
    ("power", _plain),
    ("module", _module),
)
