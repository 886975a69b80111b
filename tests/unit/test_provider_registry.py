"""Making a provider from settings: what is missing is said with the setting's path."""

from __future__ import annotations

from typing import get_args

import pytest

from wattledger.carbon.providers.registry import PROVIDERS, build_provider, is_live, kind_of
from wattledger.errors import SettingsError
from wattledger.settings import IntensitySettings, ProviderName

OFFLINE = {"static", "table", "mix", "schedule", "file"}
COMPLETE = {
    "electricity-maps": {"grid_zone": "DE", "key_file": "/k"},
    "watttime": {"grid_zone": "PJM_DC", "key_file": "/k", "username": "ledger"},
    "uk-carbon-intensity": {"grid_zone": "GB"},
    "energy-charts": {"grid_zone": "DE"},
    "eco2mix": {"grid_zone": "FR"},
    "energi-data-service": {"grid_zone": "DK1"},
    "carbon-aware-sdk": {"grid_zone": "eastus", "url": "http://127.0.0.1:8090"},
}


def unread() -> str:
    raise AssertionError("the key is read at requests only")


def build(name, role="intensity", **changes):
    return build_provider(IntensitySettings(provider=name, **(COMPLETE[name] | changes)), unread, role)


def test_every_provider_of_the_settings_is_offline_or_has_facts():
    """None is forgotten."""
    assert set(get_args(ProviderName)) == OFFLINE | set(PROVIDERS)
    assert set(COMPLETE) == set(PROVIDERS)


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_a_complete_setting_makes_a_provider(name):
    """With its name and a pause between requests of five minutes at least."""
    made = build(name)
    assert made.name == name
    assert made.min_refresh_ns == PROVIDERS[name].min_refresh_ns >= 300 * 10**9
    assert PROVIDERS[name].licence


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_a_missing_zone_is_named(name):
    """And where zones are listed."""
    with pytest.raises(SettingsError, match=r"^carbon\.market\.grid_zone: "):
        build(name, "market", grid_zone="")


@pytest.mark.parametrize(
    ("name", "changes", "path"),
    [
        ("electricity-maps", {"key_file": None}, "key_file"),
        ("watttime", {"key_file": None}, "key_file"),
        ("watttime", {"username": None}, "username"),
        ("carbon-aware-sdk", {"url": None}, "url"),
        ("electricity-maps", {"api_version": "v3", "flow": "production"}, "flow"),
        ("eco2mix", {"basis": "lifecycle"}, "basis"),
        ("eco2mix", {"flow": "consumption"}, "flow"),
        ("energy-charts", {"flow": "consumption"}, "flow"),
        ("uk-carbon-intensity", {"basis": "lifecycle"}, "basis"),
        ("energi-data-service", {"flow": "production"}, "flow"),
        ("watttime", {"basis": "lifecycle"}, "basis"),
    ],
)
def test_what_is_missing_or_contradicts_the_service_is_named(name, changes, path):
    """By its path in the settings."""
    with pytest.raises(SettingsError, match=rf"^carbon\.signal\.{path}: {name}|^carbon\.signal\.{path}: "):
        build(name, "signal", **changes)


def test_a_missing_key_names_file_and_variable():
    """Both ways are in the message, with the role's own variable."""
    with pytest.raises(SettingsError, match="WATTLEDGER_CARBON_SIGNAL_KEY"):
        build("watttime", "signal", key_file=None)


def test_a_key_in_the_environment_is_enough():
    """Whether it is set is seen at the request."""
    assert build("electricity-maps", key_file=None, key_variable="WATTLEDGER_CARBON_INTENSITY_KEY")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/",
        "api.example.org",
        "https://",
        "https://user:secret-word@host/",
        "https://host/?key=secret-word",
        "https://host:port/",
        "http://api.example.org",
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url):
    """Nor one that would send the key in the clear; the message quotes no part of it."""
    with pytest.raises(SettingsError, match=r"^carbon\.intensity\.url: ") as caught:
        build("electricity-maps", url=url)
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "https://x"])
def test_a_key_may_stay_on_this_host(url):
    """Loopback needs no TLS."""
    assert build("electricity-maps", url=url)


def test_an_offline_provider_is_not_made_here():
    """The message lists the live ones."""
    with pytest.raises(SettingsError, match="eco2mix, electricity-maps, energi-data-service"):
        build_provider(IntensitySettings(provider="static"), unread)
    assert not is_live(IntensitySettings(provider="static"))
    assert not is_live(IntensitySettings())
    assert is_live(IntensitySettings(provider="eco2mix"))


def test_what_only_steers():
    """WattTime always, the SDK until a basis is stated."""
    assert kind_of(IntensitySettings(provider="watttime", basis="direct")) == "marginal"
    assert kind_of(IntensitySettings(provider="carbon-aware-sdk")) == "marginal"
    assert kind_of(IntensitySettings(provider="carbon-aware-sdk", basis="direct")) == "average"
    assert kind_of(IntensitySettings(provider="electricity-maps")) == "average"
    assert kind_of(IntensitySettings()) == "average"
