"""The accounts: bounded series, exact sums, nothing moved once booked."""

from dataclasses import replace

import pytest

from tests.scripted import (
    J,
    S,
    ScriptedNode,
    container,
    expired_uj,
    node_uj,
    package,
    static_price,
    workload_uj,
)
from wattledger.model import KERNEL
from wattledger.sampler import Policy

PACKAGE = package()


def spend(node, joules, cpu_ns, seconds=5.0):
    node.sensor.spend(PACKAGE, round(joules * J))
    node.workloads.use(cpu_ns)
    return node.step(seconds)


def rows(snapshot):
    return {(r.workload.kind, r.workload.id): r for r in snapshot.workloads}


@pytest.fixture
def node():
    started = ScriptedNode([PACKAGE])
    started.step()
    return started


def test_everything_present_at_the_start_is_shown_at_once(node):
    """A series starts at zero before its first joule, so that increase() loses nothing."""
    a = node.workloads.bear(container(1))
    snapshot = node.step()
    assert rows(snapshot)[a.key].cells == ()
    assert [(row.component, row.energy_uj) for row in snapshot.nodes] == [("cpu", 0)]


def test_energy_and_grams_are_booked_to_the_workload_and_the_node(node):
    """100 J at 360 g/kWh are 0.01 g."""
    a, b = node.workloads.bear(container(1)), node.workloads.bear(container(2))
    snapshot = spend(node, 100, {a: 3 * S, b: S})
    assert workload_uj(snapshot, id=a.id) == 75 * J
    assert workload_uj(snapshot, id=b.id) == 25 * J
    assert snapshot.nodes[0].emissions_g == pytest.approx(0.01, rel=1e-12)
    assert rows(snapshot)[a.key].cells[0].emissions_g == pytest.approx(0.0075, rel=1e-12)
    assert rows(snapshot)[a.key].cpu_ns == 3 * S
    assert rows(snapshot)[a.key].power_w == pytest.approx(15.0)


def test_power_falls_to_zero_when_a_workload_rests(node):
    a = node.workloads.bear(container(1))
    spend(node, 100, {a: S})
    resting = spend(node, 100, {KERNEL: S})
    assert rows(resting)[a.key].power_w == 0
    assert workload_uj(resting, id=a.id) == 100 * J


def test_an_ended_series_stays_for_the_grace_period_and_then_counts_as_expired(node):
    a = node.workloads.bear(container(1))
    spend(node, 100, {a: S})
    node.workloads.end(a)
    during = node.step(299)
    assert workload_uj(during, id=a.id) == 100 * J
    ended_at_first_sight = node.step(301)
    assert a.key not in rows(ended_at_first_sight)
    assert expired_uj(ended_at_first_sight) == 100 * J
    assert workload_uj(ended_at_first_sight) + expired_uj(ended_at_first_sight) == 100 * J


def test_what_was_scraped_does_not_change_what_comes_next(node):
    """Looking at a snapshot any number of times neither ends nor clears a series."""
    a = node.workloads.bear(container(1))
    first = spend(node, 100, {a: S})
    node.workloads.end(a)
    second = node.step()
    assert rows(first)[a.key].cells == rows(second)[a.key].cells


def test_a_workload_that_comes_back_goes_on_where_it_stopped(node):
    """A unit that restarts after the grace period: its counter does not fall."""
    a = node.workloads.bear(container(1))
    spend(node, 100, {a: S})
    node.workloads.end(a)
    node.step()
    gone = node.step(600)
    assert a.key not in rows(gone)
    node.workloads.bear(a)
    back = spend(node, 50, {a: S})
    assert workload_uj(back, id=a.id) == 150 * J
    assert expired_uj(back) == 0


def test_a_restart_within_the_grace_period_is_one_series(node):
    a = node.workloads.bear(container(1))
    spend(node, 100, {a: S})
    node.workloads.end(a)
    node.step()
    node.workloads.bear(a)
    back = spend(node, 50, {a: S})
    assert [row.workload.id for row in back.workloads].count(a.id) == 1
    assert workload_uj(back, id=a.id) == 150 * J


def test_workloads_beyond_the_limit_accrue_into_other_and_sums_stay_exact():
    """32 series hold the five pseudo-workloads and three others, four each: the fourth goes to other."""
    node = ScriptedNode([PACKAGE], series_limit=32)
    node.step()
    born = [node.workloads.bear(container(n)) for n in range(4)]
    snapshot = spend(node, 100, dict.fromkeys(born, S))
    assert [r.workload.kind for r in snapshot.workloads].count("container") == 3
    assert workload_uj(snapshot, kind="other") == 25 * J
    assert workload_uj(snapshot) == node_uj(snapshot) == 100 * J
    assert snapshot.health.series_limited == 1


def test_a_free_place_goes_to_whoever_waits_and_starts_at_zero():
    """Past energy stays with other: the promoted series holds only what came after."""
    node = ScriptedNode([PACKAGE], series_limit=32, grace_ns=10 * S)
    node.step()
    born = [node.workloads.bear(container(n)) for n in range(4)]
    spend(node, 100, dict.fromkeys(born, S))
    node.workloads.end(born[0])
    node.step()
    node.step(20)
    promoted = spend(node, 90, {born[1]: S, born[3]: 2 * S})
    assert workload_uj(promoted, id=born[3].id) == 60 * J
    assert workload_uj(promoted, kind="other") == 25 * J
    assert workload_uj(promoted) + expired_uj(promoted) == node_uj(promoted)


def test_a_heavy_newcomer_displaces_a_resting_member_in_the_end():
    """Membership is sticky but not blind: a busy workload does not hide in other for ever."""
    node = ScriptedNode([PACKAGE], series_limit=32)
    node.step()
    members = [node.workloads.bear(container(n)) for n in range(3)]
    node.step()
    heavy = node.workloads.bear(container(9))
    for _ in range(30):
        snapshot = spend(node, 10, {members[0]: S, heavy: 3 * S})
    assert workload_uj(snapshot, id=heavy.id) > 0
    assert workload_uj(snapshot, id=members[0].id) == 75 * J
    assert workload_uj(snapshot) + expired_uj(snapshot) == node_uj(snapshot) == 300 * J


def test_emissions_once_booked_stay_when_the_price_changes(node):
    a = node.workloads.bear(container(1))
    before = spend(node, 100, {a: S}).nodes[0].emissions_g
    node.sampler.configure(_policy(720.0), None, None)
    after = spend(node, 100, {a: S}).nodes[0].emissions_g
    assert before == pytest.approx(0.01)
    assert after == pytest.approx(0.03)


def _policy(grams_per_kwh):
    return Policy(pricing=static_price(grams_per_kwh))


def test_a_displaced_workload_that_grows_heavy_gets_its_series_back():
    """It waits like any other; its series goes on where it stopped."""
    node = ScriptedNode([PACKAGE], series_limit=24)
    node.step()
    first, second = node.workloads.bear(container(1)), node.workloads.bear(container(2))
    node.step()
    for _ in range(30):
        snapshot = spend(node, 10, {first: S})
    stopped = workload_uj(snapshot, id=first.id)
    for _ in range(80):
        snapshot = spend(node, 10, {second: S})
    assert workload_uj(snapshot, id=second.id) > 0
    assert workload_uj(snapshot, id=first.id) == 0
    for _ in range(200):
        snapshot = spend(node, 10, {first: S})
    assert workload_uj(snapshot, id=first.id) > stopped
    assert workload_uj(snapshot) + expired_uj(snapshot) == node_uj(snapshot)


def test_a_restart_without_a_grace_period_forgets_no_workload(tmp_path):
    """All are back at the first scan: more of them than dormant accounts are kept must not start at 0."""
    node = ScriptedNode([PACKAGE], folder=str(tmp_path), series_limit=10_000, grace_ns=0)
    born = [node.workloads.bear(container(number)) for number in range(1200)]
    node.step()
    before = spend(node, 1200, dict.fromkeys(born, S))
    node.restart()
    after = node.step()
    assert workload_uj(before, id=born[0].id) == workload_uj(after, id=born[0].id) == J
    assert {row.cells[0].energy_uj for row in after.workloads if row.cells} == {J}


def test_whoever_waited_before_a_change_of_source_and_is_gone_after_it_gets_no_series():
    """Nobody would ever report its end."""
    node = ScriptedNode([PACKAGE], series_limit=24)
    node.step()
    first, second = node.workloads.bear(container(1)), node.workloads.bear(container(2))
    spend(node, 10, {first: S, second: S})
    node.sampler.configure(node.sampler._policy, None, node.workloads)
    del node.workloads.alive[first], node.workloads.alive[second]
    node.step(301)
    assert {key for key in rows(node.step()) if key[0] == "container"} == set()


def test_an_answer_that_says_nothing_new_changes_no_series(node):
    """Names are looked up again and again; a row keeps its uid, so its labels are not rendered anew."""
    workload = node.workloads.bear(container(1))
    node.step()
    named = replace(workload, name="web", facts=(("image", "nginx"),))
    node.ledger.accounts.name(workload.key, named, final=True)
    first = rows(node.step())[workload.key]
    node.ledger.accounts.name(workload.key, replace(named), final=True)
    second = rows(node.step())[workload.key]
    assert first.known.name == "web"
    assert second.uid == first.uid
