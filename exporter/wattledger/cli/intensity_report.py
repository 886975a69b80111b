"""What `wattledger intensity` shows of the grid, as a page for a person and as JSON for a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..carbon.ahead.outlook import AHEAD_NS, BEHIND_NS, outlook
from ..carbon.ahead.ranking import HOUR_NS, Ranker
from ..carbon.ahead.windows import Course
from ..carbon.series import Unit
from ..exposition.amounts import NOTHING
from ..model import S_NS, FeedHealth, Intensity, Outlook, Window
from . import grid_words
from .grid_source import Grid, what_to_configure
from .text_table import columns, printable

_BAR_WIDTH = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """An hour of the clock and its mean, None where unknown; of the current one it is over the rest of it."""

    start_ns: int
    mean: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The grid at a moment: `books` is what energy is priced with, `steers` what the outlook is of.

    `same` says that one source does both. For a source without a course `outlook` is None and `hours` empty.
    """

    now_ns: int
    books: Intensity
    steers: Intensity
    same: bool
    outlook: Outlook | None
    hours: tuple[Hour, ...]
    feeds: tuple[FeedHealth, ...]

    @property
    def unit(self) -> Unit:
        return self.outlook.unit if self.outlook else "g/kWh"

    @property
    def has_forecast(self) -> bool:
        return any(hour.mean is not None for hour in self.hours[1:])


def look(grid: Grid) -> Report:
    """The grid now and 24 hours ahead."""
    now_ns = grid.clock.wall_ns()
    series = grid.steers.series(now_ns - BEHIND_NS, now_ns + AHEAD_NS)
    return Report(
        now_ns=now_ns,
        books=grid.books.at(now_ns),
        steers=grid.steers.at(now_ns),
        same=grid.steers is grid.books,
        outlook=outlook(series, now_ns, Ranker()),
        hours=tuple(_hours(Course(series.points), now_ns)) if series else (),
        feeds=tuple(grid.feeds),
    )


def _hours(course: Course, now_ns: int) -> list[Hour]:
    first_ns = now_ns - now_ns % HOUR_NS
    starts = range(first_ns, first_ns + AHEAD_NS, HOUR_NS)
    return [Hour(start_ns=start, mean=course.mean(max(start, now_ns), start + HOUR_NS)) for start in starts]


def as_text(report: Report, width: int) -> str:
    """Now with its source, the signal, the next 24 hours and the best windows, in lines of about `width`."""
    lines = _source("now", report.books, "g/kWh", report)
    if not report.same:
        lines += _source("steering by", report.steers, report.unit, report)
    if report.outlook is not None:
        lines.append(f"signal       {report.outlook.state}")
    lines += [
        f"             {feed.provider} ({feed.role}) failed: {printable(feed.error)}"
        for feed in report.feeds
        if feed.error
    ]
    if not report.has_forecast:
        return "\n".join([*lines, "", what_to_configure(report.feeds)]) + "\n"
    lines += ["", *_forecast(report.hours, report.unit, width)]
    if report.outlook is not None and report.outlook.windows:
        lines += ["", *_windows(report.outlook, report.now_ns, width)]
    return "\n".join(lines) + "\n"


def _source(title: str, intensity: Intensity, unit: Unit, report: Report) -> list[str]:
    facts = grid_words.provenance(intensity, report.now_ns)
    lines = [f"{title:11}  {grid_words.amount(intensity.grams_per_kwh, unit)}"]
    if intensity.fallback:
        lines.append(f"             FALLBACK: {_why_fallback(intensity, report.feeds)}")
    return lines + [f"             {printable(fact)}" for fact in facts]


def _why_fallback(intensity: Intensity, feeds: Sequence[FeedHealth]) -> str:
    if intensity.provider == "default" and not feeds:
        return "no source is configured, so this is the world average; set carbon.intensity"
    return "the configured source gives no value now; this one stands in"


def _forecast(hours: Sequence[Hour], unit: Unit, width: int) -> list[str]:
    known = [hour.mean for hour in hours if hour.mean is not None]
    highest = max(known)
    bar_width = max(8, min(_BAR_WIDTH, width - 16))
    low, high = grid_words.amount(min(known), unit), grid_words.amount(highest, unit)
    lines = [f"next 24 h    {grid_words.sparkline([hour.mean for hour in hours])}  {low} to {high}"]
    for hour in hours:
        value = NOTHING if hour.mean is None else f"{hour.mean:.{1 if 0 < hour.mean < 9.95 else 0}f}"
        drawn = "" if hour.mean is None else grid_words.bar(hour.mean, highest, bar_width)
        lines.append(f"  {grid_words.local(hour.start_ns, '%H:%M')}  {value:>5}  {drawn}".rstrip())
    return lines


def _windows(told: Outlook, now_ns: int, width: int) -> list[str]:
    grams = told.unit == "g/kWh"
    rows = [("best time", "start", "wait", "mean", "saving" if grams else "")]
    rows += [_window(window, told.unit, now_ns) for window in told.windows]
    lines = columns(rows, right=(4,) if grams else (), flexible=1, width=width)
    if grams:
        lines.append(f"savings against starting now, {grid_words.estimate_of(told.source)}")
    return lines


def _window(window: Window, unit: Unit, now_ns: int) -> tuple[str, str, str, str, str]:
    return (
        grid_words.span(window.duration_ns),
        grid_words.local(window.start_ns),
        grid_words.span(window.start_ns - now_ns) if window.start_ns > now_ns else "now",
        grid_words.amount(window.grams_per_kwh, unit),
        grid_words.percent(window.savings_ratio) if unit == "g/kWh" else "",
    )


def as_json(report: Report) -> dict[str, Any]:
    """The report as `docs/carbon-aware.md` describes it."""
    told = report.outlook
    return {
        "schema": 1,
        "time": grid_words.utc(report.now_ns),
        "intensity": grid_words.as_json(report.books),
        "steering": grid_words.as_json(report.steers, report.unit),
        "outlook": _outlook(told, report) if told is not None else None,
        "feeds": [_feed(feed) for feed in report.feeds],
    }


def _outlook(told: Outlook, report: Report) -> Mapping[str, Any]:
    grams = told.unit == "g/kWh"
    return {
        "unit": told.unit,
        "signal": told.state,
        "generated": grid_words.utc(told.generated_ns) if told.generated_ns else None,
        "means": {f"{hours}h": mean for hours, mean in told.means.items()},
        "hours": [{"start": grid_words.utc(hour.start_ns), "mean": hour.mean} for hour in report.hours],
        "best_windows": [
            {
                "duration_seconds": window.duration_ns / S_NS,
                "start": grid_words.utc(window.start_ns),
                "mean": window.grams_per_kwh,
                "now_mean": window.now_grams_per_kwh,
                "savings_ratio": window.savings_ratio if grams else None,
            }
            for window in told.windows
        ],
    }


def _feed(feed: FeedHealth) -> Mapping[str, Any]:
    return {
        "role": feed.role,
        "provider": feed.provider,
        "up": feed.up,
        "last_success": grid_words.utc(feed.last_success_ns) if feed.last_success_ns else None,
        "error": feed.error or None,
    }
