"""Makes a live provider from its settings, and says what is missing."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from types import MappingProxyType
from urllib.parse import urlsplit

from ...errors import SettingsError
from ...settings import IntensitySettings, Role
from .base import Key, Provider
from .carbon_aware_sdk import CarbonAwareSdk
from .eco2mix import Eco2mix
from .electricity_maps import ElectricityMaps
from .energi_data_service import EnergiDataService
from .energy_charts import EnergyCharts
from .facts import PROVIDERS, ProviderFacts, is_live, kind_of
from .uk_carbon_intensity import UkCarbonIntensity
from .watttime import WattTime

__all__ = ["PROVIDERS", "ProviderFacts", "build_provider", "is_live", "kind_of"]

_MAKERS: MappingProxyType[str, Callable[[IntensitySettings, Key], Provider]] = MappingProxyType(
    {
        "electricity-maps": ElectricityMaps,
        "watttime": WattTime,
        "uk-carbon-intensity": lambda settings, _: UkCarbonIntensity(settings),
        "energy-charts": lambda settings, _: EnergyCharts(settings),
        "eco2mix": lambda settings, _: Eco2mix(settings),
        "energi-data-service": lambda settings, _: EnergiDataService(settings),
        "carbon-aware-sdk": lambda settings, _: CarbonAwareSdk(settings),
    }
)


def build_provider(settings: IntensitySettings, key: Key, role: Role = "intensity") -> Provider:
    """The live provider that the settings name.

    Raises SettingsError, beginning with the setting's path under `carbon.<role>`, where something that the
    service needs is missing, or asked for what it does not count. Nothing is asked over the network, and the
    key is not read.
    """
    facts = PROVIDERS.get(settings.provider or "")
    if facts is None:
        raise SettingsError(
            f"carbon.{role}.provider: {settings.provider} is not a live provider; use one of "
            + ", ".join(sorted(PROVIDERS))
        )
    where = f"carbon.{role}"
    _check_needs(settings, facts, where)
    _check_meaning(settings, facts, where)
    _check_url(settings, facts, where)
    try:
        return _MAKERS[facts.name](settings, key)
    except SettingsError as error:
        raise SettingsError(f"{where}.{error}") from None


def _check_needs(settings: IntensitySettings, facts: ProviderFacts, where: str) -> None:
    name = facts.name
    if facts.needs_zone and not settings.grid_zone:
        raise SettingsError(f"{where}.grid_zone: {name} needs a zone; {facts.zones}")
    if facts.needs_url and not settings.url:
        raise SettingsError(f"{where}.url: {name} needs the address of your instance")
    if facts.needs_username and not settings.username:
        raise SettingsError(f"{where}.username: {name} needs the account's user name")
    if facts.needs_key and not settings.key_file and not settings.key_variable:
        role = where.rpartition(".")[2].upper()
        raise SettingsError(
            f"{where}.key_file: {name} needs a key; name a file that holds it, "
            f"or put it into the environment variable WATTLEDGER_CARBON_{role}_KEY"
        )


def _check_meaning(settings: IntensitySettings, facts: ProviderFacts, where: str) -> None:
    if settings.basis is not None and settings.basis not in facts.bases:
        raise SettingsError(f"{where}.basis: {facts.name} counts {_or(facts.bases)} emissions only")
    if settings.flow is not None and settings.flow not in facts.flows:
        counts = f"counts {_or(facts.flows)} only" if facts.flows else "does not say what flow it counts"
        raise SettingsError(f"{where}.flow: {facts.name} {counts}; leave it out")
    if facts.name == "electricity-maps" and settings.api_version == "v3" and settings.flow == "production":
        raise SettingsError(f"{where}.flow: production needs api_version v4")


def _check_url(settings: IntensitySettings, facts: ProviderFacts, where: str) -> None:
    if settings.url is None:
        return
    try:
        parts = urlsplit(settings.url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host:
        raise SettingsError(f"{where}.url: use an address such as https://host/path")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise SettingsError(f"{where}.url: leave user, password, query and fragment out of the address")
    if facts.needs_key and parts.scheme == "http" and not _is_loopback(host):
        raise SettingsError(f"{where}.url: the key would cross the network in the clear; use https")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _or(words: tuple[str, ...]) -> str:
    return " or ".join(words)
