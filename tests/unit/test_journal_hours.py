"""What the ledger hands to the journal, and when: once a minute, at the end of an hour and of the agent."""

from __future__ import annotations

from tests.scripted import J
from tests.unit.test_carbon_account import DAY_NS, make, run, set_wall
from wattledger.ledger.journal_read import find_journal, open_for_reading


def joules_by_hour(folder) -> list[int]:
    """The node's joules in each hour of the journal."""
    with open_for_reading(find_journal(str(folder))) as journal:
        start_ns, end_ns = journal.span()
        return [node.energy_uj // J for _, _, node in journal.node_hours(start_ns, end_ns)]


def test_an_hour_ends_with_its_own_figures(tmp_path):
    """100 W in steps of 20 s: four end before one o'clock, two after; a minute was up at 00:59:35."""
    node = make(tmp_path, retention_ns=400 * DAY_NS)
    set_wall(node, "2026-03-10T00:58:35")
    node.sampler.tick()
    run(node, 120, step=20)
    node.ledger.close()
    assert joules_by_hour(tmp_path) == [8000, 4000]


def test_an_agent_that_ends_leaves_nothing_out(tmp_path):
    """Also what was drawn since the last minute: 30 s of 90."""
    node = make(tmp_path, retention_ns=400 * DAY_NS)
    set_wall(node, "2026-03-10T12:00:00")
    node.sampler.tick()
    run(node, 90, step=15)
    node.ledger.close()
    assert joules_by_hour(tmp_path) == [9000]


def test_the_rest_of_a_boot_that_ended_in_a_crash_is_booked_by_the_next_agent(tmp_path):
    """A minute was up after 60 s of 90, the other 30 are in the checkpoint; the new boot draws 1500 J."""
    node = make(tmp_path, retention_ns=400 * DAY_NS)
    set_wall(node, "2026-03-10T12:00:00")
    node.sampler.tick()
    run(node, 90, step=15)
    node.reboot(60)
    node.sampler.tick()
    run(node, 15, step=15)
    node.ledger.close()
    assert joules_by_hour(tmp_path) == [10_500]
