"""A report as JSON, as `docs/report.schema.json` describes it (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..model import J_UJ, S_NS, Component
from . import statements
from .records import UJ_PER_KWH, ComponentSum, Report, Row, Slice, Source
from .wording import iso, name_of, rest_of

SCHEMA_ID = "urn:wattledger:report"
SCHEMA_VERSION = 1
"""Goes up when something is taken away or changes its meaning; additions leave it as it is."""

_IDENTITY = ("kind", "id", "name", "pod_namespace", "pod_name", "container_name")


def as_json(report: Report) -> dict[str, Any]:
    """The report as a tree for `json.dumps`; null where nothing of that kind was booked."""
    zone = report.timezone
    known = statements.boundary(report.components)
    return {
        "schema": {"id": SCHEMA_ID, "version": SCHEMA_VERSION},
        "made": {"time": iso(report.made_ns, zone), "by": report.version},
        "node": report.node,
        "period": {"start": iso(report.start_ns, zone), "end": iso(report.end_ns, zone), "timezone": zone},
        "totals": _totals(report),
        "components": [_component(one) for one in report.components],
        "groups": {
            "by": report.by,
            "rows": [_row(row, report) for row in report.rows],
            "rest": _row(report.rest, report, rest_of(report.rest)) if report.rest else None,
            "apart": [_row(row, report) for row in report.apart],
            "unaccounted_microjoules": report.unaccounted_uj,
        },
        "days": [_slice(day, zone) for day in report.days],
        "hours": [_slice(hour, zone) for hour in report.hours] or None,
        "intensity_sources": [_source(source, report) for source in report.sources],
        "coverage": {
            "ratio": report.coverage.ratio,
            "period_seconds": report.coverage.period_ns / S_NS,
            "covered_seconds": report.coverage.covered_ns / S_NS,
            "late_seconds": report.coverage.late_ns / S_NS,
            "gaps": [
                {
                    "start": iso(gap.start_ns, zone),
                    "end": iso(gap.end_ns, zone),
                    "missing_seconds": gap.missing_ns / S_NS,
                }
                for gap in report.coverage.gaps
            ],
            "complete": report.complete,
        },
        "boundary": {
            "measured": list(known.measured),
            "estimated": list(known.estimated),
            "mixed": list(known.mixed),
            "absent": list(known.absent),
            "whole_node_meter": known.whole_node,
            "statement": statements.boundary_sentences(report),
        },
        "method": {
            "accounting": "location-based",
            "offsets_netted": False,
            "pricing": "at accrual",
            "statement": statements.method_sentences(report),
        },
        "cautions": statements.cautions(report),
        "functional_unit": {
            "grams": report.totals.emissions_g + (report.totals.embodied_g or 0.0),
            "statement": statements.sci_sentence(report),
        },
        "software": [
            {"since": iso(agent.since_ns, zone), "facts": dict(agent.facts)} for agent in report.software
        ],
    }


def _totals(report: Report) -> dict[str, Any]:
    totals = report.totals
    return {
        "energy_microjoules": totals.energy_uj,
        "energy_joules": totals.energy_uj / J_UJ,
        "energy_kwh": totals.energy_uj / UJ_PER_KWH,
        "facility_energy_kwh": totals.facility_uj / UJ_PER_KWH,
        "pue": totals.pue,
        "emissions_grams": totals.emissions_g,
        "market_emissions_grams": totals.market_g,
        "embodied_emissions_grams": totals.embodied_g,
        "water_liters": totals.water_l,
        "intensity_grams_per_kilowatt_hour": totals.intensity,
        "idle_microjoules": totals.idle_uj,
        "charged_idle_microjoules": totals.charged_idle_uj,
        "unattributed_microjoules": totals.unattributed_uj,
        "measured_ratio": totals.part(totals.energy_uj - totals.estimated_uj),
        "estimated_ratio": totals.part(totals.estimated_uj),
        "fallback_ratio": totals.part(totals.fallback_uj),
        "estimated_intensity_ratio": totals.part(totals.weak_uj),
    }


def _component(one: ComponentSum) -> dict[str, Any]:
    return {
        "component": one.component,
        "nature": one.nature,
        "energy_microjoules": one.energy_uj,
        "energy_kwh": one.energy_uj / UJ_PER_KWH,
        "emissions_grams": one.emissions_g,
        "market_emissions_grams": one.market_g,
        "water_liters": one.water_l,
        "idle_microjoules": one.idle_uj,
        "charged_idle_microjoules": one.charged_idle_uj,
        "unattributed_microjoules": one.unattributed_uj,
        "estimated_microjoules": one.estimated_uj,
        "fallback_microjoules": one.fallback_uj,
    }


def _row(row: Row, report: Report, shown_as: str = "") -> dict[str, Any]:
    workload = row.workload
    identity: Mapping[str, Any] = {}
    if workload is not None:
        identity = {
            **{label: getattr(workload, label) for label in _IDENTITY if getattr(workload, label)},
            "facts": dict(workload.facts),
        }
    return {
        "group": row.group,
        "shown_as": shown_as or name_of(row, report.by),
        "workload": identity or None,
        "workloads": row.members or None,
        "energy_microjoules": row.energy_uj,
        "energy_kwh": row.energy_uj / UJ_PER_KWH,
        "energy_ratio": report.totals.part(row.energy_uj),
        "idle_microjoules": row.idle_uj,
        "components_microjoules": _amounts(row.components),
        "emissions_grams": row.emissions_g,
        "embodied_emissions_grams": row.embodied_g,
    }


def _slice(one: Slice, zone: str) -> dict[str, Any]:
    return {
        "start": iso(one.start_ns, zone),
        "components_microjoules": _amounts(one.components),
        "emissions_grams": one.emissions_g,
        "intensity_grams_per_kilowatt_hour": one.intensity,
        "fallback_microjoules": one.fallback_uj,
        "covered_seconds": one.covered_ns / S_NS,
    }


def _source(source: Source, report: Report) -> dict[str, Any]:
    return {
        "provider": source.provider,
        "grid_zone": source.grid_zone,
        "basis": source.basis,
        "kind": source.kind,
        "flow": source.flow,
        "licence": source.licence,
        "fallback": source.fallback,
        "energy_microjoules": source.energy_uj,
        "energy_ratio": report.totals.part(source.energy_uj),
        "emissions_grams": source.emissions_g,
    }


def _amounts(components: Mapping[Component, int]) -> dict[str, int]:
    return {str(component): energy_uj for component, energy_uj in components.items()}
