"""Which workloads a budget counts: shell patterns over their labels (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import translate

from ...errors import SettingsError
from ...model import Workload

IDENTITY = ("kind", "id", "name", "pod_namespace", "pod_name", "container_name")
TEXT_LIMIT = 200


def labels_of(workload: Workload) -> dict[str, str]:
    """What is known of a workload, by label; an identity label goes before a fact of the same name."""
    labels = dict(workload.facts)
    labels["kind"] = workload.kind
    labels["id"] = workload.id
    labels["name"] = workload.name
    labels["pod_namespace"] = workload.pod_namespace
    labels["pod_name"] = workload.pod_name
    labels["container_name"] = workload.container_name
    return labels


class Selector:
    """The `select` of a budget, compiled.

    Every label has to match one of its patterns, which are those of the shell (`*`, `?`, `[ab]`,
    `[!ab]`), case sensitive, over the whole value. A label that is missing or empty matches no pattern, so
    `*` stands for any value that is known. An empty `select` matches every workload.
    Raises SettingsError for a label without patterns or with an empty one.
    `text` is the canonical form for people, at most TEXT_LIMIT characters, "" when everything is selected.
    """

    def __init__(self, select: Mapping[str, tuple[str, ...]]) -> None:
        self._tests: list[tuple[str, frozenset[str], re.Pattern[str] | None]] = []
        parts = []
        for label in sorted(select):
            patterns = sorted(set(select[label]))
            if not label or not patterns or "" in patterns:
                raise SettingsError(f"select.{label}: needs one or more patterns, none of them empty")
            literal = frozenset(pattern for pattern in patterns if not any(c in pattern for c in "*?["))
            wild = [translate(pattern) for pattern in patterns if pattern not in literal]
            self._tests.append((label, literal, re.compile("|".join(wild)) if wild else None))
            parts.append(f"{label}={'|'.join(patterns)}")
        text = ",".join(parts)
        self.text = text if len(text) <= TEXT_LIMIT else f"{text[: TEXT_LIMIT - 3]}..."

    @property
    def everything(self) -> bool:
        """Whether nothing is asked for: the budget is the node's."""
        return not self._tests

    def matches(self, workload: Workload) -> bool:
        """Whether a workload, as known now, is one of those selected."""
        return self.accepts(labels_of(workload))

    def accepts(self, labels: Mapping[str, str]) -> bool:
        """The same for its labels, for whoever has them at hand."""
        for label, literal, wild in self._tests:
            value = labels.get(label, "")
            if not value or (value not in literal and (wild is None or wild.match(value) is None)):
                return False
        return True
