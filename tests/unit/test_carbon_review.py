"""What goes wrong around the account of emissions must not bend it: defects, damage, limits, reloads."""

from __future__ import annotations

import logging
import sqlite3
import sys
import zoneinfo
from dataclasses import replace

import pytest

from tests.scripted import J, S, ScriptedNode, container, package
from tests.unit.test_carbon_account import (
    DAY_NS,
    EMBODIED,
    G_PER_HOUR,
    HOUR,
    ML,
    PRICING,
    consumed,
    embodied_of,
    make,
    run,
    set_wall,
)
from wattledger.carbon.pricing import Pricing
from wattledger.carbon.watch import CarbonWatch
from wattledger.ledger.checkpoint import Checkpoint
from wattledger.ledger.journal_read import find_journal, open_for_reading
from wattledger.model import FeedHealth, Intensity, ProcessUse
from wattledger.sampler import Policy
from wattledger.settings import BudgetSettings


class Broken:
    """A market-based source with a defect, which shows only when a price is made of its value."""

    def __init__(self) -> None:
        self.broken = False

    def over(self, start_ns, end_ns):
        return Intensity(grams_per_kwh=None if self.broken else 50, provider="broken")

    at = series = over


def journal_uj(folder) -> dict[str, int]:
    """Microjoules in the journal, of the node and of all workloads."""
    with open_for_reading(find_journal(str(folder))) as journal:
        start_ns, end_ns = journal.span()
        node = sum(total.energy_uj for total in journal.nodes(start_ns, end_ns).values())
        groups = journal.totals(start_ns, end_ns)
    return {"node": node, "workloads": sum(uj for g in groups for uj, _ in g.cells.values())}


def test_a_defect_in_the_middle_of_a_tick_books_nothing_twice_in_the_journal(tmp_path):
    """The sampler ends between the accounts and the checkpoint; the next process starts from the latter."""
    market = Broken()
    node = make(tmp_path, pricing=replace(PRICING, market=market), retention_ns=400 * DAY_NS)
    worker = node.workloads.bear(container(1))
    node.sampler.tick()
    run(node, HOUR, use={worker: 4})
    market.broken = True
    with pytest.raises(TypeError):
        run(node, 600, use={worker: 4}, step=600)
    market.broken = False
    node.ledger.close()
    node.workloads.born = list(node.workloads.alive)
    node.start()
    node.sampler.tick()
    snapshot = run(node, 60, use={worker: 4})
    node.ledger.close()
    assert snapshot.nodes[0].energy_uj == 100 * (HOUR + 660) * J
    assert journal_uj(tmp_path) == {"node": 100 * (HOUR + 660) * J, "workloads": 100 * (HOUR + 660) * J}


def test_idle_floors_that_cannot_be_saved_leave_the_checkpoint_and_the_journal_alone(tmp_path, caplog):
    (tmp_path / "idle-floor.json.new").mkdir(parents=True)
    node = make(tmp_path, retention_ns=400 * DAY_NS)
    node.sampler.tick()
    with caplog.at_level(logging.INFO):
        snapshot = run(node, 1200)
    assert snapshot.health.checkpoint_errors == 0
    said = [record.message for record in caplog.records if record.levelno >= logging.ERROR]
    assert said == ["idle floors cannot be saved; after a restart they would start anew"]
    node.ledger.close()
    assert "checkpoint" not in caplog.text


def test_the_folder_is_free_again_also_when_the_end_could_not_be_saved(tmp_path):
    (tmp_path / "idle-floor.json.new").mkdir(parents=True)
    node = make(tmp_path)
    node.sampler.tick()
    node.ledger.close()
    again = Checkpoint(str(tmp_path))
    assert again.open()["boot_id"] == "boot"
    again.close()


@pytest.mark.parametrize("spoil", ["history", "embodied", "at_ns", "counts"])
def test_a_checkpoint_that_is_not_understood_is_left_as_a_whole(tmp_path, spoil):
    """Half of it would not balance: embodied grams without the node's, or hours booked twice."""
    node = make(tmp_path, embodied=EMBODIED, retention_ns=400 * DAY_NS)
    worker = node.workloads.bear(container(1))
    node.sampler.tick()
    run(node, HOUR, use={worker: 4})
    node.ledger.close()
    checkpoint = Checkpoint(str(tmp_path))
    state = checkpoint.open()
    state[spoil] = {"lineage": 1} if spoil == "history" else None
    checkpoint.write(state)
    checkpoint.close()
    node.workloads.born = list(node.workloads.alive)
    node.start()
    node.sampler.tick()
    snapshot = run(node, 600, use={worker: 4})
    node.ledger.close()
    assert snapshot.nodes[0].energy_uj == 100 * 600 * J
    assert sum(embodied_of(snapshot).values()) == pytest.approx(snapshot.embodied_g)
    assert snapshot.embodied_g == pytest.approx(G_PER_HOUR / 6)
    assert journal_uj(tmp_path)["workloads"] == 100 * (HOUR + 600) * J


TOTAL = BudgetSettings(name="total", period="day", limit_g=50_000, scope="total")


def test_embodied_emissions_of_time_without_an_agent_count_for_the_day_they_fall_into(tmp_path):
    """Down from 22:00 to 02:00 with a meter that tells nothing of it: two of four hours are of today."""
    node = make(tmp_path, embodied=EMBODIED, budgets=(TOTAL,))
    set_wall(node, "2026-03-10T21:00")
    node.sampler.tick()
    run(node, HOUR)
    node.clock.advance(4 * HOUR)
    node.sensor.lineage[node.sensor.zones[0].key] = "process/2"
    node.restart()
    snapshot = node.sampler.tick()
    assert consumed(snapshot)["total"] == pytest.approx(2 * G_PER_HOUR)
    assert snapshot.embodied_g == pytest.approx(5 * G_PER_HOUR)


def test_the_series_limit_holds_with_embodied_emissions_too():
    """A workload has five series then: energy, emissions, embodied emissions, CPU time and info."""
    node = make(embodied=EMBODIED, series_limit=100)
    workers = [node.workloads.bear(container(number)) for number in range(50)]
    node.sampler.tick()
    snapshot = run(node, 120, use=dict.fromkeys(workers, 0.05))
    shown = sum(2 + 2 * len(row.cells) + (row.embodied_g > 0) for row in snapshot.workloads)
    assert snapshot.health.series == shown <= 100
    assert sum(embodied_of(snapshot).values()) == pytest.approx(snapshot.embodied_g)


def test_a_time_zone_database_that_vanishes_does_not_end_the_sampler(monkeypatch, tmp_path):
    """A package upgrade replaces its files right when a period ends; midnight is 18:15 UTC."""
    budgets = (BudgetSettings(name="day", period="day", limit_g=9_000, timezone="Asia/Kathmandu"),)
    node = make(budgets=budgets)
    set_wall(node, "2026-03-10T17:15")
    node.sampler.tick()
    paths = zoneinfo.TZPATH
    monkeypatch.setitem(sys.modules, "tzdata", None)
    zoneinfo.reset_tzpath(to=[str(tmp_path)])
    zoneinfo.ZoneInfo.clear_cache(only_keys=["Asia/Kathmandu"])
    try:
        assert consumed(run(node, 2 * HOUR))["day"] == pytest.approx(50)
    finally:
        zoneinfo.reset_tzpath(to=paths)


def test_a_late_socket_is_priced_over_its_own_silence():
    """One of two is silent for an hour over a change from 100 to 700 g/kWh, half an hour in."""
    zones = [package(0), package(1)]
    node = ScriptedNode(zones, pricing=Pricing(intensity=Doubling()), idle_watts={"cpu": 0.0})
    set_wall(node, "2026-03-10T00:30")
    node.sampler.tick()
    for minute in range(60):
        for zone in zones:
            node.sensor.spend(zone, 50 * 60 * J)
        node.sensor.failing = {zones[1].key: "eio"} if minute < 59 else {}
        snapshot = node.step(60)
    true_g = 0.05 * 100 + 0.05 * 700  # kWh of both in each half hour
    assert snapshot.nodes[0].emissions_g == pytest.approx(true_g, rel=0.02)


class Doubling:
    """100 g/kWh until one o'clock, 700 afterwards."""

    def at(self, wall_ns):
        return Intensity(grams_per_kwh=100 if wall_ns % DAY_NS < HOUR * S else 700, provider="step")

    def over(self, start_ns, end_ns):
        start, end = start_ns % DAY_NS / S, end_ns % DAY_NS / S
        if end <= start:
            return self.at(end_ns)
        low, high = max(0.0, min(end, HOUR) - start), max(0.0, end - max(start, HOUR))
        return Intensity(grams_per_kwh=(100 * low + 700 * high) / (end - start), provider="step")

    def series(self, start_ns, end_ns):
        return None


def test_processes_pay_what_their_workload_pays():
    zone = package()
    node = ScriptedNode([zone], pricing=Pricing(intensity=Doubling()), idle_watts={"cpu": 0.0}, top=5)
    set_wall(node, "2026-03-10T00:55")
    worker = node.workloads.bear(container(1))
    node.sampler.tick()
    for minute in range(20):
        node.sensor.spend(zone, 100 * 60 * J)
        node.workloads.use({worker: 60 * S})
        node.workloads.processes = [ProcessUse(7, 1, "train", worker, 60 * S)]
        node.sensor.failing = {zone.key: "eio"} if 2 < minute < 18 else {}
        snapshot = node.step(60)
    cell = next(row for row in snapshot.workloads if row.workload is worker).cells[0]
    (process,) = snapshot.processes
    assert process.emissions_g / process.energy_uj == pytest.approx(cell.emissions_g / cell.energy_uj)


def test_a_source_with_a_defect_costs_its_own_values_only():
    """No source should raise; one that does must neither end the sampler nor price at zero."""
    market = Broken()
    market.over = lambda start_ns, end_ns: 1 / 0
    node = make(pricing=Pricing(intensity=market))
    node.sampler.tick()
    row = run(node, 10 * HOUR).nodes[0]
    assert row.emissions_g == pytest.approx(473)
    assert node.sampler.latest().price.intensity.fallback
    assert node.sampler.failures > 0


@pytest.mark.parametrize(
    "damage",
    ["UPDATE workload SET facts = '{'", "UPDATE workload SET facts = '[1]'", "DROP TABLE hour_energy"],
)
def test_a_budget_that_is_new_outlives_a_journal_that_makes_no_sense(tmp_path, damage):
    """It begins at zero, also while the agent runs, where an exception would end the sampler.

    Of an agent in its first hour all is known without a journal; this one is older.
    """
    node = make(tmp_path, retention_ns=400 * DAY_NS)
    set_wall(node, "2026-03-10T00:00")
    worker = node.workloads.bear(container(1))
    node.sampler.tick()
    run(node, 2 * HOUR, use={worker: 4})
    node.ledger.close()
    node.start()
    journal = sqlite3.connect(tmp_path / "journal.sqlite3")
    journal.execute(damage)
    journal.commit()
    journal.close()
    seed = node.ledger._history.up_to_now(node.ledger.past((ML,)), node.ledger.accounts, 0.0)
    node.ledger.budgets.configure((ML,), hold_ns=0, wall_ns=node.clock.wall_ns(), seed=seed)
    assert consumed(node.sampler.tick()) == {"ml": 0}
    assert node.sampler.latest().health.journal_errors > 0


def test_counts_of_failures_never_go_down_over_restarts_and_reloads(tmp_path):
    """Those of the sources of intensity, of whichever watch, and those of the journal."""
    node = make(tmp_path, retention_ns=400 * DAY_NS)

    def tick(feed, errors):
        watch = CarbonWatch([feed], node.clock)
        node.sampler.configure(Policy(pricing=PRICING, watch=watch), None, None)
        feed.errors = {"timeout": errors}
        node.ledger._history._journal.errors += errors
        return node.sampler.tick().health

    assert tick(Feed(), 2).feeds[0].errors == {"timeout": 2}
    health = tick(Feed(), 1)
    assert (health.feeds[0].errors, health.journal_errors) == ({"timeout": 3}, 3)
    node.restart()
    health = tick(Feed(), 1)
    assert (health.feeds[0].errors, health.journal_errors) == ({"timeout": 4}, 4)
    assert tick(Feed("market"), 1).feeds[0].errors == {"timeout": 1}


class Feed:
    """A live source that is down."""

    def __init__(self, role="intensity"):
        self.role, self.errors = role, {}

    @property
    def health(self):
        return FeedHealth(role=self.role, provider="live", up=False, last_success_ns=0, errors=self.errors)
