"""What each source of intensity needs and takes of the settings of a role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from ..carbon.providers.facts import PROVIDERS
from ..settings import ProviderName, Role

_LIVE = ("basis", "flow", "url", "ca_file", "refresh", "max_age")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One provider: `needs` has to be given, `takes` may be, besides `provider` and `grid_zone`.

    `live`: it is asked over the network, every `min_refresh_ns` at most. `keyed`: it needs a key.
    `varies`: it tells one hour from another. `zones` says what its grid zones are.
    """

    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    live: bool = False
    keyed: bool = False
    varies: bool = True
    zones: str = ""
    min_refresh_ns: int = 0


_OFFLINE: Mapping[ProviderName, Facts] = {
    "static": Facts(needs=("grams_per_kwh",), takes=("basis", "flow"), varies=False),
    "table": Facts(
        needs=("grid_zone",),
        takes=("basis", "flow"),
        varies=False,
        zones="a country such as DE, a US state such as US-CA or a cloud region such as aws:eu-west-1",
    ),
    "mix": Facts(needs=("mix",), takes=("basis", "flow"), varies=False),
    "schedule": Facts(needs=("schedule",), takes=("grams_per_kwh", "basis", "flow")),
    "file": Facts(needs=("file",), takes=("basis", "flow", "max_age")),
}
PROVIDER_NAMES: tuple[ProviderName, ...] = get_args(ProviderName)


def facts_of(provider: ProviderName) -> Facts:
    """What is known of a provider."""
    if provider in _OFFLINE:
        return _OFFLINE[provider]
    known = PROVIDERS[provider]
    needs = {"url": known.needs_url, "grid_zone": known.needs_zone, "username": known.needs_username}
    takes = {"key_file": known.needs_key, "api_version": provider == "electricity-maps"}
    return Facts(
        needs=tuple(field for field, needed in needs.items() if needed),
        takes=(*_LIVE, *(field for field, taken in takes.items() if taken)),
        live=True,
        keyed=known.needs_key,
        zones=known.zones,
        min_refresh_ns=known.min_refresh_ns,
    )


def providers_for(role: Role) -> tuple[ProviderName, ...]:
    """The providers that may fill a role, whatever else has to be given for it."""
    return tuple(name for name in PROVIDER_NAMES if not why_not(role, name))


def why_not(role: Role, provider: ProviderName) -> str:
    """Why a provider cannot fill a role, "" where it can."""
    facts = facts_of(provider)
    if provider == "watttime" and role != "signal":
        return (
            "watttime tells what one more kWh would emit, which steers but is never booked;"
            " put it under carbon.signal"
        )
    if facts.live and role == "fallback":
        return f"{provider} is asked over the network, and the fallback is for when that fails"
    if not facts.varies and role == "signal":
        return f"{provider} is the same at all hours, so none of them is better than another"
    return ""
