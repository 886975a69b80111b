"""The invariants of the ledger, under any sequence of what a host can do to it."""

from __future__ import annotations

import tempfile

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.scripted import (
    AMD_RANGE_UJ,
    INTEL_RANGE_UJ,
    S,
    ScriptedNode,
    container,
    dram,
    expired_uj,
    node_uj,
    package,
    workload_uj,
)
from wattledger.model import EXITED, KERNEL

ZONES = [
    package(0, range_uj=INTEL_RANGE_UJ),
    package(1, range_uj=AMD_RANGE_UJ, max_power_w=500.0),
    dram(0),
]


class LedgerMachine(RuleBasedStateMachine):
    """A node on which workloads are born, work, move and die while meters wrap, fail, reset and vanish.

    The truth is kept beside it: what every zone drew, less what was dropped with a count.
    """

    @initialize(
        policy=st.sampled_from(["unallocated", "usage", "memory", "requests"]),
        limit=st.sampled_from([5000, 40]),
        floor=st.sampled_from([0.0, 20.0, 1000.0]),
    )
    def begin(self, policy, limit, floor):
        self.folder = tempfile.TemporaryDirectory()
        self.node = ScriptedNode(
            list(ZONES),
            folder=self.folder.name,
            idle=policy,
            series_limit=limit,
            grace_ns=6 * S,
            idle_watts={"cpu": floor, "dram": floor / 10},
        )
        self.numbers = 0
        self.counters: dict[tuple, float] = {}
        self.expected = dict.fromkeys((zone.key for zone in ZONES), 0)
        self.pending = dict.fromkeys((zone.key for zone in ZONES), 0)
        self.resets: set = set()
        for zone in ZONES:
            self.node.sensor.raw_uj[zone.key] = zone.range_uj - 300_000_000
        self.snapshot = self.node.step()

    def teardown(self):
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @rule(zone=st.sampled_from(ZONES), share=st.floats(0, 1))
    def draw(self, zone, share):
        """A zone draws energy, less than its plausible power allows within the shortest tick."""
        room_uj = round(zone.max_power_w * 0.9e6) - self.pending[zone.key]
        energy_uj = round(room_uj * share)
        self.node.sensor.spend(zone, energy_uj)
        self.pending[zone.key] += energy_uj

    @rule(seconds=st.sampled_from([1.0, 5.0, 5.0, 17.3]))
    def tick(self, seconds):
        self.snapshot = self.node.step(seconds)
        self.settle()

    @rule(data=st.data(), share=st.floats(0.1, 1))
    def busy_tick(self, data, share):
        """The ordinary case: everything draws, somebody works, time passes."""
        for zone in ZONES:
            self.draw(zone, share)
        if self.node.workloads.alive:
            worker = data.draw(st.sampled_from(list(self.node.workloads.alive)))
            self.node.workloads.use({worker: 3 * S})
        self.tick(5.0)

    @rule()
    def birth(self):
        self.numbers += 1
        workload = self.node.workloads.bear(container(self.numbers))
        self.node.workloads.memory_bytes[workload] = self.numbers * 1000
        self.node.workloads.reserved_cpus[workload] = 0.5

    @precondition(lambda self: self.node.workloads.alive)
    @rule(data=st.data())
    def death(self, data):
        workload = data.draw(st.sampled_from(list(self.node.workloads.alive)))
        self.node.workloads.end(workload)
        self.node.workloads.memory_bytes.pop(workload, None)
        self.node.workloads.reserved_cpus.pop(workload, None)

    @precondition(lambda self: self.numbers)
    @rule(number=st.integers(1, 50))
    def rebirth(self, number):
        """A workload of a known identity appears again as a new object, as after a scan that lost it."""
        if number <= self.numbers and all(w.id != container(number).id for w in self.node.workloads.alive):
            self.node.workloads.bear(container(number))

    @rule(data=st.data(), used_ns=st.integers(0, 20 * S))
    def work(self, data, used_ns):
        who = data.draw(st.sampled_from([KERNEL, EXITED, *self.node.workloads.alive]))
        self.node.workloads.use({who: used_ns})

    @rule(zone=st.sampled_from(ZONES))
    def fail(self, zone):
        self.node.sensor.failing[zone.key] = "eio"

    @rule(zone=st.sampled_from(ZONES))
    def heal(self, zone):
        self.node.sensor.failing.pop(zone.key, None)

    @rule(zone=st.sampled_from(ZONES))
    def replace(self, zone):
        """The zone goes and comes back as another counter: its pending interval cannot be known."""
        self.node.sensor.lineage[zone.key] = f"boot/{self.node.clock.now_ns}/{len(self.resets)}"
        self.node.sensor.reset(zone)
        self.node.clock.advance(0.001)
        self.resets.add(zone.key)

    @rule()
    def suspend(self):
        self.node.clock.suspend(100)
        self.resets |= set(self.pending)

    @rule()
    def die_and_return(self):
        self.node.restart()
        self.snapshot = self.node.step()
        self.settle()

    def settle(self):
        """Move what a successful reading delivered from pending to expected."""
        for zone in ZONES:
            if zone.key in self.node.sensor.failing:
                continue
            if zone.key not in self.resets:
                self.expected[zone.key] += self.pending[zone.key]
            self.pending[zone.key] = 0
            self.resets.discard(zone.key)

    @invariant()
    def the_node_total_is_the_truth(self):
        if not hasattr(self, "snapshot"):
            return
        assert node_uj(self.snapshot, "cpu") == self.expected[ZONES[0].key] + self.expected[ZONES[1].key]
        assert node_uj(self.snapshot, "dram") == self.expected[ZONES[2].key]

    @invariant()
    def every_joule_is_on_one_series(self):
        if not hasattr(self, "snapshot"):
            return
        for row in self.snapshot.nodes:
            shown = workload_uj(self.snapshot, component=row.component)
            assert shown + row.expired_uj == row.energy_uj
        assert workload_uj(self.snapshot) + expired_uj(self.snapshot) == node_uj(self.snapshot)
        keys = [row.workload.key for row in self.snapshot.workloads]
        assert len(keys) == len(set(keys))

    @invariant()
    def no_counter_goes_down(self):
        if not hasattr(self, "snapshot"):
            return
        now = counters(self.snapshot)
        for key, value in now.items():
            assert value >= self.counters.get(key, 0), key
        self.counters.update(now)

    @invariant()
    def the_series_limit_holds(self):
        """Workloads with series of their own stay within the limit, pseudo-workloads included."""
        if hasattr(self, "snapshot") and self.node.series_limit == 40:
            named = [row for row in self.snapshot.workloads if row.workload.kind == "container"]
            assert len(named) <= 40 // 4


def counters(snapshot):
    """Every counter of a snapshot by its labels."""
    values = {}
    for row in snapshot.nodes:
        values["node", row.component] = row.energy_uj
        values["node g", row.component] = row.emissions_g
    for row in snapshot.workloads:
        values["cpu", row.workload.key] = row.cpu_ns
        for cell in row.cells:
            values["energy", row.workload.key, cell.component, cell.mode] = cell.energy_uj
            values["grams", row.workload.key, cell.component, cell.mode] = cell.emissions_g
    for row in snapshot.sensors:
        values["sensor", row.zone.key] = row.energy_uj
        values["wraps", row.zone.key] = row.wraps
        for reason, count in (*row.read_errors.items(), *row.dropped.items()):
            values["lost", row.zone.key, reason] = count
    values["limited"] = snapshot.health.series_limited
    return values


LedgerMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestLedger = LedgerMachine.TestCase
