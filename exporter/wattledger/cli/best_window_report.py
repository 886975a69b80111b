"""What `wattledger best-window` says of a plan: to a person, to a program, to a shell."""

from __future__ import annotations

from typing import Any

from ..model import S_NS
from . import grid_words
from .window_plan import Plan


def as_text(plan: Plan) -> str:
    """Start and end in local time and UTC, how long to wait, the means and the saving, and the source."""
    start, end = plan.start_ns, plan.start_ns + plan.duration_ns
    wait = f"in {grid_words.span(plan.wait_ns)}" if plan.wait_ns else "now"
    lines = [
        f"start   {grid_words.local_and_utc(start)}, {wait}",
        f"end     {grid_words.local_and_utc(end)}",
        f"mean    {_means(plan)}",
    ]
    if plan.savings_ratio is not None:
        lines.append(
            f"saving  {grid_words.percent(plan.savings_ratio)}, {grid_words.estimate_of(plan.source)}"
        )
    lines += _source(plan)
    return "\n".join(lines) + "\n"


def as_line(plan: Plan) -> str:
    """The same in one line, for whoever waits."""
    if not plan.wait_ns:
        return f"the best time is now: {_means(plan)}"
    saving = plan.savings_ratio
    basis = grid_words.estimate_of(plan.source)
    saves = "" if saving is None else f"; saves {grid_words.percent(saving)} ({basis})"
    until = grid_words.local_and_utc(plan.start_ns)
    return f"waiting {grid_words.span(plan.wait_ns)} until {until}: {_means(plan)}{saves}"


def as_unix(plan: Plan) -> str:
    """The start in whole seconds since the Unix epoch, never before the window."""
    return f"{-(-plan.start_ns // S_NS)}\n"


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan as `docs/carbon-aware.md` describes it."""
    return {
        "schema": 1,
        "time": grid_words.utc(plan.made_ns),
        "start": grid_words.utc(plan.start_ns),
        "end": grid_words.utc(plan.start_ns + plan.duration_ns),
        "wait_seconds": plan.wait_ns / S_NS,
        "duration_seconds": plan.duration_ns / S_NS,
        "deadline": grid_words.utc(plan.deadline_ns),
        "forecast_until": grid_words.utc(plan.known_until_ns),
        "mean": plan.mean,
        "now_mean": plan.now_mean,
        "unit": plan.unit,
        "savings_ratio": plan.savings_ratio,
        "source": grid_words.as_json(plan.source, plan.unit),
    }


def _means(plan: Plan) -> str:
    mean = grid_words.amount(plan.mean, plan.unit)
    if plan.now_mean is None or not plan.wait_ns:
        return mean
    return f"{mean}, {grid_words.amount(plan.now_mean, plan.unit)} if started now"


def _source(plan: Plan) -> list[str]:
    lines = grid_words.provenance(plan.source, plan.made_ns)
    told = [f"source  {lines[0]}{', fallback' if plan.source.fallback else ''}"]
    if plan.known_until_ns < plan.deadline_ns:
        until = grid_words.local(plan.known_until_ns)
        told.append(f"        the forecast ends at {until}, before the deadline")
    return told
