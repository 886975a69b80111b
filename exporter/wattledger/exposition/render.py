"""Writes a snapshot as Prometheus text 0.0.4 or OpenMetrics 1.0.

The label part of a workload series is written once and kept, because it never changes
(prometheus_client takes 6 to 11 microseconds a sample, this about half a microsecond).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..model import COMPONENTS, Cell, Snapshot, Workload, WorkloadRow
from .catalogue import FAMILIES, IDENTITY, MAX_LABELS, PREFIX, Family
from .samples import Lines, add_all
from .values import joules, label_pairs, number, seconds

_ENERGY = PREFIX + "workload_energy_joules_total"
_EMISSIONS = PREFIX + "workload_emissions_grams_total"
_CPU = PREFIX + "workload_cpu_seconds_total"
_INFO = PREFIX + "workload_info"

_RANK = {
    component + mode: rank
    for rank, (component, mode) in enumerate(
        (component, mode) for component in COMPONENTS for mode in ("dynamic", "idle", "")
    )
}


class Renderer:
    """Renders the snapshots of one node, one thread at a time.

    It holds label text by `WorkloadRow.uid` for the workloads of the last snapshot, and no more.
    """

    def __init__(self, build: Mapping[str, str]) -> None:
        self._build = build
        self._series: dict[int, _Series] = {}

    def render(
        self, snapshot: Snapshot, *, openmetrics: bool, own: Mapping[str, float] | None = None
    ) -> bytes:
        """The exposition in UTF-8: families in the catalogue's order, those without samples left out.

        `own` holds the standard process metrics by name.
        """
        lines = Lines()
        add_all(lines, snapshot, self._build, own or {})
        self._add_workloads(lines, snapshot.workloads)
        header = _openmetrics_header if openmetrics else _text_header
        parts: list[str] = []
        for family in FAMILIES:
            samples = lines.by_name.get(family.sample_name)
            if samples:
                parts.extend(header(family))
                parts.extend(samples)
        if openmetrics:
            parts.append("# EOF")
        parts.append("")
        return "\n".join(parts).encode()

    def _add_workloads(self, lines: Lines, rows: Iterable[WorkloadRow]) -> None:
        """The hot path: per cell two lookups, two numbers and two short concatenations."""
        energy: list[str] = []
        emissions: list[str] = []
        cpu: list[str] = []
        info: list[str] = []
        held = self._series
        kept: dict[int, _Series] = {}
        for row in rows:
            series = held.get(row.uid)
            if series is None:
                series = _Series(row.workload, row.info or row.workload)
            kept[row.uid] = series
            cpu.append(series.cpu + seconds(row.cpu_ns))
            info.append(series.info)
            starts, cells = series.cells, row.cells
            for cell in cells if len(cells) < 2 else sorted(cells, key=_rank):
                start = starts.get(cell.component + cell.mode) or series.add(cell)
                energy.append(start[0] + joules(cell.energy_uj))
                grams = number(cell.emissions_g)
                if grams is not None:
                    emissions.append(start[1] + grams)
        self._series = kept
        lines.by_name |= {_ENERGY: energy, _EMISSIONS: emissions, _CPU: cpu, _INFO: info}


class _Series:
    """What never changes in the lines of one workload: all up to the value."""

    __slots__ = ("cells", "cpu", "identity", "info")

    def __init__(self, workload: Workload, known: Workload) -> None:
        self.identity = _identity(workload)
        facts = [(name, value) for name, value in known.facts if name not in IDENTITY]
        more = label_pairs(facts, MAX_LABELS - len(IDENTITY))
        self.cpu = f"{_CPU}{_braced(self.identity)} "
        self.info = f"{_INFO}{_braced(_identity(known), more)} 1"
        self.cells: dict[str, tuple[str, str]] = {}

    def add(self, cell: Cell) -> tuple[str, str]:
        """Write and keep the starts of the two lines of a cell."""
        mode = f'mode="{cell.mode}"' if cell.mode else ""
        labels = _braced(self.identity, f'component="{cell.component}"', mode)
        starts = (f"{_ENERGY}{labels} ", f"{_EMISSIONS}{labels} ")
        self.cells[cell.component + cell.mode] = starts
        return starts


def _identity(workload: Workload) -> str:
    return label_pairs([(name, getattr(workload, name)) for name in IDENTITY], MAX_LABELS)


def _braced(*parts: str) -> str:
    written = ",".join(part for part in parts if part)
    return f"{{{written}}}" if written else ""


def _rank(cell: Cell) -> int:
    return _RANK[cell.component + cell.mode]


def _text_header(family: Family) -> tuple[str, ...]:
    kind = "gauge" if family.type == "info" else family.type
    return (f"# HELP {family.sample_name} {family.help}", f"# TYPE {family.sample_name} {kind}")


def _openmetrics_header(family: Family) -> tuple[str, ...]:
    name = family.openmetrics_name
    text = family.help.replace('"', '\\"')
    unit = (f"# UNIT {name} {family.unit}",) if family.unit else ()
    return (f"# TYPE {name} {family.type}", *unit, f"# HELP {name} {text}")
