"""Watts of one logical CPU over its utilisation, by micro-architecture."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files

from ..errors import SettingsError

UNKNOWN = "unknown"
UNKNOWN_ARM = "unknown-arm"

_KNOTS = (0.0, 0.1, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class CpuCurve:
    """A piecewise-linear curve: `watts` at 0, 10, 50 and 100 % utilisation of one logical CPU."""

    microarchitecture: str
    watts: tuple[float, float, float, float]
    uncertainty_ratio: float
    basis: str

    @property
    def idle_watts(self) -> float:
        return self.watts[0]

    @property
    def max_watts(self) -> float:
        return self.watts[-1]

    def at(self, utilisation: float) -> float:
        """Watts at a utilisation, which is taken as 0 below 0 and as 1 above 1."""
        if utilisation >= 1.0:
            return self.watts[-1]
        left = 2 if utilisation >= 0.5 else 1 if utilisation >= 0.1 else 0
        part = max(0.0, utilisation - _KNOTS[left]) / (_KNOTS[left + 1] - _KNOTS[left])
        return self.watts[left] + (self.watts[left + 1] - self.watts[left]) * part

    def with_ends(self, idle_watts: float | None, max_watts: float | None) -> CpuCurve:
        """The same shape between other ends; None keeps an end.

        An end given alone that would pass the other one moves it along, so that no curve falls.
        """
        idle = min(self.idle_watts, max_watts or self.max_watts) if idle_watts is None else idle_watts
        top = max(self.max_watts, idle) if max_watts is None else max_watts
        scale = (top - idle) / (self.max_watts - self.idle_watts)
        _, ten, half, _ = (idle + (watts - self.idle_watts) * scale for watts in self.watts)
        return replace(self, watts=(idle, ten, half, top))


class CpuCurves:
    """The bundled table; its sources are in the header of `cpu_curves.csv`."""

    def __init__(self) -> None:
        table = files(__package__).joinpath("cpu_curves.csv").read_text("utf-8")
        self._curves: dict[str, CpuCurve] = {}
        self._also: dict[str, str] = {}
        for row in csv.DictReader(_without_comments(table.splitlines())):
            curve = _curve(row)
            self._curves[curve.microarchitecture] = curve
            self._also.update(dict.fromkeys(row["also"].split(), curve.microarchitecture))

    def __iter__(self) -> Iterator[CpuCurve]:
        return iter(self._curves.values())

    def __getitem__(self, microarchitecture: str) -> CpuCurve:
        """The row of that name; raises KeyError."""
        return self._curves[microarchitecture]

    def named(self, name: str) -> CpuCurve:
        """The row that a person means by `name`, in any case, with spaces or dashes, or by a product name.

        Raises SettingsError that names the nearest valid name and all others.
        """
        wanted = "-".join(name.lower().replace("_", " ").replace("-", " ").split())
        valid = [*self._curves, *self._also]
        if wanted in valid:
            return self._curves[self._also.get(wanted, wanted)]
        nearest = difflib.get_close_matches(wanted, valid, n=1, cutoff=0.0)[0]
        raise SettingsError(
            f"sensors.estimate.microarchitecture: unknown {name!r}; the nearest valid one is {nearest!r}"
            f" (accepted: {', '.join(sorted(valid))})"
        )


def _without_comments(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if not line.startswith("#")]


def _curve(row: Mapping[str, str]) -> CpuCurve:
    watts = (
        float(row["idle_watts"]),
        float(row["watts_at_10"]),
        float(row["watts_at_50"]),
        float(row["max_watts"]),
    )
    return CpuCurve(row["microarchitecture"], watts, float(row["uncertainty_ratio"]), row["basis"])
