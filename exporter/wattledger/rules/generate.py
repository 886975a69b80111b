"""Budgets over many nodes as groups of rules: consumption by the calendar, burn rates, alerts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from . import calendar
from .budget import FleetBudget
from .pace import DAYS, OVERRUN_RATIO, PACES, SECONDS, Burn, Projection
from .selection import increase, quote

RUNBOOKS = "https://github.com/wattledger/wattledger/blob/main/docs/runbooks/"

INTERVAL = "1m"
EMISSIONS = "budget:wattledger_emissions_grams"
LIMIT = "budget:wattledger_budget_limit_grams:constant"
START = "budget:wattledger_budget_period_start_timestamp_seconds:utc"
END = "budget:wattledger_budget_period_end_timestamp_seconds:utc"
HOURLY = f"{EMISSIONS}:increase1h"
CONSUMED = "budget:wattledger_budget_consumed_grams:hourly"
BURN = "budget:wattledger_budget_burn"

# Windows up to this are taken over the raw counters, longer ones as the growth of the consumption, which is
# one series: a week over the raw counters of a thousand nodes would be read anew every minute.
_RAW_S = SECONDS["6h"]
_BRIDGE = "30m"  # a whole hour that nobody evaluated takes the value of at most so long before

Rule = dict[str, Any]


def groups(budgets: Iterable[FleetBudget]) -> list[dict[str, Any]]:
    """One group of rules per budget, in their order, as Prometheus reads them."""
    return [
        {"name": f"wattledger-budget-{budget.name}", "interval": INTERVAL, "rules": _Rules(budget).all()}
        for budget in budgets
    ]


class _Rules:
    """The rules of one budget. Each reads what those before it recorded at the same evaluation."""

    def __init__(self, budget: FleetBudget) -> None:
        self._budget = budget
        self._labels = {**budget.labels, "budget": budget.name, "period": budget.period}
        self._pace = PACES[budget.period]

    def all(self) -> list[Rule]:
        pace, burns = self._pace, (self._pace.fast, self._pace.slow)
        windows = {window for burn in burns for window in (burn.window, burn.short)}
        windows |= {"1h", pace.projection.window}
        ordered = sorted(windows, key=SECONDS.__getitem__)
        return [
            self._record(LIMIT, f"vector({self._budget.limit_g:.12g})"),
            self._record(START, calendar.start(self._budget.period)),
            self._record(END, calendar.end(self._budget.period)),
            *[self._record(f"{EMISSIONS}:increase{w}", self._raw(w)) for w in ordered if _is_raw(w)],
            self._record(CONSUMED, self._consumed()),
            *[self._record(f"{EMISSIONS}:increase{w}", self._growth(w)) for w in ordered if not _is_raw(w)],
            *[self._record(f"{BURN}:ratio_rate{w}", self._burn(w)) for w in ordered],
            self._burn_alert("WattledgerBudgetBurnFast", "warning", pace.fast, "much faster"),
            self._burn_alert("WattledgerBudgetBurnSlow", "info", pace.slow, "faster"),
            self._projected(pace.projection),
            self._exceeded(),
        ]

    def _raw(self, window: str) -> str:
        return increase(self._budget, window)

    def _consumed(self) -> str:
        """The whole hours of the period so far; 0 in its first hour, nothing where there is no account.

        Without labels until they are recorded: hours from before the budget's labels were changed count too.
        """
        days = DAYS[self._budget.period]
        hourly = self._one(HOURLY)
        return (
            "sum_over_time(\n"
            "  (\n"
            f"    max(last_over_time({hourly}[{_BRIDGE}]))\n"
            f"    and on () (vector(time()) > on () max({self._one(START)} @ end()))\n"
            f"  )[{days}d:1h]\n"
            ")\n"
            f"or max({hourly}) * 0"
        )

    def _growth(self, window: str) -> str:
        consumed = self._one(CONSUMED)
        return f"{consumed} - min_over_time({consumed}[{window}])"

    def _burn(self, window: str) -> str:
        span_s = SECONDS[window]
        return (
            f"{self._one(f'{EMISSIONS}:increase{window}')} / {self._one(LIMIT)}\n"
            f"* ({self._one(END)} - {self._one(START)}) / {span_s}"
        )

    def _burn_alert(self, name: str, severity: str, burn: Burn, how: str) -> Rule:
        share = f"{self._one(f'{EMISSIONS}:increase{burn.window}')} / {self._one(LIMIT)}"
        lately = f"{self._one(f'{EMISSIONS}:increase{burn.short}')} / {self._one(LIMIT)}"
        return self._alert(
            name,
            f"{share} > {burn.fraction:g}\nand\n{lately} > {burn.fraction:g} / 12",
            severity=severity,
            more={"window": burn.window},
            hold=burn.hold,
            summary=f"An emission budget is being used up {how} than it can last.",
            description="Budget {{ $labels.budget }} used {{ $value | humanizePercentage }} of its limit"
            f" for the {self._budget.period} within the last {burn.window},"
            f" more than {burn.fraction * 100:g}%.",
        )

    def _projected(self, projection: Projection) -> Rule:
        """The pace so far in this period, where the window is longer than that and grows with it."""
        consumed, start, end = self._one(CONSUMED), self._one(START), self._one(END)
        window_s = SECONDS[projection.window]
        over_s = f"{window_s}" if _is_raw(projection.window) else f"clamp_max(time() - {start}, {window_s})"
        return self._alert(
            "WattledgerBudgetProjectedOverrun",
            "(\n"
            f"  {consumed}\n"
            f"  + {self._one(f'{EMISSIONS}:increase{projection.window}')}\n"
            f"    / {over_s}\n"
            f"    * ({end} - time())\n"
            f") / {self._one(LIMIT)} > {OVERRUN_RATIO:g}\n"
            f"and\ntime() - {start} > {projection.settle_s}",
            severity="info",
            more={"window": projection.window},
            hold=projection.hold,
            summary="An emission budget will be exceeded if emissions go on as they are.",
            description="Budget {{ $labels.budget }} would end its {{ $labels.period }} at"
            " {{ $value | humanizePercentage }} of its limit at the pace of the last"
            f" {projection.window}.",
        )

    def _exceeded(self) -> Rule:
        return self._alert(
            "WattledgerBudgetExceeded",
            f"{self._one(CONSUMED)} - {self._one(LIMIT)} > 0",
            severity="warning",
            more={},
            hold="2m",
            summary="An emission budget is exceeded.",
            description="Budget {{ $labels.budget }} is {{ $value | humanize }}g CO2e over its limit for this"
            " {{ $labels.period }}.",
        )

    def _one(self, name: str) -> str:
        return f"{name}{{budget={quote(self._budget.name)}}}"

    def _record(self, name: str, expr: str) -> Rule:
        return {"record": name, "expr": expr, "labels": dict(self._labels)}

    def _alert(
        self,
        name: str,
        expr: str,
        *,
        severity: str,
        more: Mapping[str, str],
        hold: str,
        summary: str,
        description: str,
    ) -> Rule:
        if severity == "warning" and self._budget.severity is not None:
            severity = self._budget.severity
        return {
            "alert": name,
            "expr": expr,
            "for": hold,
            "labels": {**self._labels, "severity": severity, **more},
            "annotations": {
                "summary": summary,
                "description": description,
                "runbook_url": f"{RUNBOOKS}{name}.md",
            },
        }


def _is_raw(window: str) -> bool:
    return SECONDS[window] <= _RAW_S
