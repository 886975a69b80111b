"""What the agent says about itself beyond a snapshot: its build and the standard process metrics."""

from __future__ import annotations

import platform
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, ProcessCollector

from .. import __version__


def build_labels(revision: str = "") -> Mapping[str, str]:
    """The labels of `build_info`; `revision` is the source revision where the package knows it."""
    return {"version": __version__, "revision": revision, "python_version": platform.python_version()}


class OwnProcess:
    """The standard process metrics of this process, without touching the global registry."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)

    def values(self) -> Mapping[str, float]:
        """Each metric's value by sample name; what /proc does not tell is missing."""
        return {
            sample.name: sample.value
            for metric in self._registry.collect()
            for sample in metric.samples
            if not sample.name.endswith("_created")
        }
