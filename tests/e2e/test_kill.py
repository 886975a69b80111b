"""The agent may die at any instant: nothing it served is taken back, and no joule is lost or doubled.

Real agent processes on fixture hosts, whose counters run on whether an agent lives or not.
"""

from __future__ import annotations

import http.client
import os
import random
import threading
import time
from bisect import bisect_right
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.agent_process import AgentProcess, Scrape, host_arguments
from tests.cgroup_tree import CgroupHost
from tests.known_host import J, KnownHost
from tests.powercap_tree import AMD_RANGE_UJ

pytestmark = pytest.mark.e2e

NODES = 4
KILLS_PER_NODE = 25
CGROUPS = 120
NODE = "wattledger_node_energy_joules_total"
WORKLOAD = "wattledger_workload_energy_joules_total"
EXPIRED = "wattledger_workload_expired_energy_joules"

FRESH_S = 1.0
"""A snapshot up to this old is served as it is; an older one is renewed before the answer."""

WALL_S = time.time() - time.monotonic()
"""What wall time is ahead of the tests' clock."""


class LiveCgroups(CgroupHost):
    """Cgroups whose /proc/stat changes in one step, for a reader in another process."""

    def _show_stat(self):
        real, self.proc = self.proc, self.root / "staging"
        self.proc.mkdir(exist_ok=True)
        try:
            super()._show_stat()
        finally:
            self.proc = real
        os.replace(self.root / "staging/stat", self.proc / "stat")


class Truth:
    """A host under load: every 20 ms some cgroups use CPU time and every counter draws energy.

    `began` and `done` hold, in step, when each write of the counters began and ended, and `drawn_uj` the node
    energy that it shows.
    """

    def __init__(self, root: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        # The first wrap comes within seconds, later ones every two minutes.
        self.host = KnownHost(
            root, range_uj=AMD_RANGE_UJ, start_uj=AMD_RANGE_UJ - 2000 * J, cgroups=LiveCgroups
        )
        self.paths = [f"system.slice/unit-{number}.service" for number in range(CGROUPS)]
        for path in self.paths:
            self.host.cgroups.create(path)
        self.began = [0.0]
        self.done = [0.0]
        self.drawn_uj = [0]
        self.written_s = time.monotonic()

    @property
    def node_uj(self) -> int:
        return self.host.true_uj("package") + self.host.true_uj("dram")

    def move_on(self) -> None:
        """Draw what 400 W a socket and 30 W of memory draw since the last call, CPU time first."""
        began_s = time.monotonic()
        for path in self.dice.sample(self.paths, 5):
            self.host.cgroups.burn(path, 10)
        elapsed_us = round((began_s - self.written_s) * 1e6)
        self.written_s = began_s
        for name, counter in self.host.counters.items():
            counter.draw((400 if name.startswith("package") else 30) * elapsed_us)
        self.began.append(began_s)
        self.done.append(time.monotonic())
        self.drawn_uj.append(self.node_uj)

    def at_most(self, when_s: float) -> int:
        """What the counters can have shown at most at that time."""
        return self.drawn_uj[bisect_right(self.began, when_s) - 1]

    def at_least(self, when_s: float) -> int:
        """What the counters showed at least at that time."""
        return self.drawn_uj[max(0, bisect_right(self.done, when_s) - 1)]


class Served(NamedTuple):
    """One answer: when it was asked for, and when it was complete."""

    asked_s: float
    done_s: float
    text: str


class Scraper:
    """Scrapes one agent without pause; keeps every answer that differs from the one before."""

    def __init__(self, agent: AgentProcess) -> None:
        self.agent = agent
        self.answers: list[Served] = []
        self.scrapes = 0
        self.fresh = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()

    def stop(self):
        """End it, if it was started; no answer comes after this."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self):
        while not self._stop.wait(0.01):
            asked_s = time.monotonic()
            try:
                answer = self.agent.get("/metrics", timeout_s=5)
            except (OSError, http.client.HTTPException):
                continue
            if answer.status != 200:
                continue
            self.scrapes += 1
            served = Served(asked_s, time.monotonic(), answer.body.decode())
            if self.answers and self.answers[-1].text == served.text:
                self.answers[-1] = self.answers[-1]._replace(asked_s=asked_s)
            else:
                self.answers.append(served)
                self.fresh.set()


def kill_again_and_again(agent: AgentProcess, scraper: Scraper, dice: random.Random) -> None:
    """SIGKILL at random instants: in the start, at rest, and around the tick that a scrape forces."""
    for number in range(KILLS_PER_NODE):
        if number % 2:
            time.sleep(dice.uniform(0.0, 0.8))
        else:
            scraper.fresh.wait(60)
            time.sleep(FRESH_S + dice.uniform(0.0, 0.06))
        agent.kill()
        scraper.fresh.clear()
        agent.start()


def test_a_hundred_kills_take_nothing_back_and_lose_nothing(tmp_path):
    """Four hosts, 25 kills each, scraped all the time, counters wrapping meanwhile.

    No counter ever goes down; in the end node energy is the truth since the first start, and every joule
    of it is on one workload; `unattributed` grew by restarts only, each time by no more than what
    was drawn while no agent lived and in the tick before.
    """
    nodes = []
    for number in range(NODES):
        folder = tmp_path / f"node-{number}"
        folder.mkdir()
        truth = Truth(folder / "host", number)
        arguments = (
            *host_arguments(truth.host.root),
            "--sampling.interval=1s",
            f"--storage.path={folder / 'state'}",
        )
        agent = AgentProcess(*arguments, folder=folder)
        nodes.append((truth, agent, Scraper(agent)))
    stop = threading.Event()
    writer = threading.Thread(target=_write, args=([truth for truth, _, _ in nodes], stop), daemon=True)
    try:
        for _, agent, _ in nodes:
            agent.start()
        for truth, agent, _ in nodes:
            agent.wait_ready()  # the first start's baseline is set before anything is drawn
            truth.written_s = time.monotonic()
        writer.start()
        killers = []
        for number, (_, agent, scraper) in enumerate(nodes):
            scraper.start()
            killer = threading.Thread(
                target=kill_again_and_again, args=(agent, scraper, random.Random(100 + number)), daemon=True
            )
            killer.start()
            killers.append(killer)
        for killer in killers:
            killer.join()
        for _, agent, _ in nodes:
            agent.wait_ready()
        stop.set()
        writer.join()
        for _, _, scraper in nodes:
            scraper.stop()
        last = [_settled(agent) for _, agent, _ in nodes]
    finally:
        stop.set()
        for _, agent, scraper in nodes:
            scraper.stop()
            agent.kill()
    for (truth, agent, scraper), final in zip(nodes, last, strict=True):
        assert "traceback" not in agent.log.lower()
        _check_nothing_went_down(scraper.answers, final)
        _check_balance(truth, final)
        _check_unattributed(truth, scraper.answers)
    print(
        f"\n{NODES * KILLS_PER_NODE} kills, {sum(scraper.scrapes for _, _, scraper in nodes)} scrapes, "
        f"{sum(len(scraper.answers) for _, _, scraper in nodes)} different answers, "
        f"{sum(truth.node_uj for truth, _, _ in nodes) / 1e6:.0f} J, "
        f"{sum(final.sum(WORKLOAD, kind='unattributed') for final in last):.0f} J of it unattributed"
    )


def _write(truths, stop):
    while not stop.wait(0.02):
        for truth in truths:
            truth.move_on()


def _settled(agent):
    """A scrape whose sample was taken after now."""
    now = time.time()
    for _ in range(600):
        scrape = agent.scrape()
        if scrape.value("wattledger_sampler_last_success_timestamp_seconds") > now + 0.1:
            return scrape
        time.sleep(0.05)
    raise AssertionError("no sample within 30 s")


def _check_nothing_went_down(answers, final):
    highest = {}
    for scrape in (*(Scrape.of_text(served.text) for served in answers), final):
        for key, value in scrape.counters().items():
            assert value >= highest.get(key, 0.0), f"{key} fell from {highest[key]} to {value}"
            highest[key] = value
    missing = [key for key in highest if key not in final.values]
    assert not missing, f"series that were served and are gone: {missing[:5]}"


def _check_balance(truth, final):
    for component, what in (("cpu", "package"), ("dram", "dram")):
        true_uj = truth.host.true_uj(what)
        assert final.sum_uj(NODE, component=component) == true_uj
        booked_uj = final.sum_uj(WORKLOAD, component=component)
        assert booked_uj + final.sum_uj(EXPIRED, component=component) == true_uj
    for name, counter in truth.host.counters.items():
        what, _, socket = name.partition("-")
        zone = "dram" if what == "dram" else name
        shown = final.sum_uj(
            "wattledger_sensor_energy_joules_total", zone_name=zone, device=f"package-{socket}"
        )
        assert shown == counter.true_uj
    assert final.value("wattledger_sensor_wraps_total", sensor="powercap") >= 2
    assert {*final.select("wattledger_sensor_dropped_intervals_total").values()} == {0}


def _sampled_s(scrape):
    """When the sample that is shown was begun."""
    ended_s = scrape.value("wattledger_sampler_last_success_timestamp_seconds") - WALL_S
    return ended_s - scrape.value("wattledger_sampler_duration_seconds") - 0.01  # the clocks' own steps


def _check_unattributed(truth, answers):
    before = None
    lives = 0
    for served in answers:
        scrape = Scrape.of_text(served.text)
        life = scrape.value("process_start_time_seconds")
        now_uj = scrape.sum_uj(WORKLOAD, kind="unattributed")
        if before is None:
            assert now_uj == 0
        else:
            grown_uj = now_uj - before[1]
            if before[2] == life:
                assert grown_uj == 0, "energy without an owner while an agent lived"
            else:
                lives += 1
                drawn_uj = truth.at_most(served.done_s) - truth.at_least(before[0])
                assert 0 <= grown_uj <= drawn_uj
        before = _sampled_s(scrape), now_uj, life
    assert lives >= KILLS_PER_NODE // 2
    assert 0 < before[1] < truth.node_uj


@pytest.fixture
def host(tmp_path):
    return KnownHost(tmp_path / "host")


@pytest.fixture
def agent(host, tmp_path):
    arguments = (*host_arguments(host.root), "--sampling.interval=1s", f"--storage.path={tmp_path / 'state'}")
    agent = AgentProcess(*arguments, folder=tmp_path)
    yield agent
    agent.kill()


def live(agent, host, joules):
    """One life that serves so many joules more than the one before, and ends by SIGKILL."""
    agent.start()
    agent.wait_ready()
    host.counters["package-0"].draw(joules * J)
    scrape = _settled(agent)
    agent.kill()
    return scrape


def truncate(path):
    os.truncate(path, 20)


def scramble(path):
    path.write_bytes(b"not a ledger" * 30_000)


def turn_bits(path):
    """One byte of the content of each slot."""
    content = bytearray(path.read_bytes())
    for slot in (0, len(content) // 2):
        content[slot + 100] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [truncate, scramble, turn_bits])
def test_a_checkpoint_that_cannot_be_read_is_kept_aside_and_stops_nothing(tmp_path, host, agent, damage):
    """The agent starts, says where it put the file, and counts from zero."""
    assert live(agent, host, 100).sum(NODE, component="cpu") == 100
    damage(tmp_path / "state/ledger.ckpt")
    damaged = (tmp_path / "state/ledger.ckpt").read_bytes()
    assert live(agent, host, 50).sum(NODE, component="cpu") == 50
    aside = list((tmp_path / "state").glob("ledger.ckpt.unreadable-*"))
    assert [path.read_bytes() for path in aside] == [damaged]
    assert str(aside[0]) in agent.log
    assert live(agent, host, 7).sum(NODE, component="cpu") == 57


def test_a_slot_torn_by_the_kill_costs_nothing(tmp_path, host, agent):
    """Half of the newest slot was written when the agent died: the one before it goes on, to the joule."""
    live(agent, host, 100)
    path = tmp_path / "state/ledger.ckpt"
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    newest = max((0, half), key=lambda slot: int.from_bytes(content[slot + 16 : slot + 24], "little"))
    content[newest + 200 : newest + half] = bytes(half - 200)
    path.write_bytes(bytes(content))
    scrape = live(agent, host, 50)
    assert scrape.sum(NODE, component="cpu") == 150
    assert scrape.sum_uj(WORKLOAD) + scrape.sum_uj(EXPIRED) == 150 * J
    assert not list((tmp_path / "state").glob("*unreadable*"))
