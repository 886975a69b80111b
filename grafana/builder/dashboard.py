"""A dashboard: variables, rows of panels, links; and where each panel comes to lie."""

from __future__ import annotations

from dataclasses import dataclass, field

from .fields import JSON
from .links import TAG, dropdown
from .panels import DATASOURCE, Panel

SCHEMA_VERSION = 39
COLUMNS = 24

EVERYTHING = ".+"
ANYTHING_OR_NOTHING = ".*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A choice of label values, read anew with the time range.

    With `everything`, all of them can be chosen at once, and are by default; else the first one is.
    `regex_of_all` is what `All` matches: EVERYTHING, or ANYTHING_OR_NOTHING where a label may be missing.
    """

    name: str
    label: str
    query: str
    everything: bool = True
    regex_of_all: str = EVERYTHING

    def json(self) -> JSON:
        """A query variable."""
        current = {"selected": True, "text": ["All"], "value": ["$__all"]} if self.everything else {}
        return {
            "type": "query",
            "name": self.name,
            "label": self.label,
            "datasource": DATASOURCE,
            "query": {"query": self.query, "refId": "StandardVariableQuery"},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": self.everything,
            "allValue": self.regex_of_all,
            "current": current,
            "options": [],
            "regex": "",
            "hide": 0,
            "skipUrlSync": False,
        }


DATASOURCE_VARIABLE: JSON = {
    "type": "datasource",
    "name": "datasource",
    "label": "Data source",
    "query": "prometheus",
    "refresh": 1,
    "multi": False,
    "includeAll": False,
    "current": {},
    "options": [],
    "regex": "",
    "hide": 0,
    "skipUrlSync": False,
}


def selection(*, one_node: bool = False) -> tuple[Variable, ...]:
    """Cluster, job and instance; with `one_node` the first node is shown until another is chosen."""
    return (
        Variable(
            name="cluster",
            label="Cluster",
            query="label_values(wattledger_build_info, cluster)",
            regex_of_all=ANYTHING_OR_NOTHING,
        ),
        Variable(
            name="job",
            label="Job",
            query='label_values(wattledger_build_info{cluster=~"$cluster"}, job)',
        ),
        Variable(
            name="instance",
            label="Instance",
            query='label_values(wattledger_build_info{cluster=~"$cluster", job=~"$job"}, instance)',
            everything=not one_node,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A heading with the panels below it."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """One dashboard; `uid` is its address and never changes."""

    uid: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    span: str = "6h"
    refresh: str = "1m"
    tags: tuple[str, ...] = field(default=(TAG,))

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All panels, in their order."""
        return tuple(panel for row in self.rows for panel in row.panels)

    def json(self) -> JSON:
        """Classic dashboard JSON, the same bytes for the same dashboard."""
        return {
            "id": None,
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": list(self.tags),
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "timezone": "browser",
            "time": {"from": f"now-{self.span}", "to": "now"},
            "refresh": self.refresh,
            "timepicker": {},
            "fiscalYearStartMonth": 0,
            "liveNow": False,
            "annotations": {"list": []},
            "links": [dropdown()],
            "templating": {"list": [DATASOURCE_VARIABLE, *(variable.json() for variable in self.variables)]},
            "panels": self._placed(),
        }

    def _placed(self) -> list[JSON]:
        placed: list[JSON] = []
        y = 0
        for row in self.rows:
            placed.append(_heading(row.title, len(placed) + 1, y))
            y += 1
            x = line = 0
            for panel in row.panels:
                if x + panel.width > COLUMNS:
                    x, y, line = 0, y + line, 0
                placed.append(panel.json(len(placed) + 1, x, y))
                x += panel.width
                line = max(line, panel.height)
            y += line
        return placed


def _heading(title: str, number: int, y: int) -> JSON:
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
        "panels": [],
    }
