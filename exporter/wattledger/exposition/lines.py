"""Finished sample lines, kept together by family."""

from __future__ import annotations

from collections.abc import Iterable

from .family import MAX_LABELS, PREFIX
from .values import label_pairs

Pairs = Iterable[tuple[str, str]]


class Lines:
    """Collects the samples of families, keeping those of one family together."""

    def __init__(self) -> None:
        self.by_name: dict[str, list[str]] = {}

    def add(self, name: str, value: str | None, labels: Pairs = ()) -> None:
        """Add a sample of the family `name` (without prefix); None is no sample."""
        if value is not None:
            self._append(PREFIX + name, value, labels)

    def add_standard(self, name: str, value: str | None) -> None:
        """Add a sample of an unprefixed family."""
        if value is not None:
            self._append(name, value, ())

    def _append(self, sample_name: str, value: str, labels: Pairs) -> None:
        written = label_pairs(labels, MAX_LABELS)
        line = f"{sample_name}{{{written}}} {value}" if written else f"{sample_name} {value}"
        self.by_name.setdefault(sample_name, []).append(line)
