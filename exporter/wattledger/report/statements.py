"""What a report says in sentences: its boundary, its method, and what to be careful with (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..model import COMPONENTS, Component
from . import wording
from .records import ComponentSum, Report

FULL = 0.999
"""From this coverage on there is nothing to warn of."""

_BEYOND = "power supply losses, fans, disks and network cards"
_NAMES: dict[Component, str] = {
    "cpu": "CPU packages",
    "dram": "memory",
    "gpu": "GPU boards",
    "other": "the rest of the machine",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """Which parts of the node the figures contain. `omitted` is in words, not in components."""

    measured: tuple[Component, ...]
    estimated: tuple[Component, ...]
    mixed: tuple[Component, ...]
    absent: tuple[Component, ...]
    whole_node: bool
    omitted: str


def boundary(components: Iterable[ComponentSum]) -> Boundary:
    """The boundary by what was booked; what a whole-node meter saw beyond the other meters is `other`."""
    nature = {one.component: one.nature for one in components if one.energy_uj}
    whole_node = "other" in nature
    return Boundary(
        measured=tuple(one for one in COMPONENTS if nature.get(one) == "measured"),
        estimated=tuple(one for one in COMPONENTS if nature.get(one) == "estimated"),
        mixed=tuple(one for one in COMPONENTS if nature.get(one) == "mixed"),
        absent=tuple(one for one in COMPONENTS if one not in nature),
        whole_node=whole_node,
        omitted="" if whole_node else _BEYOND,
    )


def boundary_sentences(report: Report) -> list[str]:
    """The boundary in words."""
    known = boundary(report.components)
    said = [f"One node{f' ({report.node})' if report.node else ''}."]
    for title, components in (
        ("Measured", known.measured),
        ("Estimated", known.estimated),
        ("Partly measured, partly estimated", known.mixed),
        ("Not in the figures, as no meter covered them", known.absent),
    ):
        if components:
            said.append(f"{title}: {', '.join(_named(one) for one in components)}.")
    if known.whole_node:
        said.append(f"A meter of the whole node covers {_BEYOND} too.")
    else:
        said.append(f"No meter of the whole node was there: {_BEYOND} are not in the figures.")
    said.append("Cooling and distribution are in by the PUE only; network and storage elsewhere are not in.")
    return said


def method_sentences(report: Report) -> list[str]:
    """How the figures came about."""
    totals = report.totals
    said = [
        (
            "Energy per workload is an allocation of the node's energy, not a measurement of each workload:"
            " in every sample, what a component drew above its idle power goes to workloads by their CPU"
            " time, and that of a GPU by how much its processes used it."
        ),
        _idle(report),
        "Unattributed is what was drawn while the agent did not run, or with nobody to charge it to.",
        (
            "Emissions were booked when the energy was drawn, at the grid's intensity of that moment times"
            " PUE, and were never priced again."
        ),
        "Operational emissions are location-based; no offsets, certificates or contracts are netted.",
    ]
    if totals.market_g is not None:
        said.append("Market-based emissions are a second account beside them, never mixed with it.")
    if totals.embodied_g is not None:
        said.append(
            "Embodied emissions are the share of making the machine that falls into the period, written off"
            " evenly over its lifespan; workloads bear it by what they reserved or used."
        )
    else:
        said.append("Embodied emissions were not configured and are not in the figures.")
    if totals.water_l is not None:
        said.append("Water is that of the site, per kWh of IT energy.")
    said += [
        "Measured counters are typically good to 5 %, estimates to 30 to 50 %.",
        (
            "A sample over the turn of an hour belongs to the hour in which it ended, and the period is made"
            " of whole hours."
        ),
        (
            "Energy is kept in whole microjoules and emissions in whole nanograms; rows add up to the node's"
            " energy exactly, and rounding happens for display only."
        ),
    ]
    return said


def cautions(report: Report) -> list[str]:
    """What makes the figures less than they seem; empty when nothing does."""
    totals, cover = report.totals, report.coverage
    found = []
    if report.deleted_until_ns is not None:
        found.append(
            f"Hours before {wording.moment(report.deleted_until_ns, report.timezone)} are not in the figures:"
            f" {wording.DELETED}."
        )
    if cover.ratio < FULL:
        found.append(
            f"Samples cover {wording.share(cover.ratio)} of the period; of gaps, only energy that counters"
            " kept meanwhile is in the figures."
        )
    if totals.fallback_uj:
        part = wording.share(totals.part(totals.fallback_uj))
        found.append(f"{part} of the energy was priced with a fallback, as the grid's intensity was unknown.")
    if totals.weak_uj:
        part = wording.share(totals.part(totals.weak_uj))
        found.append(f"{part} of the energy was priced with an intensity that its source calls estimated.")
    if totals.estimated_uj:
        part = wording.share(totals.part(totals.estimated_uj))
        found.append(f"{part} of the energy was estimated, not measured.")
    if cover.late_ns:
        found.append(
            f"Figures of {wording.length(cover.late_ns)} were booked to a later hour, as the journal could"
            " not be written at the time."
        )
    if not report.complete:
        found.append("The newest hours may be missing, as the journal's log beside it could not be read.")
    if report.unaccounted_uj:
        found.append(
            f"The rows lack {report.unaccounted_uj} microjoules of the node's energy: the journal is damaged."
        )
    return found


def sci_sentence(report: Report) -> str:
    """How to get from the report to a Software Carbon Intensity (ISO/IEC 21031)."""
    grams = report.totals.emissions_g + (report.totals.embodied_g or 0.0)
    parts = "operational" if report.totals.embodied_g is None else "operational and embodied"
    missing = "" if report.totals.embodied_g is not None else ", to which embodied emissions must be added"
    return (
        f"For a Software Carbon Intensity (ISO/IEC 21031), divide the {parts} emissions by the functional"
        f" units of the same period, such as requests served: {grams:.6g} g / R for the node{missing}."
    )


def _idle(report: Report) -> str:
    """What became of idle power, by what was booked."""
    if report.totals.charged_idle_uj:
        return (
            "Idle power, what the components draw with nothing to do, was charged to workloads"
            f"{_policy(report)}; what nobody was charged with is shown apart."
        )
    if report.totals.idle_uj:
        return "Idle is what the components draw with nothing to do; it is shown apart and charged to nobody."
    return "No idle power was known, so that all energy was charged by use."


def _policy(report: Report) -> str:
    """The rule by which idle power was charged, where it was the same throughout."""
    policies = {one.facts.get("idle", "") for one in report.software}
    words = {
        "usage": " by CPU time used",
        "memory": " by memory, else CPU time",
        "requests": " by reserved CPUs",
    }
    return words.get(policies.pop(), "") if len(policies) == 1 else " by the agent's settings"


def _named(component: Component) -> str:
    return f"{component} ({_NAMES[component]})"
