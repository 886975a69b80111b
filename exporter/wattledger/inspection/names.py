"""Which sources know the names of what runs now, for `wattledger check`."""

from __future__ import annotations

from collections.abc import Collection

from ..app import build_names
from ..clock import Clock
from ..model import Finding, Workload
from ..settings import Settings
from ..snapshot import SourceHealth
from ..workloads.names.base import ASKED_KINDS
from ..workloads.names.service import NameService
from ..workloads.scan import HostWorkloads

NAMES_TIMEOUT_S = 3.0


def name_findings(settings: Settings, clock: Clock, workloads: HostWorkloads) -> list[Finding]:
    """Which sources know the names of what runs now, and why one does not answer."""
    try:
        born = workloads.scan().born
    except OSError:
        return []  # the findings on workloads tell why
    asked = [workload for workload in born if workload.kind in ASKED_KINDS]
    names = build_names(settings, clock, workloads)
    if names is None or not asked:
        why = "nothing runs here that needs a name" if names is not None else "switched off (names.enabled)"
        return [Finding(sensor="names", subject="sources", status="absent", why=why)]
    health = _ask(names, asked)
    found = [_source_finding(name, state) for name, state in health.items() if state.answers or state.errors]
    none = Finding(
        sensor="names",
        subject="sources",
        status="absent",
        why=f"no source knows any of the {len(asked)} workloads here; they are shown by their ids",
    )
    return found or [none]


def _ask(names: NameService, workloads: Collection[Workload]) -> dict[str, SourceHealth]:
    names.start()
    try:
        names.ask(workloads)
        names.settle(NAMES_TIMEOUT_S)
        return names.health()
    finally:
        names.stop()


def _source_finding(name: str, health: SourceHealth) -> Finding:
    if not health.errors:
        return Finding(
            sensor="names", subject=name, status="usable", why=f"knows {health.answers} of the workloads here"
        )
    reason = max(health.errors, key=lambda key: health.errors[key])
    denied = reason in {"eacces", "eperm", "unauthorized", "forbidden"}
    known = f"; it knows {health.answers} workloads all the same" if health.answers else ""
    return Finding(
        sensor="names",
        subject=name,
        status="denied" if denied else "failed",
        why=f"{health.error or reason}{known}",
        fix="setpriv --ambient-caps=+dac_read_search --inh-caps=+dac_read_search wattledger run"
        if reason == "eacces"
        else "",
    )
