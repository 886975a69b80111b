"""Makes the carbon side of the agent from the settings."""

from __future__ import annotations

from ..errors import SettingsError
from ..model import Intensity
from ..settings import CarbonSettings
from .intensity import IntensitySource, Static, world_average


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
            basis=configured.basis or "lifecycle",
        )
    )
