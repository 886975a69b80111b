"""Writes a snapshot as Prometheus text 0.0.4 or OpenMetrics 1.0.

The lines of a workload are kept and written again only when its row is another one; the label part of a
series never is (prometheus_client takes 6 to 11 microseconds a sample, this about half a microsecond).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter

from ..model import Workload
from ..snapshot import Cell, Snapshot, WorkloadRow
from .catalogue import FAMILIES, IDENTITY
from .family import MAX_LABELS, PREFIX, Family
from .lines import Lines, Starts
from .samples import add_all
from .values import joules, label_pairs, number, seconds

_ENERGY = PREFIX + "workload_energy_joules_total"
_EMISSIONS = PREFIX + "workload_emissions_grams_total"
_EMBODIED = PREFIX + "workload_embodied_emissions_grams_total"
_CPU = PREFIX + "workload_cpu_seconds_total"
_INFO = PREFIX + "workload_info"

_order = attrgetter("component", "mode")  # which is the order of COMPONENTS


class Renderer:
    """Renders the snapshots of one node, one thread at a time.

    It holds finished lines by `WorkloadRow.uid` for the workloads of the last snapshot, the labels of its
    other series, and no more.
    """

    def __init__(self, build: Mapping[str, str]) -> None:
        self._build = build
        self._series: dict[int, _Series] = {}
        self._starts: Starts = {}
        self._headers: dict[bool, list[tuple[str, str]]] = {}

    def render(
        self, snapshot: Snapshot, *, openmetrics: bool, own: Mapping[str, float] | None = None
    ) -> bytes:
        """The exposition in UTF-8: families in the catalogue's order, those without samples left out.

        `own` holds the standard process metrics by name.
        """
        lines = Lines(self._starts)
        add_all(lines, snapshot, self._build, own or {})
        self._starts = lines.starts
        self._add_workloads(lines, snapshot.workloads)
        if snapshot.embodied_g is None:  # switched off: what was booked before is not shown any more
            del lines.by_name[_EMBODIED]
        headers = self._headers.get(openmetrics)
        if headers is None:
            write = _openmetrics_header if openmetrics else _text_header
            headers = [(family.sample_name, "\n".join(write(family))) for family in FAMILIES]
            self._headers[openmetrics] = headers
        parts: list[str] = []
        for name, header in headers:
            samples = lines.by_name.get(name)
            if samples:
                parts.append(header)
                parts.extend(samples)
        if openmetrics:
            parts.append("# EOF")
        parts.append("")
        return "\n".join(parts).encode()

    def _add_workloads(self, lines: Lines, rows: Iterable[WorkloadRow]) -> None:
        """The hot path: what did not change since the last snapshot is not written again."""
        energy: list[str] = []
        emissions: list[str] = []
        embodied: list[str] = []
        cpu: list[str] = []
        info: list[str] = []
        held = self._series
        kept: dict[int, _Series] = {}
        for row in rows:
            series = held.get(row.uid)
            if series is None:
                series = _Series(row.workload, row.known)
            if series.row is not row:
                series.write(row)
            kept[row.uid] = series
            if series.energy:
                energy.append(series.energy)
            if series.emissions:
                emissions.append(series.emissions)
            if series.embodied:
                embodied.append(series.embodied)
            cpu.append(series.cpu)
            info.append(series.info)
        self._series = kept
        lines.by_name |= {
            _ENERGY: energy,
            _EMISSIONS: emissions,
            _EMBODIED: embodied,
            _CPU: cpu,
            _INFO: info,
        }


class _Series:
    """The lines of one workload, as of the `row` they were last written for."""

    __slots__ = (
        "_cpu_start",
        "_identity",
        "_starts",
        "cpu",
        "embodied",
        "emissions",
        "energy",
        "info",
        "row",
    )

    def __init__(self, workload: Workload, known: Workload) -> None:
        self._identity = _identity(workload)
        self._cpu_start = f"{_CPU}{_braced(self._identity)} "
        self._starts: dict[str, tuple[str, str]] = {}
        facts = [(name, value) for name, value in known.facts if name not in IDENTITY]
        more = label_pairs(facts, MAX_LABELS - len(IDENTITY))
        self.info = f"{_INFO}{_braced(_identity(known), more)} 1"
        self.cpu = ""
        self.energy = ""
        self.emissions = ""
        self.embodied = ""
        self.row: WorkloadRow | None = None

    def write(self, row: WorkloadRow) -> None:
        """Put the values of a row behind the labels: per cell one look-up, two numbers, two short strings."""
        self.row = row
        self.cpu = self._cpu_start + seconds(row.cpu_ns)
        energy = []
        emissions = []
        starts, cells = self._starts, row.cells
        for cell in cells if len(cells) < 2 else sorted(cells, key=_order):
            start = starts.get(cell.component + cell.mode) or self._start(cell)
            energy.append(start[0] + joules(cell.energy_uj))
            grams = number(cell.emissions_g)
            if grams is not None:
                emissions.append(start[1] + grams)
        self.energy = "\n".join(energy)
        self.emissions = "\n".join(emissions)
        if row.embodied_g > 0:
            self.embodied = f"{_EMBODIED}{_braced(self._identity)} {number(row.embodied_g)}"

    def _start(self, cell: Cell) -> tuple[str, str]:
        """Write and keep what never changes in the two lines of a cell: all up to the value."""
        mode = f'mode="{cell.mode}"' if cell.mode else ""
        labels = _braced(self._identity, f'component="{cell.component}"', mode)
        start = (f"{_ENERGY}{labels} ", f"{_EMISSIONS}{labels} ")
        self._starts[cell.component + cell.mode] = start
        return start


def _identity(workload: Workload) -> str:
    return label_pairs([(name, getattr(workload, name)) for name in IDENTITY], MAX_LABELS)


def _braced(*parts: str) -> str:
    written = ",".join(part for part in parts if part)
    return f"{{{written}}}" if written else ""


def _text_header(family: Family) -> tuple[str, ...]:
    kind = "gauge" if family.type == "info" else family.type
    return (f"# HELP {family.sample_name} {family.help}", f"# TYPE {family.sample_name} {kind}")


def _openmetrics_header(family: Family) -> tuple[str, ...]:
    name = family.openmetrics_name
    text = family.help.replace('"', '\\"')
    unit = (f"# UNIT {name} {family.unit}",) if family.unit else ()
    return (f"# TYPE {name} {family.type}", *unit, f"# HELP {name} {text}")
