"""Makes the carbon side of the agent from the settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ..clock import Clock
from ..model import Outlook
from ..settings import CarbonSettings, IntensitySettings, Role
from .ahead.outlook import AHEAD_NS, BEHIND_NS, outlook
from .ahead.ranking import Ranker
from .intensity import IntensitySource, Static, world_average
from .offline.choice import offline_source
from .offline.weekly import Weekly, time_zone
from .pricing import Constant, Pricing, Ratio
from .providers.facts import is_live
from .watch import CarbonWatch, Feed


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What the agent knows of the grid: how to price, what steers, and the thread that keeps both fresh."""

    pricing: Pricing
    steering: IntensitySource
    watch: CarbonWatch


def build_grid(
    settings: CarbonSettings,
    clock: Clock,
    folder: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Grid:
    """The sources that the settings ask for, the world average where they name none.

    Nothing is read or asked before `watch.start`. `folder` is the state directory, for what live sources
    last said. Raises SettingsError.
    """
    builder = _Builder(settings, folder, environ)
    booking = builder.source("intensity", settings.intensity) or Static(world_average())
    steering = builder.source("signal", settings.signal) or booking
    market = builder.source("market", settings.market)
    ranker = Ranker()

    def look(now_ns: int) -> Outlook | None:
        ahead = outlook(steering.series(now_ns - BEHIND_NS, now_ns + AHEAD_NS), now_ns, ranker)
        if ahead is None and isinstance(steering, Feed):
            return Outlook(source=steering.at(now_ns), generated_ns=0)  # it will have a course again: unknown
        return ahead

    return Grid(
        pricing=Pricing(
            intensity=booking, pue=build_pue(settings), market=market, wue_l_per_kwh=settings.wue_l_per_kwh
        ),
        steering=steering,
        watch=CarbonWatch(builder.feeds, clock, look),
    )


def build_pue(settings: CarbonSettings) -> Ratio:
    """PUE by the time of the week where there is a schedule, else one number; raises SettingsError."""
    if not settings.pue_schedule:
        return Constant(settings.pue)
    return Weekly(settings.pue_schedule, settings.pue, time_zone(settings.timezone, "carbon.timezone"))


def lowest_pue(settings: CarbonSettings) -> float:
    """The lowest PUE there ever is; raises SettingsError."""
    pue = build_pue(settings)
    return min(pue.values) if isinstance(pue, Weekly) else settings.pue


class _Builder:
    """Makes the sources of all roles, and remembers those that have to be refreshed."""

    def __init__(self, settings: CarbonSettings, folder: str | None, environ: Mapping[str, str]) -> None:
        self.feeds: list[Feed] = []
        self._timezone = settings.timezone
        self._folder = folder
        self._environ = environ
        self._fallback = self.source("fallback", settings.fallback) or Static(world_average())

    def source(self, role: Role, settings: IntensitySettings) -> IntensitySource | None:
        """The source of a role, None where nothing is configured for it."""
        if settings.provider is None:
            return None
        fallback = Static(world_average()) if role == "fallback" else self._fallback
        if is_live(settings) and role != "fallback":
            return self._live(role, settings, fallback)
        source = offline_source(settings, self._timezone, role=role, fallback=fallback)
        if isinstance(source, Feed):
            self.feeds.append(source)
        return source

    def _live(self, role: Role, settings: IntensitySettings, fallback: IntensitySource) -> IntensitySource:
        # HTTP, TLS and the providers cost memory that only those who ask one should pay.
        from .live.cache import SeriesCache  # noqa: PLC0415
        from .live.http import HttpGet  # noqa: PLC0415
        from .live.keys import KeyReader  # noqa: PLC0415
        from .live.source import LiveSource  # noqa: PLC0415
        from .providers.registry import build_provider  # noqa: PLC0415

        provider = build_provider(settings, KeyReader(settings, self._environ), role)
        get = HttpGet(settings.ca_file, self._environ)
        cache = SeriesCache(self._folder, role, settings)
        live = LiveSource(role, provider, get, settings, fallback=fallback, cache=cache)
        self.feeds.append(live)
        return live
