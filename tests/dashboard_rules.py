"""The rules of Grafana's dashboard-linter, written anew, and the exclusions that `grafana/.lint` argues.

Each rule yields what it finds as (panel title or "", target index or None, message).
Rules about Loki queries hold trivially: a test sees to it that there are none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import promql_parser as promql

UNITS = frozenset(
    {
        "none",
        "string",
        "short",
        "percentunit",
        "bytes",
        "s",
        "watt",
        "kwatth",
        "joule",
        "massg",
        "litre",
        "cps",
    }
    | {"dateTimeAsLocal", "dateTimeFromNow"}
)
"""Those of Grafana's units that our dashboards need, of the longer list that the linter has."""

RATE_INTERVAL = "5m"
OTHERS = {"__range": "6h", "__interval": "1m", "__range_s": "21600"}
WITH_UNITS = ("stat", "gauge", "table", "timeseries")
RATES = ("rate", "irate", "increase")

Json = Mapping[str, Any]


class Finding(NamedTuple):
    """One breach of a rule."""

    rule: str
    dashboard: str
    panel: str
    target: int | None
    message: str


Found = Iterator[tuple[str, "int | None", str]]


def panels_of(dashboard: Json) -> list[Json]:
    """All panels but headings."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def filled(expr: str) -> str:
    """A query with values for Grafana's own variables; ours stand in strings and can stay."""
    expr = expr.replace("$__rate_interval", RATE_INTERVAL)
    for name, value in OTHERS.items():
        expr = re.sub(rf"\${name}\b", value, expr)
    return expr


def parse(expr: str) -> promql.Expr:
    """The parsed query; raises ValueError."""
    return promql.parse(filled(expr))


def walk(node: Any, parents: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every node of a query with those above it, the nearest last."""
    yield node, parents
    below: list[Any] = []
    if isinstance(node, promql.AggregateExpr):
        below = [node.expr, *([node.param] if node.param is not None else [])]
    elif isinstance(node, promql.BinaryExpr):
        below = [node.lhs, node.rhs]
    elif isinstance(node, promql.Call):
        below = list(node.args)
    elif isinstance(node, promql.MatrixSelector):
        below = [node.vector_selector]
    elif isinstance(node, promql.ParenExpr | promql.UnaryExpr | promql.SubqueryExpr):
        below = [node.expr]
    for child in below:
        yield from walk(child, (*parents, node))


def selectors(expr: str) -> list[promql.VectorSelector]:
    """Every selector of a query."""
    return [node for node, _ in walk(parse(expr)) if isinstance(node, promql.VectorSelector)]


def matchers(selector: promql.VectorSelector) -> set[tuple[str, str, str]]:
    """Its matchers as (label, operator, value)."""
    signs = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}
    return {
        (matcher.name, signs[str(matcher.op).rpartition(".")[2]], matcher.value)
        for matcher in selector.matchers.matchers
    }


def variables(dashboard: Json) -> dict[str, Json]:
    """The variables by name."""
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def template_datasource(dashboard: Json) -> Found:
    """A variable `datasource` chooses the data source."""
    variable = variables(dashboard).get("datasource")
    if variable is None or (variable["type"], variable["query"], variable["label"]) != (
        "datasource",
        "prometheus",
        "Data source",
    ):
        yield "", None, "no variable `datasource` with the label `Data source`"


def _template(name: str) -> Callable[[Json], Found]:
    def rule(dashboard: Json) -> Found:
        variable = variables(dashboard).get(name, {})
        wanted = {"type": "query", "label": name.capitalize(), "multi": True, "allValue": ".+"}
        for key, value in wanted.items():
            if variable.get(key) != value:
                yield "", None, f"variable {name}: {key} is {variable.get(key)!r}, not {value!r}"
        if variable.get("datasource", {}).get("uid") != "$datasource":
            yield "", None, f"variable {name} does not use $datasource"

    return rule


def template_label_promql(dashboard: Json) -> Found:
    """What `label_values` selects can be parsed."""
    for name, variable in variables(dashboard).items():
        if variable["type"] != "query":
            continue
        match = re.fullmatch(r"label_values\((.*), ?\w+\)", variable["query"]["query"])
        if match is None:
            yield "", None, f"variable {name} does not use label_values"
            continue
        try:
            parse(match[1])
        except ValueError as error:
            yield "", None, f"variable {name}: {error}"


def template_on_time_change_reload(dashboard: Json) -> Found:
    """Choices follow the time range."""
    for name, variable in variables(dashboard).items():
        if variable["type"] == "query" and variable["refresh"] != 2:
            yield "", None, f"variable {name} is not read anew with the time range"


def uneditable_dashboard(dashboard: Json) -> Found:
    """A dashboard is changed in its source only."""
    if dashboard.get("editable", True) is not False:
        yield "", None, "editable"


def panel_datasource(dashboard: Json) -> Found:
    """Every panel uses the data source that was chosen."""
    for panel in panels_of(dashboard):
        used = {
            source["uid"] for source in (panel["datasource"], *(t["datasource"] for t in panel["targets"]))
        }
        if used != {"$datasource"}:
            yield panel["title"], None, f"uses {used}"


def panel_title_description(dashboard: Json) -> Found:
    """Every panel says what it shows."""
    for panel in panels_of(dashboard):
        if not panel["title"] or not panel["description"]:
            yield panel["title"], None, "no title or no description"


def panel_units(dashboard: Json) -> Found:
    """Every number has a unit that Grafana knows, in columns too."""
    for panel in panels_of(dashboard):
        if panel["type"] in (*WITH_UNITS, "bargauge", "state-timeline"):
            config = panel["fieldConfig"]
            units = [config["defaults"].get("unit")] + [
                item["value"]
                for override in config["overrides"]
                for item in override["properties"]
                if item["id"] == "unit"
            ]
            for unit in sorted({str(unit) for unit in units} - UNITS):
                yield panel["title"], None, f"unit {unit}"


def panel_no_targets(dashboard: Json) -> Found:
    """Every panel asks something."""
    for panel in panels_of(dashboard):
        if not panel["targets"]:
            yield panel["title"], None, "no targets"


def target_logql(dashboard: Json) -> Found:
    """No query goes to Loki."""
    for panel, index, target in _targets(dashboard):
        if target["datasource"]["type"] != "prometheus":
            yield panel["title"], index, "not for Prometheus"


def target_promql(dashboard: Json) -> Found:
    """Every query can be parsed."""
    for panel, index, target in _targets(dashboard):
        try:
            parse(target["expr"])
        except ValueError as error:
            yield panel["title"], index, str(error)


def target_rate_interval(dashboard: Json) -> Found:
    """Rates are over the interval that suits the scrape interval."""
    for panel, index, target in _targets(dashboard):
        for window in re.findall(rf"\b(?:{'|'.join(RATES)})\([^\[\]]*\[([^\]]*)\]", target["expr"]):
            if window != "$__rate_interval":
                yield panel["title"], index, f"a rate over {window}"


def _target_matcher(label: str) -> Callable[[Json], Found]:
    def rule(dashboard: Json) -> Found:
        for panel, index, target in _targets(dashboard):
            for selector in selectors(target["expr"]):
                if (label, "=~", f"${label}") not in matchers(selector):
                    yield panel["title"], index, f"{selector.name} without {label}"

    return rule


def target_counter_agg(dashboard: Json) -> Found:
    """A counter is only looked at through rate, irate or increase."""
    for panel, index, target in _targets(dashboard):
        for node, parents in walk(parse(target["expr"])):
            if isinstance(node, promql.VectorSelector) and (node.name or "").endswith("_total"):
                calls = [parent.func.name for parent in parents[-2:] if isinstance(parent, promql.Call)]
                if not set(calls) & set(RATES):
                    yield panel["title"], index, f"{node.name} as it is"


def _targets(dashboard: Json) -> Iterator[tuple[Json, int, Json]]:
    for panel in panels_of(dashboard):
        for index, target in enumerate(panel["targets"]):
            yield panel, index, target


RULES: Mapping[str, Callable[[Json], Found]] = {
    "template-datasource-rule": template_datasource,
    "template-job-rule": _template("job"),
    "template-instance-rule": _template("instance"),
    "template-label-promql-rule": template_label_promql,
    "template-on-time-change-reload-rule": template_on_time_change_reload,
    "panel-datasource-rule": panel_datasource,
    "panel-title-description-rule": panel_title_description,
    "panel-units-rule": panel_units,
    "panel-no-targets-rule": panel_no_targets,
    "target-logql-rule": target_logql,
    "target-logql-auto-rule": target_logql,
    "target-promql-rule": target_promql,
    "target-rate-interval-rule": target_rate_interval,
    "target-job-rule": _target_matcher("job"),
    "target-instance-rule": _target_matcher("instance"),
    "target-counter-agg-rule": target_counter_agg,
    "uneditable-dashboard": uneditable_dashboard,
}


def lint(rule: str, dashboard: Json) -> list[Finding]:
    """What a rule finds in a dashboard."""
    return [Finding(rule, dashboard["title"], *found) for found in RULES[rule](dashboard)]


def excuses(entry: Mapping[str, str], finding: Finding) -> bool:
    """Whether an entry of `.lint` excuses a finding, as the linter decides it."""
    target = entry.get("targetIdx", "")
    return (
        entry.get("dashboard", "") == finding.dashboard
        and (not finding.panel or entry.get("panel", "") == finding.panel)
        and (target == "" or finding.target is None or int(target) == finding.target)
    )
