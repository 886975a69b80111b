"""Plots as SVG for a page: stacked bars, a line, ranked bars (pure).

Colours are classes `c0` to `c3` of the page's stylesheet, so that they follow its light or dark scheme. They
are Okabe and Ito's, told apart with every colour vision; parts of a bar have a gap between them besides.
Texts are plain and escaped here. Every plot has a title and a description for who cannot see it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 720
HEIGHT = 230
LEFT, RIGHT, TOP, BOTTOM = 58, 8, 30, 28
MOST_LABELS = 12
BAR_HEIGHT = 24
NAME_WIDTH = 250
NAME_LENGTH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """What a plot shows: `labels` of its steps, `unit` of its values."""

    title: str
    description: str
    labels: Sequence[str]
    unit: str


def stacked_bars(axis: Axis, parts: Sequence[tuple[str, int, Sequence[float]]]) -> str:
    """A bar per step, made of parts: each its name, the number of its colour, and a value per step."""
    sums = [math.fsum(values) for values in zip(*(values for _, _, values in parts), strict=True)]
    highest, step = _scale(max(sums, default=0.0))
    drawn = [_grid(axis, highest, step), _legend([(name, colour) for name, colour, _ in parts])]
    slot = (WIDTH - LEFT - RIGHT) / max(1, len(axis.labels))
    width = max(0.5, slot * 0.78)
    below = [0.0] * len(axis.labels)
    for name, colour, values in parts:
        for index, value in enumerate(values):
            if value <= 0:
                continue
            top = _y(below[index] + value, highest)
            height = _y(below[index], highest) - top
            drawn.append(
                f'<rect class="c{colour}" x="{LEFT + slot * index + (slot - width) / 2:.2f}" y="{top:.2f}"'
                f' width="{width:.2f}" height="{max(height - 0.6, 0.2):.2f}"><title>'
                f"{escape(axis.labels[index])}, {escape(name)}: {value:,.3g} {escape(axis.unit)}"
                "</title></rect>"
            )
            below[index] += value
    return _svg(axis, HEIGHT, drawn)


def line(axis: Axis, values: Sequence[float | None]) -> str:
    """A line through the steps, from zero; it is broken where a step has no value."""
    highest, step = _scale(max((value for value in values if value is not None), default=0.0))
    slot = (WIDTH - LEFT - RIGHT) / max(1, len(axis.labels))
    drawn = [_grid(axis, highest, step)]
    run: list[str] = []
    for index, value in enumerate([*values, None]):
        if value is None:
            if len(run) > 1:
                drawn.append(f'<polyline class="line" points="{" ".join(run)}"/>')
            run = []
            continue
        x, y = LEFT + slot * (index + 0.5), _y(value, highest)
        run.append(f"{x:.2f},{y:.2f}")
        label = f"{escape(axis.labels[index])}: {value:,.4g} {escape(axis.unit)}"
        drawn.append(f'<circle class="dot" cx="{x:.2f}" cy="{y:.2f}" r="2"><title>{label}</title></circle>')
    return _svg(axis, HEIGHT, drawn)


def ranked_bars(axis: Axis, values: Sequence[float], shown: Sequence[str]) -> str:
    """A bar to the right per label, with its value written as `shown` behind it."""
    highest = max(values, default=0.0) or 1.0
    room = WIDTH - NAME_WIDTH - 90
    drawn = []
    for index, (label, value, text) in enumerate(zip(axis.labels, values, shown, strict=True)):
        y = index * BAR_HEIGHT + 4
        width = max(0.5, room * max(0.0, value) / highest)
        middle = y + (BAR_HEIGHT - 6) / 2 + 4
        drawn.append(
            f'<text x="{NAME_WIDTH - 8}" y="{middle:.1f}" class="end">{escape(_short(label))}</text>'
            f'<rect class="c0" x="{NAME_WIDTH}" y="{y}" width="{width:.2f}" height="{BAR_HEIGHT - 6}">'
            f"<title>{escape(label)}: {escape(text)}</title></rect>"
            f'<text x="{NAME_WIDTH + width + 6:.2f}" y="{middle:.1f}">{escape(text)}</text>'
        )
    return _svg(axis, len(axis.labels) * BAR_HEIGHT + 4, drawn)


def _svg(axis: Axis, height: int, drawn: Sequence[str]) -> str:
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg"'
        f' aria-label="{escape(axis.title)}. {escape(axis.description)}">\n'
        f"<title>{escape(axis.title)}</title>\n<desc>{escape(axis.description)}</desc>\n"
        + "\n".join(drawn)
        + f"\n</svg>\n<figcaption>{escape(axis.title)}</figcaption></figure>"
    )


def _grid(axis: Axis, highest: float, step: float) -> str:
    """Lines with their values, the unit above them, and labels of some steps below."""
    drawn = [f'<text x="{LEFT - 6}" y="{TOP - 12}" class="end">{escape(axis.unit)}</text>']
    for number in range(round(highest / step) + 1):
        value = number * step
        y = _y(value, highest)
        drawn.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.2f}" y2="{y:.2f}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.2f}" class="end">{value:,.10g}</text>'
        )
    slot = (WIDTH - LEFT - RIGHT) / max(1, len(axis.labels))
    every = math.ceil(len(axis.labels) / MOST_LABELS)
    for index in range(0, len(axis.labels), max(1, every)):
        x = LEFT + slot * (index + 0.5)
        drawn.append(f'<text x="{x:.2f}" y="{HEIGHT - 8}" class="middle">{escape(axis.labels[index])}</text>')
    return "\n".join(drawn)


def _legend(parts: Sequence[tuple[str, int]]) -> str:
    return "\n".join(
        f'<rect class="c{colour}" x="{LEFT + 80 * index}" y="6" width="12" height="12"/>'
        f'<text x="{LEFT + 80 * index + 17}" y="16">{escape(name)}</text>'
        for index, (name, colour) in enumerate(parts)
    )


def _scale(highest: float) -> tuple[float, float]:
    """The top of the axis and the step of its lines: 1, 2 or 5 times a power of ten, three to six of them."""
    if highest <= 0:
        return 1.0, 0.5
    power = 10.0 ** math.floor(math.log10(highest / 3))
    step = next(size * power for size in (1, 2, 5, 10) if highest / (size * power) <= 5)
    return step * math.ceil(highest / step - 1e-9), step


def _y(value: float, highest: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / highest)


def _short(text: str) -> str:
    return text if len(text) <= NAME_LENGTH else f"{text[: NAME_LENGTH // 2]}…{text[-NAME_LENGTH // 2 + 1 :]}"
