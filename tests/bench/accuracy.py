"""How close the split comes to the truth, on the simulated host: `python -m tests.bench.accuracy`.

The simulated host knows what each workload really drew (wattledger.simulation.physics), by physics that no
formula here uses. Every formula sees the same energies and the same CPU times at the same ticks.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wattledger.attribution import Frame, attribute
from wattledger.clock import ManualClock
from wattledger.idle import IdleFloor
from wattledger.model import J_UJ, UNATTRIBUTED, Component, Usage, Workload
from wattledger.simulation.faces import SimulatedWorkloads
from wattledger.simulation.host import SimulatedHost, Truth
from wattledger.simulation.profile import REFERENCE, HostProfile

Parts = tuple[Component, ...]
PARTS: Parts = ("cpu", "dram")
WINDOW_S = 3600
Split = dict[tuple[Workload, Component], float]

OURS = "ours"
OURS_TRUE_FLOOR = "ours, if the idle power were known"
BUSY_SHARE = "all energy by share of busy time"
UTILISATION = "energy times utilisation"
FORMULAS = (OURS, OURS_TRUE_FLOOR, BUSY_SHARE, UTILISATION)


@dataclass(frozen=True)
class Interval:
    """What every formula sees of one tick, and the true idle power that only one of them may."""

    frame: Frame
    true_idle_w: Mapping[Component, float]


@dataclass
class Errors:
    """One formula against the truth. `windows_uj` sums the absolute errors of every workload and hour."""

    formula: str
    tick_s: int
    attributed: Split = field(default_factory=lambda: defaultdict(float))
    true: Split = field(default_factory=lambda: defaultdict(float))
    windows_uj: dict[Component, float] = field(default_factory=lambda: defaultdict(float))

    def workloads(self) -> set[Workload]:
        return {workload for workload, _ in self.true} | {workload for workload, _ in self.attributed}

    def true_uj(self, parts: Parts) -> float:
        return sum(uj for (_, of), uj in self.true.items() if of in parts)

    def missed_uj(self, parts: Parts) -> float:
        """Sum over workloads and components of the absolute error of the whole time."""
        keys = {key for key in self.true.keys() | self.attributed.keys() if key[1] in parts}
        return sum(abs(self.attributed.get(key, 0.0) - self.true.get(key, 0.0)) for key in keys)

    def mean_absolute(self, parts: Parts) -> float:
        """Mean over workloads of the absolute error, as a share of the node's dynamic energy."""
        return self.missed_uj(parts) / len(self.workloads()) / self.true_uj(parts)

    def relative(self, parts: Parts) -> float:
        """Energy-weighted mean of the relative error per workload."""
        return self.missed_uj(parts) / self.true_uj(parts)

    def relative_by_hour(self, parts: Parts) -> float:
        """The same with each workload and hour on its own, so that hours do not offset each other."""
        return sum(self.windows_uj[part] for part in parts) / self.true_uj(parts)

    def bias(self, parts: Parts) -> float:
        """What was given to workloads, over what they really drew."""
        given = sum(uj for (_, of), uj in self.attributed.items() if of in parts)
        return given / self.true_uj(parts)


class Observer:
    """Ticks on a host every `tick_s` seconds and lets every formula split what it sees."""

    def __init__(self, host: SimulatedHost, clock: ManualClock, tick_s: int) -> None:
        self.tick_s = tick_s
        self.floor = IdleFloor()
        self.errors = [Errors(formula, tick_s) for formula in FORMULAS]
        self._host, self._clock = host, clock
        self._source = SimulatedWorkloads(host)
        self._source.scan()
        self._window: dict[str, Split] = {formula: defaultdict(float) for formula in FORMULAS}
        self._start_ns = clock.boottime_ns()
        self._energy_uj, self._idle_uj = host.energy_uj(), host.idle_uj()

    def tick(self) -> None:
        usage = self._source.scan()
        energy_uj, idle_uj = self._host.energy_uj(), self._host.idle_uj()
        spent_uj = {part: energy_uj[part] - self._energy_uj[part] for part in PARTS}
        interval = Interval(
            _frame(self.floor, self._clock, self._start_ns, spent_uj, usage),
            {part: (idle_uj[part] - self._idle_uj[part]) / J_UJ / self.tick_s for part in PARTS},
        )
        for result in self.errors:
            window = self._window[result.formula]
            for key, uj in SPLITS[result.formula](interval).items():
                result.attributed[key] += uj
                window[key] += uj
        self._energy_uj, self._idle_uj = energy_uj, idle_uj
        self._start_ns = self._clock.boottime_ns()

    def close_window(self, true: Split) -> None:
        """Compare what was split since the last call with what was drawn since then."""
        for result in self.errors:
            window = self._window[result.formula]
            for key, uj in true.items():
                result.true[key] += uj
            for key in window.keys() | true.keys():
                result.windows_uj[key[1]] += abs(window.get(key, 0.0) - true.get(key, 0.0))
            window.clear()


@dataclass(frozen=True)
class Outcome:
    """Errors by tick and formula, the idle power each floor ended with, and the true mean."""

    errors: dict[int, list[Errors]]
    floor_w: dict[int, dict[Component, float]]
    true_idle_w: dict[Component, float]


def measure(
    hours: int, ticks_s: tuple[int, ...] = (5, 15), *, profile: HostProfile = REFERENCE, seed: int = 1
) -> Outcome:
    """Play whole hours on one fresh host and observe it with every tick; ticks are multiples of 5 s."""
    clock = ManualClock()
    host = SimulatedHost(profile, clock, seed)
    observers = [Observer(host, clock, tick_s) for tick_s in ticks_s]
    truth = host.truth()
    for hour in range(hours):
        for passed_s in range(5, WINDOW_S + 1, 5):
            clock.advance(5)
            for observer in observers:
                if (hour * WINDOW_S + passed_s) % observer.tick_s == 0:
                    observer.tick()
        now = host.truth()
        for observer in observers:
            observer.close_window(_drawn(now, truth))
        truth = now
    return Outcome(
        errors={observer.tick_s: observer.errors for observer in observers},
        floor_w={
            observer.tick_s: {part: found.power_w for part in PARTS if (found := observer.floor.floor(part))}
            for observer in observers
        },
        true_idle_w={part: host.idle_uj()[part] / J_UJ / (hours * WINDOW_S) for part in PARTS},
    )


def _frame(
    floor: IdleFloor, clock: ManualClock, start_ns: int, spent_uj: dict[Component, int], usage: Usage
) -> Frame:
    """One interval as the sampler would build it; the floor learns from it first."""
    end_ns = clock.boottime_ns()
    span_ns = end_ns - start_ns
    floors = {}
    for part, uj in spent_uj.items():
        floor.observe(part, clock.wall_ns(), span_ns, uj, usage.busy_ns / (usage.cpus * span_ns))
        found = floor.floor(part)
        floors[part] = found.power_w if found else 0.0
    return Frame(start_ns=start_ns, end_ns=end_ns, energy_uj=spent_uj, idle_floor_w=floors, usage=usage)


def _drawn(now: Truth, before: Truth) -> Split:
    true: Split = {}
    for workload, parts in now.dynamic_uj.items():
        earlier = before.dynamic_uj.get(workload, {})
        for part in PARTS:
            uj = parts[part] - earlier.get(part, 0)
            if uj:
                true[workload, part] = uj
    return true


def _ours(interval: Interval) -> Split:
    return _dynamic(interval.frame)


def _ours_with_true_floor(interval: Interval) -> Split:
    frame = interval.frame
    return _dynamic(
        Frame(
            start_ns=frame.start_ns,
            end_ns=frame.end_ns,
            energy_uj=frame.energy_uj,
            idle_floor_w=interval.true_idle_w,
            usage=frame.usage,
        )
    )


def _dynamic(frame: Frame) -> Split:
    return {
        (share.workload, share.component): share.energy_uj
        for share in attribute(frame, "unallocated")
        if share.mode == "dynamic" and share.workload is not UNATTRIBUTED
    }


def _busy_share(interval: Interval) -> Split:
    """Everything, the idle part too, by share of the CPU time used."""
    usage = interval.frame.usage
    return _by_cpu_time(interval.frame, sum(usage.cpu_ns.values()))


def _utilisation(interval: Interval) -> Split:
    """Active energy is the energy times the utilisation, split by CPU time.

    It is the same as power times each workload's share of the host's whole CPU capacity.
    """
    frame = interval.frame
    return _by_cpu_time(frame, frame.usage.cpus * (frame.end_ns - frame.start_ns))


def _by_cpu_time(frame: Frame, whole_ns: int) -> Split:
    return {
        (workload, part): frame.energy_uj[part] * cpu_ns / whole_ns
        for workload, cpu_ns in frame.usage.cpu_ns.items()
        for part in PARTS
    }


HEAD = """# Accuracy on the simulated host

This page is printed by `python -m tests.bench.accuracy`; do not edit it.

The host is `{host}`, seed {seed}: {hours} hours with {workloads} workloads, most of them short-lived.
Nothing is known of its idle power at the start.

The truth is the simulator's own: what each workload made the cores, the mesh and the memory draw.
Its physics has idle states, frequencies, shared cores, vector and memory-bound code, and drifting idle power.
No formula below uses that physics, and none was fitted to it.
It is a model: read the table as a comparison of formulas, not as the error bar of a real machine.

All formulas see the same energies and the same CPU times.
"All energy by share of busy time" charges the idle energy to whoever runs.
"Energy times utilisation" is also what a share of the host's whole CPU capacity gives.
The last tick of a workload that ended is seen as `exited`, which counts as an error on both."""

BY_NAME = """The tables show attributed over true dynamic energy with the shortest tick.
Names with less than 0.5 % of the energy are left out.
Above 1 a workload is charged too much.

CPU time knows nothing of frequency and vector units.
So light services on slow cores pay too much, and heavy jobs too little.
Memory energy follows bytes, which CPU time hardly shows."""

SPLITS: dict[str, Callable[[Interval], Split]] = {
    OURS: _ours,
    OURS_TRUE_FLOOR: _ours_with_true_floor,
    BUSY_SHARE: _busy_share,
    UTILISATION: _utilisation,
}


def summary(outcome: Outcome) -> str:
    """The table of errors, as Markdown."""
    titles = (
        "tick",
        "component",
        "formula",
        "mean absolute error, % of node dynamic energy",
        "relative error, energy-weighted",
        "relative error by hour",
        "attributed / true",
    )
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for title, parts in (("cpu", ("cpu",)), ("dram", ("dram",)), ("cpu and dram", PARTS)):
        lines += [
            f"| {tick_s} s | {title} | {result.formula} "
            f"| {result.mean_absolute(parts):.3%} | {result.relative(parts):.1%} "
            f"| {result.relative_by_hour(parts):.1%} | {result.bias(parts):.2f} |"
            for tick_s, results in outcome.errors.items()
            for result in results
        ]
    return "\n".join(lines)


def idle_table(outcome: Outcome) -> str:
    """The idle power found against the true one, as Markdown."""
    ticks = list(outcome.floor_w)
    lines = [
        "| component | true idle power | " + " | ".join(f"found, {tick_s} s tick" for tick_s in ticks) + " |",
        "|---|---|" + "---|" * len(ticks),
    ]
    for part in PARTS:
        found = " | ".join(f"{outcome.floor_w[tick_s][part]:.1f} W" for tick_s in ticks)
        lines.append(f"| {part} | {outcome.true_idle_w[part]:.1f} W | {found} |")
    return "\n".join(lines)


def by_name(results: list[Errors], part: Component) -> str:
    """The table of attributed over true energy, for each name of at least half a percent, as Markdown."""
    names: dict[str, float] = defaultdict(float)
    given: dict[tuple[str, str], float] = defaultdict(float)
    for (workload, of), uj in results[0].true.items():
        names[_name(workload)] += uj if of == part else 0.0
    for result in results:
        for (workload, of), uj in result.attributed.items():
            given[_name(workload), result.formula] += uj if of == part else 0.0
    total = sum(names.values())
    lines = [
        f"| workload | share of true dynamic {part} energy | "
        + " | ".join(r.formula for r in results)
        + " |",
        "|---|---|" + "---|" * len(results),
    ]
    for name, uj in sorted(names.items(), key=lambda item: -item[1]):
        if uj >= 0.005 * total:
            ratios = " | ".join(f"{given[name, result.formula] / uj:.2f}" for result in results)
            lines.append(f"| {name} | {uj / total:.1%} | {ratios} |")
    return "\n".join(lines)


def _name(workload: Workload) -> str:
    if workload.pod_name:
        return f"{workload.pod_name.rsplit('-', 2)[0]} (pod)"
    return f"{workload.name or workload.id} ({workload.kind})" if workload.id else workload.kind


def report(hours: int, seed: int) -> str:
    """Everything as Markdown: the body of docs/accuracy.md."""
    outcome = measure(hours, seed=seed)
    finest = outcome.errors[min(outcome.errors)]
    return "\n\n".join(
        [
            HEAD.format(hours=hours, seed=seed, workloads=len(finest[0].workloads()), host=REFERENCE.name),
            summary(outcome),
            "## Idle power found",
            idle_table(outcome),
            "## Where the error comes from",
            BY_NAME,
            *(f"### {part}\n\n{by_name(finest, part)}" for part in PARTS),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(report(arguments.hours, arguments.seed))


if __name__ == "__main__":
    main()
