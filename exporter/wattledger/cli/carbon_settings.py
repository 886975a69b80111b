"""Makes the settings of carbon and of the budgets from values by key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..settings import BudgetSettings, CarbonSettings, EmbodiedSettings, IntensitySettings, ProviderName, Role
from .carbon_facts import facts_of
from .carbon_options import key_variable


def carbon_settings(values: Mapping[str, Any]) -> CarbonSettings:
    """`values` hold every key of the table of settings, checked."""
    return CarbonSettings(
        pue=values["carbon.pue"],
        pue_schedule=values["carbon.pue_schedule"] or (),
        wue_l_per_kwh=values["carbon.wue"],
        timezone=values["carbon.timezone"],
        intensity=intensity_settings("intensity", values),
        fallback=intensity_settings("fallback", values),
        market=intensity_settings("market", values),
        signal=intensity_settings("signal", values),
        embodied=EmbodiedSettings(
            total_g=values["carbon.embodied.total"],
            components=values["carbon.embodied.components"],
            lifespan_ns=values["carbon.embodied.lifespan"],
            in_service_ns=values["carbon.embodied.in_service"],
        ),
    )


def budget_settings(values: Mapping[str, Any]) -> tuple[BudgetSettings, ...]:
    """The budgets; one without a time zone of its own is in that of `carbon.timezone`."""
    zone = values["carbon.timezone"]
    return tuple(replace(one, timezone=one.timezone or zone) for one in values["budgets"] or ())


def intensity_settings(role: Role, values: Mapping[str, Any]) -> IntensitySettings:
    """The source for a role; a bare number of grams stands for the provider static."""
    prefix = f"carbon.{role}."
    of = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
    provider: ProviderName | None = of["provider"]
    if provider is None and of["grams_per_kwh"] is not None:
        provider = "static"
    return IntensitySettings(
        provider=provider,
        grams_per_kwh=of["grams_per_kwh"],
        grid_zone=of["grid_zone"] or "",
        basis=of["basis"],
        flow=of["flow"],
        mix=of["mix"] or {},
        schedule=of["schedule"] or (),
        file=of["file"],
        url=of["url"],
        api_version=of["api_version"],
        username=of["username"],
        key_file=of["key_file"],
        key_variable=key_variable(role) if provider and facts_of(provider).keyed else "",
        ca_file=of["ca_file"],
        refresh_ns=of["refresh"],
        max_age_ns=of["max_age"],
    )
