"""Nothing the agent keeps grows with the number of things that are dead."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Mapping
from types import MethodType

import pytest

from tests.churning_host import ChurningHost
from tests.scripted import ScriptedNode, container, package
from wattledger.clock import ManualClock
from wattledger.ledger.accounts import DORMANT_LIMIT
from wattledger.model import Workload
from wattledger.workloads.names.service import NameService
from wattledger.workloads.roster import Roster

BIRTHS = 4
KEPT_WHEN_DEAD = ("._retired", "._dormant", "._journal._known[].accounts")
"""Tables that remember the dead up to a limit of their own, which other tests here reach."""


def parts_of(thing: object) -> Iterator[tuple[str, object]]:
    """What an object holds, with the way to it; the elements of a container all have the same."""
    if isinstance(thing, Mapping):
        for key, value in list(thing.items()):
            yield "{key}", key
            yield "[]", value
    elif isinstance(thing, list | tuple | set | frozenset | deque):
        for element in list(thing):
            yield "[]", element
    elif isinstance(thing, MethodType):
        yield "()", thing.__self__
    elif type(thing).__module__.startswith("wattledger."):
        yield from [(f".{name}", value) for name, value in getattr(thing, "__dict__", {}).items()]
        for kind in type(thing).__mro__:
            for name in kind.__dict__.get("__slots__", ()):
                if hasattr(thing, name):
                    yield f".{name}", getattr(thing, name)


def sizes(**roots: object) -> Counter[str]:
    """The elements in all containers under each path from the roots, and the length of bytes there."""
    found: Counter[str] = Counter()
    seen: dict[int, object] = {}
    left = list(roots.items())
    while left:
        path, thing = left.pop()
        if isinstance(thing, int | float | str | type | None) or id(thing) in seen:
            continue
        seen[id(thing)] = thing
        if isinstance(thing, list | tuple | set | frozenset | deque | Mapping):
            found[path] += len(thing)
        left += [(path + step, part) for step, part in parts_of(thing)]
    return found


def test_the_walk_finds_a_table_that_grows():
    """Otherwise the next test could not fail."""
    roster = Roster()
    before = sizes(roster=roster)
    for number in range(30):
        roster.release(roster.retain(container(number)))
    grown = {path: length - before[path] for path, length in sizes(roster=roster).items()}
    assert grown["roster._retired"] == 30
    assert isinstance(roster._retired, OrderedDict)


def test_tables_are_as_long_after_hundreds_of_deaths_as_after_dozens(tmp_path):
    """150 ticks: 600 containers and processes are born, 32 are alive at any time, half of them unseen."""
    host = ChurningHost(tmp_path, births=BIRTHS)
    try:
        for _ in range(50):
            host.tick()
        early = sizes(sampler=host.node.sampler, app=host.app)
        limited = host.latest().health.series_limited
        for _ in range(100):
            host.tick()
        late = sizes(sampler=host.node.sampler, app=host.app)
        assert host.latest().health.series_limited - limited > 100
    finally:
        host.close()
    assert host.born - host.alive > 500
    assert sum("_series" in path for path in late) > 0, "the walk reaches the renderer"
    assert sum("_homes" in path for path in late) > 0, "and the processes"
    grown = {
        path: (early[path], length)
        for path, length in late.items()
        if length > early[path] + 2 * BIRTHS and not any(table in path for table in KEPT_WHEN_DEAD)
    }
    assert grown == {}


def test_dormant_accounts_are_kept_up_to_a_limit():
    node = ScriptedNode([package()], grace_ns=0, series_limit=100_000)
    for number in range(DORMANT_LIMIT + 50):
        workload = node.workloads.bear(container(number))
        node.step()
        node.workloads.end(workload)
    node.step()
    assert len(node.ledger.accounts._dormant) == DORMANT_LIMIT


def test_ended_identities_are_remembered_up_to_a_limit():
    roster = Roster()
    for number in range(5000):
        roster.release(roster.retain(container(number)))
    assert len(roster) == 0
    assert len(roster._retired) == 4096


@pytest.mark.parametrize("ended", ["at once", "when named"])
def test_the_name_service_forgets_what_ended(ended):
    """A thousand containers that come and go leave no task behind."""
    clock = ManualClock()
    service = NameService((), clock)
    service.start()
    try:
        for number in range(1000):
            workload = Workload(kind="container", id=f"{number:064x}")
            service.ask([workload])
            if ended == "when named":
                service.settle(10.0)
            service.forget([workload])
            service.drain()
        service.settle(10.0)
        service.drain()
        assert len(service._tasks) == 0
        assert len(service._answers) == 0
    finally:
        service.stop()
