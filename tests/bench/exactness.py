"""What `increase()` makes of a raw RAPL counter and of ours, in a real Prometheus.

    python -m tests.bench.exactness

measures and writes docs/exactness.md. Six hours of constant load on either counter range; the raw
series shows the counter as the kernel does, ours is what the agent exposes for it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.known_host import KnownHost, KnownNode
from tests.powercap_tree import AMD_RANGE_UJ, INTEL_RANGE_UJ
from tests.prometheus_server import PrometheusServer, import_openmetrics
from wattledger.exposition.render import Renderer

AS_DOCUMENTED = Path(__file__).parent.parent.parent / "docs" / "exactness.md"

RANGES = {"262.1 kJ": INTEL_RANGE_UJ, "65.5 kJ": AMD_RANGE_UJ}
WATTS = (150, 280, 350, 400, 500)
SCRAPES_S = (15, 30, 60)
TICK_S = 15
HOURS = 6
BEGIN_S = 1_767_225_600
NODE = "wattledger_node_energy_joules_total"
RAW = "raw_energy_joules_total"

PAGE = """\
# Exactness over counter wraps

RAPL counters are 32 bits wide and turn over every few minutes under load.
Prometheus takes a fall of a counter for a restart at zero.
So what was drawn between the last scrape before a wrap and the wrap itself is lost: \
half a scrape interval in the mean, at every wrap.
Wattledger unwraps the counter where it is read, at least every 30 s, and exposes one that only grows.

The table shows the error of `increase(...[{hours}h])` over {hours} hours of constant load \
against the energy really drawn, as a real Prometheus answers it.
`raw` is the kernel's counter as it is, `wattledger` is `{node}` of the same host.

{table}

`python -m tests.bench.exactness` makes this page anew.
"""


class Row(NamedTuple):
    """Relative errors of the increase, negative for a loss."""

    range_name: str
    watts: int
    scrape_s: int
    raw_error: float
    our_error: float


def measure(folder: Path) -> list[Row]:
    """Play the load, import both series into Prometheus, and ask it; needs `prometheus` and `promtool`."""
    data = import_openmetrics(_samples(folder), folder)
    # Asked 5 s after the last scrape: no sample lies on the edge of the range, where versions differ.
    at = BEGIN_S + HOURS * 3600 + 5
    window = f"[{HOURS}h]"
    rows = []
    with PrometheusServer(folder, data=data) as prometheus:
        for name in RANGES:
            for watts in WATTS:
                for scrape_s in SCRAPES_S:
                    select = f'{{range="{name}",watts="{watts}",scrape="{scrape_s}"}}'
                    true_j = watts * HOURS * 3600
                    raw_j = prometheus.value(f"increase({RAW}{select}{window})", at)
                    our_j = prometheus.value(f"increase({NODE}{select}{window})", at)
                    rows.append(Row(name, watts, scrape_s, raw_j / true_j - 1, our_j / true_j - 1))
    return rows


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| counter range | load | scraped every | raw | wattledger |", "|---|---|---|---|---|"]
    lines += [
        f"| {row.range_name} | {row.watts} W | {row.scrape_s} s "
        f"| {_percent(row.raw_error)} | {_percent(row.our_error)} |"
        for row in rows
    ]
    return "\n".join(lines)


def _percent(ratio: float) -> str:
    return f"{round(ratio * 100, 2) + 0.0:.2f} %"


def _samples(folder: Path) -> Iterator[str]:
    """OpenMetrics lines of all hosts: first every raw series, then every one of ours."""
    raw, ours = (
        [f"# TYPE {RAW.removesuffix('_total')} counter"],
        [f"# TYPE {NODE.removesuffix('_total')} counter"],
    )
    for number, (name, range_uj) in enumerate(RANGES.items()):
        for watts in WATTS:
            root = folder / f"host-{number}-{watts}"
            played = list(_play(root, range_uj, watts))
            for scrape_s in SCRAPES_S:
                labels = f'{{range="{name}",watts="{watts}",scrape="{scrape_s}"}}'
                for at, raw_j, our_j in played:
                    if (at - BEGIN_S) % scrape_s == 0:
                        raw.append(f"{RAW}{labels} {raw_j} {at}")
                        ours.append(f"{NODE}{labels} {our_j} {at}")
    yield from raw
    yield from ours


def _play(root: Path, range_uj: int, watts: int) -> Iterator[tuple[int, str, str]]:
    """One host for six hours: (time, raw counter, our counter), both as they would be scraped."""
    host = KnownHost(root, sockets=1, memory=False, mmio=False, range_uj=range_uj, start_uj=range_uj // 3)
    node = KnownNode(host)
    counter = host.counters["package-0"]
    renderer = Renderer({})
    for tick in range(HOURS * 3600 // TICK_S + 1):
        if tick:
            counter.draw(watts * TICK_S * 1_000_000)
            node.tick(TICK_S)
        text = renderer.render(node.snapshot, openmetrics=True).decode()
        line = next(line for line in text.splitlines() if line.startswith(f'{NODE}{{component="cpu"}}'))
        yield BEGIN_S + tick * TICK_S, repr(counter.raw_uj / 1e6), line.rpartition(" ")[2]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder))
    AS_DOCUMENTED.write_text(PAGE.format(hours=HOURS, node=NODE, table=table(rows)))
    print(table(rows))


if __name__ == "__main__":
    main()
