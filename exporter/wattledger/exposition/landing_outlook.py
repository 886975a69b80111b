"""What the landing page says of the hours to come: the signal, the means, the best times (pure)."""

from __future__ import annotations

from html import escape

from ..model import S_NS, Outlook, Window
from . import amounts, moments
from .bars import share_bar, sign, strip, strip_axis
from .landing_carbon import source_of
from .page import page_time, table

_HOUR_NS = 3600 * S_NS
_AHEAD_NS = 24 * _HOUR_NS
_STATES = {
    "green": "now is one of the cleaner hours of these days",
    "amber": "now is neither clean nor dirty for these days",
    "red": "now is one of the dirtier hours of these days",
    "unknown": "too little is known to rank this hour",
}


def ahead(outlook: Outlook | None, now_ns: int) -> list[str]:
    """The outlook, nothing where there is none; `now_ns` is wall time."""
    if outlook is None:
        return []
    grams = outlook.unit == "g/kWh"
    state = f'{sign(outlook.state)} <strong class="state">{escape(outlook.state)}</strong>'
    body = [f"<p>Signal: {state}, {_STATES.get(outlook.state, '')}.</p>"]
    tables = [_means(outlook)] if outlook.means else []
    if outlook.windows:
        tables.append(_windows(outlook, now_ns))
    if tables:
        body.append(f'<div class="pair">\n{"".join(tables)}\n</div>')
    told = [f"By {escape(source_of(outlook.source))}, {escape(outlook.source.kind)}"]
    if outlook.generated_ns:
        told.append(f"made {_ago(now_ns - outlook.generated_ns)}")
    if not grams:
        told.append("a signal of percentiles (0 cleanest), which steers and prices nothing")
    elif outlook.windows:
        told.append("savings are estimates, against starting now")
    if not outlook.windows and not outlook.means:
        told.append("without a forecast at the moment")
    return [*body, f'<p class="soft">{"; ".join(told)}.</p>']


def _means(outlook: Outlook) -> str:
    now = outlook.source.grams_per_kwh
    rows = [("now", now), *((f"next {hours} h", mean) for hours, mean in sorted(outlook.means.items()))]
    highest = max(value for _, value in rows)
    return table(
        "Mean intensity of the hours ahead",
        ("Time", "Mean", "Level"),
        [
            (escape(name), amounts.intensity(value), share_bar(value / highest if highest > 0 else 0.0))
            for name, value in rows
        ],
        numeric=("Mean",),
        wide=("Level",),
    )


def _windows(outlook: Outlook, now_ns: int) -> str:
    grams = outlook.unit == "g/kWh"
    rows = [_window(window, now_ns, grams) for window in outlook.windows]
    value, columns = ("Mean", ("Mean", "Saving")) if grams else ("Percentile", ("Percentile",))
    return table(
        "Best time to start within the next 24 hours",
        ("To run for", "Start", "Next 24 hours", *columns),
        rows,
        numeric=(value, "Saving"),
        wide=("Next 24 hours",),
        heads={"Next 24 hours": _axis(now_ns)},
    )


def _window(window: Window, now_ns: int, grams: bool) -> tuple[str, ...]:
    wait_ns = window.start_ns - now_ns
    start = "now"
    if wait_ns >= 60 * S_NS:
        start = f"{page_time(window.start_ns)}<small>in {moments.span(wait_ns)}</small>"
    cells = (
        f"{window.duration_ns // _HOUR_NS} h",
        start,
        strip(max(0, wait_ns) / _AHEAD_NS, window.duration_ns / _AHEAD_NS),
    )
    if not grams:
        return (*cells, f"{window.grams_per_kwh:.0f}")
    return (*cells, amounts.intensity(window.grams_per_kwh), amounts.share(window.savings_ratio))


def _axis(now_ns: int) -> str:
    """The hours of the clock, every sixth one."""
    ticks = []
    for at_ns in range(now_ns - now_ns % _HOUR_NS + _HOUR_NS, now_ns + _AHEAD_NS - _HOUR_NS, _HOUR_NS):
        text = moments.local(at_ns, "%H:%M")
        if int(text[:2]) % 6 == 0:
            ticks.append(((at_ns - now_ns) / _AHEAD_NS, text))
    return strip_axis(ticks)


def _ago(age_ns: int) -> str:
    return "just now" if age_ns < 60 * S_NS else f"{moments.span(age_ns)} ago"
