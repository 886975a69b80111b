"""Whatever stands in a settings file, the answer is settings or one line that says what is wrong."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.settings_file import settings_of
from wattledger.cli.carbon_options import ROLES
from wattledger.cli.options import options
from wattledger.errors import SettingsError
from wattledger.settings import ProviderName, Settings

WORDS = sorted(
    {word for option in options() for word in option.key.split(".")}
    | set(ProviderName.__args__)
    | {
        "name",
        "period",
        "limit",
        "timezone",
        "select",
        "scope",
        "days",
        "from",
        "to",
        "value",
        "grams_per_kwh",
    }
    | {
        "mon-fri",
        "sat",
        "08:00",
        "24:00",
        "06:30",
        "day",
        "month",
        "50 kg",
        "1 g",
        "15m",
        "DE",
        "GB",
        "FR",
        "DK1",
    }
    | {"cpus", "wind", "gas", "UTC", "Europe/Berlin", "2024-05-01", "pod_namespace", "user", "/etc/key", "me"}
    | {
        "lifecycle",
        "direct",
        "https://a.example",
        "v4",
        "total",
        "key",
        "<<",
        "=",
        "*",
        "",
        "\ud83c\udf31",
        "a\nb",
    }
)
SCALARS = st.one_of(
    st.sampled_from(WORDS),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.dates(),
    st.text(max_size=8),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.sampled_from(WORDS), SCALARS.filter(lambda one: one == one)), inner, max_size=5
        ),
    ),
    max_leaves=20,
)
RULES = st.lists(
    st.fixed_dictionaries(
        {"value": st.sampled_from([1, 1.5, 2, "1"])},
        optional={
            "days": st.sampled_from(["mon-fri", "all", ["sat", "sun"], "fri-mon", "x", []]),
            "from": st.sampled_from(["00:00", "08:00", "23:59", 8]),
            "to": st.sampled_from(["00:00", "06:30", "24:00", "24:01"]),
        },
    ),
    max_size=4,
)
SOURCES = st.fixed_dictionaries(
    {"provider": st.sampled_from(ProviderName.__args__)},
    optional={
        "grid_zone": st.sampled_from(["DE", "GB", "FR", "DK1", "CAISO_NORTH", "US-CA", "nowhere"]),
        "grams_per_kwh": st.sampled_from([0, 250]),
        "url": st.just("https://a.example"),
        "username": st.just("me"),
        "file": st.just("/a.csv"),
        "mix": st.sampled_from([{"wind": 1}, {"biomass_cofiring": 1}, {"tea": 1}]),
        "schedule": st.just([{"grams_per_kwh": 1}]),
        "basis": st.sampled_from(["lifecycle", "direct"]),
        "flow": st.sampled_from(["consumption", "production"]),
        "refresh": st.sampled_from(["1m", "1h", "1d"]),
    },
)


def told(text: str) -> Settings | str:
    """The settings of a file, or the line that refuses it."""
    try:
        return settings_of(text)
    except SettingsError as error:
        message = str(error)
    assert re.match(r"\S+/w\.yaml(:\d+)?: \S", message), message
    assert message.isprintable(), message
    return message


def dumped(tree: object) -> str:
    return yaml.safe_dump(tree, allow_unicode=True)


@given(TREES)
def test_a_tree_under_carbon_is_settings_or_one_line(tree: object) -> None:
    """Nothing but SettingsError comes out, with file and line at its beginning."""
    told(dumped({"carbon": tree}))


@given(st.sampled_from(ROLES), TREES)
def test_a_tree_under_a_source_is_settings_or_one_line(role: str, tree: object) -> None:
    told(dumped({"carbon": {role: tree}}))


@given(TREES)
def test_a_tree_under_budgets_is_settings_or_one_line(tree: object) -> None:
    told(dumped({"budgets": tree}))
    told(dumped({"budgets": [tree]}))
    told(dumped({"budgets": [{"name": "a", "period": "day", "limit": "1 g", "select": tree}]}))


@given(RULES)
def test_what_is_nearly_a_schedule_is_settings_or_one_line(rules: list[object]) -> None:
    """Every rule that is accepted lies within a day and begins before it ends."""
    result = told(dumped({"carbon": {"pue_schedule": rules}}))
    if isinstance(result, Settings):
        for rule in result.carbon.pue_schedule:
            assert rule.days <= frozenset(range(7))
            assert 0 <= rule.start_minute < rule.end_minute <= 1440


@given(st.sampled_from(ROLES), SOURCES)
def test_what_is_nearly_a_source_is_settings_or_one_line(role: str, source: dict[str, object]) -> None:
    """A source that is accepted has its role's kind of provider."""
    result = told(dumped({"carbon": {role: source}}))
    if isinstance(result, Settings):
        provider = getattr(result.carbon, role).provider
        assert provider == source["provider"]
        assert provider != "watttime" or role == "signal"
        assert provider in ("static", "table", "mix", "schedule", "file") or role != "fallback"


@given(st.binary(max_size=60))
def test_bytes_are_settings_or_one_line(content: bytes) -> None:
    """A file that was cut, or is no text at all."""
    told("carbon: {intensity: {provider: table, grid_zone: " + content.decode("latin-1"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("budgets: &a [*a]", "budgets[0]: a list is not accepted; give a budget such as"),
        ("carbon: &a {pue_schedule: [*a]}", "carbon.pue_schedule[0].pue_schedule: unknown key; the nearest"),
        ("carbon: &a {intensity: *a}", "carbon.intensity.intensity: unknown key; the nearest valid key is"),
        (
            "budgets: [{select: {user: &a [*a]}, name: a, period: day, limit: 1 g}]",
            "budgets[0].select.user[0]: a",
        ),
    ],
)
def test_a_file_that_holds_itself_ends(text: str, message: str) -> None:
    """An alias may stand inside of what it names."""
    assert f"w.yaml:1: {message}" in str(told(text))
