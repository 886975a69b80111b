"""What `wattledger check` says of an inspection, as text for a person and as JSON for a program."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import click

from ..exposition import amounts
from ..inspection import Inspection
from ..model import COMPONENTS, J_UJ, Finding, Reading, Zone
from .text_table import columns, printable

WIDTH = 80
_COLOURS = {"usable": "green", "denied": "red", "failed": "red", "ignored": "yellow", "absent": None}
_STATUS_WIDTH = max(len(status) for status in _COLOURS)
_MEASURED, _ESTIMATED, _NOTHING = "measured", "estimated", "nothing"


def verdict(inspection: Inspection) -> str:
    """`measured` when a meter that counts gave a value, `estimated` for an estimate, else `nothing`."""
    counted = inspection.cover.counted
    methods = {
        reading.zone.method
        for reading in inspection.readings
        if reading.raw_uj is not None and reading.zone.key in counted
    }
    return _MEASURED if _MEASURED in methods else _ESTIMATED if methods else _NOTHING


def as_text(inspection: Inspection, title: str) -> str:
    """The report in lines of 80 characters; only a command to be copied may be longer."""
    lines = [title, "", "What is counted", *_counted(inspection)]
    if inspection.readings:
        lines += ["", "Zones read (they overlap and do not add up)", *_zones(inspection)]
    for sensor in dict.fromkeys(finding.sensor for finding in inspection.findings):
        found = [finding for finding in inspection.findings if finding.sensor == sensor]
        lines += ["", printable(sensor)]
        for finding in found:
            lines += _finding(finding)
    lines += ["", *_wrapped(_conclusion(inspection), "")]
    for reason in inspection.refusals:
        lines += ["", *_wrapped(printable(f"The agent would not start: {reason}"), "")]
    return "\n".join(lines) + "\n"


def _counted(inspection: Inspection) -> list[str]:
    cover = inspection.cover
    rows: list[tuple[str, Sequence[Zone]]] = [(name, cover.components.get(name, ())) for name in COMPONENTS]
    if cover.node:
        rows.append(("node", cover.node))
    return columns([_component(inspection, name, zones) for name, zones in rows], right=(2,), flexible=1,
                   width=WIDTH, indent="  ")  # fmt: skip


def _component(inspection: Inspection, name: str, zones: Sequence[Zone]) -> tuple[str, str, str]:
    if not zones:
        nothing = "a whole-node meter minus the rest" if inspection.cover.node else "not measured here"
        return (name, nothing if name == "other" else "not measured here", "")
    powers_w = [inspection.power_w.get(zone.key) for zone in zones]
    known_w = [power_w for power_w in powers_w if power_w is not None]
    total = amounts.watts(sum(known_w)) if len(known_w) == len(zones) else "no value"
    worst = max(zone.uncertainty_ratio for zone in zones)
    count = f"{len(zones)} zones" if len(zones) > 1 else "1 zone"
    how = f"{zones[0].method} by {zones[0].sensor}, {count}, {amounts.percent(worst)}"
    return (name, how, total)


def _zones(inspection: Inspection) -> list[str]:
    counted = inspection.cover.counted
    head = ("sensor", "zone", "device", "counts as", "power", "counter")
    rows = [
        (
            zone.sensor,
            zone.name,
            zone.device,
            zone.covers if zone.key in counted else "only shown",
            amounts.watts(inspection.power_w.get(zone.key)),
            amounts.energy(reading.raw_uj) if reading.raw_uj is not None else reading.failure or "no value",
        )
        for reading in inspection.readings
        for zone in (reading.zone,)
    ]
    return columns([head, *rows], right=(4, 5), flexible=2, width=WIDTH, indent="  ")


def _finding(finding: Finding) -> list[str]:
    status = click.style(finding.status.ljust(_STATUS_WIDTH), fg=_COLOURS[finding.status])
    indent = " " * (_STATUS_WIDTH + 4)
    text = printable(f"{finding.subject}: {finding.why}")
    first, *rest = _wrapped(text, indent)
    lines = [f"  {status}  {first.lstrip()}", *rest]
    commands = [printable(line) for line in finding.fix.splitlines()]
    if len(commands) == 1:
        lines.append(f"{indent}fix: {commands[0]}")
    elif commands:
        lines += [f"{indent}fix:", *(f"{indent}{command}" for command in commands)]
    return lines


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    ) or [indent]


def _conclusion(inspection: Inspection) -> str:
    result = verdict(inspection)
    if result == _MEASURED:
        return "Energy is measured on this host."
    why = "see above for what keeps a meter from being read"
    if result == _ESTIMATED:
        return f"Nothing is measured on this host, only estimated: {why}."
    return f"Nothing can be read on this host, not even an estimate: {why}."


def as_json(inspection: Inspection) -> dict[str, Any]:
    """The report as `docs/json.md` describes it."""
    cover = inspection.cover
    return {
        "schema": 1,
        "verdict": verdict(inspection),
        "refusals": list(inspection.refusals),
        "components": {name: _keys(cover.components.get(name, ())) for name in COMPONENTS},
        "node": _keys(cover.node),
        "zones": [_zone(inspection, reading) for reading in inspection.readings],
        "findings": [
            {
                "sensor": finding.sensor,
                "subject": finding.subject,
                "status": finding.status,
                "why": finding.why,
                "fix": finding.fix,
            }
            for finding in inspection.findings
        ],
    }


def _keys(zones: Iterable[Zone]) -> list[dict[str, str]]:
    return [{"sensor": zone.sensor, "zone_name": zone.name, "device": zone.device} for zone in zones]


def _zone(inspection: Inspection, reading: Reading) -> dict[str, Any]:
    zone = reading.zone
    return {
        "sensor": zone.sensor,
        "zone_name": zone.name,
        "device": zone.device,
        "covers": zone.covers,
        "counted": zone.key in inspection.cover.counted,
        "method": zone.method,
        "uncertainty_ratio": zone.uncertainty_ratio,
        "energy_joules": None if reading.raw_uj is None else reading.raw_uj / J_UJ,
        "power_watts": inspection.power_w.get(zone.key),
        "failure": reading.failure,
    }
