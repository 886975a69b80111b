"""A budget over many nodes, as the list has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..settings import Period

TARGET_LABELS = ("cluster", "job", "instance")
"""Labels that Prometheus gives: a budget that selects by these alone goes by the nodes' own counters."""

SERIES_LABELS = ("kind", "id", "name", "pod_namespace", "pod_name", "container_name")
"""Labels of the workloads' counters."""

INFO_LABELS = ("user", "account", "partition", "unit", "image", "runtime")
"""Labels that stand on the workloads' info series only."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """What a label has to be: one of `exactly`, else what the regular expression `like` matches wholly."""

    exactly: tuple[str, ...] = ()
    like: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetBudget:
    """A limit in grams of CO2e per calendar period in UTC, for everything that `select` matches, by label.

    `labels` go on all of its series and alerts; `severity` is that of its warnings, None for the defaults.
    `scope` says whether embodied emissions count as well.
    """

    name: str
    limit_g: float
    period: Period
    severity: str | None = None
    scope: Literal["operational", "total"] = "operational"
    labels: Mapping[str, str] = field(default_factory=dict)
    select: Mapping[str, Matcher] = field(default_factory=dict)

    @property
    def of_nodes(self) -> bool:
        """Whether the nodes' own counters tell it, which miss nothing."""
        return all(label in TARGET_LABELS for label in self.select)
