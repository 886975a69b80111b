"""Whatever happens to a node, ledger, budgets and journal tell the same grams, and each joule once."""

from __future__ import annotations

from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.scripted import J, S, ScriptedNode, container, dram, package
from tests.unit.test_carbon_account import DAY_NS, EMBODIED, HOUR, PRICING, consumed, set_wall
from wattledger.carbon.pricing import Pricing
from wattledger.ledger.journal_read import find_journal, open_for_reading
from wattledger.model import Intensity, Zone
from wattledger.settings import BudgetSettings

BMC = Zone(sensor="scripted", name="node", device="bmc", covers="node", max_power_w=5000.0)
ZONES = [package(0), package(1), dram(0), BMC]
BUDGETS = (
    BudgetSettings(name="operational", period="year", limit_g=1e9),
    BudgetSettings(name="total", period="year", limit_g=1e9, scope="total"),
    BudgetSettings(name="each", period="year", limit_g=1e9, scope="total", select={"kind": ("*",)}),
)
SECONDS = st.sampled_from([1, 5, 60, 600, 4000])
EVENTS = st.one_of(
    st.tuples(st.just("step"), SECONDS),
    st.tuples(st.just("step"), SECONDS),
    st.tuples(st.just("fail"), st.sampled_from(range(len(ZONES)))),
    st.tuples(st.sampled_from(["kill", "stop", "suspend", "reboot"]), SECONDS),
    st.tuples(st.just("set clock"), st.sampled_from([-4000, -3, 7, 5000])),
    st.tuples(st.sampled_from(["bear", "end"]), st.just(0)),
)


class Hourly:
    """An intensity that is another one in every hour."""

    def over(self, start_ns, end_ns):
        return Intensity(grams_per_kwh=100 + end_ns // (HOUR * S) % 24 * 30, provider="hourly")

    at = series = over


class Play:
    """A node with its storage, and what earlier boots came to."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.node = ScriptedNode(
            ZONES,
            folder=folder,
            pricing=Pricing(intensity=Hourly(), market=PRICING.market),
            embodied=EMBODIED,
            budgets=BUDGETS,
            retention_ns=400 * DAY_NS,
            grace_ns=120 * S,
            idle_watts={"cpu": 20.0, "dram": 1.0},
        )
        set_wall(self.node, "2026-05-10T00:30")
        self.before = (0, 0.0, 0.0)
        self.number = 0
        self.shot = self.node.sampler.tick()

    def draw(self, seconds: int) -> None:
        for zone in ZONES:
            self.node.sensor.spend(zone, (90 if zone is BMC else 25) * seconds * J)
        if self.node.workloads.alive:
            self.node.workloads.reserved_cpus = {next(iter(self.node.workloads.alive)): 0.5}
        self.node.workloads.use(dict.fromkeys(self.node.workloads.alive, seconds * S // 10))

    def play(self, event: str, amount: int) -> None:
        node = self.node
        if event == "bear":
            self.number += 1
            node.workloads.bear(container(self.number))
        elif event == "end" and node.workloads.alive:
            node.workloads.end(next(iter(node.workloads.alive)))
            node.workloads.reserved_cpus = {}
        elif event == "fail":
            node.sensor.failing = {ZONES[amount].key: "eio"}
        elif event == "set clock":
            node.clock.epoch_ns += amount * S
        elif event == "suspend":
            node.clock.suspend(amount)
        elif event == "reboot":
            self.before = self.sums()
            node.sensor.failing = {}
            node.reboot(amount)
        elif event in ("kill", "stop"):
            self.draw(amount)
            node.clock.advance(amount)
            if event == "stop":
                node.ledger.close()
            node.restart()
        else:
            self.draw(amount)
            node.clock.advance(amount)
        self.shot = node.sampler.tick()
        if event == "step":
            node.sensor.failing = {}

    def sums(self) -> tuple[int, float, float]:
        """Microjoules, grams and embodied grams of all boots."""
        return (
            self.before[0] + sum(row.energy_uj for row in self.shot.nodes),
            self.before[1] + sum(row.emissions_g for row in self.shot.nodes),
            self.before[2] + self.shot.embodied_g,
        )

    def check(self) -> None:
        shot, cells = self.shot, [cell for row in self.shot.workloads for cell in row.cells]
        shown_uj = sum(cell.energy_uj for cell in cells) + sum(row.expired_uj for row in shot.nodes)
        shown_g = sum(cell.emissions_g for cell in cells) + sum(row.expired_g for row in shot.nodes)
        embodied_g = sum(row.embodied_g for row in shot.workloads) + shot.expired_embodied_g
        assert shown_uj == sum(row.energy_uj for row in shot.nodes)
        assert shown_g == pytest.approx(sum(row.emissions_g for row in shot.nodes), rel=1e-9)
        assert embodied_g == pytest.approx(shot.embodied_g, rel=1e-9)
        _, grams, embodied_g = self.sums()
        total_g = grams + embodied_g
        expected = {"operational": grams, "total": total_g, "each": total_g}
        assert consumed(shot) == pytest.approx(expected, rel=1e-9, abs=1e-9)

    def check_journal(self) -> None:
        """Of a node that has been stopped in an orderly way."""
        energy_uj, grams, embodied_g = self.sums()
        with open_for_reading(find_journal(self.folder)) as journal:
            span = journal.span()
            nodes, groups = journal.nodes(*span), journal.totals(*span)
            both_g = journal.grams(None, *span, embodied=True)
        assert sum(total.energy_uj for total in nodes.values()) == energy_uj
        assert sum(uj for group in groups for uj, _ in group.cells.values()) == energy_uj
        assert both_g == pytest.approx(grams + embodied_g, rel=1e-7, abs=1e-6)
        ours_g = sum(g for group in groups for _, g in group.cells.values())
        assert ours_g == pytest.approx(grams, rel=1e-7, abs=1e-6)
        assert sum(group.embodied_g for group in groups) == pytest.approx(embodied_g, rel=1e-7, abs=1e-6)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(EVENTS, min_size=5, max_size=25))
def test_ledger_budgets_and_journal_tell_the_same(events):
    """Kills, reboots, failing meters, a clock that is set, hours and midnights."""
    with TemporaryDirectory() as folder:
        play = Play(folder)
        try:
            for event, amount in [*events, ("step", 5)]:
                play.play(event, amount)
                play.check()
        finally:
            play.node.ledger.close()
        play.check_journal()
