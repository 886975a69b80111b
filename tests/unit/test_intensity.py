"""Where a gram per kilowatt hour comes from."""

from __future__ import annotations

import pytest

from wattledger.carbon.build import build_grid
from wattledger.carbon.intensity import IntensitySource, Static, world_average
from wattledger.clock import ManualClock
from wattledger.errors import SettingsError
from wattledger.model import Intensity, Price
from wattledger.settings import CarbonSettings, IntensitySettings


def build_source(settings: CarbonSettings) -> IntensitySource:
    return build_grid(settings, ManualClock(), environ={}).pricing.intensity


def test_nothing_configured_is_the_world_average_and_says_so() -> None:
    intensity = build_source(CarbonSettings()).at(1_767_225_600_000_000_000)
    assert intensity == world_average()
    assert intensity.grams_per_kwh == 473
    assert (intensity.provider, intensity.grid_zone) == ("default", "WORLD")
    assert (intensity.basis, intensity.kind) == ("lifecycle", "average")
    assert intensity.fallback


def test_a_static_value_is_what_the_user_gave() -> None:
    configured = IntensitySettings(provider="static", grams_per_kwh=250, grid_zone="DE", basis="direct")
    source = build_source(CarbonSettings(intensity=configured))
    expected = Intensity(grams_per_kwh=250, provider="static", grid_zone="DE", basis="direct")
    assert source.at(0) == source.at(2**62) == expected
    assert not expected.fallback


def test_a_clean_grid_is_a_value_not_a_missing_one() -> None:
    """0 g/kWh is a legal setting and must not fall back to the world average."""
    configured = IntensitySettings(provider="static", grams_per_kwh=0)
    assert build_source(CarbonSettings(intensity=configured)).at(0).grams_per_kwh == 0


def test_static_without_a_value_names_the_key() -> None:
    with pytest.raises(SettingsError, match=r"carbon\.intensity\.grams_per_kwh"):
        build_source(CarbonSettings(intensity=IntensitySettings(provider="static")))


def test_a_kilowatt_hour_costs_its_intensity() -> None:
    """3.6e12 uJ at 473 g/kWh and PUE 1.2 are 567.6 g."""
    price = Price(intensity=Static(world_average()).at(0), pue=1.2)
    assert price.grams_per_uj * 3.6e12 == pytest.approx(567.6)
