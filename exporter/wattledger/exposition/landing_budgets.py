"""What the landing page says of budgets: spent against the plan so far, and where it leads (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from ..model import BudgetRow
from ..snapshot import Snapshot
from . import amounts, moments
from .bars import budget_bar
from .landing_host import total_power
from .page import page_time, warning

_NAMED = 3
_LEGEND = (
    '<p class="soft">Solid: used. Hatched: over the limit. Dashed: where it leads. Line: an even pace.</p>'
)
_J_PER_UJ = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a budget stands: shares of its limit, and of its period.

    `plan` is the share of the period that has passed, which is what an even pace would have used.
    `projected` is where it leads by `by`, None where too little has passed to tell.
    """

    row: BudgetRow
    spent: float
    plan: float
    projected: float | None
    by: str

    @property
    def verdict(self) -> str:
        """In words: `over budget`, `ahead of plan`, `heading over` or `within plan`."""
        if self.spent > 1.0:
            return "over budget"
        if self.spent > self.plan:
            return "ahead of plan"
        if self.projected is not None and self.projected > 1.0:
            return "heading over"
        return "within plan"


def standing(row: BudgetRow, snapshot: Snapshot) -> Standing:
    """How a budget stands at a snapshot.

    A budget of all the node's operational emissions is projected with the power and the price of now; of any
    other only its own figures are known, so it is projected at its mean rate so far, from a hundredth of the
    period on."""
    length_ns = max(1, row.end_ns - row.start_ns)
    plan = min(1.0, max(0.0, (snapshot.wall_ns - row.start_ns) / length_ns))
    spent = _share(row.consumed_g, row.limit_g)
    power_w = total_power(snapshot.nodes)
    projected: float | None = None
    by = ""
    if not row.selects and row.scope == "operational" and power_w is not None:
        left_s = (1.0 - plan) * length_ns / 1e9
        more_g = power_w / _J_PER_UJ * snapshot.price.grams_per_uj * left_s
        projected, by = _share(row.consumed_g + more_g, row.limit_g), "at the power and price of now"
    elif plan >= 0.01:
        projected, by = spent / plan, "at the mean rate of this period"
    return Standing(row=row, spent=spent, plan=plan, projected=projected, by=by)


def budget_warnings(snapshot: Snapshot) -> list[str]:
    """Which budgets are exceeded, in one warning."""
    over = [row.name for row in snapshot.budgets if _share(row.consumed_g, row.limit_g) > 1.0]
    if not over:
        return []
    if len(over) == 1:
        return [warning(f"The budget {over[0]} is exceeded.")]
    named = ", ".join(over[:_NAMED]) + (" and others" if len(over) > _NAMED else "")
    return [warning(f"{len(over)} budgets are exceeded: {named}.")]


def budgets(snapshot: Snapshot) -> str:
    """Every budget with its bar, the most pressing first."""
    found = sorted((standing(row, snapshot) for row in snapshot.budgets), key=_pressing)
    parts = (_one(one, snapshot.wall_ns) for one in found)
    return f'{_LEGEND}\n<div class="budgets">\n{"".join(parts)}</div>'


def _pressing(one: Standing) -> tuple[bool, float, str]:
    return (one.spent <= 1.0, -max(one.spent, one.projected or 0.0), one.row.name)


def _one(one: Standing, wall_ns: int) -> str:
    row = one.row
    spent, limit = amounts.mass(row.consumed_g), amounts.mass(row.limit_g)
    label = f"{spent} of {limit} used, {amounts.share(one.plan)} of the {row.period} gone"
    of = f"<code>{escape(row.selects)}</code>" if row.selects else "the whole node"
    pace = f" Even pace: {amounts.mass(one.plan * row.limit_g)} ({amounts.share(one.plan)})."
    tag = "tag bad" if one.spent > 1.0 else "tag"
    lines = [
        f'<h3>{escape(row.name)} <span class="{tag}">{one.verdict}</span></h3>',
        f'<p class="soft">{escape(row.scope).capitalize()} emissions of {of}, per {escape(row.period)}</p>',
        budget_bar(label=label, consumed=one.spent, plan=one.plan, projected=one.projected),
        f"<p><strong>{spent}</strong> of {limit} used ({amounts.share(one.spent)}).{pace}</p>",
    ]
    if one.projected is not None:
        projected = amounts.mass(one.projected * row.limit_g)
        beyond = ", <strong>above the limit</strong>" if one.projected > 1.0 else ""
        lines.append(
            f"<p>On course for {projected} ({amounts.share(one.projected)}){beyond}, {escape(one.by)}.</p>"
        )
    end = page_time(row.end_ns, moments.zone_of(row.timezone))
    left = moments.span(row.end_ns - wall_ns)
    lines.append(f'<p class="soft">Until {end}, {left} from now</p>')
    return "<article>\n" + "\n".join(lines) + "\n</article>\n"


def _share(grams: float, limit_g: float) -> float:
    """Settings have no limit below 1 g; nothing divides by a smaller one all the same."""
    return grams / max(limit_g, 1e-9)


def worst(rows: Iterable[BudgetRow]) -> str:
    """The budget that is nearest to its limit, for a list of nodes."""
    shares = [(_share(row.consumed_g, row.limit_g), row.name) for row in rows]
    if not shares:
        return amounts.NOTHING
    spent, name = max(shares)
    shown = amounts.share(spent)
    if spent > 1.0:
        shown = f'<span class="tag bad">over</span> {shown}'
    return f"{shown}<small>{escape(name)}</small>"
