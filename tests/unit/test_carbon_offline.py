"""The offline sources from their settings, and what is said where something is missing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from wattledger.carbon.intensity import Static
from wattledger.carbon.offline.choice import offline_source
from wattledger.carbon.offline.series_file import FileSeries
from wattledger.errors import SettingsError
from wattledger.model import Intensity
from wattledger.settings import IntensitySettings, WeeklyRule

MONDAY_NOON_NS = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()) * 10**9
HOUR_NS = 3600 * 10**9
ALL_DAYS = frozenset(range(7))


def made(**settings: object) -> Intensity:
    """What a source gives on a Monday at noon."""
    return offline_source(IntensitySettings(**settings), "UTC").at(MONDAY_NOON_NS)


def test_a_static_value_has_the_labels_that_were_given() -> None:
    """Never updated, never given up."""
    assert made(
        provider="static", grams_per_kwh=250.0, grid_zone="DE", basis="direct", flow="consumption"
    ) == Intensity(grams_per_kwh=250.0, provider="static", grid_zone="DE", basis="direct", flow="consumption")


def test_zero_is_a_value_that_may_be_given() -> None:
    """For one's own solar roof; it is not the same as none."""
    assert made(provider="static", grams_per_kwh=0.0).grams_per_kwh == 0.0


def test_a_table_gives_its_own_labels() -> None:
    """The zone as the table writes it."""
    found = made(provider="table", grid_zone="deu", basis="lifecycle")
    assert (found.grams_per_kwh, found.provider, found.grid_zone) == (342.06, "table", "DE")


def test_a_mix() -> None:
    """Half and half, on the basis that is asked for."""
    assert made(provider="mix", mix={"gas": 1, "wind": 1}).grams_per_kwh == 250.5
    direct = made(provider="mix", mix={"gas": 1, "wind": 1}, basis="direct", grid_zone="X", flow="production")
    assert (direct.grams_per_kwh, direct.basis, direct.grid_zone, direct.flow) == (
        185.0,
        "direct",
        "X",
        "production",
    )


def test_a_schedule_in_its_time_zone() -> None:
    """Noon in UTC is 13:00 in Berlin."""
    settings = IntensitySettings(
        provider="schedule",
        schedule=(WeeklyRule(ALL_DAYS, 780, 840, 100.0),),
        grams_per_kwh=300.0,
        grid_zone="DE",
    )
    berlin = offline_source(settings, "Europe/Berlin")
    assert berlin.at(MONDAY_NOON_NS) == Intensity(grams_per_kwh=100.0, provider="schedule", grid_zone="DE")
    assert berlin.over(MONDAY_NOON_NS, MONDAY_NOON_NS + 2 * HOUR_NS).grams_per_kwh == 200.0
    assert offline_source(settings, "UTC").at(MONDAY_NOON_NS).grams_per_kwh == 300.0


def test_a_schedule_that_covers_the_week_needs_no_other_value() -> None:
    """All days, all day."""
    assert made(provider="schedule", schedule=(WeeklyRule(ALL_DAYS, 0, 1440, 100.0),)).grams_per_kwh == 100.0


def test_a_file_is_a_feed_with_a_fallback(tmp_path: Path) -> None:
    """Nothing is read until it is refreshed; the fallback is the world average unless another is given."""
    file = tmp_path / "series.csv"
    settings = IntensitySettings(provider="file", file=str(file))
    world = offline_source(settings, "UTC")
    spare = Static(Intensity(grams_per_kwh=321.0, provider="static"))
    other = offline_source(settings, "UTC", role="market", fallback=spare)
    assert isinstance(world, FileSeries)
    assert isinstance(other, FileSeries)
    assert (world.health.role, other.health.role) == ("intensity", "market")
    assert (world.at(MONDAY_NOON_NS).grams_per_kwh, world.at(MONDAY_NOON_NS).fallback) == (473.0, True)
    assert other.at(MONDAY_NOON_NS).grams_per_kwh == 321.0
    file.write_text("start,grams_per_kwh\n2026-11-23T12:00Z,111\n")
    world.refresh(MONDAY_NOON_NS)
    assert world.at(MONDAY_NOON_NS).grams_per_kwh == 111.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"provider": "static"}, r"\.grams_per_kwh: the static provider needs a value .* from 0 to 5000"),
        ({"provider": "static", "grams_per_kwh": 5001.0}, r"\.grams_per_kwh: .* from 0 to 5000"),
        ({"provider": "static", "grams_per_kwh": float("nan")}, r"\.grams_per_kwh: .* from 0 to 5000"),
        ({"provider": "table"}, r"\.grid_zone: the table provider needs a country such as DE"),
        ({"provider": "table", "grid_zone": "Atlantis"}, r"\.grid_zone: no zone 'Atlantis'"),
        (
            {"provider": "table", "grid_zone": "DE", "basis": "direct"},
            r"\.basis: .* for DE is lifecycle, not direct",
        ),
        (
            {"provider": "table", "grid_zone": "US-CA", "flow": "consumption"},
            r"\.flow: .* is production, not consum",
        ),
        (
            {"provider": "table", "grid_zone": "gcp:us-west1", "flow": "production"},
            r"\.flow: .* of unknown flow",
        ),
        ({"provider": "mix"}, r"\.mix: needs the share of at least one fuel"),
        ({"provider": "mix", "mix": {"coffee": 1}}, r"\.mix: unknown fuel 'coffee'"),
        (
            {"provider": "schedule", "grams_per_kwh": 1.0},
            r"\.schedule: the schedule provider needs a list of rules",
        ),
        (
            {"provider": "schedule", "schedule": (WeeklyRule(frozenset(range(5)), 0, 1440, 1.0),)},
            r"\.schedule: no rule holds on Saturday at 00:00; give carbon\.fallback\.grams_per_kwh",
        ),
        (
            {"provider": "schedule", "schedule": (WeeklyRule(ALL_DAYS, 0, 1440, -1.0),)},
            r"\.schedule: a rule needs",
        ),
        ({"provider": "file"}, r"\.file: the file provider needs the path"),
        ({"provider": "file", "file": "a\0b"}, r"\.file: the file provider needs the path"),
        ({}, r"\.provider: none is not one that works offline"),
        (
            {"provider": "watttime"},
            r"\.provider: watttime is not one that works offline; accepted here is one of",
        ),
    ],
)
def test_what_is_missing_is_named_by_its_key(settings: dict[str, object], message: str) -> None:
    """With what to give; here in the role of the fallback."""
    with pytest.raises(SettingsError, match=f"^carbon\\.fallback{message}"):
        offline_source(IntensitySettings(**settings), "UTC", role="fallback")


def test_a_time_zone_that_is_none_is_refused() -> None:
    """Only where there is a schedule: nothing else has a use for it."""
    rules = (WeeklyRule(ALL_DAYS, 0, 1440, 1.0),)
    with pytest.raises(SettingsError, match=r"^carbon\.timezone: 'Nowhere/City' is no time zone"):
        offline_source(IntensitySettings(provider="schedule", schedule=rules), "Nowhere/City")
    assert offline_source(IntensitySettings(provider="table", grid_zone="DE"), "Nowhere/City")
