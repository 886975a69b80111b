"""Budgets that a reload brings begin with what was spent, whatever is booked while that is being read."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from tests.cgroup_tree import CgroupHost
from tests.journal_batches import until
from tests.scripted import J, S, ScriptedNode, container, package
from wattledger.app import build_sampler, build_workloads
from wattledger.app.agent import Agent
from wattledger.ledger.journal_read import find_journal
from wattledger.settings import (
    BudgetSettings,
    CarbonSettings,
    EmbodiedSettings,
    IntensitySettings,
    NameSettings,
    Settings,
    StorageSettings,
)

HOUR = 3600
DAY_NS = 86_400 * S
MIDNIGHT_NS = 20_000 * DAY_NS
WORKER = container(1)
NODE = BudgetSettings(name="node", period="month", limit_g=1e6)
ML = BudgetSettings(name="ml", period="day", limit_g=1e6, select={"id": (WORKER.id,)})
TOTAL = BudgetSettings(name="total", period="day", limit_g=1e6, scope="total")
ALL = (NODE, ML, TOTAL)
LATER = tuple(replace(budget, name=f"{budget.name}-later") for budget in ALL)
"""The same under other names, so that they are new ones and count the same."""


def make(folder, **options) -> ScriptedNode:
    """360 g/kWh and 1 g an hour embodied; all three budgets are there from the beginning."""
    embodied = EmbodiedSettings(total_g=24.0 * 365, lifespan_ns=365 * DAY_NS)
    node = ScriptedNode(
        [package()], folder=str(folder), embodied=embodied, budgets=ALL, retention_ns=400 * DAY_NS, **options
    )
    node.workloads.bear(WORKER)
    return node


def run(node: ScriptedNode, seconds: int):
    """100 W, in ticks of 30 s; all the CPU time is the worker's."""
    snapshot = None
    for _ in range(seconds // 30):
        node.sensor.spend(node.sensor.zones[0], 3000 * J)
        node.workloads.use({WORKER: 30 * S})
        snapshot = node.step(30)
    return snapshot


def settle(node: ScriptedNode) -> None:
    """Wait until the journal has what it was given."""
    until(lambda: not node.ledger._history._journal._pending)


def reload(node: ScriptedNode, budgets, past) -> None:
    node.ledger.configure(
        series_limit=5000,
        grace_ns=300 * S,
        hold_ns=0,
        top=0,
        idle_watts={"cpu": 0.0},
        embodied=node.embodied,
        budgets=budgets,
        retention_ns=400 * DAY_NS,
        agent={},
        past=past,
    )


def consumed(snapshot) -> dict[str, float]:
    return {row.name: row.consumed_g for row in snapshot.budgets}


def same(snapshot) -> None:
    """Each later budget has what its twin has, which was there from the beginning."""
    grams = consumed(snapshot)
    for budget in ALL:
        assert grams[f"{budget.name}-later"] == pytest.approx(grams[budget.name], rel=1e-7)


@pytest.mark.parametrize("meanwhile", [0, 30, 60, 300, 2 * HOUR])
def test_what_is_booked_while_the_journal_is_read_counts_once(tmp_path, meanwhile):
    """The reading is 0 s to 2 h old when it is put in force, and batches were written meanwhile or not."""
    node = make(tmp_path)
    node.clock.epoch_ns = MIDNIGHT_NS - node.clock.now_ns
    node.sampler.tick()
    run(node, 3 * HOUR + 90)
    settle(node)
    past = node.ledger.past([*ALL, *LATER])
    run(node, meanwhile)
    settle(node)
    reload(node, [*ALL, *LATER], past)
    same(node.sampler.tick())
    same(run(node, HOUR))
    assert consumed(node.sampler.latest())["node"] > 0
    node.ledger.close()


def test_a_day_that_begins_between_reading_and_reload_has_only_its_own_grams(tmp_path):
    """Read at 23:59, put in force at 00:01: 1 min at 100 W and 360 g/kWh are 0.6 g, all the worker's."""
    node = make(tmp_path)
    node.clock.epoch_ns = MIDNIGHT_NS - HOUR * S - node.clock.now_ns
    node.sampler.tick()
    run(node, HOUR - 60)
    settle(node)
    past = node.ledger.past([*ALL, *LATER])
    run(node, 120)
    reload(node, [*ALL, *LATER], past)
    same(node.sampler.tick())
    assert consumed(node.sampler.latest())["ml-later"] == pytest.approx(0.6, rel=1e-6)
    node.ledger.close()


def test_the_reload_itself_reads_no_disk(tmp_path):
    """The journal is gone by then, and nothing is missing."""
    node = make(tmp_path)
    node.sampler.tick()
    run(node, HOUR)
    settle(node)
    past = node.ledger.past([*ALL, *LATER])
    (tmp_path / "journal.sqlite3").rename(tmp_path / "elsewhere")
    reload(node, [*ALL, *LATER], past)
    same(node.sampler.tick())
    node.ledger.close()


def test_after_a_restart_within_the_boot_it_goes_on_from_the_same_count(tmp_path):
    """Killed between two batches: the rest is in the checkpoint only."""
    node = make(tmp_path)
    node.sampler.tick()
    run(node, HOUR + 30)
    node.restart()
    node.sampler.tick()
    reload(node, [*ALL, *LATER], node.ledger.past([*ALL, *LATER]))
    same(node.sampler.tick())
    node.ledger.close()


def test_an_account_that_was_dropped_and_came_back_counts_whole(tmp_path):
    """Its figures are below what is booked of it, so all of them are new."""
    node = make(tmp_path)
    node.sampler.tick()
    run(node, HOUR)
    settle(node)
    past = node.ledger.past([*ALL, *LATER])
    del node.ledger.accounts._open[WORKER.key]
    node.workloads.bear(WORKER)
    run(node, 60)
    reload(node, [*ALL, *LATER], past)
    same(node.sampler.tick())
    node.ledger.close()


def test_before_the_first_batch_everything_is_new(tmp_path):
    """The agent is 30 s old, so there is nothing in the journal."""
    node = make(tmp_path)
    (tmp_path / "journal.sqlite3").unlink()
    node.sampler.tick()
    run(node, 30)
    reload(node, [*ALL, *LATER], node.ledger.past([*ALL, *LATER]))
    same(node.sampler.tick())
    assert consumed(node.sampler.latest())["node-later"] > 0
    node.ledger.close()


def test_only_budgets_that_are_new_are_read(tmp_path):
    node = make(tmp_path)
    node.sampler.tick()
    run(node, HOUR)
    settle(node)
    assert node.ledger.past([replace(NODE, limit_g=1.0), ML, TOTAL]).spent == {}
    assert len(node.ledger.past([replace(NODE, period="week"), ML]).spent) == 1
    node.ledger.close()


class Posted:
    """A sampler's loop that takes a change and waits with it."""

    def __init__(self) -> None:
        self.changes: list = []
        self.there = threading.Event()

    def post(self, change) -> None:
        self.changes.append(change)
        self.there.set()


def test_a_signal_has_the_journal_read_before_the_sampler_is_asked(tmp_path):
    """Whoever sends the signal waits; when the sampler's turn comes, the file may be gone."""
    host = CgroupHost(tmp_path, "v2")
    intensity = IntensitySettings(provider="static", grams_per_kwh=100.0)
    settings = [
        Settings(
            paths=host.hostfs,
            names=NameSettings(enabled=False),
            storage=StorageSettings(path=str(tmp_path / "state"), retention_ns=400 * DAY_NS),
            carbon=CarbonSettings(intensity=intensity),
        )
    ]
    agent = Agent(lambda: settings[0])
    agent._workloads = build_workloads(settings[0], agent._clock)
    sampler = build_sampler(settings[0], clock=agent._clock, workloads=agent._workloads, grid=agent._grid)
    sampler.tick()
    ledger = sampler.ledger
    ledger.accounts._node_total("cpu").emissions_g += 5.0
    ledger._history.offer(ledger.accounts, 0.0, {})
    until(lambda: ledger._history.written_wall_ns)
    month = BudgetSettings(name="month", period="month", limit_g=1e6)
    settings[0] = replace(settings[0], budgets=(month,))
    loop = Posted()
    thread = threading.Thread(target=agent._reload, args=(loop, ledger))
    thread.start()
    assert loop.there.wait(60)
    assert thread.is_alive()
    path = find_journal(str(tmp_path / "state"))
    (tmp_path / "state" / "journal.sqlite3").rename(f"{path}.gone")
    loop.changes[0](sampler)
    thread.join(60)
    assert not thread.is_alive()
    (row,) = sampler.tick().budgets
    assert row.consumed_g >= 5.0
    assert sampler.ledger._history.errors == 0
    sampler.close()
    agent._workloads.close()
