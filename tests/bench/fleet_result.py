"""What the fleet's benchmark found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One figure of the rules, the same by the nodes themselves, and by the simulator where it knows."""

    what: str
    unit: str
    rules: float
    nodes: float
    true: float | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule with its labels and the median time of an evaluation."""

    name: str
    labels: Mapping[str, str]
    median_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group of rules, and what its evaluations took."""

    name: str
    interval_s: float
    evaluations: int
    median_s: float
    most_s: float
    rules: Sequence[Rule]

    @property
    def cores(self) -> float:
        """Its share of the time that passes."""
        return self.median_s / self.interval_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What Prometheus held and used; `empty_bytes` is the memory of one that does nothing."""

    head_series: int
    samples_per_s: float
    cpu_cores: float
    resident_bytes: float
    heap_bytes: float
    empty_bytes: float
    compactions: int
    missed: int
    failed_scrapes: int
    scrape_median_s: float
    scrape_most_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Everything that docs/fleet.md tells."""

    nodes: int
    scrape_s: int
    past_samples: int
    checks: Sequence[Check]
    groups: Sequence[Group]
    figures: Figures
    samples_of_nodes: Sequence[int]
    families: Counter[str]
    recorded: Counter[str]
    most_labels: int
    scrape_bytes: float
    scrape_zipped_bytes: float

    @property
    def series(self) -> int:
        """Samples of one scrape of every node."""
        return sum(self.samples_of_nodes)
