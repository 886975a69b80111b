"""Opens the sources of grid intensity for one command, without an agent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ..carbon.build import build_grid
from ..carbon.intensity import IntensitySource
from ..carbon.providers.facts import PROVIDERS
from ..clock import Clock, SystemClock
from ..model import FeedHealth
from ..settings import Settings

FIRST_S = 60.0
"""How long the first answers are waited for; a provider that cannot be reached is told sooner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The sources that a command looks at: `books` prices, `steers` is what to plan by."""

    books: IntensitySource
    steers: IntensitySource
    clock: Clock
    feeds: Sequence[FeedHealth] = ()


@contextmanager
def opened(settings: Settings) -> Iterator[Grid]:
    """The sources of the settings, each asked once and kept fresh until the end; nothing is stored.

    Raises SettingsError for sources that cannot be made.
    """
    clock = SystemClock()
    built = build_grid(settings.carbon, clock)
    built.watch.start(FIRST_S)
    try:
        yield Grid(
            books=built.pricing.intensity, steers=built.steering, clock=clock, feeds=built.watch.health()
        )
    finally:
        built.watch.stop()


def failures(feeds: Sequence[FeedHealth]) -> list[str]:
    """Which sources failed, for which role and why; the name of the provider once."""
    return [
        f"{feed.provider} ({feed.role}) failed: {feed.error.removeprefix(f'{feed.provider}: ')}"
        for feed in feeds
        if feed.error
    ]


def steering(feeds: Sequence[FeedHealth]) -> list[FeedHealth]:
    """Those that the forecast comes from: of the signal where there is one, else of what is booked."""
    return [feed for feed in feeds if feed.role == "signal"] or [
        feed for feed in feeds if feed.role == "intensity"
    ]


def what_to_configure(feeds: Sequence[FeedHealth]) -> str:
    """Why there is no forecast, and what would give one."""
    failed = failures(steering(feeds))
    if failed:
        return "no forecast: " + "; ".join(failed)
    providers = ["schedule", "file", *(name for name, facts in PROVIDERS.items() if facts.forecast)]
    for feed in steering(feeds):
        if feed.up and feed.provider in providers:
            way = "add later ones" if feed.provider == "file" else "its plan or zone may have no forecast"
            return (
                f"no forecast: {feed.provider} ({feed.role}) works, but its values do not reach far enough"
                f" ahead; {way}"
            )
    return (
        "no forecast: the source that steers has no known course from now on; set carbon.signal.provider, or"
        f" carbon.intensity.provider, to one that has: {', '.join(providers)}"
    )
