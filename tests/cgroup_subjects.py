"""The workloads of a fixture host's cgroup folders, as questions to resolvers that look at processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tests.name_hosts import outcome
from wattledger.workloads.identity import identify
from wattledger.workloads.names.base import NAMED_KINDS, Resolver, Subject


def subjects(base: Path) -> list[Subject]:
    """One per workload of a kind that is named, with the topmost of its folders below `base`, in order."""
    found: dict[tuple[str, str], Subject] = {}
    for folder, below, _ in os.walk(base):
        below.sort()
        workload = identify(folder.removeprefix(str(base)) or "/")
        if workload is not None and workload.kind in NAMED_KINDS:
            found.setdefault(workload.key, Subject(workload=workload, cgroup=folder))
    return list(found.values())


def describe(base: Path, resolvers: Sequence[Resolver]) -> str:
    """What each resolver says of each of them."""
    lines: list[str] = []
    for question in subjects(base):
        lines.append(question.cgroup.removeprefix(str(base)))
        said = [(resolver.name, outcome(resolver, question)) for resolver in resolvers]
        lines.extend(f"  {name}: {text}" for name, text in said if text)
    return "\n".join(lines) + "\n"
