"""What a metric family is, and short ways to declare one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PREFIX = "wattledger_"
MAX_LABELS = 12  # per series; Mimir's default limit is 30 with the target's own labels included

FamilyType = Literal["counter", "gauge", "info"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric family.

    `name` is the sample name without the prefix, so counters end in `_total` and info families in `_info`.
    `unit` is "" or the base unit, which the name then ends in (before `_total`), as OpenMetrics wants it.
    `labels` are in the order of the exposition; those that are empty are left out.
    `more` says in words which further labels an info series may carry, "" for none.
    `prefix` is "" only for the standard process metrics.
    """

    name: str
    type: FamilyType
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    more: str = ""
    since: str = "0.1.0"
    prefix: str = PREFIX

    @property
    def sample_name(self) -> str:
        """The name of each sample, and of the family in the text format 0.0.4."""
        return self.prefix + self.name

    @property
    def openmetrics_name(self) -> str:
        """The name of the family in OpenMetrics 1.0: without `_total` and `_info`."""
        suffix = {"counter": "_total", "info": "_info", "gauge": ""}[self.type]
        return self.sample_name.removesuffix(suffix)


def counter(name: str, unit: str, help: str, *labels: str) -> Family:
    """A counter; its name ends in `_total`."""
    return Family(name=name, type="counter", unit=unit, help=help, labels=labels)


def gauge(name: str, unit: str, help: str, *labels: str) -> Family:
    """A gauge."""
    return Family(name=name, type="gauge", unit=unit, help=help, labels=labels)


def info(name: str, help: str, *labels: str, more: str = "") -> Family:
    """An info series, always 1, whose labels are what it says."""
    return Family(name=name, type="info", unit="", help=help, labels=labels, more=more)


def process(name: str, type: FamilyType, unit: str, help: str) -> Family:
    """A standard process metric, without our prefix."""
    return Family(name=name, type=type, unit=unit, help=help, prefix="")
