"""What is known of the grid, as JSON; the same in every command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..model import S_NS, FeedHealth, Outlook
from . import grid_words


def outlook_json(outlook: Outlook | None) -> Mapping[str, Any] | None:
    """The hours ahead, in the words of `wattledger intensity`."""
    if outlook is None:
        return None
    grams = outlook.unit == "g/kWh"
    return {
        "source": grid_words.as_json(outlook.source, outlook.unit),
        "unit": outlook.unit,
        "signal": outlook.state,
        "generated": grid_words.utc(outlook.generated_ns) if outlook.generated_ns else None,
        "means": {f"{hours}h": mean for hours, mean in outlook.means.items()},
        "best_windows": [
            {
                "duration_seconds": window.duration_ns / S_NS,
                "start": grid_words.utc(window.start_ns),
                "mean": window.grams_per_kwh,
                "now_mean": window.now_grams_per_kwh,
                "savings_ratio": window.savings_ratio if grams else None,
            }
            for window in outlook.windows
        ],
    }


def feed_json(feed: FeedHealth) -> Mapping[str, Any]:
    """A source that is asked or read."""
    return {
        "role": feed.role,
        "provider": feed.provider,
        "up": feed.up,
        "last_success": grid_words.utc(feed.last_success_ns) if feed.last_success_ns else None,
        "error": feed.error or None,
    }
