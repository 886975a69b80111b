"""The sources of grid intensity that need no network, from their settings."""

from __future__ import annotations

import math

from ...errors import SettingsError
from ...model import Basis, Flow, Intensity
from ...settings import IntensitySettings, Role
from ..intensity import IntensitySource, Static, world_average
from .mix import mix_intensity
from .scheduled import Scheduled
from .tables import table_intensity
from .weekly import Weekly, gap, time_zone

OFFLINE = ("static", "table", "mix", "schedule", "file")

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def offline_source(
    settings: IntensitySettings,
    timezone: str,
    *,
    role: Role = "intensity",
    fallback: IntensitySource | None = None,
) -> IntensitySource:
    """The source that the settings of one role ask for; `timezone` is that of a schedule.

    `fallback` is for a file beyond its data, None for the world average. A file is not read here: the source
    is a `FileSeries`, a feed to be refreshed before its first use and then as it asks. Raises SettingsError,
    which names the key, what is missing and what is accepted.
    """
    key = f"carbon.{role}"
    match settings.provider:
        case "static":
            grams = _grams(settings.grams_per_kwh, f"{key}.grams_per_kwh", "the static provider needs")
            return Static(_configured(settings, grams))
        case "table":
            return Static(_from_table(settings, key))
        case "mix":
            return Static(
                mix_intensity(
                    settings.mix,
                    basis=settings.basis or "lifecycle",
                    grid_zone=settings.grid_zone,
                    flow=settings.flow or "",
                    key=f"{key}.mix",
                )
            )
        case "schedule":
            return _schedule(settings, timezone, key)
        case "file":
            if not settings.file or "\0" in settings.file:
                raise SettingsError(f"{key}.file: the file provider needs the path of a CSV or JSON file")
            from .series_file import FileSeries  # noqa: PLC0415 - CSV and statistics, for whoever has a file

            return FileSeries(settings, fallback or Static(world_average()), role)
        case other:
            raise SettingsError(
                f"{key}.provider: {other or 'none'} is not one that works offline; accepted here is one of"
                f" {', '.join(OFFLINE)}"
            )


def _configured(settings: IntensitySettings, grams: float) -> Intensity:
    """A number of the user's own, with the labels the user gives it."""
    basis: Basis = settings.basis or "lifecycle"
    flow: Flow = settings.flow or ""
    return Intensity(
        grams_per_kwh=grams,
        provider=settings.provider or "static",
        grid_zone=settings.grid_zone,
        basis=basis,
        flow=flow,
    )


def _from_table(settings: IntensitySettings, key: str) -> Intensity:
    if not settings.grid_zone:
        raise SettingsError(
            f"{key}.grid_zone: the table provider needs a country such as DE, a US state such as US-CA or a"
            " cloud region such as aws:eu-west-1"
        )
    found = table_intensity(settings.grid_zone, key=f"{key}.grid_zone")
    for field, wanted, has in (
        ("basis", settings.basis, found.basis),
        ("flow", settings.flow, found.flow),
    ):
        if wanted is not None and wanted != has:
            raise SettingsError(
                f"{key}.{field}: the table's figure for {found.grid_zone} is {has or 'of unknown flow'},"
                f" not {wanted}; leave {field} out, or use another provider"
            )
    return found


def _schedule(settings: IntensitySettings, timezone: str, key: str) -> Scheduled:
    default = settings.grams_per_kwh
    if default is not None:
        _grams(default, f"{key}.grams_per_kwh", "accepted are")
    if not settings.schedule:
        raise SettingsError(
            f"{key}.schedule: the schedule provider needs a list of rules such as"
            ' {days: mon-fri, from: "08:00", to: "20:00", grams_per_kwh: 420}'
        )
    for rule in settings.schedule:
        _grams(rule.value, f"{key}.schedule", "a rule needs")
    uncovered = gap(settings.schedule)
    if default is None and uncovered is not None:
        day, minute = uncovered
        raise SettingsError(
            f"{key}.schedule: no rule holds on {_DAYS[day]} at {minute // 60:02}:{minute % 60:02}; give"
            f" {key}.grams_per_kwh for the rest of the week"
        )
    weekly = Weekly(settings.schedule, default, time_zone(timezone, key="carbon.timezone"))
    return Scheduled(weekly, like=_configured(settings, 0.0))


def _grams(value: float | None, key: str, what: str) -> float:
    if value is None or not math.isfinite(value) or not 0.0 <= value <= 5000.0:
        raise SettingsError(f"{key}: {what} a value in gCO2e/kWh, from 0 to 5000")
    return value
