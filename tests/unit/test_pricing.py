"""What a joule costs where PUE follows a schedule."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from wattledger.carbon.build import build_grid
from wattledger.carbon.pricing import Pricing
from wattledger.clock import ManualClock
from wattledger.model import S_NS
from wattledger.settings import CarbonSettings, IntensitySettings, WeeklyRule

NOON_NS = int(datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()) * S_NS
HOUR_NS = 3600 * S_NS
ALWAYS = frozenset(range(7))
FROM_NOON = WeeklyRule(ALWAYS, 720, 1440, 2.0)
"""PUE 2 from noon on; the settings have 1 before."""


def pricing(timezone: str = "UTC", before: float = 100.0, after: float = 300.0) -> Pricing:
    """One intensity before noon and another one from then on, by the clock of a time zone; PUE too."""
    rises = IntensitySettings(
        provider="schedule",
        grams_per_kwh=before,
        schedule=(WeeklyRule(ALWAYS, 720, 1440, after),),
    )
    settings = CarbonSettings(pue_schedule=(FROM_NOON,), timezone=timezone, intensity=rises)
    return build_grid(settings, ManualClock(), environ={}).pricing


def test_over_a_change_the_price_is_the_mean_of_the_product() -> None:
    """Half an hour at 1 x 100 and half an hour at 2 x 300 are 350 a facility's kWh, not 1.5 x 200."""
    price = pricing().price(NOON_NS - HOUR_NS // 2, NOON_NS + HOUR_NS // 2)
    assert price.intensity.grams_per_kwh == pytest.approx(200)
    assert price.pue == pytest.approx(1.75)
    assert price.grams_per_uj * 3.6e12 == pytest.approx(350)


def test_on_a_grid_without_emissions_pue_is_the_mean_over_time() -> None:
    """Three quarters of the hour at 1, one at 2."""
    price = pricing(before=0, after=0).price(NOON_NS - HOUR_NS * 3 // 4, NOON_NS + HOUR_NS // 4)
    assert (price.pue, price.grams_per_uj) == (pytest.approx(1.25), 0)


def test_an_interval_that_ends_or_begins_with_a_change_has_one_pue() -> None:
    """The end is not part of it."""
    found = pricing()
    assert found.price(NOON_NS - HOUR_NS, NOON_NS).pue == 1.0
    assert found.price(NOON_NS, NOON_NS + HOUR_NS).pue == 2.0


def test_the_schedule_is_by_the_clock_of_the_time_zone() -> None:
    """Noon in Berlin is 11:00 UTC in winter."""
    found = pricing("Europe/Berlin")
    assert found.price(NOON_NS - 2 * HOUR_NS, NOON_NS - HOUR_NS).pue == 1.0
    assert found.price(NOON_NS - HOUR_NS, NOON_NS).pue == 2.0
