"""The bundled tables: which zone is which, its provenance, and what is said of a zone that is in none."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from tests.command_line import REPOSITORY
from wattledger.carbon.offline.tables import LICENCES, site_of, table_intensity, zones
from wattledger.errors import SettingsError

DATA = REPOSITORY / "exporter/wattledger/carbon/offline/data"
END_OF_2024_NS = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("alpha3", "alpha2", "grams"),
    [
        ("DEU", "DE", 342.06),
        ("CHE", "CH", 36.72),
        ("CHN", "CN", 557.5),
        ("CHL", "CL", 265.52),
        ("AUT", "AT", 102.62),
        ("AUS", "AU", 553.76),
        ("IRL", "IE", 279.79),
        ("IRN", "IR", 648.68),
        ("IRQ", "IQ", 689.4),
        ("ISL", "IS", 28.33),
        ("SVN", "SI", 227.11),
        ("SVK", "SK", 96.49),
        ("SWE", "SE", 35.89),
        ("SRB", "RS", 670.8),
        ("SYC", "SC", 571.43),
        ("MAR", "MA", 577.65),
        ("MAC", "MO", 448.98),
        ("MDG", "MG", 477.27),
        ("MDV", "MV", 611.77),
        ("MLT", "MT", 484.16),
        ("NER", "NE", 687.5),
        ("NGA", "NG", 507.85),
        ("PRK", "KP", 344.26),
        ("KOR", "KR", 415.65),
        ("COD", "CD", 27.04),
        ("COG", "CG", 713.73),
        ("COM", "KM", 642.86),
        ("CPV", "CV", 480.0),
        ("DOM", "DO", 565.97),
        ("DMA", "DM", 600.0),
        ("EST", "EE", 341.02),
        ("GIN", "GN", 182.72),
        ("GNQ", "GQ", 605.1),
        ("GNB", "GW", 625.0),
        ("MRT", "MR", 481.71),
        ("MTQ", "MQ", 516.78),
        ("PRT", "PT", 111.8),
        ("PRY", "PY", 24.86),
        ("SLV", "SV", 99.29),
        ("SUR", "SR", 383.18),
        ("UKR", "UA", 250.47),
        ("XKX", "XK", 958.72),
        ("ZAF", "ZA", 713.9),
        ("VIR", "VI", 641.79),
        ("VGB", "VG", 647.06),
    ],
)
def test_a_country_is_found_by_both_of_its_codes(alpha3: str, alpha2: str, grams: float) -> None:
    """Alpha-2 is the label, whichever was given."""
    found = table_intensity(alpha3)
    assert (found.grid_zone, found.grams_per_kwh) == (alpha2, grams)
    assert table_intensity(alpha2) == found


def test_no_code_means_two_zones() -> None:
    """Codes of all kinds are different from one another."""
    codes = [code.casefold() for one in zones() for code in (one.zone, *one.also)]
    assert len(codes) == len(set(codes))


def test_countries_have_two_codes_of_the_right_length() -> None:
    """All that Ember has but one (see below), and an alpha-3 code each."""
    countries = [one for one in zones() if one.group == "country"]
    assert len(countries) == 208
    assert all(re.fullmatch("[A-Z]{2}", one.zone) for one in countries)
    assert all(re.fullmatch("[A-Z]{3}", one.also[0]) for one in countries)


@pytest.mark.parametrize(
    ("written", "zone"), [("uk", "GB"), (" el ", "GR"), ("world", "WORLD"), ("Eu", "EU")]
)
def test_names_are_forgiving(written: str, zone: str) -> None:
    """Case and blanks do not matter, and the EU's own two codes are known."""
    assert table_intensity(written).grid_zone == zone


def test_a_country_says_where_its_figure_is_from() -> None:
    """Ember: lifecycle, of generation, not given up, and as old as the end of its year."""
    germany = table_intensity("DE")
    assert (germany.provider, germany.basis, germany.flow, germany.kind) == (
        "table",
        "lifecycle",
        "production",
        "average",
    )
    assert germany.licence == "CC BY 4.0, Ember"
    assert (germany.updated_ns, germany.max_age_ns) == (END_OF_2024_NS, 0)
    assert not germany.estimated
    assert not germany.fallback


def test_a_state_is_converted_from_pounds() -> None:
    """California: 394.769 lb/MWh x 0.45359237 = 179.06 g/kWh, direct, of generation, public domain."""
    california = table_intensity("us-ca")
    assert california.grams_per_kwh == pytest.approx(394.769 * 0.45359237, abs=0.005)
    assert (california.basis, california.flow) == ("direct", "production")
    assert california.licence == "public domain, EPA eGRID2023"
    assert sum(one.group == "us-state" for one in zones()) == 51


def test_every_state_is_the_pounds_of_its_row() -> None:
    """The converted column agrees with the published one beside it."""
    rows = [line.split(",") for line in (DATA / "us_states.csv").read_text().splitlines()[8:]]
    states = [row for row in rows if row[0].startswith("US-")]
    assert len(states) == 51
    for row in states:
        assert float(row[4]) == pytest.approx(float(row[3]) * 0.45359237, abs=0.005)


def test_a_google_region_has_googles_own_figure() -> None:
    """It is direct, and Google does not say how imports are counted."""
    paris = table_intensity("gcp:europe-west9")
    assert (paris.grams_per_kwh, paris.basis, paris.flow) == (16.3, "direct", "")
    assert paris.licence == "Apache-2.0, Google region-carbon-info"


@pytest.mark.parametrize(
    ("region", "grams"), [("aws:eu-west-1", 256.54), ("azure:westeurope", 253.56), ("aws:us-east-1", 327.17)]
)
def test_other_clouds_have_the_figure_of_where_they_are(region: str, grams: float) -> None:
    """Ember's, lifecycle."""
    found = table_intensity(region)
    assert (found.grams_per_kwh, found.basis, found.licence) == (grams, "lifecycle", LICENCES["ember"])


def test_hong_kong_is_priced_as_hong_kong() -> None:
    """All three operators' regions there that have Ember's figure have the territory's own, of 2023."""
    own = table_intensity("HK")
    for region in ("aws:ap-east-1", "azure:eastasia"):
        assert table_intensity(region).grams_per_kwh == own.grams_per_kwh
        assert table_intensity(region).updated_ns == own.updated_ns < END_OF_2024_NS


def test_every_figure_is_plausible() -> None:
    """Above zero, below that of the worst generation on record, of the years that the headers say."""
    for one in zones():
        assert 1 < one.grams_per_kwh < 1500, one
        assert 2022 <= one.year <= 2024, one
        assert one.intensity.licence


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Germany", "DE (Germany)"),
        ("germny", "DE (Germany)"),
        ("eu-west-1", "aws:eu-west-1 (Ireland)"),
        ("DK-DK1", "DK (Denmark)"),
        ("frankfurt", "gcp:europe-west3 (Frankfurt)"),
        ("usa-ca", "US-CA (California)"),
    ],
)
def test_an_unknown_zone_is_refused_with_the_nearest(written: str, meant: str) -> None:
    """The message begins with the key, and says what is meant, what is accepted and where all are listed."""
    with pytest.raises(SettingsError) as refused:
        table_intensity(written, key="carbon.intensity.grid_zone")
    message = str(refused.value)
    assert message.startswith(f"carbon.intensity.grid_zone: no zone {written!r}")
    assert meant in message
    assert "docs/intensity-data.md" in message


def test_a_zone_like_no_other_is_refused_without_a_guess() -> None:
    """Nothing is called near that is not."""
    with pytest.raises(SettingsError, match="nothing there is like it"):
        table_intensity("qqqqqqqq")


def test_a_country_without_a_usable_figure_is_not_priced_at_zero() -> None:
    """The Central African Republic is at 0 g/kWh in the source."""
    with pytest.raises(SettingsError):
        table_intensity("CF")


def test_a_region_has_the_efficiency_of_its_own_site() -> None:
    """Ireland: PUE 1.11 and 0.03 l/kWh, both the region's."""
    site = site_of("AWS:eu-west-1")
    assert site is not None
    assert (site.pue, site.pue_of, site.wue_l_per_kwh, site.wue_of) == (1.11, "region", 0.03, "region")


def test_what_a_region_does_not_publish_is_its_geographys() -> None:
    """Sydney has a WUE of its own and Asia Pacific's PUE; Beijing has no WUE at all."""
    sydney, beijing = site_of("aws:ap-southeast-2"), site_of("aws:cn-north-1")
    assert sydney is not None
    assert beijing is not None
    assert (sydney.pue, sydney.pue_of, sydney.wue_l_per_kwh, sydney.wue_of) == (
        1.27,
        "geography",
        0.12,
        "region",
    )
    assert (beijing.pue, beijing.wue_l_per_kwh, beijing.wue_of) == (1.25, None, "")


def test_only_cloud_regions_have_a_site() -> None:
    """A country has no PUE."""
    assert site_of("DE") is None
    assert site_of("aws:nowhere-1") is None


def test_every_table_names_its_source_and_licence() -> None:
    """In the header of each file."""
    files = sorted(DATA.glob("*.csv"))
    assert [file.name for file in files] == [
        "cloud_regions.csv",
        "countries.csv",
        "fuels.csv",
        "us_states.csv",
    ]
    for file in files:
        header = " ".join(line for line in file.read_text().splitlines() if line.startswith("#"))
        assert re.search(r"Licence|Cite as", header), file.name
        assert re.search(r"20\d\d", header), file.name


def test_the_page_lists_every_zone() -> None:
    """docs/intensity-data.md is where the error message sends people."""
    page = (REPOSITORY / "docs/intensity-data.md").read_text()
    listed = set(re.findall(r"`([^`\s]+)`", page))
    assert {one.zone for one in zones()} <= listed
    assert all(licence in page for licence in LICENCES.values())
