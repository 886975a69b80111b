"""What prices energy here, and whether each source of intensity answers now, for `wattledger check`."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace

from ..carbon.build import Grid, build_grid
from ..carbon.embodied import rate_g_per_s
from ..carbon.intensity import IntensitySource, Static, world_average
from ..carbon.offline.choice import offline_source
from ..carbon.offline.tables import table_intensity
from ..carbon.providers.registry import is_live
from ..clock import Clock
from ..errors import SettingsError
from ..exposition import amounts, moments
from ..model import S_NS, FeedHealth, Finding, Intensity, Outlook, Price
from ..settings import CarbonSettings, EmbodiedSettings, IntensitySettings, Role, Settings

ANSWER_S = 35.0
"""How long the first answers are waited for: one exchange takes 30 s at most."""

NAME = "carbon"
_NO_ACCESS = ("no_key", "unauthorized", "plan")


@dataclass(frozen=True, slots=True, kw_only=True)
class GridLook:
    """What was found, and the price at `now_ns`, wall time."""

    findings: tuple[Finding, ...]
    price: Price
    now_ns: int


def look_at_grid(settings: Settings, clock: Clock) -> GridLook:
    """Ask every source once, as an agent at its start would, without its state directory.

    Raises SettingsError for sources that cannot be made.
    """
    carbon = settings.carbon
    grid = build_grid(carbon, clock)
    grid.watch.start(ANSWER_S)
    try:
        now_ns = clock.wall_ns()
        feeds = {feed.role: feed for feed in grid.watch.health()}
        price = grid.pricing.price(now_ns - S_NS, now_ns)
        findings = [_books(carbon, price.intensity, feeds.get("intensity"), now_ns)]
        findings += _others(carbon, grid, feeds, now_ns)
        findings += _outlook(grid.watch.outlook, now_ns)
    finally:
        grid.watch.stop()
    findings += _open_keys(carbon)
    findings += _embodied(carbon.embodied, now_ns)
    return GridLook(findings=tuple(findings), price=price, now_ns=now_ns)


def _embodied(settings: EmbodiedSettings, now_ns: int) -> list[Finding]:
    """What making the machine emits now, by the books."""
    grams_per_s = rate_g_per_s(settings, now_ns)
    if grams_per_s is None:
        return []
    why = f"{amounts.mass(grams_per_s * 3600)} an hour, written off evenly"
    if not grams_per_s and settings.in_service_ns is not None:
        over_ns = settings.in_service_ns + settings.lifespan_ns
        if over_ns <= now_ns:
            why = f"0 g an hour: written off since {moments.utc(over_ns)[:10]}, the end of its lifespan"
        else:
            why = f"0 g an hour until {moments.utc(settings.in_service_ns)[:10]}, when it comes into service"
    return [Finding(sensor=NAME, subject="embodied", status="usable", why=why)]


def _books(carbon: CarbonSettings, used: Intensity, feed: FeedHealth | None, now_ns: int) -> Finding:
    """The source that prices; none configured, and there is the world average."""
    if carbon.intensity.provider is None:
        return Finding(
            sensor=NAME,
            subject="intensity",
            status="absent",
            why=f"none configured: priced with the world average, {amounts.intensity(used.grams_per_kwh)}",
            fix="wattledger run --carbon.provider=table --carbon.grid-zone=COUNTRY",
        )
    return _source("intensity", carbon.intensity, used, feed, now_ns)


def _others(carbon: CarbonSettings, grid: Grid, feeds: dict[str, FeedHealth], now_ns: int) -> list[Finding]:
    """The sources beside it, as far as they are configured, and the fallback where one may be needed."""
    found = []
    if grid.pricing.market is not None:
        market = grid.pricing.market.at(now_ns)
        found.append(_source("market", carbon.market, market, feeds.get("market"), now_ns))
    if carbon.signal.provider is not None:
        signal = grid.steering.at(now_ns)
        found.append(_source("signal", carbon.signal, signal, feeds.get("signal"), now_ns))
    needy = [role for role in (carbon.intensity, carbon.market) if _may_fail(role)]
    if carbon.fallback.provider is not None:
        stand_in = _fallback(carbon).at(now_ns)
        finding = _source("fallback", carbon.fallback, stand_in, feeds.get("fallback"), now_ns)
        elsewhere = _elsewhere(carbon.intensity.grid_zone, carbon.fallback)
        found.append(replace(finding, why=f"{finding.why}{elsewhere}"))
    elif needy:
        average = amounts.intensity(world_average().grams_per_kwh)
        why = (
            f"none configured: the world average, {average}, stands in while {needy[0].provider} gives no"
            " value; set carbon.fallback, such as {provider: table, grid_zone: COUNTRY}"
        )
        found.append(Finding(sensor=NAME, subject="fallback", status="absent", why=why))
    return found


def _elsewhere(grid_zone: str, fallback: IntensitySettings) -> str:
    """What to say of a table's fallback that is in another country than what it stands in for.

    Only of zones that the tables know, which are not all those of live services.
    """
    if fallback.provider != "table" or not grid_zone:
        return ""
    try:
        places = [table_intensity(zone, key="").grid_zone for zone in (grid_zone, fallback.grid_zone)]
    except SettingsError:
        return ""
    if any(":" in place for place in places) or len({place[:2] for place in places}) == 1:
        return ""
    return (
        f"; carbon.intensity is in {places[0]}: give carbon.fallback.grid_zone {places[0]}"
        " unless another grid is meant"
    )


def _source(
    role: Role, settings: IntensitySettings, used: Intensity, feed: FeedHealth | None, now_ns: int
) -> Finding:
    """A configured source: what it says now, or why it says nothing and what is used instead."""
    if feed is None or (feed.up and not used.fallback):
        return Finding(sensor=NAME, subject=role, status="usable", why=_said(used, now_ns))
    reason = next(iter(feed.errors), "")
    why = feed.error or f"no answer within {ANSWER_S:.0f} s"
    if feed.up:
        why = "no value for now"
    why = f"{feed.provider} cannot be used: {why.removeprefix(f'{feed.provider}: ')}"
    if role in ("intensity", "market"):
        why = f"{why}; priced by {_said(used, now_ns)} instead"
    return Finding(
        sensor=NAME,
        subject=role,
        status="denied" if reason in _NO_ACCESS else "failed",
        why=why,
        fix=_fix(reason, settings),
    )


def _fix(reason: str, settings: IntensitySettings) -> str:
    """The command for a key that is missing or refused; it is read from the terminal, never an argument."""
    if reason in ("no_key", "unauthorized") and settings.key_file is not None:
        return f"install -D -m 0400 /dev/stdin {settings.key_file}"
    return ""


def _open_keys(carbon: CarbonSettings) -> list[Finding]:
    """Files with a key that every user of this host can read."""
    found = []
    for role in (carbon.intensity, carbon.market, carbon.signal):
        path = role.key_file
        try:
            shown = path is not None and os.stat(path).st_mode & stat.S_IROTH
        except OSError:
            continue  # the source's own finding says why
        if path is not None and shown:
            why = f"{path} can be read by every user"
            fix = f"chmod 0400 {path}"
            found.append(Finding(sensor=NAME, subject="key", status="usable", why=why, fix=fix))
    return found


def _said(told: Intensity, now_ns: int) -> str:
    """An intensity with its source and its age."""
    source = " ".join(part for part in (told.provider, told.grid_zone) if part)
    if told.provider == "default":
        source = "the world average"
    text = f"{source}, {told.basis} {told.kind}, {amounts.intensity(told.grams_per_kwh)}"
    if told.updated_ns:
        text += f", {moments.age(told.updated_ns, now_ns)}"
    return text + (", estimated" if told.estimated else "")


def _outlook(outlook: Outlook | None, now_ns: int) -> list[Finding]:
    """What the hours ahead are known of; nothing for a source that has no course."""
    if outlook is None:
        return []
    if not outlook.windows:
        why = "no forecast now, so no best time is known"
        return [Finding(sensor=NAME, subject="outlook", status="absent", why=why)]
    best = outlook.windows[0]
    start = f"from {moments.local_and_utc(best.start_ns)}" if best.start_ns > now_ns else "from now"
    why = f"signal {outlook.state}; best {moments.span(best.duration_ns)} {start}"
    return [Finding(sensor=NAME, subject="outlook", status="usable", why=why)]


def _may_fail(settings: IntensitySettings) -> bool:
    return is_live(settings) or settings.provider == "file"


def _fallback(carbon: CarbonSettings) -> IntensitySource:
    """The fallback as it is; a file, which has a finding by its feed, stands for the world average here."""
    if carbon.fallback.provider == "file":
        return Static(world_average())
    return offline_source(carbon.fallback, carbon.timezone, role="fallback")
