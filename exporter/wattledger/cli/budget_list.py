"""Emission budgets in the settings file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..errors import SettingsError
from ..settings import BudgetSettings
from .carbon_kinds import Mass, TimeZone
from .kinds import Choice, Text
from .structure import Structure

if TYPE_CHECKING:
    from .structured_part import Part

_MOST_BUDGETS = 200
_MOST_LABELS = 12
_MOST_PATTERNS = 200
_LABEL = re.compile(r"[a-z_][a-z0-9_]{0,63}", re.ASCII)
_NAME = Text("a name of up to 64 letters, digits and _.:-", r"[a-zA-Z0-9_.:-]{1,64}")
_LIMIT = Mass("1 g", "1000000 t", "50 kg")
_PERIOD = Choice(("day", "week", "month", "quarter", "year"))
_SCOPE = Choice(("operational", "total"))
_PATTERN = Text("a shell pattern of up to 256 characters, such as ml or bob*", r"[^\x00-\x1f\x7f]{1,256}")
_PATTERNS = "a shell pattern or a list of them, such as [ann, bob*]"
_MEANT = {"namespace": "pod_namespace", "pod": "pod_name", "container": "container_name"}
_SELECT = "a mapping from labels of workloads to shell patterns, such as {pod_namespace: ml}"


class Budgets(Structure):
    """A list of budgets; `timezone` is empty where a budget gives none."""

    accepts = "a list of budgets such as {name: node-month, period: month, limit: 50 kg}"

    def read(self, part: Part) -> tuple[BudgetSettings, ...]:
        found: dict[str, BudgetSettings] = {}
        paths: dict[str, str] = {}
        for item in part.items(self.accepts, _MOST_BUDGETS):
            budget = _budget(item)
            if budget.name in found:
                raise SettingsError(
                    f"{item.origin}.name: {budget.name} is the name of {paths[budget.name]} too;"
                    " give each budget a name of its own"
                )
            found[budget.name], paths[budget.name] = budget, item.path
        return tuple(found.values())


def _budget(item: Part) -> BudgetSettings:
    known = ("name", "period", "limit", "timezone", "select", "scope")
    fields = item.fields(known, "a budget such as {name: node-month, period: month, limit: 50 kg}")
    for key, kind in (("name", _NAME), ("period", _PERIOD), ("limit", _LIMIT)):
        if key not in fields:
            raise item.missing(key, kind.accepts)
    return BudgetSettings(
        name=fields["name"].value(_NAME),
        limit_g=fields["limit"].value(_LIMIT),
        period=fields["period"].value(_PERIOD),
        timezone=fields["timezone"].value(TimeZone()) if "timezone" in fields else "",
        select=_select(fields["select"]) if "select" in fields else {},
        scope=fields["scope"].value(_SCOPE) if "scope" in fields else "operational",
    )


def _select(part: Part) -> dict[str, tuple[str, ...]]:
    entries = part.entries(_SELECT)
    if len(entries) > _MOST_LABELS:
        raise SettingsError(f"{part.origin}: {len(entries)} labels are too many; give at most {_MOST_LABELS}")
    for label, one in entries.items():
        if not _LABEL.fullmatch(label):
            raise SettingsError(
                f"{one.origin}: no label of a workload can be called that; give one such as kind, name,"
                " pod_namespace or user, of lower-case letters, digits and _"
            )
        if label in _MEANT:
            raise SettingsError(f"{one.origin}: no workload has that label; the one meant is {_MEANT[label]}")
    return {label: _patterns(one) for label, one in entries.items()}


def _patterns(part: Part) -> tuple[str, ...]:
    if not part.is_list:
        if part.is_null:
            raise part.wrong_type(_PATTERNS)
        return (part.value(_PATTERN),)
    items = part.items(_PATTERNS, _MOST_PATTERNS)
    if not items:
        raise SettingsError(f"{part.origin}: an empty list matches nothing; give {_PATTERNS}")
    return tuple(item.value(_PATTERN) for item in items)
