"""What a budget selects, as PromQL: the increase of its emissions over a window."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .budget import INFO_LABELS, FleetBudget, Matcher

_WORKLOAD = "cluster, job, instance, kind, id"


def increase(budget: FleetBudget, window: str) -> str:
    """Grams that what the budget selects emitted within `window`, over the raw counters; one sample or none.

    Embodied emissions count only beside operational ones, so that an account that stopped has no value.
    """
    if budget.of_nodes:
        families = ["wattledger_node_emissions_grams_total", "wattledger_node_embodied_emissions_grams_total"]
    else:
        families = [
            "wattledger_workload_emissions_grams_total",
            "wattledger_workload_embodied_emissions_grams_total",
        ]
    sums = [_sum(budget, family, window) for family in families]
    if budget.scope == "operational":
        return sums[0]
    return f"{sums[0]}\n+ (\n{_indent(sums[1])}\n  or vector(0)\n)"


def _sum(budget: FleetBudget, family: str, window: str) -> str:
    on_series = {label: one for label, one in budget.select.items() if label not in INFO_LABELS}
    on_info = {label: one for label, one in budget.select.items() if label in INFO_LABELS}
    raw = f"increase({family}{_matchers(on_series)}[{window}])"
    if not on_info:
        return f"sum({raw})"
    targets = {label: one for label, one in on_series.items() if label in ("cluster", "job", "instance")}
    info = f"wattledger_workload_info{_matchers(targets | on_info)}"
    # One value per workload however many info series it had, and still there if it ended within the window.
    return (
        "sum(\n"
        f"  {raw}\n"
        f"  * on ({_WORKLOAD}) group_left ()\n"
        f"  max by ({_WORKLOAD}) (max_over_time({info}[{window}]))\n"
        ")"
    )


def _matchers(select: Mapping[str, Matcher]) -> str:
    if not select:
        return ""
    return "{" + ", ".join(f"{label}{_test(one)}" for label, one in sorted(select.items())) + "}"


def _test(matcher: Matcher) -> str:
    if matcher.exactly:
        if len(matcher.exactly) == 1:
            return f"={quote(matcher.exactly[0])}"
        return f"=~{quote('|'.join(_literal(value) for value in matcher.exactly))}"
    if _literal(matcher.like) == matcher.like:
        return f"={quote(matcher.like)}"
    return f"=~{quote(matcher.like)}"


def _literal(value: str) -> str:
    """A regular expression of RE2 that matches this value only; RE2 knows few escapes."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", value)


def quote(text: str) -> str:
    """A string literal of PromQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n"))
