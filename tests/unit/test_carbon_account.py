"""The account of emissions as a whole: embodied, market-based, water, budgets and journal in one ledger."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.scripted import J, S, ScriptedNode, container, package
from wattledger.carbon.intensity import Static
from wattledger.carbon.pricing import Pricing
from wattledger.ledger.journal_read import find_journal, open_for_reading
from wattledger.model import UNATTRIBUTED, Intensity
from wattledger.settings import BudgetSettings, EmbodiedSettings

HOUR = 3600
KWH = 3_600_000
DAY_NS = 86_400 * S
EMBODIED = EmbodiedSettings(total_g=1_000_000.0, lifespan_ns=4 * 365 * DAY_NS)
G_PER_HOUR = 1_000_000 / (4 * 365 * 24)  # 28.5, the example of the SCI specification
PRICING = Pricing(
    intensity=Static(Intensity(grams_per_kwh=500, provider="static")),
    market=Static(Intensity(grams_per_kwh=50, provider="static")),
    wue_l_per_kwh=0.5,
)


def make(folder=None, **options) -> ScriptedNode:
    options = {"pricing": PRICING, "idle_watts": {"cpu": 0.0}, **options}
    return ScriptedNode([package()], folder=folder and str(folder), **options)


def set_wall(node: ScriptedNode, moment: str) -> None:
    """Put the wall clock to a moment, in UTC."""
    at_ns = int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()) * S
    node.clock.epoch_ns = at_ns - node.clock.now_ns


def run(node: ScriptedNode, seconds: int, watts: float = 100, use=None, step: int = 60):
    """Let time pass at a constant power."""
    snapshot = None
    for _ in range(seconds // step):
        node.sensor.spend(node.sensor.zones[0], round(watts * step * J))
        if use:
            node.workloads.use({workload: round(cpus * step * S) for workload, cpus in use.items()})
        snapshot = node.step(step)
    return snapshot


def embodied_of(snapshot) -> dict[str, float]:
    return {
        row.workload.id or row.workload.kind: row.embodied_g for row in snapshot.workloads if row.embodied_g
    }


def test_market_emissions_and_water_go_beside_the_location_based_ones():
    """1 kWh at 500 g/kWh location-based, 50 g/kWh market-based and 0.5 l/kWh."""
    node = make()
    node.sampler.tick()
    row = run(node, 10 * HOUR).nodes[0]
    assert row.energy_uj == KWH * J
    assert (row.emissions_g, row.market_g, row.water_l) == pytest.approx((500, 50, 0.5))


def test_what_is_not_configured_is_not_shown():
    node = make(pricing=None)
    snapshot = run(node, 120)
    assert (snapshot.nodes[0].market_g, snapshot.nodes[0].water_l, snapshot.embodied_g) == (None, None, None)


def test_pue_multiplies_both_prices_but_not_water():
    node = make(
        pricing=Pricing(intensity=PRICING.intensity, market=PRICING.market, wue_l_per_kwh=0.5, pue=Two())
    )
    node.sampler.tick()
    row = run(node, 10 * HOUR).nodes[0]
    assert (row.emissions_g, row.market_g, row.water_l) == pytest.approx((1000, 100, 0.5))


class Two:
    def at(self, wall_ns):
        return 2.0

    def next_step(self, wall_ns):
        return 1 << 62


def test_embodied_emissions_go_by_what_is_reserved_and_else_by_use():
    """Four CPUs, one hour: two reserved, one used without a reservation, the fourth nobody's."""
    node = make(embodied=EMBODIED)
    reserved, user = node.workloads.bear(container(1)), node.workloads.bear(container(2))
    node.workloads.reserved_cpus = {reserved: 2.0}
    node.sampler.tick()
    snapshot = run(node, HOUR, use={user: 1, reserved: 0.1})
    shares = embodied_of(snapshot)
    assert snapshot.embodied_g == pytest.approx(G_PER_HOUR)
    assert shares[reserved.id] == pytest.approx(G_PER_HOUR / 2)
    assert shares[user.id] == pytest.approx(G_PER_HOUR / 4)
    assert shares["idle"] == pytest.approx(G_PER_HOUR / 4)


def test_embodied_shares_always_add_up_to_the_node():
    """Also when workloads end, expire, come back and are held."""
    node = make(embodied=EMBODIED, grace_ns=60 * S)
    node.sampler.tick()
    for number in range(30):
        worker = node.workloads.bear(container(number))
        snapshot = run(node, 120, use={worker: 2})
        node.workloads.end(worker)
        shown = sum(embodied_of(snapshot).values())
        assert shown + snapshot.expired_embodied_g == pytest.approx(snapshot.embodied_g, rel=1e-12)
    assert snapshot.expired_embodied_g > 0


def test_time_without_an_agent_is_nobodys_and_a_boot_counts_from_its_beginning(tmp_path):
    """Half an hour down is `unattributed`; after a reboot the ten seconds since the boot count too."""
    node = make(tmp_path, embodied=EMBODIED)
    node.sampler.tick()
    run(node, HOUR)
    node.clock.advance(HOUR / 2)
    node.restart()
    snapshot = node.sampler.tick()
    assert snapshot.embodied_g == pytest.approx(1.5 * G_PER_HOUR)
    assert embodied_of(snapshot)[UNATTRIBUTED.kind] == pytest.approx(G_PER_HOUR / 2)
    node.reboot()
    assert node.step(5).embodied_g == pytest.approx(G_PER_HOUR / HOUR * 15)


MONTH = BudgetSettings(name="month", period="month", limit_g=50_000, timezone="Europe/Berlin")
ML = BudgetSettings(name="ml", period="day", limit_g=2_000, select={"id": (container(1).id,)})


def consumed(snapshot) -> dict[str, float]:
    return {row.name: row.consumed_g for row in snapshot.budgets}


def test_budgets_count_what_is_booked_and_begin_anew_at_midnight_there(tmp_path):
    """100 W at 500 g/kWh are 50 g an hour; midnight in Berlin is 22:00 UTC on the last of March."""
    node = make(tmp_path, budgets=(MONTH, ML))
    set_wall(node, "2026-03-31T20:00")
    worker = node.workloads.bear(container(1))
    node.sampler.tick()
    snapshot = run(node, 2 * HOUR - 60, use={worker: 4})
    assert consumed(snapshot)["month"] == pytest.approx(100 - 50 / 60)
    snapshot = run(node, 120, use={worker: 4})
    assert consumed(snapshot)["month"] == pytest.approx(50 / 60)
    assert consumed(snapshot)["ml"] == pytest.approx(100 + 50 / 60)
    assert snapshot.budgets[0].end_ns - snapshot.budgets[0].start_ns == 30 * DAY_NS


def test_budgets_go_on_over_restarts_and_reboots(tmp_path):
    """What was drawn meanwhile counts too; a machine that was off draws nothing."""
    node = make(tmp_path, budgets=(MONTH,), retention_ns=400 * DAY_NS)
    set_wall(node, "2026-03-10T00:00")
    node.sampler.tick()
    run(node, HOUR)
    node.sensor.spend(node.sensor.zones[0], 100 * 600 * J)
    node.clock.advance(600)
    node.restart()
    assert consumed(node.sampler.tick())["month"] == pytest.approx(50 * 70 / 60)
    node.reboot(HOUR)
    node.sampler.tick()
    assert consumed(run(node, HOUR))["month"] == pytest.approx(50 * 130 / 60)


def test_a_budget_that_is_new_begins_with_what_the_journal_knows(tmp_path):
    """One hour was booked before anybody thought of a budget."""
    node = make(tmp_path, retention_ns=400 * DAY_NS)
    set_wall(node, "2026-03-10T00:00")
    worker = node.workloads.bear(container(1))
    node.sampler.tick()
    run(node, HOUR, use={worker: 4})
    node.ledger.close()
    node.budgets = (MONTH, ML)
    node.start()
    assert consumed(node.sampler.tick()) == pytest.approx({"month": 50, "ml": 50}, rel=1e-6)


def test_the_journal_holds_the_ledgers_figures_over_restarts_and_boots(tmp_path):
    """Two boots, three processes, sixteen hours: what was served is what the hours add up to."""
    node = make(tmp_path, embodied=EMBODIED, retention_ns=400 * DAY_NS)
    set_wall(node, "2026-03-10T00:00")
    worker = node.workloads.bear(container(1))
    node.sampler.tick()
    run(node, 6 * HOUR + 120, use={worker: 2})
    node.restart()
    first = run(node, 2 * HOUR, use={worker: 2})
    node.reboot(HOUR)
    node.sampler.tick()
    second = run(node, 6 * HOUR, watts=200, use={worker: 2})
    node.ledger.close()
    with open_for_reading(find_journal(str(tmp_path))) as journal:
        start_ns, end_ns = journal.span()
        nodes = journal.nodes(start_ns, end_ns)
        hours = journal.cover(start_ns, end_ns)
        total_g = journal.grams(None, start_ns, end_ns, embodied=True)
    booked_uj = first.nodes[0].energy_uj + second.nodes[0].energy_uj
    booked_g = first.nodes[0].emissions_g + second.nodes[0].emissions_g
    assert nodes["cpu"].energy_uj == booked_uj
    assert nodes["cpu"].emissions_g == pytest.approx(booked_g, rel=1e-12)
    assert nodes["cpu"].market_g == pytest.approx(booked_g / 10, rel=1e-9)
    assert total_g == pytest.approx(booked_g + first.embodied_g + second.embodied_g, rel=1e-9)
    assert len(hours) == 16
