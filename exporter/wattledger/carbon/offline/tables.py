"""Yearly grid intensities that come with the agent: countries, US states, cloud regions."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from ...errors import SettingsError
from ...model import S_NS, Basis, Flow, Intensity
from .table_rows import table_rows

Dataset = Literal["ember", "egrid", "google"]

LICENCES: Mapping[str, str] = {
    "ember": "CC BY 4.0, Ember",
    "egrid": "public domain, EPA eGRID2023",
    "google": "Apache-2.0, Google region-carbon-info",
}
_BASES: Mapping[str, Basis] = {"ember": "lifecycle", "egrid": "direct", "google": "direct"}
_FLOWS: Mapping[str, Flow] = {"ember": "production", "egrid": "production", "google": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class TableZone:
    """One zone of the tables. `group` is `country`, `aggregate`, `us-state`, `aws`, `azure` or `gcp`.

    `also` are further names it is found by. `year` is that of the data.
    """

    zone: str
    name: str
    group: str
    also: tuple[str, ...]
    dataset: Dataset
    year: int
    grams_per_kwh: float

    @property
    def intensity(self) -> Intensity:
        """With its provenance. `updated_ns` is the end of the data's year, so that its age shows."""
        return Intensity(
            grams_per_kwh=self.grams_per_kwh,
            provider="table",
            grid_zone=self.zone,
            basis=_BASES[self.dataset],
            updated_ns=int(datetime(self.year + 1, 1, 1, tzinfo=UTC).timestamp()) * S_NS,
            flow=_FLOWS[self.dataset],
            licence=LICENCES[self.dataset],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The efficiency of a cloud operator's sites; None where the operator publishes no figure.

    `pue_of` and `wue_of` say what the figure is the mean of: `region`, `geography` or `fleet`.
    """

    pue: float | None
    pue_of: str
    wue_l_per_kwh: float | None
    wue_of: str


def zones() -> Iterator[TableZone]:
    """Every zone of the tables: countries and aggregates, US states, cloud regions."""
    for row in table_rows("countries"):
        also = tuple(row["also"].split())
        yield _zone(row, "country" if also else "aggregate", "ember", also)
    for row in table_rows("us_states"):
        yield _zone(row, "us-state", "egrid")
    for row in table_rows("cloud_regions"):
        yield _zone(row, row["zone"].partition(":")[0], "google" if row["dataset"] == "google" else "ember")


def table_intensity(zone: str, key: str = "grid_zone") -> Intensity:
    """The intensity of a zone: `DE` or `DEU`, `WORLD`, `US-CA`, `aws:eu-west-1`; case does not matter.

    Raises SettingsError, which begins with `key` and names the nearest zones, for a zone that is in no table.
    """
    wanted = zone.strip().casefold()
    known = list(zones())
    for one in known:
        if wanted == one.zone.casefold() or wanted in (other.casefold() for other in one.also):
            return one.intensity
    raise SettingsError(
        f"{key}: no zone {zone!r} in the bundled tables; {_nearest(wanted, known)}."
        " Accepted are countries (DE or DEU), aggregates (WORLD, EU), US states (US-CA) and cloud regions"
        " (aws:eu-west-1, azure:westeurope, gcp:europe-west9); docs/intensity-data.md lists them all"
    )


def site_of(zone: str) -> Site | None:
    """What the operator of a cloud region publishes about its sites; None for any other zone."""
    wanted = zone.strip().casefold()
    for row in table_rows("cloud_regions"):
        if row["zone"] == wanted:
            return Site(
                pue=float(row["pue"]) if row["pue"] else None,
                pue_of=row["pue_of"],
                wue_l_per_kwh=float(row["wue_l_per_kwh"]) if row["wue_l_per_kwh"] else None,
                wue_of=row["wue_of"],
            )
    return None


def _zone(row: Mapping[str, str], group: str, dataset: Dataset, also: tuple[str, ...] = ()) -> TableZone:
    return TableZone(
        zone=row["zone"],
        name=row["name"],
        group=group,
        also=also,
        dataset=dataset,
        year=int(row["year"]),
        grams_per_kwh=float(row["grams_per_kwh"]),
    )


def _nearest(wanted: str, known: list[TableZone]) -> str:
    """The three zones whose code, region or name is most like `wanted`, with their names."""
    found: list[TableZone] = []
    for by in (_codes(known), {one.name.casefold(): one for one in known}):
        for match in difflib.get_close_matches(wanted, by, n=3, cutoff=0.6):
            if by[match] not in found:
                found.append(by[match])
    parent = wanted.partition("-")[0]
    if not found:
        found = [one for one in known if parent == one.zone.casefold()]
    if not found:
        return "nothing there is like it"
    best = sorted(found, key=lambda one: -_likeness(wanted, one))[:3]
    return f"the nearest are {', '.join(f'{one.zone} ({one.name})' for one in best)}"


def _codes(known: list[TableZone]) -> dict[str, TableZone]:
    """Zones by all their codes, cloud regions also without the operator."""
    codes = {code.casefold(): one for one in known for code in (*one.also, one.zone)}
    return {one.zone.partition(":")[2]: one for one in known if ":" in one.zone} | codes


def _likeness(wanted: str, one: TableZone) -> float:
    names = (
        one.zone.casefold(),
        one.zone.partition(":")[2],
        one.name.casefold(),
        *map(str.casefold, one.also),
    )
    return max(difflib.SequenceMatcher(None, wanted, name).ratio() for name in names)
