"""Grid carbon intensity as a source that is asked for a moment: the seam for every provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..errors import SettingsError
from ..model import Intensity
from ..settings import CarbonSettings


class IntensitySource(Protocol):
    """What the grid emits per kilowatt hour, now or at another moment."""

    def at(self, wall_ns: int) -> Intensity:
        """The intensity that holds at `wall_ns` (CLOCK_REALTIME), with its provenance.

        Never blocks, never raises and never answers zero for want of data:
        a source without a current value answers its fallback, marked as such.
        """


@dataclass(frozen=True, slots=True)
class Static:
    """One intensity for all times."""

    intensity: Intensity

    def at(self, wall_ns: int) -> Intensity:  # noqa: ARG002 - the protocol's parameter
        return self.intensity


def world_average() -> Intensity:
    """Mean of the world's electricity generation, 473 gCO2e/kWh, lifecycle, 2024; always a fallback.

    Source: Ember, yearly electricity data, world row of 2024 (472.94), CC BY 4.0.
    """
    return Intensity(grams_per_kwh=473.0, provider="default", grid_zone="WORLD", fallback=True)


def build_source(settings: CarbonSettings) -> IntensitySource:
    """The source that the settings ask for, the world average where they name no provider.

    Ranges are checked where settings are loaded (0 to 5000 g/kWh, PUE 1 to 5).
    Raises SettingsError for a `static` provider without `grams_per_kwh`.
    """
    configured = settings.intensity
    if configured.provider is None:
        return Static(world_average())
    if configured.grams_per_kwh is None:
        raise SettingsError(
            "carbon.intensity.grams_per_kwh: the static provider needs a value in gCO2e/kWh, from 0 to 5000"
        )
    return Static(
        Intensity(
            grams_per_kwh=configured.grams_per_kwh,
            provider=configured.provider,
            grid_zone=configured.grid_zone,
            basis=configured.basis,
        )
    )
