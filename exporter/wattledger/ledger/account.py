"""One workload's running totals, and how they are kept over a restart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from ..model import EXITED, IDLE, KERNEL, OTHER, UNATTRIBUTED, Component, Mode, Workload
from ..snapshot import Cell, WorkloadRow

Key = tuple[str, str]
CellKey = tuple[Component, Mode]

PSEUDO = {workload.kind: workload for workload in (KERNEL, IDLE, UNATTRIBUTED, EXITED, OTHER)}

_encoder = msgspec.msgpack.Encoder()


@dataclass(slots=True)
class Account:
    """One workload's running totals.

    `workload` carries the identity labels of its energy series, which never change once shown; `info` is
    what is known of it now and may be named differently. `ended_ns` is boot time, None while the
    workload lives; `held_until_ns` likewise, None once its series are shown.
    `interval_*` are what the last interval added.
    """

    uid: int
    workload: Workload
    info: Workload
    cpu_ns: int = 0
    cells: dict[CellKey, Cell] = field(default_factory=dict)
    embodied_g: float = 0.0
    interval_uj: int = 0
    interval_g: float = 0.0
    interval_embodied_g: float = 0.0
    ended_ns: int | None = None
    held_until_ns: int | None = None
    row: WorkloadRow | None = None
    labels: msgspec.Raw | None = None


def dump_account(account: Account) -> list[Any]:
    """The account in what MessagePack can carry; its labels are encoded once and kept."""
    labels = account.labels
    if labels is None:
        workload = account.workload
        named_so = (
            workload.kind,
            workload.id,
            workload.name,
            workload.pod_namespace,
            workload.pod_name,
            workload.container_name,
            account.info.facts,
        )
        labels = account.labels = msgspec.Raw(_encoder.encode(named_so))
    return [labels, account.cpu_ns, account.ended_ns, list(account.cells.values()), account.embodied_g]


def encode_accounts(accounts: Iterable[Account]) -> msgspec.Raw:
    """The dumps of several accounts as MessagePack, to be kept as long as none of them changes."""
    return msgspec.Raw(_encoder.encode([dump_account(account) for account in accounts]))


def load_account(fields: list[Any], uid: int) -> Account:
    """The account that `dump_account` wrote, decoded; its series count as shown."""
    (kind, id_, name, namespace, pod, container, facts), cpu_ns, ended_ns, cells, embodied_g = fields
    workload = PSEUDO.get(kind) or Workload(
        kind=kind,
        id=id_,
        name=name,
        pod_namespace=namespace,
        pod_name=pod,
        container_name=container,
        facts=tuple((key, value) for key, value in facts),
    )
    account = Account(uid, workload, workload, cpu_ns=cpu_ns, ended_ns=ended_ns, embodied_g=embodied_g)
    for component, mode, energy_uj, grams in cells:
        account.cells[component, mode] = Cell(component, mode, energy_uj, grams)
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


def same_labels(one: Workload, other: Workload) -> bool:
    """Whether two objects of one identity say the same of it."""
    return (
        one.name == other.name
        and one.pod_namespace == other.pod_namespace
        and one.pod_name == other.pod_name
        and one.container_name == other.container_name
        and one.facts == other.facts
    )
