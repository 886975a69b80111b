"""docs/fleet.md, from what the fleet's benchmark found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.agent_process import REPOSITORY
from tests.bench.fleet_result import Check, Group, Outcome, Rule

AS_DOCUMENTED = REPOSITORY / "docs/fleet.md"
MIB = 1024 * 1024
HEAD_S = 3 * 3600
BYTES_PER_SAMPLE = 1.5
SIZES = (1000, 10_000)
FAMILIES = 6
DEAREST = 8
DAY_S = 86_400

PAGE = Path(__file__).with_suffix(".md")


class Drop(NamedTuple):
    """Rules that can be left out: a pattern over `group name window`, and who misses them."""

    what: str
    pattern: str
    missed_by: str

    def means(self, group: Group, rule: Rule) -> bool:
        """Whether a rule is one of them."""
        return bool(re.match(self.pattern, f"{group.name} {rule.name} {rule.labels.get('window', '')}"))


DROPS = (
    Drop(
        "nodes and fleet over 30 minutes and 6 hours",
        r"\S+ (instance|fleet):wattledger_node_\S+:rate(30m|6h) ",
        "no dashboard",
    ),
    Drop(
        "namespaces over 30 minutes and 1 hour",
        r"\S+ namespace:\S+:rate(30m|1h) ",
        "no dashboard",
    ),
    Drop(
        "`WattledgerBudgetBurnSlow` and `...ProjectedOverrun` over 7 days",
        r"wattledger-budgets WattledgerBudget(BurnSlow|ProjectedOverrun) 7d",
        "who has month budgets on nodes; one budget over all nodes reads recorded series instead",
    ),
    Drop("the group `wattledger-user`", r"wattledger-user ", "panels by user and account"),
    Drop(
        "pace of every node's budgets",
        r"\S+ instance:wattledger_budget_",
        "panels with the pace of budgets",
    ),
    Drop("pods", r"\S+ pod:", "panels by pod"),
)


def page(found: Outcome) -> str:
    """The whole page."""
    figures = found.figures
    sizes = [found.nodes, *SIZES]
    return PAGE.read_text().format(
        nodes=found.nodes,
        scrape=found.scrape_s,
        past=f"{found.past_samples / 1e6:.0f}",
        checks=_checks(found.checks),
        volume=_volume(found),
        least=found.samples_of_nodes[0],
        middle=f"{median(found.samples_of_nodes):.0f}",
        most=found.samples_of_nodes[-1],
        families=_families(found),
        scrape_median=_digits(1000 * figures.scrape_median_s),
        scrape_most=_digits(1000 * figures.scrape_most_s),
        scrapes=f"{found.nodes * 300 // found.scrape_s:,}",
        failed=figures.failed_scrapes,
        groups=_groups(found.groups),
        missed=figures.missed,
        dearest=_dearest(found.groups),
        labels=found.most_labels,
        bytes_per_sample=round(found.scrape_bytes * found.nodes / found.series),
        sizes=" | ".join(f"{size:,} nodes" for size in sizes),
        dashes="---|" * len(sizes),
        larger=_larger(found, sizes),
        empty=round(figures.empty_bytes / MIB),
        head=BYTES_PER_SAMPLE,
        drops=_drops(found),
    )


def _rows(rows: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _digits(value: float) -> str:
    """Three digits, and none of them behind the point from 100 on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _seconds(value: float) -> str:
    return f"{_digits(1000 * value)} ms" if value < 1 else f"{value:.1f} s"


def _checks(checks: Sequence[Check]) -> str:
    def off(value: float, reference: float) -> str:
        return f"{100 * (value / reference - 1) + 0.0:+.2f} %"

    head = [["what", "rules", "nodes", "off", "simulator", "off"], ["---"] * 6]
    return (
        _rows(head)
        + "\n"
        + _rows(
            (
                f"{one.what}, {one.unit}" if one.unit else one.what,
                f"{one.rules:,.0f}",
                f"{one.nodes:,.0f}",
                off(one.rules, one.nodes),
                "" if one.true is None else f"{one.true:,.0f}",
                "" if one.true is None else off(one.rules, one.true),
            )
            for one in checks
        )
    )


def _volume(found: Outcome) -> str:
    figures, nodes = found.figures, found.nodes
    recorded = sum(found.recorded.values())
    return _rows(
        (
            ("series exposed", f"{found.series:,}", _digits(found.series / nodes)),
            ("series that rules record", f"{recorded:,}", _digits(recorded / nodes)),
            (
                "series in the head, its own included",
                f"{figures.head_series:,}",
                _digits(figures.head_series / nodes),
            ),
            ("samples a second", _digits(figures.samples_per_s), _digits(figures.samples_per_s / nodes)),
            ("a scrape, text", _kib(found.scrape_bytes * nodes), _kib(found.scrape_bytes)),
            ("a scrape, gzip", _kib(found.scrape_zipped_bytes * nodes), _kib(found.scrape_zipped_bytes)),
            (
                "memory, resident at most",
                f"{figures.resident_bytes / MIB:,.0f} MiB",
                _kib((figures.resident_bytes - figures.empty_bytes) / nodes),
            ),
            ("of it heap in use", f"{figures.heap_bytes / MIB:,.0f} MiB", _kib(figures.heap_bytes / nodes)),
            (
                "CPU, share of one core",
                f"{100 * figures.cpu_cores:.1f} %",
                f"{100 * figures.cpu_cores / nodes:.2g} %",
            ),
        )
    )


def _kib(count: float) -> str:
    return f"{_digits(count / 1024)} KiB"


def _families(found: Outcome) -> str:
    return _rows(
        (f"`{name}`", f"{count:,}", f"{100 * count / found.series:.0f} %")
        for name, count in found.families.most_common(FAMILIES)
    )


def _of_budgets(group: Group) -> bool:
    return group.name.startswith("wattledger-budget-")


def _groups(groups: Sequence[Group]) -> str:
    ours = [one for one in groups if not _of_budgets(one)]
    rows = [
        (
            f"`{one.name}`",
            str(len(one.rules)),
            f"{one.interval_s / 60:.0f} min",
            _seconds(one.median_s),
            _seconds(one.most_s),
            f"{100 * one.cores:.2g} %",
        )
        for one in sorted(ours, key=lambda one: -one.cores)
    ]
    budgets = [one for one in groups if _of_budgets(one)]
    rows.append(
        (
            f"`wattledger-budget-*`, {len(budgets)} groups",
            str(sum(len(one.rules) for one in budgets)),
            "1 min",
            _seconds(sum(one.median_s for one in budgets)),
            _seconds(max(one.most_s for one in budgets)),
            f"{100 * sum(one.cores for one in budgets):.2g} %",
        )
    )
    cores = sum(one.cores for one in groups)
    rows.append(("all", str(sum(len(one.rules) for one in groups)), "", "", "", f"{100 * cores:.2g} %"))
    return _rows(rows)


def _title(rule: Rule) -> str:
    told = [rule.labels[label] for label in ("period", "window") if label in rule.labels]
    return f"`{rule.name}`" + (f" ({', '.join(told)})" if told else "")


def _dearest(groups: Sequence[Group]) -> str:
    a_minute = sum(one.cores * 60 for one in groups)
    rules = sorted(
        ((rule.median_s * 60 / group.interval_s, group, rule) for group in groups for rule in group.rules),
        key=lambda entry: -entry[0],
    )
    return _rows(
        (_title(rule), f"`{group.name}`", _seconds(rule.median_s), f"{100 * cost / a_minute:.0f} %")
        for cost, group, rule in rules[:DEAREST]
    )


def _larger(found: Outcome, sizes: Sequence[int]) -> str:
    figures = found.figures
    dearest = max(found.groups, key=lambda one: one.cores)
    rules_s = sum(one.cores * 60 for one in found.groups)
    recorded = sum(found.recorded.values())

    def memory(nodes: int) -> str:
        head = figures.samples_per_s * HEAD_S * BYTES_PER_SAMPLE
        grown = (figures.resident_bytes - figures.empty_bytes + head) * nodes / found.nodes
        return f"{(figures.empty_bytes + grown) / MIB / 1024:.1f} GiB"

    def scaled(value: float, form: str = ",.0f") -> list[str]:
        return [format(value * nodes / found.nodes, form) for nodes in sizes]

    return _rows(
        (
            ("series exposed and recorded", *scaled(found.series + recorded)),
            ("samples a second", *scaled(figures.samples_per_s)),
            ("memory", *map(memory, sizes)),
            ("CPU, cores", *scaled(figures.cpu_cores, ".2f")),
            ("rules, seconds a minute", *scaled(rules_s, ".1f")),
            (f"of it `{dearest.name}`, of its {dearest.interval_s:.0f} s", *scaled(dearest.median_s, ".1f")),
            ("samples a day, millions", *scaled(figures.samples_per_s * DAY_S / 1e6)),
        )
    )


def _drops(found: Outcome) -> str:
    rows = []
    for drop in DROPS:
        cost_s, names = 0.0, set()
        for group in found.groups:
            for rule in group.rules:
                if drop.means(group, rule):
                    cost_s += rule.median_s * 60 / group.interval_s
                    names.add(rule.name)
        if not names:
            raise ValueError(f"no rule is meant by {drop.pattern}")
        series = sum(found.recorded[name] for name in names)
        rows.append((drop.what, _seconds(cost_s), f"{series:,}", drop.missed_by))
    return _rows(rows)
