"""The zones of the simulated grid, and the sources of intensity that nodes in them have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from ..carbon.ahead.outlook import AHEAD_NS, BEHIND_NS, outlook
from ..carbon.ahead.ranking import Ranker
from ..carbon.build import Grid, build_pue
from ..carbon.intensity import IntensitySource, Static
from ..carbon.pricing import Constant, Pricing
from ..carbon.watch import CarbonWatch
from ..clock import Clock
from ..model import S_NS, FeedHealth, Intensity, Outlook
from ..settings import CarbonSettings
from .grid import PROVIDER, SimulatedGrid
from .profile import ZONE_NAMES
from .weather import Mix

PUE = 1.2
FEED_EVERY_S, RETRY_EVERY_S = 900.0, 300.0
SILENT_FOR_NS = 9 * 3600 * S_NS
"""How long ago the source that fails was last heard of: longer than what it said may be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A zone with what its data centre buys and drinks; `market_g` is the contract's g/kWh.

    `assumed_g` stands in for the zone's intensity where that is not to be had.
    """

    mix: Mix
    market_g: float
    wue_l_per_kwh: float
    assumed_g: float


WINDY, STEADY, BURNING = ZONE_NAMES
SITES: Mapping[str, Site] = MappingProxyType(
    {
        WINDY: Site(
            mix=Mix(zone=WINDY, firm=0.2, sun=0.75, wind=0.75, fuel_g=680.0),
            market_g=35.0,
            wue_l_per_kwh=0.4,
            assumed_g=260.0,
        ),
        STEADY: Site(
            mix=Mix(zone=STEADY, firm=0.82, sun=0.12, wind=0.2, fuel_g=480.0, noon_hour=13.0),
            market_g=110.0,
            wue_l_per_kwh=1.8,
            assumed_g=60.0,
        ),
        BURNING: Site(
            mix=Mix(zone=BURNING, firm=0.08, sun=0.2, wind=0.2, fuel_g=850.0, noon_hour=11.0),
            market_g=820.0,
            wue_l_per_kwh=1.1,
            assumed_g=700.0,
        ),
    }
)
"""Sun and wind against fuel; nuclear and hydro; fuel. None is a real place."""


def simulated_grid(
    zone: str, clock: Clock, carbon: CarbonSettings | None = None, *, failing: bool = False, seed: int = 1
) -> Grid:
    """The grid of a zone, with a live source that works, or one that fails and has left the fallback.

    Its watch is not started. A PUE other than 1, a PUE schedule and a WUE in `carbon` take the place of the
    zone's. Raises SettingsError for an unknown time zone.
    """
    site, carbon = SITES[zone], carbon or CarbonSettings()
    pue = Constant(PUE) if carbon.pue == 1.0 and not carbon.pue_schedule else build_pue(carbon)
    market = Intensity(grams_per_kwh=site.market_g, provider=PROVIDER, grid_zone=zone, flow="consumption")
    live = SimulatedGrid(site.mix, clock, seed)
    assumed = replace(market, grams_per_kwh=site.assumed_g, provider="static", fallback=True)
    source: IntensitySource = Static(assumed) if failing else live
    ranker = Ranker()

    def look(now_ns: int) -> Outlook | None:
        return outlook(source.series(now_ns - BEHIND_NS, now_ns + AHEAD_NS), now_ns, ranker)

    return Grid(
        pricing=Pricing(
            intensity=source,
            pue=pue,
            market=Static(market),
            wue_l_per_kwh=site.wue_l_per_kwh if carbon.wue_l_per_kwh is None else carbon.wue_l_per_kwh,
        ),
        steering=source,
        watch=CarbonWatch([FailingFeed(clock) if failing else WorkingFeed()], clock, look),
    )


def simulated_grids(
    places: Collection[tuple[str, bool]], clock: Clock, carbon: CarbonSettings | None = None
) -> dict[tuple[str, bool], Grid]:
    """One grid for each pair of a zone and whether its source fails: nodes of one place share it."""
    return {
        (zone, failing): simulated_grid(zone, clock, carbon, failing=failing)
        for zone, failing in sorted(set(places))
    }


class WorkingFeed:
    """A live source of which every request works."""

    def __init__(self) -> None:
        self._health = FeedHealth(role="intensity", provider=PROVIDER, up=False, last_success_ns=0, errors={})

    @property
    def health(self) -> FeedHealth:
        return self._health

    def first_due_s(self, now_ns: int) -> float:  # noqa: ARG002 - the protocol's parameter
        return 0.0

    def refresh(self, now_ns: int) -> float:
        """Succeed."""
        self._health = replace(self._health, up=True, last_success_ns=now_ns)
        return FEED_EVERY_S

    def notice(self, now_ns: int) -> None:
        """Nothing changes by time alone."""


class FailingFeed:
    """A live source that worked until hours before the demo began, and of which no request works now."""

    def __init__(self, clock: Clock) -> None:
        self._health = FeedHealth(
            role="intensity",
            provider=PROVIDER,
            up=False,
            last_success_ns=clock.wall_ns() - SILENT_FOR_NS,
            errors={},
        )

    @property
    def health(self) -> FeedHealth:
        return self._health

    def first_due_s(self, now_ns: int) -> float:  # noqa: ARG002 - the protocol's parameter
        return 0.0

    def refresh(self, now_ns: int) -> float:  # noqa: ARG002 - the protocol's parameter
        """Fail once more."""
        failed = self._health.errors.get("timeout", 0) + 1
        self._health = replace(self._health, errors={"timeout": failed}, error="simulated: no answer")
        return RETRY_EVERY_S

    def notice(self, now_ns: int) -> None:
        """Nothing changes by time alone."""
