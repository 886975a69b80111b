"""CPU energy estimated from utilisation, for hosts whose CPU no meter covers.

Power is the curve of one logical CPU at the mean utilisation since the previous read, times the number of
logical CPUs online. Utilisation is busy time (user, nice, system, irq, softirq; guests are inside user)
over CLOCK_MONOTONIC, which stands still while the machine sleeps.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence

from ..clock import Clock
from ..errors import SensorError, SettingsError
from ..hostfs import HostFS, read_bytes, read_text, reason_of
from ..model import Finding, Probe, Reading, Zone
from ..settings import EstimateSettings
from .cpu_curves import UNKNOWN, CpuCurve, CpuCurves
from .cpu_identity import identify
from .integrate import PowerIntegral

NAME = "estimate"

CONFIGURED_UNCERTAINTY_RATIO = 0.3
"""Where both ends are the user's: what is left is the shape between them."""

MIN_INTERVAL_NS = 100_000_000
"""Ten ticks of the kernel's 10 ms accounting; a read sooner answers the previous value."""

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


class Estimate:
    """One zone, `cpu`, with a curve chosen by the settings or by what the CPU says of itself.

    Raises SettingsError for a micro-architecture that is not in the table and for impossible watts.
    """

    def __init__(self, hostfs: HostFS, clock: Clock, settings: EstimateSettings) -> None:
        _check_watts(settings)
        self._hostfs = hostfs
        self._clock = clock
        self._settings = settings
        self._curves = CpuCurves()
        self._configured = (
            None if settings.microarchitecture is None else self._curves.named(settings.microarchitecture)
        )
        self._curve: CpuCurve = self._configured or self._curves[UNKNOWN]
        self._integral = PowerIntegral()
        self._lineage = secrets.token_hex(6)
        self._zone: Zone | None = None
        self._last: tuple[int, int] | None = None  # monotonic time and busy time
        self._stat_bytes = 4096

    @property
    def name(self) -> str:
        return NAME

    def probe(self) -> Probe:
        """Choose the curve anew; the integral goes on."""
        try:
            _, cpus = self._busy()
        except SensorError as error:
            self._zone = None
            denied = error.reason in {"eacces", "eperm"}
            return Probe(
                findings=(
                    Finding(
                        sensor=NAME,
                        subject="cpu",
                        status="denied" if denied else "failed",
                        why=str(error),
                        fix=f"sudo chmod a+r {self._hostfs.procfs}/stat" if denied else "",
                    ),
                )
            )
        row, why = self._choose()
        idle_watts, max_watts = self._settings.idle_watts, self._settings.max_watts
        self._curve = row.with_ends(idle_watts, max_watts)
        both_given = idle_watts is not None and max_watts is not None
        self._zone = Zone(
            sensor=NAME,
            name="cpu",
            device=NAME,
            covers="cpu",
            method="estimated",
            # CPUs may come online before the next probe, so twice what all of them can draw.
            max_power_w=max(100.0, 2 * cpus * self._curve.max_watts),
            uncertainty_ratio=CONFIGURED_UNCERTAINTY_RATIO if both_given else row.uncertainty_ratio,
            idle_power_w=cpus * self._curve.idle_watts,
        )
        given = "" if idle_watts is None and max_watts is None else ", ends as configured"
        found = (
            f"estimated: {cpus} logical CPUs of {self._curve.idle_watts:.2f} to {self._curve.max_watts:.2f} W"
            f"{given}, row {row.microarchitecture} ({row.basis}), chosen by {why}"
        )
        return Probe(
            zones=(self._zone,),
            findings=(Finding(sensor=NAME, subject="cpu", status="usable", why=found),),
        )

    def read(self) -> Sequence[Reading]:
        """The estimated energy since the first read."""
        zone = self._zone
        if zone is None:
            return ()
        try:
            busy_ns, cpus = self._busy()
        except SensorError as error:
            return (Reading(zone, self._clock.boottime_ns(), None, failure=error.reason),)
        self._accrue(self._clock.monotonic_ns(), busy_ns, cpus)
        return (Reading(zone, self._clock.boottime_ns(), self._integral.energy_uj, lineage=self._lineage),)

    def _accrue(self, now_ns: int, busy_ns: int, cpus: int) -> None:
        if self._last is not None:
            last_ns, last_busy_ns = self._last
            duration_ns = now_ns - last_ns
            if duration_ns < MIN_INTERVAL_NS:
                return
            # Busy time may run backwards by a tick in some guests: the curve takes that as idle.
            utilisation = (busy_ns - last_busy_ns) / (duration_ns * cpus)
            power_uw = round(cpus * self._curve.at(utilisation) * 1e6)
            self._integral.accrue(power_uw, power_uw, duration_ns)
        self._last = (now_ns, busy_ns)

    def _choose(self) -> tuple[CpuCurve, str]:
        if self._configured is not None:
            return self._configured, "sensors.estimate.microarchitecture"
        try:
            identity = identify(read_text(f"{self._hostfs.procfs}/cpuinfo", 16384))
        except OSError as error:
            return self._curves[UNKNOWN], f"default, as cpuinfo cannot be read ({reason_of(error)})"
        return self._curves[identity.microarchitecture], identity.why

    def _busy(self) -> tuple[int, int]:
        """Busy time of all CPUs since boot in nanoseconds, and how many are online; raises SensorError."""
        path = f"{self._hostfs.procfs}/stat"
        try:
            data = read_bytes(path, self._stat_bytes)
            # The lines of the CPUs come first and `intr` follows; the buffer grows until it holds them all.
            while len(data) == self._stat_bytes and b"\nintr" not in data:
                self._stat_bytes *= 2
                data = read_bytes(path, self._stat_bytes)
        except OSError as error:
            raise SensorError(reason_of(error), f"{path}: {error.strerror}") from error
        try:
            label, user, nice, system, _, _, irq, softirq, *_ = data[: data.find(b"\n")].split()
            ticks = int(user) + int(nice) + int(system) + int(irq) + int(softirq)
        except ValueError:
            raise SensorError("parse", f"{path}: no line of CPU times") from None
        cpus = data.count(b"\ncpu")
        if label != b"cpu" or cpus == 0:
            raise SensorError("parse", f"{path}: no line of CPU times")
        return ticks * _TICK_NS, cpus


def _check_watts(settings: EstimateSettings) -> None:
    idle_watts, max_watts = settings.idle_watts, settings.max_watts
    if idle_watts is not None and not 0 <= idle_watts < 1000:
        raise SettingsError(
            f"sensors.estimate.idle_watts: {idle_watts} is not between 0 and 1000 W per logical CPU"
        )
    if max_watts is not None and not 0 < max_watts < 1000:
        raise SettingsError(
            f"sensors.estimate.max_watts: {max_watts} is not above 0 and below 1000 W per logical CPU"
        )
    if idle_watts is not None and max_watts is not None and idle_watts > max_watts:
        raise SettingsError(
            f"sensors.estimate.idle_watts: {idle_watts} is above sensors.estimate.max_watts, {max_watts}"
        )
