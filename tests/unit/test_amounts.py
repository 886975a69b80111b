"""Amounts as a person reads them."""

from __future__ import annotations

import pytest

from wattledger.exposition import amounts
from wattledger.model import J_UJ


@pytest.mark.parametrize(
    ("energy_uj", "text", "hours"),
    [
        (0, "0.00 J", "0.00 Wh"),
        (1_500_000, "1.50 J", "0.42 mWh"),
        (54 * J_UJ, "54.0 J", "15.0 mWh"),
        (36_000 * J_UJ, "36.0 kJ", "10.0 Wh"),
        (3_600_000 * J_UJ, "3.60 MJ", "1.00 kWh"),
        (1_234_000_000_000 * J_UJ, "1,234 GJ", "343 MWh"),
    ],
)
def test_energy_in_joules_and_hours(energy_uj, text, hours):
    assert (amounts.energy(energy_uj), amounts.kilowatt_hours(energy_uj)) == (text, hours)


@pytest.mark.parametrize(
    ("grams", "text"),
    [
        (0.0, "0.00 mg"),
        (0.00007, "70.0 µg"),
        (0.25, "250 mg"),
        (12.34, "12.3 g"),
        (1200, "1.20 kg"),
        (5e6, "5.00 t"),
    ],
)
def test_mass(grams, text):
    assert amounts.mass(grams) == text


@pytest.mark.parametrize(("liters", "text"), [(0.0, "0.00 ml"), (0.1, "100 ml"), (1250, "1.25 m³")])
def test_volume(liters, text):
    assert amounts.volume(liters) == text


def test_an_unknown_power_is_a_dash_and_zero_is_zero():
    assert amounts.watts(None) == amounts.NOTHING
    assert amounts.watts(0.0) == "0.0 W"


@pytest.mark.parametrize(
    ("power_w", "text"),
    [(0.031, "0.03 W"), (0.994, "0.99 W"), (0.996, "1.0 W"), (12.34, "12.3 W"), (1234.5, "1,234.5 W")],
)
def test_a_small_power_is_not_rounded_away(power_w, text):
    """On a machine of a few watts, a workload's hundredths tell it from one that does nothing."""
    assert amounts.watts(power_w) == text
