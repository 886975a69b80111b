"""Conservation of CPU time under any sequence of births, deaths, moves and unequal reads."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cgroup_tree import MS, CgroupHost
from wattledger.model import EXITED, KERNEL
from wattledger.workloads.cputime import parse_stat
from wattledger.workloads.identity import identify
from wattledger.workloads.naming import label
from wattledger.workloads.scan import HostWorkloads

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
POD = "pod2c9f8a79-5391-454b-88cb-86190881cb96"
PLACES = [
    "docker",
    f"docker/{A}",
    f"docker/{A}/inner",
    f"docker/{A}/docker/{B}",
    "kubepods/burstable",
    f"kubepods/burstable/{POD}",
    f"kubepods/burstable/{POD}/{B}",
    f"kubepods/burstable/{POD}/{C}",
    f"kubepods/burstable/{POD}/{C}/docker/{'d' * 64}",
    "system.slice/web.service",
    f"system.slice/web.service/libpod-payload-{'e' * 64}",
    "lxc.payload.web",
    "lxc.monitor.web",
]
LEAVES = st.sampled_from(PLACES)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), LEAVES, st.just(0)),
        st.tuples(st.just("burn"), LEAVES, st.integers(1, 9)),
        st.tuples(st.just("burn"), st.just(""), st.integers(1, 9)),
        st.tuples(st.just("remove"), LEAVES, st.just(0)),
        st.tuples(st.just("recreate"), LEAVES, st.just(0)),
        st.tuples(st.just("scan"), st.just(""), st.just(0)),
    ),
    min_size=15,
    max_size=60,
)
NESTED = [
    f"docker/{A}",
    f"docker/{A}/docker/{B}",
    f"docker/{A}/docker/{B}/docker/{C}",
    f"kubepods/burstable/{POD}/{C}",
]
SKEWED = st.lists(
    st.tuples(
        st.sampled_from(
            ["create", "burn", "burn", "lag", "lag", "settle", "settle", "remove", "scan", "scan", "scan"]
        ),
        st.sampled_from(NESTED),
        st.integers(1, 9),
    ),
    min_size=15,
    max_size=60,
)
RELAXED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


class Model:
    """The host, and beside it who ought to be charged for what was burnt since the last scan."""

    def __init__(self, host):
        self.host = host
        self.burnt = []
        self.lives = dict.fromkeys(host.usage_ns, 0)
        self.births = 0

    def _track(self):
        for path in self.host.usage_ns.keys() - self.lives.keys():
            self.births += 1
            self.lives[path] = self.births
        for path in self.lives.keys() - self.host.usage_ns.keys():
            del self.lives[path]

    def apply(self, verb, path, amount):
        host = self.host
        exists = path in host.usage_ns
        if verb == "create" and not exists:
            host.create(path)
        elif verb == "burn" and exists:
            host.burn(path, amount * 10)
            chain = [path[: i if i >= 0 else None] for i in self._cuts(path)] if path else []
            self.burnt.append((amount * 10, [(part, self.lives[part]) for part in chain]))
        elif verb == "remove" and exists and path:
            host.remove(path)
        elif verb == "recreate" and exists and path:
            host.remove(path)
            self._track()
            host.create(path)
        elif verb == "lag" and exists and path:
            # A counter never runs backwards, so it lags behind what was added since it was last shown.
            host.lag(path, min(amount * 10, self.recent(path)))
        elif verb == "settle" and exists:
            host.lag(path, 0)
        self._track()

    @staticmethod
    def _cuts(path):
        cuts = [-1]
        for i in range(len(path) - 1, 0, -1):
            if path[i] == "/":
                cuts.append(i)
        return cuts

    def recent(self, path):
        key = (path, self.lives[path])
        return sum(amount for amount, chain in self.burnt if key in chain)

    def expected(self):
        """What each workload ought to get: a burn goes to the nearest cgroup that still lives."""
        credit = {}
        for amount, chain in self.burnt:
            alive = next((path for path, life in chain if self.lives.get(path) == life), None)
            workload = KERNEL if alive is None else identify(f"/{alive}") or EXITED
            credit[workload.key] = credit.get(workload.key, 0) + amount * MS
        self.burnt = []
        return credit


@RELAXED
@given(layout=st.sampled_from(["v1", "v2"]), steps=STEPS)
def test_every_nanosecond_goes_where_it_belongs(layout, steps):
    """With reads at one instant each workload gets exactly what it used, and the sum is the busy time."""
    with tempfile.TemporaryDirectory() as folder:
        host = CgroupHost(Path(folder), layout)
        model = Model(host)
        scanner = HostWorkloads(host.hostfs, host.clock)
        alive = {w.key for w in scanner.scan().born}
        for verb, path, amount in [*steps, ("scan", "", 0)]:
            if verb != "scan":
                model.apply(verb, path, amount)
                continue
            host.clock.advance(5)
            usage = scanner.scan()
            assert {w.key: ns for w, ns in usage.cpu_ns.items()} == model.expected()
            assert sum(usage.cpu_ns.values()) == usage.busy_ns
            assert scanner.debt_ns == 0
            born, ended = ({w.key for w in group} for group in (usage.born, usage.ended))
            assert not born & alive
            assert ended <= alive
            alive = (alive | born) - ended
        named = {found.key for path in host.usage_ns if path and (found := identify(f"/{path}"))}
        assert alive == named
        scanner.close()


@RELAXED
@given(layout=st.sampled_from(["v1", "v2"]), steps=SKEWED)
def test_unequal_reads_invent_and_lose_nothing(layout, steps):
    """Whatever lags behind whatever, credit minus debt is the host's total at every scan."""
    with tempfile.TemporaryDirectory() as folder:
        host = CgroupHost(Path(folder), layout)
        for path in NESTED:
            host.create(path)
        model = Model(host)
        scanner = HostWorkloads(host.hostfs, host.clock)
        scanner.scan()
        credited = 0
        lagged = 0
        for verb, path, amount in [*steps, ("scan", "", 0)]:
            if verb != "scan":
                model.apply(verb, path, amount)
                lagged += amount * 10 * MS if verb == "lag" else 0
                continue
            host.clock.advance(5)
            usage = scanner.scan()
            model.expected()
            assert all(ns > 0 for ns in usage.cpu_ns.values())
            credited += sum(usage.cpu_ns.values())
            assert 0 <= scanner.debt_ns <= lagged
            assert credited - scanner.debt_ns == host.usage_ns[""]
        scanner.close()


@given(st.text(max_size=600))
def test_any_path_has_a_valid_label(path):
    """No path raises, and ids and names are valid UTF-8 of at most 256 characters in one line."""
    workload = identify(f"/{path}")
    if workload is not None:
        for value in (workload.id, workload.name, *(value for _, value in workload.facts)):
            assert len(value) <= 256
            assert value.encode("utf-8").decode("utf-8") == value
            assert len(value.splitlines()) <= 1


@given(st.binary(max_size=300).map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_labels_of_different_bytes_differ(text):
    """A label is stable, and marked where it is not the text itself."""
    value = label(text)
    assert value == label(text)
    assert value == text or value[-17] == "~"


@given(comm=st.binary(max_size=15), ticks=st.integers(0, 2**40), start=st.integers(0, 2**60))
def test_stat_is_parsed_whatever_the_name(comm, ticks, start):
    """The command name cannot shift a field."""
    line = b"1 (%s) R 1 1 1 0 -1 0 0 0 0 0 %d 0 0 0 20 0 1 0 %d 0\n" % (comm, ticks, start)
    stat = parse_stat(line)
    assert (stat.cpu_ns, stat.start) == (ticks * 10 * MS, start)
