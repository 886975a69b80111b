"""Finished sample lines, kept together by family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .family import MAX_LABELS, PREFIX
from .values import label_pairs

Pairs = Iterable[tuple[str, str]]
Starts = Mapping[tuple[str, tuple[tuple[str, str], ...]], str]


class Lines:
    """Collects the samples of families, keeping those of one family together.

    `known` are the `starts` of an earlier collection: what is written of a series before its value.
    """

    def __init__(self, known: Starts | None = None) -> None:
        self.by_name: dict[str, list[str]] = {}
        self.starts: dict[tuple[str, tuple[tuple[str, str], ...]], str] = {}
        self._known = known or {}

    def add(self, name: str, value: str | None, labels: Pairs = ()) -> None:
        """Add a sample of the family `name` (without prefix); None is no sample."""
        if value is not None:
            self._append(PREFIX + name, value, labels)

    def add_standard(self, name: str, value: str | None) -> None:
        """Add a sample of an unprefixed family."""
        if value is not None:
            self._append(name, value, ())

    def _append(self, sample_name: str, value: str, labels: Pairs) -> None:
        key = (sample_name, tuple(labels))
        start = self.starts[key] = self._known.get(key) or _start(*key)
        self.by_name.setdefault(sample_name, []).append(start + value)


def _start(sample_name: str, labels: Pairs) -> str:
    written = label_pairs(labels, MAX_LABELS)
    return f"{sample_name}{{{written}}} " if written else f"{sample_name} "
