"""Grams of a day with a changing intensity: booked as drawn, or worked out afterwards in PromQL.

    python -m tests.bench.pricing

measures and writes docs/pricing.md. One node, one day, half-hourly intensity; a real Prometheus is asked
for the same day in the ways people do it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from typing import NamedTuple

from tests.prometheus_server import PrometheusServer, import_openmetrics
from tests.scripted import ScriptedNode, package
from wattledger.carbon.intensity import mean_over
from wattledger.carbon.pricing import Pricing
from wattledger.carbon.series import Series
from wattledger.exposition.render import Renderer
from wattledger.model import Intensity

AS_DOCUMENTED = Path(__file__).parent.parent.parent / "docs" / "pricing.md"

TICK_S = 7
SCRAPE_TICKS = 2
STEP_S = 1800
DAY_S = 86_400
STEP_NS = STEP_S * 1_000_000_000
ENERGY = "wattledger_node_energy_joules_total"
EMISSIONS = "wattledger_node_emissions_grams_total"
INTENSITY = "wattledger_grid_carbon_intensity_grams_per_kilowatt_hour"

WAYS = {
    "`increase(emissions)`, priced as drawn": f"sum by (load) (increase({EMISSIONS}[24h]))",
    "`increase(joules) * last(intensity)`": (
        f"sum by (load) (increase({ENERGY}[24h])) / 3.6e6 * on (load) {INTENSITY}"
    ),
    "`increase(joules) * avg_over_time(intensity)`": (
        f"sum by (load) (increase({ENERGY}[24h])) / 3.6e6 * on (load) avg_over_time({INTENSITY}[24h])"
    ),
}

PAGE = """\
# Why grams are booked when energy is drawn

Intensity changes by the half hour, and so does load.
A product of two sums is not the sum of the products: grams that are worked out afterwards are wrong by \
as much as load and grid move together.
Wattledger prices every interval at the mean intensity of just that interval, and never again.

The table shows the error of one day's grams against the integral of power times intensity, \
as a real Prometheus answers it: scrapes every {scrape} s, samples every {tick} s, \
intensity from {low:.0f} to {high:.0f} g/kWh with its low at noon.

{table}

Before Prometheus has a part in it, what the agent booked is off by {booked:.0e} of the integral.

`python -m tests.bench.pricing` makes this page anew.
"""


def grams_per_kwh(wall_ns: int) -> float:
    """The intensity of a half hour: 150 at noon, 650 at midnight."""
    hour = wall_ns // STEP_NS % (DAY_S // STEP_S) / 2
    return 400 + 250 * cos(hour / 24 * 2 * pi)


@dataclass(frozen=True)
class Course:
    """The grid of the page."""

    def at(self, wall_ns: int) -> Intensity:
        return Intensity(grams_per_kwh=grams_per_kwh(wall_ns), provider="schedule")

    def over(self, start_ns: int, end_ns: int) -> Intensity:
        return mean_over(self.at, lambda wall_ns: (wall_ns // STEP_NS + 1) * STEP_NS, start_ns, end_ns)

    def series(self, start_ns: int, end_ns: int) -> Series | None:
        return None


LOADS = {
    "constant 300 W": lambda hour: 300,
    "busy by day": lambda hour: 500 if 8 <= hour < 20 else 100,
    "batch by night": lambda hour: 500 if hour < 6 else 150,
}


class Day(NamedTuple):
    """What one load really emitted, what the agent booked, and its samples for Prometheus."""

    true_g: float
    booked_g: float
    lines: list[tuple[str, str, int]]


def play(load: str) -> Day:
    """One day of one load. Power changes on the full hour, which ticks of seven seconds cross."""
    zone = package()
    node = ScriptedNode([zone], pricing=Pricing(intensity=Course()))
    # Start at a midnight, and end with the first tick that lies behind the next.
    node.clock.advance(DAY_S - node.clock.wall_ns() % (DAY_S * 1_000_000_000) / 1e9)
    begin_s = node.clock.wall_ns() // 1_000_000_000
    node.sampler.tick()
    renderer = Renderer({})
    true_g, lines, at_s = 0.0, [], 0
    while at_s < DAY_S:
        span_s = min(TICK_S, STEP_S * 2 - at_s % (STEP_S * 2))
        watts = LOADS[load](at_s // 3600 % 24)
        node.sensor.spend(zone, watts * span_s * 1_000_000)
        for second in range(at_s, at_s + span_s):
            true_g += watts / 3.6e6 * grams_per_kwh((begin_s + second) * 1_000_000_000)
        at_s += span_s
        snapshot = node.step(span_s)
        if at_s % (SCRAPE_TICKS * TICK_S) < span_s:
            text = renderer.render(snapshot, openmetrics=True).decode()
            lines += [(name, _value(text, name), begin_s + at_s) for name in (ENERGY, EMISSIONS, INTENSITY)]
    booked_g = sum(row.emissions_g for row in snapshot.nodes)
    return Day(true_g, booked_g, lines)


def _value(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(name + "{")).rpartition(" ")[2]


def measure(folder: Path) -> tuple[dict[str, Day], dict[tuple[str, str], float]]:
    """The days, and the relative error of every (way, load); needs `prometheus` and `promtool`."""
    days = {load: play(load) for load in LOADS}
    end_s = max(at_s for day in days.values() for _, _, at_s in day.lines)
    errors = {}
    data = import_openmetrics(_samples(days), folder)
    with PrometheusServer(folder, data=data) as prometheus:
        for way, query in WAYS.items():
            found = {one.labels["load"]: one.value for one in prometheus.query(query, end_s + 1)}
            for load, day in days.items():
                errors[way, load] = found[load] / day.true_g - 1
    return days, errors


def _samples(days: dict[str, Day]) -> Iterator[str]:
    for name, kind in ((ENERGY, "counter"), (EMISSIONS, "counter"), (INTENSITY, "gauge")):
        yield f"# TYPE {name.removesuffix('_total')} {kind}"
        for load, day in days.items():
            yield from (
                f'{one}{{load="{load}"}} {value} {at_s}' for one, value, at_s in day.lines if one == name
            )


def table(errors: dict[tuple[str, str], float]) -> str:
    """The errors as Markdown."""
    lines = ["| way | " + " | ".join(LOADS) + " |", "|---" * (len(LOADS) + 1) + "|"]
    for way in WAYS:
        cells = [f"{round(errors[way, load] * 100, 1) + 0.0:+.1f} %".replace("+0.0", "0.0") for load in LOADS]
        lines.append(f"| {way} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page(days: dict[str, Day], errors: dict[tuple[str, str], float]) -> str:
    """docs/pricing.md."""
    booked = max(abs(day.booked_g / day.true_g - 1) for day in days.values())
    return PAGE.format(
        scrape=SCRAPE_TICKS * TICK_S, tick=TICK_S, low=150, high=650, table=table(errors), booked=booked
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        days, errors = measure(Path(folder))
    AS_DOCUMENTED.write_text(page(days, errors))
    print(table(errors))


if __name__ == "__main__":
    main()
