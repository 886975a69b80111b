"""What `wattledger once` prints of a snapshot that has everything, and of one that has little."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.command_line import REPOSITORY
from tests.snapshots import WALL_NS, node_row, rich_snapshot, snapshot
from wattledger.cli.once_report import as_json, as_table
from wattledger.model import J_UJ, S_NS, Intensity, Price


@pytest.fixture(autouse=True)
def _utc(monkeypatch) -> Iterator[None]:
    """This process's time zone is UTC, wherever the tests run."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def keys_of(tree) -> set[str]:
    """Every key of a JSON document."""
    if isinstance(tree, dict):
        return set(tree) | {key for value in tree.values() for key in keys_of(value)}
    return {key for value in tree for key in keys_of(value)} if isinstance(tree, list) else set()


def test_a_figure_has_one_name_in_the_account_and_the_report():
    """The one of the metrics, with its unit in full; kWh is short where the figure itself is in it."""
    once = json.loads((REPOSITORY / "tests/golden/once.json").read_text())
    schema = json.loads((REPOSITORY / "docs/report.schema.json").read_text())
    report = {key for key in keys_of(schema) if key.islower()}
    spelled = {key for key in keys_of(once) | report if "grams" in key or "kwh" in key or "liters" in key}
    assert spelled == {
        "consumed_grams",
        "embodied_emissions_grams",
        "emissions_grams",
        "energy_kwh",
        "facility_energy_kwh",
        "grams",
        "grams_per_kilowatt_hour",
        "intensity_grams_per_kilowatt_hour",
        "limit_grams",
        "market_emissions_grams",
        "water_liters",
        "wue_liters_per_kilowatt_hour",
    }


def test_the_table_of_a_rich_snapshot(golden) -> None:
    golden("once.txt", as_table(rich_snapshot(), 1.0, 20, 80))


def test_the_json_of_a_rich_snapshot(golden) -> None:
    golden("once.json", json.dumps(as_json(rich_snapshot(), 1.0), indent=2) + "\n")


def _keys(value: object) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_keys, value))
    if isinstance(value, dict):
        return set(value).union(*map(_keys, value.values()))
    return set()


def test_the_json_reference_names_every_key() -> None:
    """In the part of its command; horizons are not keys of their own."""
    part = (REPOSITORY / "docs/json.md").read_text().split("\n## once\n")[1]
    documented = set(re.findall(r"`(\w+)(?:\[\])?`", part))
    shown = {key for key in _keys(as_json(rich_snapshot(), 1.0)) if not re.fullmatch(r"\d+h", key)}
    assert shown - documented == set()


def test_what_is_not_configured_is_null() -> None:
    shown = as_json(snapshot(), 1.0)
    assert shown["embodied_emissions_grams"] is shown["outlook"] is shown["price"]["market"] is None
    assert shown["price"]["wue_liters_per_kilowatt_hour"] is None
    assert (shown["budgets"], shown["feeds"]) == ([], [])
    assert shown["node"][0]["market_emissions_grams"] is shown["node"][0]["water_liters"] is None
    assert {row["embodied_emissions_grams"] for row in shown["workloads"]} == {None}


def test_a_budgets_rate_is_that_of_the_account() -> None:
    """1,000 J at 100 W are ten seconds: 0.25 g in them are 90 g/h, and 2.16 kg a day are a little more."""
    whole = rich_snapshot().budgets[0]
    day = replace(whole, name="day", period="day", end_ns=whole.start_ns + 86400 * S_NS, consumed_g=0.25)
    rows = (replace(day, limit_g=2161.0), replace(day, name="less", limit_g=2136.0))
    shot = snapshot(budgets=rows, nodes=(node_row(energy_uj=1000 * J_UJ, power_w=100.0),))
    lines = as_table(shot, 1.0, 20, 80).splitlines()
    assert "day       day     2.16 kg  90.0 g/h   90.0 g/h" in lines
    assert "less      day     2.14 kg  90.0 g/h   89.0 g/h  too fast" in lines


def test_a_hostile_error_moves_no_cursor() -> None:
    shot = rich_snapshot()
    (feed,) = shot.health.feeds
    shot = replace(shot, health=replace(shot.health, feeds=(replace(feed, error="\x1b[2Jgone"),)))
    assert "energy-charts (intensity) failed: \\x1b[2Jgone" in as_table(shot, 1.0, 20, 80)


def test_a_best_time_that_is_now_says_so() -> None:
    """With a signal of percentiles there is no saving to tell."""
    shot = rich_snapshot(price=Price(intensity=Intensity(grams_per_kwh=1.0, provider="static")))
    (window,) = shot.outlook.windows
    ahead = replace(shot.outlook, unit="percentile", means={}, windows=(replace(window, start_ns=WALL_NS),))
    lines = as_table(replace(shot, outlook=ahead), 1.0, 20, 80).splitlines()
    assert lines[-1].split() == ["2", "h", "now", "percentile", "150"]
    assert as_json(replace(shot, outlook=ahead), 1.0)["outlook"]["best_windows"][0]["savings_ratio"] is None
