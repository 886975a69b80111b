"""What the landing page says of emissions, and of the intensity they are priced with (pure)."""

from __future__ import annotations

from html import escape

from ..model import FeedHealth, Intensity
from ..snapshot import Snapshot
from . import amounts, moments
from .page import facts, page_time, warning

_ASK = "`wattledger check` asks it once and says what is wrong."


def carbon_warnings(snapshot: Snapshot) -> list[str]:
    """What is wrong with the price, and what to do about it."""
    feeds = snapshot.health.feeds
    found = []
    price = snapshot.price
    if price.intensity.fallback:
        found.append(warning(_fallback(price.intensity, _feed(feeds, "intensity"))))
    if price.market is not None and price.market.fallback:
        found.append(
            warning(
                "The market-based intensity is a stand-in: its own source gives no value now. "
                "Run `wattledger check` to see why."
            )
        )
    told = {"intensity"} if price.intensity.fallback else set()
    silent = [feed for feed in feeds if not feed.up and feed.error and feed.role not in told]
    return found + [warning(_late(feed, snapshot.wall_ns)) for feed in silent]


def emissions(snapshot: Snapshot) -> str:
    """What was emitted so far by every way of accounting; "" where only the usual one is configured."""
    rows = [("Operational, location-based", amounts.mass(sum(row.emissions_g for row in snapshot.nodes)))]
    market = [row.market_g for row in snapshot.nodes if row.market_g is not None]
    if market:
        rows.append(("Operational, market-based", amounts.mass(sum(market))))
    if snapshot.embodied_g is not None:
        rows.append(("Embodied in the hardware", amounts.mass(snapshot.embodied_g)))
    water = [row.water_l for row in snapshot.nodes if row.water_l is not None]
    if water:
        rows.append(("Water", amounts.volume(sum(water))))
    return facts(rows) if len(rows) > 1 else ""


def intensity(snapshot: Snapshot) -> list[str]:
    """The price now: how much, whose figure, of what kind, how old."""
    price = snapshot.price
    rows = [("Now", amounts.intensity(price.intensity.grams_per_kwh))]
    if price.market is not None:
        rows.append(("Market-based", amounts.intensity(price.market.grams_per_kwh)))
    rows.append(("PUE", f"{price.pue:.4g}"))
    if price.wue_l_per_kwh is not None:
        rows.append(("Water", f"{price.wue_l_per_kwh:.4g} l/kWh"))
    body = [facts(rows), f"<p>{_provenance(price.intensity, snapshot.wall_ns)}</p>"]
    if price.market is not None:
        body.append(f"<p>Market-based: {_provenance(price.market, snapshot.wall_ns)}</p>")
    return body


def source_of(told: Intensity) -> str:
    """Who says it and for where, as plain text."""
    return ", ".join(part for part in (told.provider, told.grid_zone) if part)


def _provenance(told: Intensity, now_ns: int) -> str:
    nature: list[str] = [told.basis, told.kind]
    if told.flow:
        nature.append(told.flow)
    if told.estimated:
        nature.append("estimated")
    if told.fallback:
        nature.append("fallback")
    text = f"<strong>{escape(source_of(told))}</strong>: {escape(', '.join(nature))}; {_age(told, now_ns)}"
    return text + (f"<small>{escape(told.licence)}</small>" if told.licence else "")


def _age(told: Intensity, now_ns: int) -> str:
    if not told.updated_ns:
        return "a fixed value."
    held = f", used until it is {moments.span(told.max_age_ns)} old" if told.max_age_ns else ""
    age = moments.age(told.updated_ns, now_ns)
    if age.startswith("as of"):
        return f"figures {age}{held}."
    return f"the value of {page_time(told.updated_ns)}, {age}{held}."


def _feed(feeds: tuple[FeedHealth, ...], role: str) -> FeedHealth | None:
    return next((feed for feed in feeds if feed.role == role), None)


def _fallback(used: Intensity, feed: FeedHealth | None) -> str:
    if feed is None:
        return (
            "The carbon intensity is a fallback, not that of your grid. "
            "Set carbon.intensity in the settings file; the grams below depend on it."
        )
    why = f": {feed.error}" if feed.error else ""
    return (
        f"The carbon intensity is a fallback ({source_of(used)}), because {feed.provider} gives no value now"
        f"{why}. {_ASK}"
    )


def _late(feed: FeedHealth, now_ns: int) -> str:
    since = ""
    if feed.last_success_ns:
        since = f" It last answered {moments.span(now_ns - feed.last_success_ns)} ago."
    return f"{feed.provider} ({feed.role}) does not answer: {feed.error}.{since} {_ASK}"
