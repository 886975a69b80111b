"""Bars drawn in the page itself: no script, no picture to fetch, and colour never alone (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

DEFINITIONS = (
    '<svg class="none" width="0" height="0" aria-hidden="true"><defs>'
    '<pattern id="over" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="beyond" width="6" height="6"/><line class="gap" x1="0" x2="0" y1="0" y2="6"/>'
    "</pattern></defs></svg>"
)
"""The hatching of what lies beyond a limit, once per page."""

_SIGNS = {
    "green": '<circle class="green" cx="6" cy="6" r="5"/>',
    "amber": '<path class="amber" d="M6 .5 11.8 11H.2z"/>',
    "red": '<rect class="red" x="1" y="1" width="10" height="10"/>',
    "unknown": '<circle class="hollow" cx="6" cy="6" r="4.5"/>',
}


def share_bar(ratio: float) -> str:
    """A thin bar of a share, beside the figure that says the same."""
    return f'<svg class="share" aria-hidden="true"><rect class="used" width="{_part(ratio)}"/></svg>'


def budget_bar(*, label: str, consumed: float, plan: float, projected: float | None) -> str:
    """A bar of a budget, all as ratios of its limit.

    Consumed is solid, what goes beyond the limit hatched, what is projected outlined; one line marks the
    plan so far and, where the bar goes beyond it, another the limit. `label` says it in words.
    """
    end = max(1.0, consumed, min(projected or 0.0, 1.5))
    parts = [f'<rect class="track" width="{_part(1 / end)}" height="14" y="5"/>']
    if projected is not None and projected > consumed:
        ahead, length = _part(consumed / end), _part((min(projected, end) - consumed) / end)
        parts.append(f'<rect class="ahead" x="{ahead}" width="{length}" height="12" y="6"/>')
    parts.append(f'<rect class="used" width="{_part(min(consumed, 1.0) / end)}" height="14" y="5"/>')
    if consumed > 1.0:
        parts.append(
            f'<rect fill="url(#over)" x="{_part(1 / end)}" width="{_part((consumed - 1) / end)}"'
            ' height="14" y="5"/>'
        )
    marks = [(plan / end, "plan")] + ([(1 / end, "limit")] if end > 1.0 else [])
    parts += [
        f'<line class="{kind}" x1="{_part(at)}" x2="{_part(at)}" y1="1" y2="23"/>' for at, kind in marks
    ]
    return f'<svg class="bar" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def strip(start: float, length: float) -> str:
    """A block on a line that is 1 long, for a stretch of the time ahead."""
    return (
        '<svg class="strip" aria-hidden="true"><line class="axis" x2="100%" y1="12" y2="12"/>'
        f'<rect class="used" x="{_part(start)}" width="{_part(length)}" y="5" height="14"/></svg>'
    )


def strip_axis(ticks: Iterable[tuple[float, str]]) -> str:
    """The hours above such lines, each with its place from 0 to 1."""
    texts = "".join(f'<text x="{_part(at)}" y="16">{escape(text)}</text>' for at, text in ticks)
    return f'<svg class="strip" aria-hidden="true">{texts}</svg>'


def sign(state: str) -> str:
    """A small shape for a state of the signal: each has a form of its own."""
    shape = _SIGNS.get(state, _SIGNS["unknown"])
    return f'<svg class="sign" viewBox="0 0 12 12" aria-hidden="true">{shape}</svg>'


def _part(ratio: float) -> str:
    return f"{100 * min(1.0, max(0.0, ratio)):.4g}%"
