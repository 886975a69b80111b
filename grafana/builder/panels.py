"""Panels: what each shows, and the JSON that Grafana reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from .fields import JSON, NUMBER, Thresholds, by_name, coloured
from .palette import OPEN_SET

DATASOURCE = {"type": "prometheus", "uid": "$datasource"}
RECORDED = re.compile(r"\b[a-z]+:wattledger_\w+:\w+")


@dataclass(frozen=True, slots=True)
class Query:
    """One query; `legend` names its series with Grafana's `{{label}}`."""

    expr: str
    legend: str = "__auto"


@dataclass(frozen=True, kw_only=True)
class Panel:
    """What every panel has.

    `empty` completes "Empty ..." for a panel that shows nothing while all is well, or on some hosts.
    `width` and `height` are in Grafana's grid of 24 columns.
    """

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str = NUMBER
    width: int = 12
    height: int = 8
    decimals: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)
    mappings: tuple[JSON, ...] = ()
    empty: str = ""

    kind: ClassVar[str] = ""
    instant: ClassVar[bool] = True
    format: ClassVar[str] = "time_series"

    @property
    def needs_rules(self) -> bool:
        """Whether a query reads what a recording rule writes."""
        return any(RECORDED.search(query.expr) for query in self.queries)

    @property
    def full_description(self) -> str:
        """The description with what a reader of an empty panel has to know."""
        sentences = [self.description]
        if self.needs_rules:
            sentences.append("Needs the recording rules.")
        if self.empty:
            sentences.append(f"Empty {self.empty}.")
        return " ".join(sentences)

    def json(self, number: int, x: int, y: int) -> JSON:
        """The panel at a place of the grid, with its number as id."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.full_description,
            "datasource": DATASOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "targets": [self._target(index, query) for index, query in enumerate(self.queries)],
            "fieldConfig": {
                "defaults": self._defaults(),
                "overrides": self.overrides(),
            },
            "options": self.options(),
            **self.more(),
        }

    def options(self) -> JSON:
        """The options of this kind of panel."""
        return {}

    def custom(self) -> JSON:
        """The field options of this kind of panel."""
        return {}

    def color(self) -> JSON:
        """How fields are coloured by default."""
        return {"mode": "thresholds"}

    def overrides(self) -> list[JSON]:
        """What differs for some fields."""
        return []

    def more(self) -> JSON:
        """Further keys of the panel."""
        return {}

    def _target(self, index: int, query: Query) -> JSON:
        return {
            "refId": ref(index),
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": query.expr,
            "legendFormat": query.legend,
            "instant": self.instant,
            "range": not self.instant,
            "format": self.format,
            "exemplar": False,
        }

    def _defaults(self) -> JSON:
        defaults: JSON = {"unit": self.unit, "color": self.color(), "thresholds": self.thresholds.json()}
        optional = {
            "decimals": self.decimals,
            "min": self.minimum,
            "max": self.maximum,
            "noValue": f"Nothing {self.empty}" if self.empty and self.format == "time_series" else None,
        }
        defaults |= {key: value for key, value in optional.items() if value is not None}
        return defaults | {"mappings": list(self.mappings), "custom": self.custom()}


def ref(index: int) -> str:
    """The letter of a query."""
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[index]


@dataclass(frozen=True, kw_only=True)
class Stat(Panel):
    """One number, or one per series."""

    width: int = 4
    height: int = 4
    text: Literal["auto", "value", "value_and_name", "name"] = "auto"

    kind: ClassVar[str] = "stat"

    def options(self) -> JSON:
        """Coloured by its thresholds."""
        return {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "orientation": "auto",
            "textMode": self.text,
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "auto",
        }


@dataclass(frozen=True, kw_only=True)
class TimeSeries(Panel):
    """Lines over time, or areas that add up.

    `colors` names the colour of each series; without, the names are not known beforehand, and colour follows
    the largest value of a series.
    `dashed` are series drawn as a dashed line that is not stacked.
    """

    stacked: bool = False
    colors: Mapping[str, str] = field(default_factory=dict)
    dashed: tuple[str, ...] = ()
    minimum: float | None = 0

    kind: ClassVar[str] = "timeseries"
    instant: ClassVar[bool] = False

    def options(self) -> JSON:
        """A legend with numbers in it, so that no reader depends on colours."""
        return {
            "legend": {
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
                "calcs": ["lastNotNull", "mean", "max"],
                "sortBy": "Mean",
                "sortDesc": True,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        }

    def custom(self) -> JSON:
        """Gaps stay gaps: what was not measured is not drawn."""
        return {
            "drawStyle": "line",
            "lineInterpolation": "linear",
            "lineWidth": 1,
            "fillOpacity": 60 if self.stacked else 0,
            "gradientMode": "none",
            "showPoints": "auto",
            "spanNulls": False,
            "stacking": {"mode": "normal" if self.stacked else "none", "group": "A"},
            "axisPlacement": "auto",
        }

    def color(self) -> JSON:
        """Fixed by name where the names are known."""
        return {"mode": "palette-classic"} if self.colors else {"mode": OPEN_SET, "seriesBy": "max"}

    def overrides(self) -> list[JSON]:
        """The colours, and the dashes."""
        dashes = {
            "custom.lineStyle": {"fill": "dash", "dash": [8, 6]},
            "custom.lineWidth": 2,
            "custom.fillOpacity": 0,
            "custom.stacking": {"mode": "none", "group": "A"},
        }
        return [*coloured(self.colors), *(by_name(name, dashes) for name in self.dashed)]


@dataclass(frozen=True, kw_only=True)
class Bars(Panel):
    """One horizontal bar per series, the largest first."""

    minimum: float | None = 0

    kind: ClassVar[str] = "bargauge"

    def options(self) -> JSON:
        """The number stands beside the bar."""
        return {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "orientation": "horizontal",
            "displayMode": "basic",
            "valueMode": "text",
            "namePlacement": "auto",
            "showUnfilled": True,
            "sizing": "auto",
            "minVizWidth": 8,
            "minVizHeight": 16,
        }


@dataclass(frozen=True, kw_only=True)
class States(Panel):
    """A band per series whose colour and text change with its state."""

    kind: ClassVar[str] = "state-timeline"
    instant: ClassVar[bool] = False

    def options(self) -> JSON:
        """Equal neighbours make one band."""
        return {
            "mergeValues": True,
            "showValue": "auto",
            "alignValue": "left",
            "rowHeight": 0.8,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "single", "sort": "none"},
        }

    def custom(self) -> JSON:
        """Filled; a gap stays a gap, which is the default."""
        return {"fillOpacity": 80, "lineWidth": 0}
