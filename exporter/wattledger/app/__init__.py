"""The composition root: the only place where the objects meet."""

from .agent import run
from .parts import build_grid_for, build_names, build_sampler, build_workloads, take_once, version

__all__ = [
    "build_grid_for",
    "build_names",
    "build_sampler",
    "build_workloads",
    "run",
    "take_once",
    "version",
]
