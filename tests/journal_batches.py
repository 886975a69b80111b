"""A ledger reduced to its running totals, and what it hands to the journal."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from wattledger.ledger.journal import Batch, Journal, NodeSum
from wattledger.ledger.journal_read import open_for_reading
from wattledger.ledger.journal_schema import HOUR_NS
from wattledger.model import S_NS, Intensity, Workload

J = 1_000_000
DAY_NS = 24 * HOUR_NS
START_NS = 490_000 * HOUR_NS
"""A whole hour in 2025."""

WEB = Workload(kind="container", id="web", name="web", pod_namespace="shop", pod_name="web-0")
DB = Workload(kind="container", id="db", pod_namespace="shop")
BATCH = Workload(kind="job", id="7", facts=(("user", "ann"), ("account", "physics")))
IDLE = Workload(kind="idle")


def at(hour: float) -> int:
    """Wall time so many hours after START_NS."""
    return START_NS + round(hour * HOUR_NS)


@dataclass
class Totals:
    """Running totals since boot; `use` books one microgram for every microjoule times `grams_per_j`."""

    boot_id: str = "boot-1"
    lineage: str = ""
    covered_ns: int = 0
    embodied_g: float = 0.0
    intensity: Intensity = field(
        default_factory=lambda: Intensity(grams_per_kwh=360.0, provider="static", grid_zone="DE")
    )
    cells: dict = field(default_factory=dict)
    known: dict = field(default_factory=dict)
    embodied: dict = field(default_factory=dict)
    node: dict = field(default_factory=dict)

    def use(self, workload, energy_uj, *, component="cpu", mode="dynamic", grams=None, embodied_g=0.0):
        """Book energy, at 0.0001 g per joule unless told otherwise."""
        grams = energy_uj / J * 1e-4 if grams is None else grams
        self.known[workload.key] = workload
        account = self.cells.setdefault(workload.key, {})
        old = account.get((component, mode), (0, 0.0))
        account[component, mode] = (old[0] + energy_uj, old[1] + grams)
        total = self.node.get(component, (0, 0.0))
        self.node[component] = (total[0] + energy_uj, total[1] + grams)
        self.embodied[workload.key] = self.embodied.get(workload.key, 0.0) + embodied_g
        self.embodied_g += embodied_g
        return self

    def pass_time(self, seconds):
        """The agent took samples for so long."""
        self.covered_ns += round(seconds * S_NS)
        return self

    def drop(self, workload):
        """Forget an account; the node keeps its total."""
        del self.cells[workload.key], self.known[workload.key], self.embodied[workload.key]
        return self

    def batch(self, wall_ns, **more):
        """What is handed to the journal now."""
        return Batch(
            boot_id=self.boot_id,
            lineage=self.lineage,
            wall_ns=wall_ns,
            covered_ns=self.covered_ns,
            embodied_g=self.embodied_g,
            node={
                component: NodeSum(energy_uj=uj, emissions_g=g, facility_uj=uj * 1.5, fallback_uj=uj // 2)
                for component, (uj, g) in self.node.items()
            },
            accounts=[
                (
                    self.known[key],
                    [(component, mode, uj, g) for (component, mode), (uj, g) in account.items()],
                    self.embodied[key],
                )
                for key, account in self.cells.items()
            ],
            intensity=self.intensity,
            **more,
        )


def until(condition):
    """Wait for another thread; a minute is for a machine that is busy."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def write(folder, *batches, retention_ns=400 * DAY_NS):
    """Write batches one after the other, each by an agent of its own; the last journal."""
    journal = None
    for batch in batches:
        journal = Journal(str(folder), retention_ns=retention_ns)
        journal.open()
        journal.start()
        journal.offer(batch)
        assert journal.stop(20)
    return journal


def sums(path, start_ns=0, end_ns=1 << 62):
    """Microjoules by workload key."""
    with open_for_reading(str(path)) as reader:
        return {group.workload.key: group.energy_uj for group in reader.totals(start_ns, end_ns)}


def node_uj(path):
    """Microjoules of the node."""
    with open_for_reading(str(path)) as reader:
        return sum(total.energy_uj for total in reader.nodes(0, 1 << 62).values())


def by_hour(path, workload):
    """Joules of a workload by hour after START_NS."""
    with open_for_reading(str(path)) as reader:
        return {
            (group.hour_ns - START_NS) // HOUR_NS: group.energy_uj // J
            for group in reader.hours(0, 1 << 62)
            if group.workload.key == workload.key
        }
