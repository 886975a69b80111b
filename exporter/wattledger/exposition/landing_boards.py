"""What the landing page says of GPU boards (pure)."""

from __future__ import annotations

from html import escape

from ..snapshot import BoardRow, SensorRow, Snapshot
from . import amounts
from .page import table

_QUALITIES = {
    "mps": "split through the MPS server",
    "mig-memory": "split by memory within MIG instances",
    "mig-equal": "split evenly within MIG instances",
    "mig-share": "split by the size of MIG instances",
    "holders": "split by memory held",
    "kfd-occupancy": "split by occupancy",
    "kfd-queues": "split by queues",
}
"""Splits that are weak, as `BoardRow.quality` names them, in words."""


def boards(snapshot: Snapshot) -> str:
    """Every board with what it draws; "" on a host without any."""
    zones = [row for row in snapshot.sensors if row.zone.covers == "gpu"]
    if not zones:
        return ""
    known = {board.device: board for board in snapshot.boards}
    columns = ("Board", "Power", "Idle", "Energy", "Split among workloads")
    rows = [_board(row, known.get(row.zone.device)) for row in zones]
    return table("GPU boards, mean over the last interval", columns, rows, numeric=columns[1:4])


def _board(row: SensorRow, board: BoardRow | None) -> tuple[str, ...]:
    zone = row.zone
    attributes = dict(zone.attributes)
    shown = attributes.get("model") or zone.device or zone.name
    index = attributes.get("index", "")
    details = " ".join(dict.fromkeys(part for part in (attributes.get("pci", ""), zone.device) if part))
    name = (f"{index} · " if index else "") + shown
    return (
        escape(name) + (f"<small>{escape(details)}</small>" if details != shown else ""),
        amounts.watts(row.power_w) if row.up else "<strong>no value</strong>",
        amounts.watts(board.idle_power_w if board else None),
        amounts.energy(row.energy_uj),
        _split(board),
    )


def _split(board: BoardRow | None) -> str:
    if board is None:
        return amounts.NOTHING
    text = escape(_QUALITIES.get(board.quality, board.quality)) if board.quality else "by use"
    profiles: dict[str, int] = {}
    for instance in board.instances:
        profiles[instance.profile] = profiles.get(instance.profile, 0) + 1
    if profiles:
        told = ", ".join(f"{count} × {name}" if count > 1 else name for name, count in profiles.items())  # noqa: RUF001 - a multiplication sign
        text += f"<small>MIG: {escape(told)}</small>"
    if board.check_ratio is not None and abs(board.check_ratio - 1.0) > 0.1:
        text += f"<small>its energy counter is {amounts.share(board.check_ratio)} of its power</small>"
    return text
