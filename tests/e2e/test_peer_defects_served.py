"""Defects found in other energy exporters that only a running agent can have, each as a test.

The agent is a process of its own on a fixture host, or on this machine where a real process is needed.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.agent_process import OPENMETRICS, AgentProcess, Scrape, host_arguments
from tests.known_host import J, KnownHost
from tests.prometheus_server import PrometheusServer, needs_prometheus, scrape_config
from tests.snapshots import rich_snapshot
from wattledger.clock import SystemClock
from wattledger.exposition.http import NodeView, make_app
from wattledger.exposition.render import Renderer
from wattledger.exposition.server import Server

pytestmark = pytest.mark.e2e

NODE = "wattledger_node_energy_joules_total"
WORKLOAD = "wattledger_workload_energy_joules_total"
PROCESS = "wattledger_process_energy_joules_total"
CONTAINER = "1" * 64
CONTAINER_PATH = f"system.slice/docker-{CONTAINER}.scope"


@pytest.fixture
def host(tmp_path):
    host = KnownHost(tmp_path / "host", sockets=1, mmio=False)
    host.cgroups.create(CONTAINER_PATH)
    host.cgroups.populate(CONTAINER_PATH, 1)
    return host


@pytest.fixture
def agent(host, tmp_path):
    with AgentProcess(*host_arguments(host.root), "--sampling.interval=1s", folder=tmp_path) as agent:
        yield agent


def until(agent, true):
    """Scrape without pause until the predicate holds; returns that scrape."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        scrape = agent.scrape()
        if true(scrape):
            return scrape
    raise AssertionError(f"not within a minute; log:\n{agent.log}")


def charge(host, joules=100):
    host.cgroups.burn(CONTAINER_PATH, 1000)
    host.counters["package-0"].draw(joules * J)


def test_two_scrapers_see_the_same(host, agent):
    """An ended container is not shown to the first scraper only: what was scraped changes nothing."""
    charge(host)
    until(agent, lambda scrape: scrape.sum(WORKLOAD, id=CONTAINER) > 0)
    host.cgroups.remove(CONTAINER_PATH)
    ended = until(agent, lambda scrape: scrape.value("wattledger_sampler_ticks_total") > 4)
    for _ in range(5):
        again = agent.scrape()
        assert again.select(WORKLOAD, id=CONTAINER) == ended.select(WORKLOAD, id=CONTAINER) != {}


def test_data_does_not_freeze_under_fast_scraping(host, agent):
    """Scraped without a pause, each request as fresh as the one before: the energy moves on all the same."""
    seen = agent.scrape().sum(NODE)
    for _ in range(3):
        charge(host)
        seen = until(agent, lambda scrape, before=seen: scrape.sum(NODE) >= before + 100).sum(NODE)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
def test_the_content_type_is_there(agent, accept, content_type):
    """Prometheus 3 refuses a target that does not say what it sends."""
    answer = agent.get("/metrics", {"Accept": accept} if accept else {})
    assert answer.headers["content-type"] == content_type
    text = answer.body.decode()
    assert (Scrape.of_openmetrics if accept == OPENMETRICS else Scrape.of_text)(text).select(NODE)


def test_clients_that_misbehave_poison_nothing(agent):
    """Garbage, a request never finished, answers never read: the next scrape is whole."""
    whole = agent.scrape()
    for noise in (
        b"\x16\x03\x01\x02\x00 this is TLS to a plain port",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n",
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: \xff\xfe;q=nan\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    ):
        for _ in range(3):
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", agent.port), 5) as client,
            ):
                client.sendall(noise)  # and gone, without reading
    after = agent.scrape()
    assert after.values.keys() >= whole.values.keys()
    assert agent.status is None


def test_an_error_in_one_answer_does_not_empty_the_following():
    """The rendering fails once: that request is an error, and the next one has everything."""

    class FailsOnce(Renderer):
        failures = 1

        def render(self, *arguments, **more):
            if self.failures:
                self.failures -= 1
                raise RuntimeError("a defect")
            return super().render(*arguments, **more)

    clock = SystemClock()
    shot = rich_snapshot(boottime_ns=clock.boottime_ns() + 3600 * 1_000_000_000)

    class Source:
        def latest(self):
            return shot

        def refresh(self, done):
            done()

    app = make_app({"": NodeView(source=Source(), renderer=FailsOnce({}))}, clock=clock)
    server = Server(app, ["127.0.0.1:0"])
    port = int(re.search(r":(\d+)/", server.urls[0])[1])
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        assert _get(port)[0] == 500
        for _ in range(3):
            status, body = _get(port)
            assert status == 200
            assert Scrape.of_text(body.decode()).select(NODE)
    finally:
        server.stop()
        thread.join()


def _get(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_real_process_with_an_undecodable_name_is_served(tmp_path):
    """Any user may name a process with bytes that are no text; here a real one, busy on this machine."""
    code = "import ctypes\nctypes.CDLL(None).prctl(15, b'\\xff\\xfe(a) R')\nwhile True: pass"
    busy = subprocess.Popen([sys.executable, "-c", code])
    try:
        with AgentProcess("--sampling.interval=1s", "--attribution.processes", folder=tmp_path) as agent:
            found = until(agent, lambda scrape: scrape.sum(PROCESS, pid=str(busy.pid)) > 0)
            names = {found.labels[key]["comm"] for key in found.select(PROCESS, pid=str(busy.pid))}
            assert names == {"\ufffd\ufffd(a) R"}
            assert agent.scrape(openmetrics=True).sum(NODE) > 0
    finally:
        busy.kill()
        busy.wait()


def test_the_agent_starts_where_nothing_can_be_read(tmp_path):
    """No meters, no cgroups, an empty /proc: it runs, is ready, and says what it lacks."""
    (tmp_path / "host/proc").mkdir(parents=True)
    (tmp_path / "host/sys/fs/cgroup").mkdir(parents=True)
    with AgentProcess(*host_arguments(tmp_path / "host"), folder=tmp_path) as agent:
        scrape = agent.scrape(openmetrics=True)
        assert not scrape.select(NODE)
        assert scrape.value("wattledger_sampler_failures_total") > 0


@needs_prometheus
def test_a_missed_scrape_loses_nothing(host, agent, tmp_path):
    """The agent samples by itself: a Prometheus that comes late, twice, still sees every joule."""
    configs = [scrape_config(agent.address, interval="1s")]
    with PrometheusServer(tmp_path / "first", scrape_configs=configs) as prometheus:
        prometheus.wait_for(f"sum({NODE})")
    for _ in range(3):
        charge(host)
    with PrometheusServer(tmp_path / "second", scrape_configs=configs) as prometheus:
        prometheus.wait_for(f"sum({NODE}) == 300")
        assert prometheus.value(f"sum({WORKLOAD})") == 300
