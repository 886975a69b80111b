"""Names arrive beside the sampling path; a bad source costs only its own names."""

from __future__ import annotations

import threading
import time

import pytest

from tests.scripted import J, S, ScriptedNode, container, expired_uj, node_uj, package, workload_uj
from wattledger.clock import ManualClock, SystemClock
from wattledger.ledger.accounts import Accounts
from wattledger.model import Workload
from wattledger.workloads.names.base import NAMED_KINDS, Names, NotYet, ResolverError
from wattledger.workloads.names.service import NameService

WEB = Workload(kind="container", id="a" * 64, facts=(("runtime", "docker"),))
UNIT = Workload(kind="unit", id="nginx.service")
PLAIN = Workload(kind="cgroup", id="/plain")


class Source:
    """Answers from a table; an exception in it is raised, a callable is called."""

    def __init__(self, name, answers):
        self.name = name
        self.answers = answers
        self.asked = []

    def resolve(self, subject):
        self.asked.append(subject.workload.id)
        answer = self.answers.get(subject.workload.id)
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def service_of():
    started = []

    def start(*sources, **options):
        service = NameService(sources, SystemClock(), **options)
        service.start()
        started.append(service)
        return service

    yield start
    for service in started:
        service.stop()


def answers(service, until=lambda found: found, timeout_s=60.0):
    """What `drain` gives until the condition holds; the newest answer per workload."""
    found = {}
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        for answer in service.drain():
            found[answer.key] = answer
        if until(found):
            return found
        time.sleep(0.01)
    raise AssertionError(f"not in time: {found}")


def test_sources_are_merged_the_first_to_know_a_field_wins(service_of):
    service = service_of(
        Source("kubernetes", {WEB.id: Names(pod_name="web-0", container_name="web")}),
        Source(
            "docker", {WEB.id: Names(name="k8s_web", container_name="other", facts=(("image", "nginx"),))}
        ),
    )
    service.ask([WEB])
    found = answers(service)[WEB.key]
    assert (found.names.name, found.names.pod_name, found.names.container_name) == ("k8s_web", "web-0", "web")
    assert dict(found.names.facts) == {"runtime": "docker", "image": "nginx"}
    assert found.final


def test_kinds_that_name_themselves_are_not_asked_about(service_of):
    source = Source("docker", {})
    service = service_of(source)
    service.ask([PLAIN, WEB])
    answers(service)
    assert source.asked == [WEB.id]


def test_a_runtime_that_has_not_written_its_file_yet_is_asked_again(service_of):
    tries = iter([NotYet(), NotYet(), Names(name="web")])
    service = service_of(Source("docker", {WEB.id: lambda: next(tries)}))
    service.ask([WEB])
    found = answers(service, lambda f: WEB.key in f and f[WEB.key].final)
    assert found[WEB.key].names.name == "web"


def test_a_failing_source_is_counted_and_never_hides_the_others(service_of):
    service = service_of(
        Source("kubelet", {WEB.id: ResolverError("tls", "certificate verify failed")}),
        Source("docker", {WEB.id: Names(name="web")}),
    )
    service.ask([WEB])
    found = answers(service)
    assert found[WEB.key].names.name == "web"
    assert not found[WEB.key].final
    health = service.health()
    assert not health["kubelet"].up
    assert health["kubelet"].errors["tls"] >= 1
    assert health["docker"].up


def test_a_defect_in_a_source_ends_neither_the_thread_nor_the_others(service_of):
    service = service_of(
        Source("broken", {WEB.id: KeyError("oops")}), Source("docker", {WEB.id: Names(name="web")})
    )
    service.ask([WEB])
    assert answers(service)[WEB.key].names.name == "web"
    assert service.health()["broken"].errors == {"defect": 1}


def test_a_source_that_hangs_is_set_aside_and_comes_back_when_it_returns(service_of):
    """A call that never returns must not keep anybody else's names, nor delay ask and drain."""
    gate = threading.Event()
    other = container(2)

    def hang():
        gate.wait(120)
        return Names(name="late")

    slow = Source("slow", {WEB.id: hang})
    service = service_of(
        slow, Source("docker", {WEB.id: Names(name="web"), other.id: Names(name="two")}), stuck_ns=S // 2
    )
    service.ask([WEB, other])
    found = answers(service, lambda f: {WEB.key, other.key} <= f.keys())
    assert {answer.names.name for answer in found.values()} == {"web", "two"}
    assert not gate.is_set()
    assert not service.health()["slow"].up
    assert service.health()["slow"].errors["stuck"] == 1
    gate.set()
    deadline = time.monotonic() + 60
    while not service.health()["slow"].up:
        assert time.monotonic() < deadline
        service.drain()
        time.sleep(0.01)


def test_a_workload_that_ended_before_it_was_asked_about_gets_one_try(service_of):
    source = Source("docker", {WEB.id: NotYet()})
    service = NameService([source], SystemClock())
    service.ask([WEB])
    service.forget([WEB])
    service.start()
    try:
        assert not answers(service)[WEB.key].final
        time.sleep(0.5)
        assert source.asked == [WEB.id]
    finally:
        service.stop()


def test_settle_returns_when_everything_was_tried_once(service_of):
    service = service_of(Source("docker", {}))
    workloads = [container(n) for n in range(200)]
    service.ask(workloads)
    service.settle(60)
    assert {answer.key for answer in service.drain()} == {workload.key for workload in workloads}


def test_counters_go_on_after_a_restart():
    source = Source("docker", {})
    service = NameService([source], SystemClock())
    service.restore({"names/docker": 7, "names/docker/eio": 2, "names/gone": 1, "ticks": 9})
    assert service.counts() == {"names/docker": 7, "names/docker/eio": 2}


class Instant:
    """A name service that answers when the test says so."""

    def __init__(self):
        self.pending = []
        self.asked = []

    def ask(self, workloads):
        self.asked.extend(workloads)

    def forget(self, workloads):
        pass

    def settle(self, timeout_s):
        pass

    def drain(self):
        pending, self.pending = self.pending, []
        return pending

    def health(self):
        return {}

    def counts(self):
        return {}

    def answer(self, workload, final=True, **names):
        named = Workload(kind=workload.kind, id=workload.id, **names)
        self.pending.append((workload.key, named, final))


@pytest.fixture
def node():
    node = ScriptedNode([package()])
    node.ledger.accounts = Accounts(held_kinds=NAMED_KINDS, hold_ns=10 * S)
    node.sampler._names = Instant()
    node.step()
    return node


def burn(node, workload, joules=100, seconds=5.0):
    node.sensor.spend(package(), joules * J)
    node.workloads.use({workload: S})
    return node.step(seconds)


def shown(snapshot, workload):
    return [row for row in snapshot.workloads if row.workload.key == workload.key]


def test_a_new_workloads_series_are_born_with_its_name(node):
    """Held for one tick, then shown under its name with all of its joules; the balance holds throughout."""
    a = node.workloads.bear(container(1))
    first = burn(node, a)
    assert shown(first, a) == []
    assert workload_uj(first) + expired_uj(first) == node_uj(first) == 100 * J
    node.sampler._names.answer(a, name="web")
    second = burn(node, a)
    (row,) = shown(second, a)
    assert row.workload.name == "web"
    assert workload_uj(second, id=a.id) == 200 * J
    assert expired_uj(second) == 0


def test_without_a_name_in_time_the_series_is_shown_by_id(node):
    a = node.workloads.bear(container(1))
    burn(node, a)
    assert shown(burn(node, a), a) == []
    (row,) = shown(burn(node, a), a)
    assert row.workload.name == ""


def test_a_late_name_or_a_rename_never_splits_the_series(node):
    """The energy series keep the labels they were born with; workload_info tells the name of now."""
    a = node.workloads.bear(container(1))
    for _ in range(3):
        burn(node, a)
    node.sampler._names.answer(a, name="late", facts=(("image", "nginx"),))
    (row,) = shown(burn(node, a), a)
    assert row.workload.name == ""
    assert (row.known.name, row.known.facts) == ("late", (("image", "nginx"),))
    node.sampler._names.answer(a, name="renamed")
    (row,) = shown(burn(node, a), a)
    assert row.workload.name == ""
    assert row.known.name == "renamed"


def test_a_container_that_lives_five_seconds_is_shown_with_its_name(node):
    """Born and gone within two ticks: its energy is on its own named series, for the grace period."""
    a = node.workloads.bear(container(1))
    burn(node, a)
    node.sampler._names.answer(a, name="brief")
    node.workloads.end(a)
    (row,) = shown(node.step(), a)
    assert row.workload.name == "brief"
    assert row.cells[0].energy_uj == 100 * J


def test_what_names_itself_is_not_held(node):
    unit = node.workloads.bear(UNIT)
    assert len(shown(burn(node, unit), unit)) == 1


def test_a_users_name_takes_the_place_of_the_number(service_of):
    """A session knows its uid from the cgroup's path; the passwd file knows whose it is."""
    session = Workload(kind="session", id="18", facts=(("user", "1000"),))
    service = service_of(Source("users", {"18": Names(facts=(("user", "alice"), ("uid", "1000")))}))
    service.ask([session])
    assert dict(answers(service)[session.key].names.facts) == {"user": "alice", "uid": "1000"}


def test_a_sources_name_takes_the_place_of_the_one_in_the_path(service_of):
    """The cgroup of a VM cuts its name; libvirt knows the whole one, and later sources do not change it."""
    guest = Workload(kind="vm", id="qemu-3-fed", name="fed")
    service = service_of(
        Source("libvirt", {guest.id: Names(name="fedora")}), Source("other", {guest.id: Names(name="x")})
    )
    service.ask([guest])
    assert answers(service)[guest.key].names.name == "fedora"


def test_a_unit_that_is_restarted_all_day_is_asked_about_once_per_round():
    """Each restart forgets it and asks anew; what was planned before must not come due too."""
    clock = ManualClock()
    source = Source("users", {UNIT.id: Names(name="web")})
    service = NameService([source], clock)

    def work():
        while service._queue and service._queue[0][0] <= clock.monotonic_ns():
            with service._lock:
                task = service._next(0)
            service._consult(source, task, 0)
            with service._lock:
                service._finish(task, ())

    for _ in range(30):
        service.ask([UNIT])
        work()
        clock.advance(3)
        service.forget([UNIT])
    service.ask([UNIT])
    work()
    source.asked.clear()
    clock.advance(1000)
    work()
    assert len(source.asked) == 1
    assert len(service._queue) == 1
