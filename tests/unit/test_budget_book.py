"""The budgets of a node: what counts to which, what waits for a name, what outlives a restart."""

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest

from wattledger.carbon.budgets.book import HELD_LIMIT, Budgets, fingerprint
from wattledger.carbon.budgets.grouping import GROUP_LIMIT, INTERVALS, UID_LIMIT, Grouping
from wattledger.carbon.budgets.selector import Selector
from wattledger.errors import SettingsError
from wattledger.model import IDLE, Workload
from wattledger.settings import BudgetSettings

S = 1_000_000_000
HOUR = 3600 * S


def at(text):
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * S


NOON = at("2026-11-21T12:00")
NODE = BudgetSettings(name="node", limit_g=50_000.0, period="month")
ML = BudgetSettings(name="ml", limit_g=2_000.0, period="day", select={"pod_namespace": ("ml",)})
PODS = BudgetSettings(name="pods", limit_g=9_000.0, period="day", select={"pod_namespace": ("*",)})

TRAIN = Workload(kind="container", id="a", pod_namespace="ml", pod_name="train")
WEB = Workload(kind="container", id="b", pod_namespace="web", pod_name="shop")
NAMELESS = Workload(kind="container", id="c")
NAMED = Workload(kind="container", id="c", pod_namespace="ml", pod_name="late")


def consumed(budgets, wall_ns=NOON):
    return {row.name: row.consumed_g for row in budgets.rows(wall_ns)}


def restart(budgets, settings, **more):
    """What the next process holds: the dump goes through MessagePack."""
    after = Budgets(settings, **more)
    after.load(msgspec.msgpack.decode(msgspec.msgpack.encode(budgets.dump())))
    after.open(NOON)
    return after


def test_a_budget_shows_its_settings_and_its_period():
    berlin = replace(ML, timezone="Europe/Berlin", scope="total")
    (row,) = Budgets([berlin]).rows(NOON)
    assert (row.name, row.period, row.limit_g, row.consumed_g) == ("ml", "day", 2000.0, 0.0)
    assert (row.start_ns, row.end_ns) == (at("2026-11-20T23:00"), at("2026-11-21T23:00"))
    assert (row.timezone, row.scope, row.selects) == ("Europe/Berlin", "total", "pod_namespace=ml")


def test_the_node_counts_all_of_it_and_a_selection_its_own():
    budgets = Budgets([NODE, ML, PODS])
    rows = [(1, TRAIN, True, 3.0, 0.0), (2, WEB, True, 2.0, 0.0), (3, IDLE, True, 5.0, 0.0)]
    for tick in range(2):
        budgets.charge(NOON + tick * S, NOON + (tick + 1) * S, 10.0, 0.0, rows)
    assert consumed(budgets) == {"node": 20.0, "ml": 6.0, "pods": 10.0}


def test_embodied_grams_count_where_the_scope_is_total():
    total = [replace(one, name=f"{one.name}-total", scope="total") for one in (NODE, ML)]
    budgets = Budgets([NODE, ML, *total])
    budgets.charge(NOON, NOON + S, 10.0, 4.0, [(1, TRAIN, True, 3.0, 1.5)])
    assert consumed(budgets) == {"node": 10.0, "ml": 3.0, "node-total": 14.0, "ml-total": 4.5}


def test_rows_are_wanted_only_where_a_budget_selects():
    assert not Budgets().wants_rows
    assert not Budgets([NODE]).wants_rows
    assert Budgets([NODE, ML]).wants_rows


def test_rows_that_nobody_wants_are_not_looked_at():
    budgets = Budgets([NODE])

    def rows():
        raise AssertionError("looked at")
        yield

    budgets.charge(NOON, NOON + S, 10.0, 0.0, rows())
    assert consumed(budgets) == {"node": 10.0}


def test_a_new_name_changes_what_counts_from_then_on():
    """The uid changes with the labels; what was counted stays."""
    budgets = Budgets([ML, PODS])
    budgets.charge(NOON, NOON + S, 10.0, 0.0, [(1, TRAIN, True, 3.0, 0.0)])
    moved = replace(TRAIN, pod_namespace="web")
    budgets.charge(NOON + S, NOON + 2 * S, 10.0, 0.0, [(2, moved, True, 4.0, 0.0)])
    assert consumed(budgets) == {"ml": 3.0, "pods": 7.0}


def test_every_budget_splits_at_its_own_boundary():
    """10 s over midnight of Berlin at 1 g/s: a new day there, but not in UTC."""
    berlin = replace(ML, name="berlin", timezone="Europe/Berlin")
    budgets = Budgets([ML, berlin, NODE])
    midnight = at("2026-11-21T23:00")
    budgets.charge(midnight - 4 * S, midnight + 6 * S, 10.0, 0.0, [(1, TRAIN, True, 10.0, 0.0)])
    assert consumed(budgets, midnight + 6 * S) == {"ml": 10.0, "berlin": pytest.approx(6.0), "node": 10.0}


def test_what_is_held_counts_by_its_name_once_it_is_shown():
    budgets = Budgets([ML], hold_ns=10 * S)
    budgets.charge(NOON, NOON + 5 * S, 10.0, 0.0, [(1, NAMELESS, False, 3.0, 0.0)])
    assert consumed(budgets) == {"ml": 0.0}
    budgets.charge(NOON + 5 * S, NOON + 10 * S, 10.0, 0.0, [(2, NAMED, True, 1.0, 0.0)])
    assert consumed(budgets) == {"ml": 4.0}


def test_what_is_shown_without_a_name_counts_as_nameless():
    budgets = Budgets([ML], hold_ns=10 * S)
    budgets.charge(NOON, NOON + 5 * S, 10.0, 0.0, [(1, NAMELESS, False, 3.0, 0.0)])
    budgets.charge(NOON + 5 * S, NOON + 10 * S, 10.0, 0.0, [(1, NAMELESS, True, 1.0, 0.0)])
    budgets.charge(NOON + 10 * S, NOON + 15 * S, 10.0, 0.0, [(2, NAMED, True, 1.0, 0.0)])
    assert consumed(budgets) == {"ml": 1.0}


def test_what_ends_while_it_is_held_counts_by_the_last_that_was_known_of_it():
    """Its name came in the second tick; it is never touched again and never shown."""
    budgets = Budgets([ML], hold_ns=10 * S)
    budgets.charge(NOON, NOON + 5 * S, 10.0, 0.0, [(1, NAMELESS, False, 3.0, 0.0)])
    budgets.charge(NOON + 5 * S, NOON + 10 * S, 10.0, 0.0, [(2, NAMED, False, 1.0, 0.0)])
    assert consumed(budgets) == {"ml": 0.0}
    budgets.charge(NOON + 10 * S, NOON + 15 * S, 10.0, 0.0, [])
    assert consumed(budgets) == {"ml": 4.0}
    budgets.charge(NOON + 15 * S, NOON + 30 * S, 10.0, 0.0, [])
    assert consumed(budgets) == {"ml": 4.0}


def test_a_name_that_came_without_a_charge_is_asked_for():
    budgets = Budgets([ML], hold_ns=10 * S, known={NAMED.key: NAMED}.get)
    budgets.charge(NOON, NOON + 5 * S, 10.0, 0.0, [(1, NAMELESS, False, 3.0, 0.0)])
    budgets.charge(NOON + 5 * S, NOON + 15 * S, 10.0, 0.0, [])
    assert consumed(budgets) == {"ml": 3.0}


def test_what_was_held_over_a_boundary_counts_to_the_time_it_was_drawn_in():
    """3 g in the 5 s before midnight, shown 5 s after it: half of the time lies in the old day."""
    midnight = at("2026-11-22")
    budgets = Budgets([ML], hold_ns=60 * S)
    budgets.charge(midnight - 5 * S, midnight, 10.0, 0.0, [(1, NAMELESS, False, 3.0, 0.0)])
    budgets.charge(midnight, midnight + 5 * S, 10.0, 0.0, [(2, NAMED, True, 1.0, 0.0)])
    assert consumed(budgets, midnight + 5 * S) == {"ml": pytest.approx(2.5)}


def test_a_restart_does_not_lose_what_was_held():
    """It counts by what it was known as; the process that goes on does not count it twice."""
    budgets = Budgets([ML], hold_ns=10 * S)
    budgets.charge(NOON, NOON + 5 * S, 10.0, 0.0, [(1, TRAIN, True, 2.0, 0.0), (2, NAMED, False, 3.0, 0.0)])
    assert consumed(restart(budgets, [ML])) == {"ml": 5.0}
    assert consumed(budgets) == {"ml": 2.0}
    budgets.charge(NOON + 5 * S, NOON + 10 * S, 10.0, 0.0, [(2, NAMED, True, 0.0, 0.0)])
    assert consumed(budgets) == {"ml": 5.0}


def test_what_is_held_is_bounded_and_none_of_it_is_lost():
    budgets = Budgets([PODS], hold_ns=3600 * S)
    crowd = HELD_LIMIT + 50
    rows = [
        (n, Workload(kind="container", id=str(n), pod_namespace="ml"), False, 1.0, 0.0) for n in range(crowd)
    ]
    budgets.charge(NOON, NOON + S, crowd * 1.0, 0.0, rows)
    assert consumed(budgets) == {"pods": 50.0}
    budgets.charge(NOON + S, NOON + 2 * HOUR, 1.0, 0.0, [])
    assert consumed(budgets) == {"pods": crowd}


def test_a_restart_keeps_the_consumption():
    budgets = Budgets([NODE, ML])
    budgets.charge(NOON - HOUR, NOON, 10.0, 0.0, [(1, TRAIN, True, 3.0, 0.0)])
    after = restart(budgets, [NODE, ML])
    after.charge(NOON, NOON + S, 1.0, 0.0, [(7, TRAIN, True, 0.5, 0.0)])
    assert consumed(after) == {"node": 11.0, "ml": 3.5}


def test_a_changed_limit_keeps_the_consumption_and_a_changed_definition_does_not():
    budgets = Budgets([NODE])
    budgets.charge(NOON - HOUR, NOON, 10.0)
    assert consumed(restart(budgets, [replace(NODE, limit_g=1.0)])) == {"node": 10.0}
    for change in (
        {"period": "quarter"},
        {"timezone": "Europe/Berlin"},
        {"scope": "total"},
        {"select": {"kind": ("job",)}},
        {"name": "other"},
    ):
        (grams,) = consumed(restart(budgets, [replace(NODE, **change)])).values()
        assert grams == 0.0, change


def test_the_fingerprint_does_not_depend_on_the_order_of_patterns():
    one = replace(ML, select={"kind": ("job", "pod"), "user": ("ada",)})
    assert fingerprint(one) == fingerprint(replace(ML, select={"user": ("ada",), "kind": ("pod", "job")}))
    assert fingerprint(one) != fingerprint(replace(ML, select={"user": ("ada",), "kind": ("pod",)}))


def test_new_budgets_begin_with_what_the_journal_tells():
    asked = []

    def seed(budget, start_ns, end_ns):
        asked.append((budget.name, start_ns, end_ns))
        return {"node": 700.0}.get(budget.name)

    budgets = Budgets([NODE, ML], seed=seed)
    budgets.open(NOON)
    assert consumed(budgets) == {"node": 700.0, "ml": 0.0}
    assert asked == [
        ("node", at("2026-11-01"), at("2026-12-01")),
        ("ml", at("2026-11-21"), at("2026-11-22")),
    ]


def test_the_larger_of_checkpoint_and_journal_holds():
    older, newer = Budgets([NODE, ML]), Budgets([NODE])
    older.charge(NOON - HOUR, NOON, 10.0, 0.0, [(1, TRAIN, True, 3.0, 0.0)])
    newer.charge(NOON - HOUR, NOON, 25.0)
    for first, second in ((older, newer), (newer, older)):
        budgets = Budgets([NODE, ML], seed=lambda *_: 1e6)
        budgets.load(first.dump())
        budgets.load(second.dump())
        budgets.open(NOON)
        assert consumed(budgets) == {"node": 25.0, "ml": 3.0}


def test_a_budget_was_in_force_once_something_was_booked_under_it():
    """With another limit it is another one; a start that was refused books nothing."""
    refused, charged = Budgets([NODE]), Budgets([NODE])
    charged.charge(NOON - HOUR, NOON, 1.0)
    for dump, known in ((refused.dump(), False), (charged.dump(), True)):
        budgets = Budgets([NODE])
        budgets.load(dump)
        assert budgets.was_in_force(NODE) is known
        assert not budgets.was_in_force(replace(NODE, limit_g=1.0))
        assert not budgets.was_in_force(replace(NODE, name="other"))
        assert not budgets.was_in_force(replace(NODE, period="year"))


@pytest.mark.parametrize(
    "dumped",
    [
        [],
        {"node": None},
        {"node": {"fingerprint": "x"}},
        {"node": {"fingerprint": "x", "slots": [[0, 1]]}},
        {"node": {"fingerprint": "x", "slots": [[0, 1, "many"]]}},
        {"node": {"fingerprint": "x", "slots": [], "limit_g": "much"}},
        {"node": {"fingerprint": "x", "slots": [[0, 1, -1.0]]}},
        {"node": {"fingerprint": "x", "slots": [[0, 1, float("nan")]]}},
        {"node": {"fingerprint": "x", "slots": [[0, 1 << 70, 1.0]]}},
    ],
)
def test_what_is_no_dump_is_refused_as_a_whole(dumped):
    budgets = Budgets([ML, NODE])
    good = Budgets([ML])
    good.charge(NOON - HOUR, NOON, 10.0, 0.0, [(1, TRAIN, True, 3.0, 0.0)])
    with pytest.raises(ValueError):  # noqa: PT011 - whatever the decoder has to say
        budgets.load(good.dump() | dumped if isinstance(dumped, dict) else dumped)
    assert consumed(budgets) == {"ml": 0.0, "node": 0.0}


def test_a_reload_keeps_what_counts_the_same_and_begins_the_rest_from_history():
    budgets = Budgets([NODE, ML])
    budgets.charge(NOON - HOUR, NOON, 10.0, 0.0, [(1, TRAIN, True, 3.0, 0.0), (2, WEB, True, 2.0, 0.0)])
    fresh = [replace(ML, period="week"), replace(NODE, limit_g=1.0), PODS]
    assert budgets.unknown(fresh) == [fresh[0], PODS]
    history = {"ml": 100.0, "node": 1e6}
    budgets.configure(fresh, hold_ns=0, wall_ns=NOON, seed=lambda budget, *_: history.get(budget.name))
    assert consumed(budgets) == {"ml": 100.0, "node": 10.0, "pods": 0.0}
    budgets.charge(NOON, NOON + S, 10.0, 0.0, [(1, TRAIN, True, 3.0, 0.0), (2, WEB, True, 2.0, 0.0)])
    assert consumed(budgets) == {"ml": 103.0, "node": 20.0, "pods": 5.0}


def test_a_reload_counts_what_is_held_to_the_budgets_that_were_there():
    budgets = Budgets([ML], hold_ns=60 * S)
    budgets.charge(NOON - S, NOON, 10.0, 0.0, [(1, NAMED, False, 3.0, 0.0)])
    budgets.configure([replace(ML, limit_g=1.0), PODS], hold_ns=60 * S, wall_ns=NOON)
    budgets.charge(NOON, NOON + HOUR, 10.0, 0.0, [])
    assert consumed(budgets) == {"ml": 3.0, "pods": 0.0}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([NODE, replace(ML, name="node")], "two are called 'node'"),
        ([replace(NODE, timezone="Mars/Olympus")], "budgets: node: timezone: 'Mars/Olympus'"),
        ([replace(ML, select={"name": ()})], "budgets: ml: select.name: needs"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_and_change_nothing(settings, message):
    with pytest.raises(SettingsError, match=message):
        Budgets(settings)
    budgets = Budgets([NODE])
    budgets.charge(NOON - HOUR, NOON, 10.0)
    with pytest.raises(SettingsError, match=message):
        budgets.configure(settings, hold_ns=0, wall_ns=NOON)
    assert consumed(budgets) == {"node": 10.0}


def test_the_consumption_of_a_year_of_ticks_is_exact_to_a_billionth():
    """Every 30 s 0.1 g, 2880 times a day; ten days are enough to see a drift."""
    budgets = Budgets([replace(NODE, period="year"), replace(ML, period="year")])
    row = [(1, TRAIN, True, 0.1, 0.0)]
    for tick in range(28_800):
        start_ns = at("2026-03-01") + tick * 30 * S
        budgets.charge(start_ns, start_ns + 30 * S, 0.1, 0.0, row)
    assert consumed(budgets) == pytest.approx({"node": 2880.0, "ml": 2880.0}, rel=1e-9)


def test_uids_that_are_gone_are_forgotten():
    """1,000 new workloads in every interval: no more than those of two spans are remembered."""
    grouping = Grouping({"ml": Selector(ML.select)})
    for interval in range(3 * INTERVALS):
        grouping.age()
        for n in range(1000):
            assert grouping.number(interval * 1000 + n, TRAIN if n % 2 else WEB) == n % 2
        assert len(grouping.recent) <= UID_LIMIT + 1000
        assert len(grouping._older) <= UID_LIMIT + 1000
    assert grouping.groups == [(), ("ml",)]


def test_who_is_seen_all_the_time_is_matched_once():
    grouping = Grouping({"ml": Selector(ML.select)})
    assert grouping.number(1, TRAIN) == 0
    for _ in range(10 * INTERVALS):
        grouping.age()
        assert grouping.number(1, WEB) == 0  # the labels are not looked at again


def test_groups_are_bounded_too():
    """Each of 12 budgets selects by one bit of the name: 4,096 groups are possible."""
    selectors = {
        str(bit): Selector({"name": tuple(str(n) for n in range(4096) if n >> bit & 1)}) for bit in range(12)
    }
    grouping = Grouping(selectors)
    for n in range(4096):
        if n % 16 == 0:
            grouping.age()
        for seen in (n, n - n % 16, n // 2):
            workload = Workload(kind="unit", id=str(seen), name=str(seen))
            expected = tuple(str(bit) for bit in range(12) if seen >> bit & 1)
            assert grouping.groups[grouping.number(seen, workload)] == expected
        assert len(grouping.groups) <= GROUP_LIMIT + 16 * INTERVALS
