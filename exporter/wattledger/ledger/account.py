"""One workload's running totals, and how they are kept over a restart."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ..model import EXITED, IDLE, KERNEL, OTHER, UNATTRIBUTED, Component, Mode, Workload, WorkloadRow

Key = tuple[str, str]
CellKey = tuple[Component, Mode]

PSEUDO = {workload.kind: workload for workload in (KERNEL, IDLE, UNATTRIBUTED, EXITED, OTHER)}


@dataclass(slots=True)
class Account:
    """One workload's running totals.

    `workload` carries the identity labels of its energy series, which never change once shown; `info` is
    what is known of it now and may be named differently. `ended_ns` is boot time, None while the
    workload lives; `held_until_ns` likewise, None once its series are shown.
    """

    uid: int
    workload: Workload
    info: Workload
    cpu_ns: int = 0
    cells: dict[CellKey, list[Any]] = field(default_factory=dict)
    interval_uj: int = 0
    ended_ns: int | None = None
    held_until_ns: int | None = None
    row: WorkloadRow | None = None


def dump_account(account: Account) -> list[Any]:
    """The account as plain lists."""
    workload = account.workload
    return [
        workload.kind,
        workload.id,
        workload.name,
        workload.pod_namespace,
        workload.pod_name,
        workload.container_name,
        account.info.facts,
        account.cpu_ns,
        account.ended_ns,
        [[component, mode, uj, g] for (component, mode), (uj, g) in account.cells.items()],
    ]


def load_account(fields: list[Any], uid: int) -> Account:
    """The account that `dump_account` wrote; its series count as shown."""
    kind, id_, name, namespace, pod, container, facts, cpu_ns, ended_ns, cells = fields
    workload = PSEUDO.get(kind) or Workload(
        kind=kind,
        id=id_,
        name=name,
        pod_namespace=namespace,
        pod_name=pod,
        container_name=container,
        facts=tuple((key, value) for key, value in facts),
    )
    account = Account(uid, workload, workload, cpu_ns=cpu_ns, ended_ns=ended_ns)
    for component, mode, energy_uj, grams in cells:
        account.cells[component, mode] = [energy_uj, grams]
    return account


def named(workload: Workload, names: Workload) -> Workload:
    """`workload` with the non-empty identity fields and the facts of `names` over its own."""
    return replace(
        workload,
        name=names.name or workload.name,
        pod_namespace=names.pod_namespace or workload.pod_namespace,
        pod_name=names.pod_name or workload.pod_name,
        container_name=names.container_name or workload.container_name,
        facts=tuple({**dict(workload.facts), **dict(names.facts)}.items()),
    )
