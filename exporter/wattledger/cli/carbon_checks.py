"""The rules for settings of carbon that need more than one value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..carbon.offline.mix import mix_intensity
from ..carbon.offline.tables import table_intensity
from ..carbon.offline.weekly import gap
from ..errors import SettingsError
from ..settings import ProviderName, Role
from .carbon_facts import PROVIDER_NAMES, Facts, facts_of, providers_for, why_not
from .carbon_options import GRAMS, ROLES, role_options
from .carbon_schedule import DAYS, TimeOfDay
from .carbon_settings import intensity_settings
from .kinds import Duration
from .structure import Given

_LIKELY = {"mix": "mix", "schedule": "schedule", "file": "file", "grid_zone": "table"}


def check_carbon(given: Mapping[str, Given], values: Mapping[str, Any]) -> None:
    """Raises SettingsError for the first of the settings of carbon that does not fit the others."""
    for role in ROLES:
        _Source(role, given, values).check()
    _check_embodied(given, values)


class _Source:
    """The settings of one role, by the last word of their keys."""

    def __init__(self, role: Role, given: Mapping[str, Given], values: Mapping[str, Any]) -> None:
        self._role = role
        self._prefix = prefix = f"carbon.{role}."
        self._given = {key.removeprefix(prefix): one for key, one in given.items() if key.startswith(prefix)}
        self._settings = intensity_settings(role, values)

    def check(self) -> None:
        provider = self._settings.provider
        if provider is None:
            self._check_without_provider()
            return
        facts = facts_of(provider)
        self._check_role(provider)
        self._check_unused(provider, facts)
        self._check_needed(provider, facts)
        if facts.live:
            self._check_kind(provider)
            self._check_times(provider, facts)
            self._check_live()
        elif provider == "table":
            self._check_table()
        elif provider == "mix":
            settings = self._settings
            mix_intensity(settings.mix, settings.basis or "lifecycle", key=self._given["mix"].origin)
        elif provider == "schedule":
            self._check_whole_week()

    def _check_without_provider(self) -> None:
        """Nothing has a meaning then: whoever names a zone wants its figure, not the world average."""
        for field, one in self._given.items():
            such_as = f", such as {_LIKELY[field]}" if field in _LIKELY else ""
            raise SettingsError(
                f"{one.origin}: there is no provider to use it; give {self._prefix}provider{such_as}"
            )

    def _check_role(self, provider: ProviderName) -> None:
        why = why_not(self._role, provider)
        if why:
            one = self._given.get("provider") or self._given["grams_per_kwh"]
            fit = ", ".join(providers_for(self._role))
            raise SettingsError(f"{one.origin}: {why}; accepted here is one of {fit}")

    def _check_unused(self, provider: ProviderName, facts: Facts) -> None:
        """Nothing is given that the provider would ignore."""
        used = {"provider", "grid_zone", *facts.needs, *facts.takes}
        for field, one in self._given.items():
            if field in used:
                continue
            if field == "key_file":
                raise SettingsError(f"{one.origin}: {provider} needs no key; leave key_file out")
            takers = [
                name
                for name in PROVIDER_NAMES
                if field in (*facts_of(name).needs, *facts_of(name).takes) and not why_not(self._role, name)
            ]
            other = f", or give a provider that does, of {', '.join(takers)}" if takers else ""
            raise SettingsError(f"{one.origin}: {provider} does not use it; leave it out{other}")

    def _check_needed(self, provider: ProviderName, facts: Facts) -> None:
        for field in facts.needs:
            if field not in self._given:
                raise SettingsError(
                    f"{self._given['provider'].origin}: {provider} needs {self._prefix}{field} as well:"
                    f" {facts.zones if field == 'grid_zone' else self._accepts(field)}"
                )

    def _check_kind(self, provider: ProviderName) -> None:
        if provider == "carbon-aware-sdk" and self._role != "signal" and "basis" not in self._given:
            raise SettingsError(
                f"{self._given['provider'].origin}: carbon-aware-sdk does not tell averages, which may be"
                f" booked, from marginal values; give {self._prefix}basis (lifecycle or direct) if its source"
                " gives averages, else put it under carbon.signal"
            )

    def _check_table(self) -> None:
        """The zone is there, and nothing is labelled as what its figure is not."""
        found = table_intensity(self._settings.grid_zone, key=self._given["grid_zone"].origin)
        for field, given, is_so in (
            ("basis", self._settings.basis, found.basis),
            ("flow", self._settings.flow, found.flow),
        ):
            if given is not None and given != is_so:
                raise SettingsError(
                    f"{self._given[field].origin}: the table's figure for {found.grid_zone} is not {given}"
                    f" but {is_so or 'of unknown flow'}; leave {field} out"
                )

    def _check_live(self) -> None:
        """The provider itself says what it cannot be asked for; its messages begin with the key."""
        from ..carbon.providers.registry import build_provider  # noqa: PLC0415 - for whoever asks one

        try:
            build_provider(self._settings, _no_key, self._role)
        except SettingsError as error:
            text = str(error).removeprefix(self._prefix)
            field = next((name for name in self._given if text.startswith(name)), "provider")
            why = text.removeprefix(field).lstrip(": ")
            raise SettingsError(f"{self._given[field].origin}: {why}") from None

    def _check_times(self, provider: ProviderName, facts: Facts) -> None:
        refresh_ns, max_age_ns = self._settings.refresh_ns, self._settings.max_age_ns
        if refresh_ns < facts.min_refresh_ns:
            least = Duration("0s", "1d", "15m").show(facts.min_refresh_ns)
            raise SettingsError(
                f"{self._given['refresh'].origin}: {provider} may be asked every {least} at most;"
                f" give a duration from {least}"
            )
        if max_age_ns < refresh_ns:
            one = self._given.get("max_age") or self._given["refresh"]
            raise SettingsError(
                f"{one.origin}: values would be given up before new ones are asked for;"
                f" give {self._prefix}max_age no shorter than {self._prefix}refresh"
            )

    def _check_whole_week(self) -> None:
        if not self._settings.schedule:
            raise SettingsError(
                f"{self._given['schedule'].origin}: an empty list is not accepted;"
                f" give {self._accepts('schedule')}"
            )
        uncovered = gap(self._settings.schedule)
        if uncovered and self._settings.grams_per_kwh is None:
            day, minute = uncovered
            raise SettingsError(
                f"{self._given['schedule'].origin}: no rule holds on {DAYS[day]} at"
                f" {TimeOfDay(is_end=False).show(minute)};"
                f" give {self._prefix}grams_per_kwh for the rest of the week, {GRAMS.accepts}"
            )

    def _accepts(self, field: str) -> str:
        return next(one.kind.accepts for one in role_options(self._role) if one.key == self._prefix + field)


def _no_key() -> str:
    """Building a provider does not read its key."""
    return ""


def _check_embodied(given: Mapping[str, Given], values: Mapping[str, Any]) -> None:
    total, components = "carbon.embodied.total", "carbon.embodied.components"
    if total in given and components in given:
        raise SettingsError(
            f"{given[components].origin}: {total} is given too, and either says it all; keep one of them"
        )
    if values[total] is None and values[components] is None:
        for key in ("carbon.embodied.lifespan", "carbon.embodied.in_service"):
            if key in given:
                raise SettingsError(
                    f"{given[key].origin}: there is nothing to write off;"
                    f" give {total} or {components} as well"
                )
