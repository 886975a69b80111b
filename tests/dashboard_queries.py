"""The dashboards' queries with their variables filled in, as Grafana would send them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "grafana/dashboards"
FILES = tuple(sorted(FOLDER.glob("*.json")))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One query of one panel."""

    dashboard: str
    panel: Mapping[str, Any]
    index: int

    @property
    def target(self) -> Mapping[str, Any]:
        return self.panel["targets"][self.index]

    @property
    def expr(self) -> str:
        return self.target["expr"]

    @property
    def may_be_empty(self) -> bool:
        """Whether the panel says when it shows nothing."""
        return " Empty " in self.panel["description"]

    def __str__(self) -> str:
        return f"{self.dashboard} / {self.panel['title']} / {self.target['refId']}"

    def filled(self, **variables: str) -> str:
        """The query with every variable replaced; raises KeyError for one that has no value.

        Groups of `label_replace` have numbers; Grafana leaves them alone too.
        """
        return re.sub(r"\$([a-z_]\w*)", lambda match: variables[match[1]], self.expr)


def load(file: Path) -> dict[str, Any]:
    """One dashboard."""
    return json.loads(file.read_text(encoding="utf-8"))


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every panel but the headings, with the title of its dashboard."""
    for file in FILES:
        dashboard = load(file)
        for panel in dashboard["panels"]:
            if panel["type"] != "row":
                yield dashboard["title"], panel


def queries() -> Iterator[Asked]:
    """Every query of every panel."""
    for title, panel in panels():
        for index in range(len(panel["targets"])):
            yield Asked(dashboard=title, panel=panel, index=index)


def query_of(dashboard: str, panel: str, index: int = 0) -> Asked:
    """The query of that panel; raises LookupError when there is none or more than one such panel."""
    found = [
        asked
        for asked in queries()
        if (asked.dashboard, asked.panel["title"], asked.index) == (f"Wattledger / {dashboard}", panel, index)
    ]
    if len(found) != 1:
        raise LookupError(f"{dashboard} / {panel} / {index}: {len(found)}")
    return found[0]
