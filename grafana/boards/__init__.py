"""The six dashboards, one module each."""

from __future__ import annotations

from ..builder.dashboard import Dashboard
from .carbon import CARBON
from .fleet import FLEET
from .gpu import GPU
from .health import HEALTH
from .node import NODE
from .workloads import WORKLOADS

BOARDS: tuple[Dashboard, ...] = (FLEET, NODE, WORKLOADS, GPU, CARBON, HEALTH)
