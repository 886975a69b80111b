"""Tables: several queries side by side, one row per set of labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .fields import JSON, Thresholds, by_name
from .links import data_link
from .panels import Panel, ref


@dataclass(frozen=True, slots=True)
class Label:
    """A column that shows a label; `link` leads somewhere from it."""

    name: str
    title: str
    link: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """The column of a query, in the order of the queries."""

    title: str
    unit: str
    decimals: int | None = None
    thresholds: Thresholds | None = None
    mappings: tuple[JSON, ...] = ()
    hidden: bool = False

    def properties(self) -> JSON:
        """What differs from the other columns."""
        properties: JSON = {"displayName": self.title, "unit": self.unit}
        if self.decimals is not None:
            properties["decimals"] = self.decimals
        if self.mappings:
            properties["mappings"] = list(self.mappings)
        if self.thresholds is not None:
            properties["thresholds"] = self.thresholds.json()
        if self.thresholds is not None or self.mappings:
            properties["custom.cellOptions"] = {"type": "color-text"}
        return properties


@dataclass(frozen=True, kw_only=True)
class Table(Panel):
    """A table; `sort` is the title of the column that it is sorted by, the largest first."""

    labels: tuple[Label, ...]
    values: tuple[Value, ...]
    sort: str = ""
    height: int = 10
    width: int = 24

    kind: ClassVar[str] = "table"
    format: ClassVar[str] = "table"

    def options(self) -> JSON:
        """Compact, with its header."""
        sort = [{"displayName": self.sort, "desc": True}] if self.sort else []
        return {
            "showHeader": True,
            "cellHeight": "sm",
            "sortBy": sort,
            "footer": {"show": False, "reducer": ["sum"], "countRows": False, "fields": ""},
        }

    def custom(self) -> JSON:
        """Every column can be filtered by."""
        return {"align": "auto", "filterable": True, "inspect": False, "cellOptions": {"type": "auto"}}

    def overrides(self) -> list[JSON]:
        """Titles, units and links of the columns."""
        labels = []
        for label in self.labels:
            properties: JSON = {"displayName": label.title, "unit": "string"}
            if label.link is not None:
                properties["links"] = [data_link(label.link)]
            labels.append(by_name(label.name, properties))
        values = [by_name(self._field(index), value.properties()) for index, value in enumerate(self.values)]
        return [*labels, *values]

    def more(self) -> JSON:
        """One row per set of labels, the columns in their order, nothing else."""
        shown = [
            *(label.name for label in self.labels),
            *(self._field(index) for index, value in enumerate(self.values) if not value.hidden),
        ]
        return {
            "transformations": [
                {"id": "merge", "options": {}},
                {
                    "id": "filterFieldsByName",
                    "options": {"include": {"names": shown}},
                },
                {
                    "id": "organize",
                    "options": {
                        "excludeByName": {},
                        "indexByName": {name: index for index, name in enumerate(shown)},
                        "renameByName": {},
                    },
                },
            ]
        }

    def _field(self, index: int) -> str:
        """What Grafana calls the values of a query in a table."""
        return f"Value #{ref(index)}" if len(self.queries) > 1 else "Value"
