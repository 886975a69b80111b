"""What `wattledger intensity` shows of the grid, as a page for a person and as JSON for a program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from ..carbon.ahead.outlook import AHEAD_NS, BEHIND_NS, CURRENT_NS, outlook
from ..carbon.ahead.ranking import HOUR_NS, Ranker
from ..carbon.ahead.windows import Course, held
from ..carbon.series import Unit
from ..exposition.amounts import NOTHING
from ..model import FeedHealth, Intensity, Outlook, Window
from . import grid_words
from .grid_json import feed_json, outlook_json
from .grid_source import Grid, failures, steering, what_to_configure
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
        hours=tuple(_hours(Course(held(series.points, now_ns, CURRENT_NS)), now_ns)) if series else (),
        feeds=tuple(grid.feeds),
    )


def _hours(course: Course, now_ns: int) -> list[Hour]:
    first_ns = now_ns - now_ns % HOUR_NS
    starts = range(first_ns, first_ns + AHEAD_NS, HOUR_NS)
    return [Hour(start_ns=start, mean=course.mean(max(start, now_ns), start + HOUR_NS)) for start in starts]


def as_text(report: Report, width: int) -> str:
    """Now with its source, the signal, the next 24 hours and the best windows, in lines of about `width`."""
    lines = _source("now", report.books, "g/kWh", report, width)
    if not report.same:
        lines += _source("steering by", report.steers, report.unit, report, width)
    if report.outlook is not None:
        lines.append(f"signal       {report.outlook.state}")
    lines += [line for failure in failures(report.feeds) for line in _beside(failure, width)]
    if not report.has_forecast:
        failed = failures(steering(report.feeds))  # said above already
        why = "no forecast while that lasts" if failed else what_to_configure(report.feeds)
        return "\n".join([*lines, "", *wrap(why, max(width, 40), break_on_hyphens=False)]) + "\n"
    lines += ["", *_forecast(report.hours, report.unit, width)]
    if report.outlook is not None and report.outlook.windows:
        lines += ["", *_windows(report.outlook, report.now_ns, width)]
    return "\n".join(lines) + "\n"


def _source(title: str, intensity: Intensity, unit: Unit, report: Report, width: int) -> list[str]:
    facts = grid_words.provenance(intensity, report.now_ns)
    lines = [f"{title:11}  {grid_words.amount(intensity.grams_per_kwh, unit)}"]
    if intensity.fallback:
        facts = [f"FALLBACK: {_why_fallback(intensity, report.feeds)}", *facts]
    return lines + [line for fact in facts for line in _beside(fact, width)]


def _beside(text: str, width: int) -> list[str]:
    """A text in the second column, whole words in lines of about `width`."""
    beside = " " * 13
    return wrap(
        printable(text),
        max(width, 40),
        initial_indent=beside,
        subsequent_indent=beside,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _why_fallback(intensity: Intensity, feeds: Sequence[FeedHealth]) -> str:
    if intensity.provider == "default" and not feeds:
        return (
            "no source is configured, so this is the world average; set carbon.intensity,"
            " such as {provider: table, grid_zone: DE}"
        )
    return "the configured source gives no value now; this one stands in"


def _forecast(hours: Sequence[Hour], unit: Unit, width: int) -> list[str]:
    known = [hour.mean for hour in hours if hour.mean is not None]
    highest = max(known)
    bar_width = max(8, min(_BAR_WIDTH, width - 16))
    low, high = grid_words.amount(min(known), unit).removesuffix(" g/kWh"), grid_words.amount(highest, unit)
    lines = [f"next 24 h    {grid_words.sparkline([hour.mean for hour in hours])}  {low} to {high}"]
    for hour in hours:
        value = NOTHING if hour.mean is None else f"{hour.mean:.{1 if 0 < hour.mean < 9.95 else 0}f}"
        drawn = "" if hour.mean is None else grid_words.bar(hour.mean, highest, bar_width)
        lines.append(f"  {grid_words.local(hour.start_ns, '%H:%M')}  {value:>5}  {drawn}".rstrip())
    return lines


def _windows(told: Outlook, now_ns: int, width: int) -> list[str]:
    grams = told.unit == "g/kWh"
    rows: list[tuple[str, ...]] = [("best time", "start", "wait", "mean", "saving" if grams else "")]
    rows += [_window(window, told.unit, now_ns) for window in told.windows]
    if sum(max(map(len, cells)) + 2 for cells in zip(*rows, strict=True)) - 2 > width:
        rows = [(*row[:2], *row[3:]) for row in rows]  # the start tells the wait
    lines = columns(rows, right=(len(rows[0]) - 1,) if grams else (), flexible=1, width=width)
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
        "feeds": [feed_json(feed) for feed in report.feeds],
    }


def _outlook(told: Outlook, report: Report) -> Mapping[str, Any]:
    hours = [{"start": grid_words.utc(hour.start_ns), "mean": hour.mean} for hour in report.hours]
    return {**(outlook_json(told) or {}), "hours": hours}
