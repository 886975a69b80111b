"""What is known of each live service: what it counts and needs, how often it may be asked, its licence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from ...model import Basis, Flow
from ...settings import IntensitySettings, ProviderName
from .samples import MINUTE_NS

Kind = Literal["average", "marginal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFacts:
    """One service.

    `url` is where it lives, "" where only the user knows. `bases` and `flows` are what may be asked of it,
    the first being what it gives unasked; no flow: it does not say. `zones` tells how its zones are written
    and where they are listed. `kind` marginal: it steers and is never booked (see `kind_of`).
    """

    name: ProviderName
    title: str
    url: str
    kind: Kind = "average"
    bases: tuple[Basis, ...]
    flows: tuple[Flow, ...] = ()
    needs_zone: bool = True
    needs_key: bool = False
    needs_username: bool = False
    needs_url: bool = False
    forecast: bool
    zones: str
    licence: str
    min_refresh_ns: int


ELECTRICITY_MAPS = ProviderFacts(
    name="electricity-maps",
    title="Electricity Maps",
    url="https://api.electricitymaps.com",
    bases=("lifecycle", "direct"),
    flows=("consumption", "production"),
    needs_key=True,
    forecast=True,
    zones="zones, in capitals such as DE or US-CAL-CISO, are listed at https://api.electricitymaps.com/v4/zones",
    licence="proprietary, Electricity Maps; its free plan is for non-commercial use",
    min_refresh_ns=10 * MINUTE_NS,
)
WATTTIME = ProviderFacts(
    name="watttime",
    title="WattTime",
    url="https://api.watttime.org",
    kind="marginal",
    bases=("direct",),
    needs_key=True,
    needs_username=True,
    forecast=True,
    zones="regions such as CAISO_NORTH are listed at https://api.watttime.org/v3/my-access",
    licence="proprietary, WattTime",
    min_refresh_ns=5 * MINUTE_NS,
)
UK_CARBON_INTENSITY = ProviderFacts(
    name="uk-carbon-intensity",
    title="Carbon Intensity API of Great Britain (NESO)",
    url="https://api.carbonintensity.org.uk",
    bases=("direct",),
    flows=("consumption",),
    forecast=True,
    zones="zones are GB, GB-1 to GB-17, or the outward part of a postcode such as OX1",
    licence="CC BY 4.0, NESO Carbon Intensity API",
    min_refresh_ns=10 * MINUTE_NS,
)
ENERGY_CHARTS = ProviderFacts(
    name="energy-charts",
    title="Energy-Charts (Fraunhofer ISE)",
    url="https://api.energy-charts.info",
    bases=("lifecycle",),
    forecast=True,
    zones="zones are countries such as DE, FR or AT, listed at https://api.energy-charts.info",
    licence="CC BY 4.0, Energy-Charts, Fraunhofer ISE",
    min_refresh_ns=15 * MINUTE_NS,
)
ECO2MIX = ProviderFacts(
    name="eco2mix",
    title="RTE eCO2mix, through ODRE",
    url="https://odre.opendatasoft.com/api/explore/v2.1",
    bases=("direct",),
    flows=("production",),
    forecast=False,
    zones="the only zone is FR",
    licence="Licence Ouverte 2.0 (Etalab), RTE eCO2mix",
    min_refresh_ns=15 * MINUTE_NS,
)
ENERGI_DATA_SERVICE = ProviderFacts(
    name="energi-data-service",
    title="Energi Data Service (Energinet)",
    url="https://api.energidataservice.dk",
    bases=("direct",),
    flows=("consumption",),
    forecast=True,
    zones="zones are DK1 and DK2",
    licence="Energinet, Energi Data Service, under its terms of use",
    min_refresh_ns=5 * MINUTE_NS,
)
CARBON_AWARE_SDK = ProviderFacts(
    name="carbon-aware-sdk",
    title="Carbon Aware SDK (Green Software Foundation), your own instance",
    url="",
    kind="marginal",
    bases=("lifecycle", "direct"),
    flows=("consumption", "production"),
    needs_url=True,
    forecast=True,
    zones="locations such as eastus are listed by its /locations",
    licence="that of the data source behind the SDK",
    min_refresh_ns=5 * MINUTE_NS,
)

PROVIDERS: Mapping[str, ProviderFacts] = MappingProxyType(
    {
        facts.name: facts
        for facts in (
            ELECTRICITY_MAPS,
            WATTTIME,
            UK_CARBON_INTENSITY,
            ENERGY_CHARTS,
            ECO2MIX,
            ENERGI_DATA_SERVICE,
            CARBON_AWARE_SDK,
        )
    }
)


def is_live(settings: IntensitySettings) -> bool:
    """Whether the settings name a service that is asked over HTTP."""
    return settings.provider in PROVIDERS


def kind_of(settings: IntensitySettings) -> Kind:
    """Whether a source may be booked (`average`) or only steers (`marginal`).

    The Carbon Aware SDK does not say what its own source is, which may well be WattTime: it only steers,
    unless the user states a basis and thereby that its source is an average.
    """
    if settings.provider == "carbon-aware-sdk" and settings.basis is not None:
        return "average"
    facts = PROVIDERS.get(settings.provider or "")
    return facts.kind if facts else "average"
