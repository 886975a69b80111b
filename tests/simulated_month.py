"""A month of a simulated host under the real sampler, ledger and journal, with its own account of the truth.

The host lives in January 2025 of Berlin. Every sample ends a nanosecond before a full five minutes, so that
each belongs to the hour and the month it was drawn in.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.journal_batches import until
from wattledger.app.parts import build_grid_for, build_ledger, build_policy
from wattledger.clock import ManualClock
from wattledger.model import S_NS
from wattledger.sampler import Sampler
from wattledger.settings import (
    CarbonSettings,
    EmbodiedSettings,
    IntensitySettings,
    SamplingSettings,
    Settings,
    StorageSettings,
)
from wattledger.simulation.faces import DRAM_RANGE_UJ, PACKAGE_RANGE_UJ, SimulatedSensor, SimulatedWorkloads
from wattledger.simulation.host import SimulatedHost
from wattledger.simulation.profile import HostProfile

HOUR_NS = 3600 * S_NS
TICK_S = 300
START_NS = int(datetime(2024, 12, 31, 23, tzinfo=UTC).timestamp()) * S_NS
"""2025-01-01T00:00 in Berlin."""
DAYS = 31
PUE = 1.2
FALLBACK_G_PER_KWH = 600.0
MAX_AGE_HOURS = 2
EMBODIED_G = 1_460_000.0
"""1 kg a day over the four years of the default lifespan."""
PROFILE = HostProfile(name="month", sockets=1, cores=4, casts=("shop", "people", "batch"), scale=0.1)


def grid_g_per_kwh(hour: int) -> float:
    """What the file says of an hour after START_NS: 300 at night, 500 from 6 to 18 h, rising by 1 a day."""
    return (500.0 if 6 <= hour % 24 < 18 else 300.0) + hour // 24


@dataclass
class Month:
    """A host with its agent, and the truth of what the agent could have seen.

    `missing_day` has no intensity in the file. `energy_uj` is by component, `grams` in all; `node` and
    `accounts` are the ledger's own figures at the end.
    """

    folder: Path
    days: int = DAYS
    missing_day: int | None = None
    clock: ManualClock = field(default_factory=ManualClock)
    energy_uj: dict = field(default_factory=lambda: {"cpu": 0, "dram": 0})
    grams: list = field(default_factory=list)
    lost_uj: int = 0
    fallback_uj: int = 0
    sampler: Sampler | None = None

    def __post_init__(self) -> None:
        self.clock.epoch_ns = START_NS - self.clock.now_ns - 1
        self.host = SimulatedHost(PROFILE, self.clock, seed=7, step_s=60)
        self.sensor = SimulatedSensor(self.host)
        self.seen = dict(self.energy_uj)
        self.settings = Settings(
            sampling=SamplingSettings(interval_ns=30 * S_NS),
            storage=StorageSettings(path=str(self.folder)),
            carbon=CarbonSettings(
                pue=PUE,
                intensity=IntensitySettings(
                    provider="file",
                    file=str(self._file()),
                    grid_zone="DE",
                    max_age_ns=MAX_AGE_HOURS * HOUR_NS,
                ),
                fallback=IntensitySettings(provider="static", grams_per_kwh=FALLBACK_G_PER_KWH),
                embodied=EmbodiedSettings(total_g=EMBODIED_G),
            ),
        )

    def start(self) -> None:
        """Start an agent on the state directory and let it take its first sample."""
        self.grid = build_grid_for(self.settings, self.clock)
        self.grid.watch.turn()
        ledger = build_ledger(self.settings, self.clock, "boot-1", str(self.folder), named=False)
        ledger.open()
        self.sampler = Sampler(
            sensors=[self.sensor],
            workloads=SimulatedWorkloads(self.host),
            ledger=ledger,
            policy=build_policy(self.settings, self.grid),
            clock=self.clock,
        )
        self.sampler.tick()

    def stop(self) -> None:
        """Stop the agent as a service manager would."""
        self.sampler.close()

    def crash(self, folder: Path) -> None:
        """Go on with what is on the disk at this moment, in another folder."""
        self.written()
        shutil.copytree(self.folder, folder)
        self.sampler.close()
        self.folder = folder

    def outage(self, hours: int) -> None:
        """No agent for whole hours; counters that turned over meanwhile lost whole turns."""
        self.clock.advance(hours * 3600)
        start = self.hour
        self.host.advance()
        now = self.host.energy_uj()
        mean = math.fsum(self.price(start - hours + i) for i in range(hours)) / hours
        for component, range_uj in (("cpu", PACKAGE_RANGE_UJ), ("dram", DRAM_RANGE_UJ)):
            drawn_uj = now[component] - self.seen[component]
            self.lost_uj += drawn_uj - drawn_uj % range_uj
            self._book(component, drawn_uj % range_uj, mean)
        self.seen = {component: now[component] for component in self.seen}

    @property
    def hour(self) -> int:
        """The number of the hour that begins with the next nanosecond."""
        return (self.clock.wall_ns() + 1 - START_NS) // HOUR_NS

    def price(self, hour: int) -> float:
        """The true intensity of an hour; the missing day has the last value for two, then the fallback."""
        if self.missing_day is None or hour // 24 != self.missing_day:
            return grid_g_per_kwh(hour)
        if hour % 24 < MAX_AGE_HOURS:
            return grid_g_per_kwh(self.missing_day * 24 - 1)
        return FALLBACK_G_PER_KWH

    def run(self, hours: int) -> None:
        """Let the agent take samples for whole hours."""
        for _ in range(hours):
            hour = self.hour
            price = self.price(hour)
            for _ in range(3600 // TICK_S):
                self.clock.advance(TICK_S)
                self.sampler.tick()
                now = self.host.energy_uj()
                for component in self.seen:
                    drawn_uj = now[component] - self.seen[component]
                    self._book(component, drawn_uj, price)
                    if price == FALLBACK_G_PER_KWH:
                        self.fallback_uj += drawn_uj
                    self.seen[component] = now[component]
            self.written()
            self.grid.watch.turn()

    def written(self) -> None:
        """Wait until the journal has the last sample, for a simulated hour is shorter than a slow commit."""
        history = self.sampler.ledger._history
        until(lambda: history.written_wall_ns >= self.clock.wall_ns())

    def _book(self, component: str, energy_uj: int, price: float) -> None:
        self.energy_uj[component] += energy_uj
        self.grams.append(energy_uj / 3.6e12 * PUE * price)

    def _file(self) -> Path:
        """Hourly intensities from a day before to a day after the month."""
        path = self.folder.parent / "intensity.csv"
        lines = ["start,end,grams_per_kwh"]
        for hour in range(-24, (self.days + 1) * 24):
            if self.missing_day is None or hour // 24 != self.missing_day:
                start, end = (
                    datetime.fromtimestamp((START_NS + at * HOUR_NS) // S_NS, UTC).isoformat()
                    for at in (hour, hour + 1)
                )
                lines.append(f"{start},{end},{grid_g_per_kwh(hour)}")
        path.write_text("\n".join(lines) + "\n")
        return path
