"""The intensity of a generation mix."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattledger.carbon.offline.mix import fuels, mix_intensity
from wattledger.errors import SettingsError


def test_a_mix_is_the_mean_by_share() -> None:
    """Half gas at 490 and half wind at 11 is 250.5."""
    mixed = mix_intensity({"gas": 50, "wind": 50}, grid_zone="OFFICE")
    assert mixed.grams_per_kwh == 250.5
    assert (mixed.provider, mixed.grid_zone, mixed.basis, mixed.estimated) == (
        "mix",
        "OFFICE",
        "lifecycle",
        False,
    )
    assert mixed.licence == "IPCC AR5 WG3 annex III"


def test_direct_counts_what_is_burnt() -> None:
    """A quarter coal at 760, the rest nuclear and hydro at 0: 190."""
    assert mix_intensity({"coal": 1, "nuclear": 1, "hydro": 2}, basis="direct").grams_per_kwh == 190.0


@given(
    st.dictionaries(st.sampled_from(sorted(fuels())), st.floats(0.001, 1000), min_size=1),
    st.floats(0.01, 100),
)
def test_the_unit_of_the_shares_does_not_matter(shares: dict[str, float], scale: float) -> None:
    """Percent, megawatts or parts: only their ratio counts, and the mean is among the fuels' own."""
    mixed = mix_intensity(shares).grams_per_kwh
    scaled = mix_intensity({fuel: share * scale for fuel, share in shares.items()}).grams_per_kwh
    factors = [fuels()[fuel].lifecycle for fuel in shares]
    assert mixed == pytest.approx(scaled, rel=1e-12)
    assert min(factors) - 1e-9 <= mixed <= max(factors) + 1e-9


@pytest.mark.parametrize(
    ("written", "grams"),
    [
        ("wind_onshore", 11),
        ("Offshore Wind", 12),
        ("gas_combined_cycle", 490),
        ("natural-gas", 490),
        ("CCGT", 490),
        ("hard coal", 820),
        ("lignite", 875),
        ("Hydropower", 24),
        ("solar", 48),
        ("solar_pv_rooftop", 41),
        ("biomass", 230),
        ("geothermal", 38),
        ("tidal", 17),
        ("oil", 671),
    ],
)
def test_fuel_names_are_forgiving(written: str, grams: float) -> None:
    """Case, blanks, dashes and the usual other names."""
    assert mix_intensity({written: 1}).grams_per_kwh == grams


def test_the_ipccs_medians_are_as_published() -> None:
    """AR5 working group III, annex III, table A.III.2."""
    expected = {
        "coal": 820, "gas": 490, "biomass": 230, "biomass_cofiring": 740, "geothermal": 38, "hydro": 24,
        "nuclear": 12, "solar_csp": 27, "solar_pv_rooftop": 41, "solar": 48, "wind": 11, "wind_offshore": 12,
        "ocean": 17,
    }  # fmt: skip
    assert {name: fuel.lifecycle for name, fuel in fuels().items() if name in expected} == expected


def test_what_burns_is_never_cleaner_over_its_life() -> None:
    """Direct is part of lifecycle."""
    assert all(fuel.direct is None or fuel.direct < fuel.lifecycle for fuel in fuels().values())


def test_unknown_generation_is_priced_as_fossil_and_marked() -> None:
    """The mean of coal and gas, on either basis, never zero; a share of zero marks nothing."""
    assert mix_intensity({"other": 1}).grams_per_kwh == 655.0 == (820 + 490) / 2
    assert mix_intensity({"unknown": 1}, basis="direct").grams_per_kwh == 565.0 == (760 + 370) / 2
    assert mix_intensity({"wind": 9, "unknown": 1}).estimated
    assert not mix_intensity({"wind": 9, "unknown": 0}).estimated


def test_an_unknown_fuel_is_refused_with_those_that_are_accepted() -> None:
    """With the key, and what was probably meant."""
    with pytest.raises(
        SettingsError, match=r"^carbon.market.mix: unknown fuel 'nucular'; did you mean 'nuclear'"
    ) as no:
        mix_intensity({"nucular": 1}, key="carbon.market.mix")
    assert "wind_offshore" in str(no.value)


@pytest.mark.parametrize("share", [-1.0, float("nan"), float("inf")])
def test_a_share_is_a_number_from_zero_up(share: float) -> None:
    """Anything else is refused by name."""
    with pytest.raises(SettingsError, match=r"mix\.gas: .* is no share"):
        mix_intensity({"gas": share})


@pytest.mark.parametrize("shares", [{}, {"gas": 0.0}, {"gas": 1e308, "coal": 1e308}])
def test_a_mix_needs_a_share(shares: dict[str, float]) -> None:
    """Nothing, nothing but zeros, and numbers that have no sum are refused."""
    with pytest.raises(SettingsError, match="needs the share of at least one fuel"):
        mix_intensity(shares)


def test_one_fuel_under_two_names_is_refused() -> None:
    """Or a typing slip would count it once."""
    with pytest.raises(SettingsError, match="both mean wind; add them up"):
        mix_intensity({"wind": 1, "onshore wind": 2})


def test_a_fuel_without_a_direct_figure_is_refused_for_direct() -> None:
    """Never priced at zero for want of one."""
    with pytest.raises(SettingsError, match=r"biomass_cofiring: no direct emissions are known"):
        mix_intensity({"biomass_cofiring": 1}, basis="direct")
