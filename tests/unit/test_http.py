"""The web side: routes, caching, the shared refresh, sockets and the end."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import io
import json
import signal
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from email.utils import parsedate_to_datetime

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from tests.snapshots import node_row, rich_snapshot, snapshot
from wattledger.clock import ManualClock
from wattledger.errors import SettingsError
from wattledger.exposition.freshness import MAX_WAIT_S, wait_of
from wattledger.exposition.http import MAX_REQUESTS, NodeView, make_app
from wattledger.exposition.server import Server, bind_all
from wattledger.logs import configure

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Source:
    """A source whose refresh finishes when the test says so, or at once with `answer`."""

    def __init__(self, shot=None, answer=None) -> None:
        self.shot = shot
        self.answer = answer
        self.waiting = []
        self.refreshes = 0

    def latest(self):
        return self.shot

    def refresh(self, done) -> None:
        self.refreshes += 1
        if self.answer is None:
            self.waiting.append(done)
        else:
            self.shot = self.answer
            done()


class CountingRenderer:
    """Counts renderings; the body is the snapshot's sequence."""

    def __init__(self) -> None:
        self.rendered = []

    def render(self, shot, *, openmetrics, own=None) -> bytes:
        self.rendered.append((shot.sequence, openmetrics))
        return b"%d\n" % shot.sequence


async def ask(app, path="/metrics", method="GET", query="", root_path="", **headers):
    """One request; underscores in header names stand for dashes."""
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": root_path,
        "query_string": query.encode(),
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()],
        "server": ("127.0.0.1", 19190),
    }
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    start, body = sent
    got = {k.decode(): v.decode() for k, v in start["headers"]}
    return start["status"], got, body["body"]


def get(app, path="/metrics", **more):
    return asyncio.run(ask(app, path, **more))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def app_of(source, clock, **more):
    return make_app({"": NodeView(source=source, **more)}, clock=clock)


def test_metrics_are_negotiated_and_sized(clock):
    app = app_of(Source(rich_snapshot()), clock)
    status, headers, body = get(app, accept=OPENMETRICS)
    assert status == 200
    assert headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert headers["content-length"] == str(len(body))
    assert headers["vary"] == "Accept, Accept-Encoding"
    assert headers["cache-control"] == "no-store"
    assert "wattledger_build" in {family.name for family in parse_openmetrics(body.decode())}
    assert get(app)[1]["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_gzip_holds_the_same_body(clock):
    app = app_of(Source(rich_snapshot()), clock)
    status, headers, packed = get(app, accept_encoding="gzip")
    assert (status, headers["content-encoding"]) == (200, "gzip")
    plain = get(app)[2]
    assert gzip.decompress(packed) == plain
    assert len(packed) < len(plain) / 2


def test_the_agents_own_process_metrics_come_with_its_node_only(clock):
    assert b"\nprocess_cpu_seconds_total " in get(app_of(Source(snapshot()), clock))[2]
    demo = make_app({"a": NodeView(source=Source(snapshot()))}, clock=clock)
    assert b"\nprocess_cpu_seconds_total " not in get(demo, "/nodes/a/metrics")[2]


def test_one_body_per_snapshot_and_format(clock):
    """However often and however encoded it is scraped, a snapshot is rendered once per format."""
    source, renderer = Source(snapshot(sequence=1)), CountingRenderer()
    app = app_of(source, clock, renderer=renderer)
    for _ in range(3):
        get(app)
        get(app, accept_encoding="gzip")
        get(app, accept=OPENMETRICS)
    assert renderer.rendered == [(1, False), (1, True)]
    source.shot = snapshot(sequence=2)
    assert get(app)[2] == b"2\n"
    assert renderer.rendered[2:] == [(2, False)]


def test_head_has_the_headers_of_get_and_no_body(clock):
    app = app_of(Source(snapshot()), clock)
    for path in ("/metrics", "/", "/docs", "/-/healthy", "/-/ready"):
        status, headers, body = get(app, path, method="HEAD")
        assert (status, body) == (200, b"")
        assert headers["content-length"] == get(app, path)[1]["content-length"]


def test_unknown_paths_and_methods(clock):
    app = app_of(Source(snapshot()), clock)
    for path in ("/metrics/", "/sd", "/nodes/x/metrics", "/favicon.ico", "//metrics"):
        status, headers, body = get(app, path)
        assert (status, headers["content-type"], body) == (404, "text/plain; charset=utf-8", b"not found\n")
    status, headers, _ = get(app, method="POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_health_and_readiness_before_and_after_the_first_snapshot(clock):
    source = Source(None)
    app = app_of(source, clock)
    assert get(app, "/-/healthy")[0] == 200
    assert get(app, "/-/ready")[::2] == (503, b"not ready: no snapshot yet\n")
    status, _, body = get(app)
    assert (status, body) == (503, b"no snapshot yet: the meters are being read for the first time\n")
    assert get(app, "/")[0] == 200
    assert source.refreshes == 0
    source.shot = snapshot()
    assert [get(app, path)[0] for path in ("/-/healthy", "/-/ready", "/metrics")] == [200, 200, 200]


def test_a_snapshot_up_to_a_second_old_is_served_as_it_is(clock):
    source = Source(snapshot(boottime_ns=clock.boottime_ns()))
    clock.advance(1.0)
    get(app_of(source, clock))
    assert source.refreshes == 0


def test_an_older_one_is_refreshed_first(clock):
    old = snapshot(sequence=1, boottime_ns=clock.boottime_ns())
    clock.advance(1.001)
    new = snapshot(sequence=2, boottime_ns=clock.boottime_ns())
    source = Source(old, answer=new)
    app = app_of(source, clock, renderer=CountingRenderer())
    assert get(app)[2] == b"2\n"
    assert get(app)[2] == b"2\n"
    assert source.refreshes == 1


def test_simultaneous_scrapes_share_one_refresh_answered_from_another_thread(clock):
    source = Source(snapshot(sequence=1, boottime_ns=clock.boottime_ns()))
    clock.advance(5)
    app = app_of(source, clock, renderer=CountingRenderer())

    async def scrape_together():
        scrapes = [asyncio.create_task(ask(app)) for _ in range(20)]
        while not source.waiting:
            await asyncio.sleep(0)
        source.shot = snapshot(sequence=2, boottime_ns=clock.boottime_ns())
        thread = threading.Thread(target=source.waiting[0])
        thread.start()
        answers = await asyncio.gather(*scrapes)
        thread.join()
        return answers

    answers = asyncio.run(scrape_together())
    assert {body for _, _, body in answers} == {b"2\n"}
    assert source.refreshes == 1


def test_a_stuck_refresh_delays_a_scrape_but_never_hangs_it(clock):
    """The old snapshot is served when the time is up, and one refresh stays in flight."""
    source = Source(snapshot(sequence=1, boottime_ns=clock.boottime_ns()))
    clock.advance(5)
    app = app_of(source, clock, renderer=CountingRenderer())

    async def scrape_twice():
        first = await ask(app, x_prometheus_scrape_timeout_seconds="0.51")
        second = await ask(app, x_prometheus_scrape_timeout_seconds="0.51")
        return first[2], second[2]

    assert asyncio.run(scrape_twice()) == (b"1\n", b"1\n")
    assert source.refreshes == 1


def test_a_refresh_that_ends_after_the_server_harms_nobody(clock):
    source = Source(snapshot(boottime_ns=clock.boottime_ns()))
    clock.advance(5)
    get(app_of(source, clock), x_prometheus_scrape_timeout_seconds="0.1")
    (late,) = source.waiting
    late()


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("", MAX_WAIT_S),
        ("10", MAX_WAIT_S),
        ("2", 1.5),
        ("0.25", 0.0),
        ("junk", MAX_WAIT_S),
        ("nan", MAX_WAIT_S),
        ("inf", MAX_WAIT_S),
        ("-3", MAX_WAIT_S),
    ],
)
def test_how_long_a_scrape_may_wait(header, wait_s):
    assert wait_of(header) == wait_s


def test_too_many_requests_at_once_are_refused_and_the_rest_answered(clock):
    source = Source(snapshot(boottime_ns=clock.boottime_ns()))
    clock.advance(5)
    app = app_of(source, clock)

    async def crowd():
        waiting = [asyncio.create_task(ask(app)) for _ in range(MAX_REQUESTS)]
        while not source.waiting:
            await asyncio.sleep(0)
        status, headers, _ = await ask(app)
        source.waiting[0]()
        served = [answer[0] for answer in await asyncio.gather(*waiting)]
        return (status, headers["retry-after"]), served, (await ask(app, "/-/healthy"))[0]

    refused, served, after = asyncio.run(crowd())
    assert refused == (503, "1")
    assert served == [200] * MAX_REQUESTS
    assert after == 200


def two_nodes(clock):
    views = {
        name: NodeView(source=Source(snapshot(nodes=(node_row(power_w=power),))))
        for name, power in (("alpha", 100.0), ("beta <2>", 250.0))
    }
    return make_app(views, clock=clock)


def test_several_nodes_have_a_path_each_and_an_index(clock):
    app = two_nodes(clock)
    assert b'wattledger_node_power_watts{component="cpu"} 250.0' in get(app, "/nodes/beta <2>/metrics")[2]
    index = get(app, "/")[2].decode()
    assert '<a href="nodes/alpha/">alpha</a>' in index
    assert '<a href="nodes/beta%20%3C2%3E/">beta &lt;2&gt;</a>' in index
    page = get(app, "/nodes/alpha/")[2].decode()
    assert "<h1>Wattledger: alpha</h1>" in page
    assert 'href="metrics"' in page
    assert 'href="../../docs"' in page
    status, headers, _ = get(app, "/nodes/alpha")
    assert (status, headers["location"]) == (308, "alpha/")


def test_service_discovery_lists_every_node(clock):
    status, headers, body = get(two_nodes(clock), "/sd", host="demo.example:8080")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == [
        {
            "targets": ["demo.example:8080"],
            "labels": {"__metrics_path__": "/nodes/alpha/metrics", "instance": "alpha"},
        },
        {
            "targets": ["demo.example:8080"],
            "labels": {"__metrics_path__": "/nodes/beta <2>/metrics", "instance": "beta <2>"},
        },
    ]


@pytest.mark.parametrize("host", ["", "evil/../x", "a b", "user@host", "[::1", "host:port"])
def test_a_host_header_that_is_none_is_replaced_by_our_address(clock, host):
    document = json.loads(get(two_nodes(clock), "/sd", host=host)[2])
    assert document[0]["targets"] == ["127.0.0.1:19190"]


def test_mounted_under_a_prefix(clock):
    """Both with the prefix in the path, as ASGI servers pass it, and already stripped."""
    app = two_nodes(clock)
    for path in ("/power/nodes/alpha/metrics", "/nodes/alpha/metrics"):
        assert get(app, path, root_path="/power")[0] == 200
    assert get(app, "/powerful", root_path="/power")[0] == 404
    document = json.loads(get(app, "/power/sd", root_path="/power")[2])
    assert document[0]["labels"]["__metrics_path__"] == "/power/nodes/alpha/metrics"


def test_readiness_of_several_nodes_names_those_without_a_snapshot(clock):
    views = {"a": NodeView(source=Source(snapshot())), "b": NodeView(source=Source(None))}
    assert get(make_app(views, clock=clock), "/-/ready")[::2] == (503, b"not ready: no snapshot yet of b\n")


def test_the_telemetry_path_can_be_another(clock):
    app = make_app({"": NodeView(source=Source(snapshot()))}, clock=clock, telemetry_path="/power/now")
    assert get(app, "/power/now")[0] == 200
    assert get(app, "/metrics")[0] == 404
    assert b'href="power/now"' in get(app, "/")[2]


@pytest.mark.parametrize("path", ["metrics", "", "/", "/-/ready", "/nodes/x", "/a b", "/a?b"])
def test_a_telemetry_path_that_cannot_be_served_is_a_settings_error(clock, path):
    with pytest.raises(SettingsError, match=r"--web\.telemetry-path"):
        make_app({"": NodeView(source=Source())}, clock=clock, telemetry_path=path)


def test_the_landing_page_warns_of_a_fallback_and_of_old_figures(clock):
    shot = rich_snapshot(boottime_ns=clock.boottime_ns())
    source = Source(shot)
    app = app_of(source, clock)
    page = get(app, "/")[2].decode()
    assert "carbon intensity is a fallback" in page
    assert "1 of 3 meter zones gave no value" in page
    assert "the sampler is late" not in page
    clock.advance(16)
    assert "These figures are 16 s old" in get(app, "/")[2].decode()
    intensity = replace(shot.price.intensity, fallback=False)
    source.shot = replace(shot, price=replace(shot.price, intensity=intensity))
    assert "fallback" not in get(app, "/")[2].decode()


def test_the_landing_page_says_a_containers_name_once(clock):
    """Below the pod stands the runtime's name of the container, unless it is the one in the pod."""
    shot = rich_snapshot(boottime_ns=clock.boottime_ns())
    assert (
        "ml/train-0/main<small>trainer</small><small>4f" in get(app_of(Source(shot), clock), "/")[2].decode()
    )
    rows = tuple(
        msgspec.structs.replace(row, workload=replace(row.workload, name=row.workload.container_name))
        for row in shot.workloads
    )
    page = get(app_of(Source(replace(shot, workloads=rows)), clock), "/")[2].decode()
    assert "ml/train-0/main<small>4f" in page


def test_the_landing_page_reloads_itself_until_paused(clock):
    app = app_of(Source(snapshot()), clock)
    running, paused = (get(app, "/", query=query)[2].decode() for query in ("", "refresh=off"))
    assert '<meta http-equiv="refresh" content="10">' in running
    assert 'href="?refresh=off"' in running
    assert "http-equiv" not in paused
    assert 'href="?refresh=on"' in paused


def test_pages_allow_no_script_and_no_foreign_content(clock):
    _, headers, _ = get(app_of(Source(snapshot()), clock), "/")
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def port_of(server) -> int:
    return int(server.urls[0].rsplit(":", 1)[1].rstrip("/"))


def fetch(port, path) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    return body


@contextmanager
def serving(app, **more):
    """The app on a free port, in a thread; it must have ended when the block has."""
    server = Server(app, ["127.0.0.1:0"], **more)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


def test_served_over_a_socket_with_keep_alive(clock):
    with serving(app_of(Source(rich_snapshot()), clock)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=10)
        for _ in range(2):
            connection.request("GET", "/metrics", headers={"Accept": OPENMETRICS})
            answer = connection.getresponse()
            body = answer.read().decode()
            assert answer.status == 200
            assert answer.getheader("server") is None
            assert parsedate_to_datetime(answer.getheader("date")).utcoffset() == timedelta(0)
            assert body.endswith("# EOF\n")
        connection.close()


def test_stop_ends_the_server_despite_open_connections(clock):
    """One idle keep-alive connection, one that never asked, and one scrape waiting for a stuck refresh.

    Before any of them has to end by itself, which is after ten seconds.
    """
    source = Source(snapshot(boottime_ns=clock.boottime_ns()))
    clock.advance(5)
    server = Server(app_of(source, clock), ["127.0.0.1:0"])
    port = port_of(server)
    thread = threading.Thread(target=server.serve)
    thread.start()
    idle = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    idle.request("GET", "/-/healthy")
    assert idle.getresponse().read() == b"healthy\n"
    silent = socket.create_connection(("127.0.0.1", port))
    scrape = socket.create_connection(("127.0.0.1", port))
    scrape.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    while not source.waiting:
        threading.Event().wait(0.01)
    server.stop()
    thread.join(8)
    assert not thread.is_alive()
    for one in (idle, silent, scrape):
        one.close()


def test_stop_before_serve_ends_it_and_frees_the_port(clock):
    server = Server(app_of(Source(), clock), ["127.0.0.1:0"])
    server.stop()
    server.serve()
    with socket.create_server(("127.0.0.1", port_of(server))):
        pass


def test_a_connection_that_never_asks_is_closed(clock):
    """Half a request is no request."""
    with (
        serving(app_of(Source(snapshot()), clock), first_request_s=0.05) as server,
        socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as silent,
    ):
        silent.sendall(b"GET /met")
        assert silent.recv(1) == b""


def test_what_is_no_request_writes_no_log_line(clock):
    """Whoever reaches the port could otherwise fill the disk with log lines."""
    log = io.StringIO()
    configure("info", "logfmt", log)
    websocket = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    try:
        with serving(app_of(Source(snapshot()), clock)) as server:
            for sent in (b"\x16\x03\x01\r\n\r\n", websocket):
                with socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as connection:
                    connection.sendall(sent)
                    assert connection.recv(9) == b"HTTP/1.1 "
    finally:
        configure("info", "logfmt")
    assert log.getvalue() == ""


def test_signal_handlers_stay_those_of_the_application(clock):
    """In the main thread, where uvicorn would otherwise take SIGINT and SIGTERM."""
    server = Server(app_of(Source(snapshot()), clock), ["127.0.0.1:0"])
    main = threading.main_thread().ident
    seen = []

    def ask_then_kill():
        fetch(port_of(server), "/-/healthy")
        signal.pthread_kill(main, signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda number, _: (seen.append(number), server.stop()))
    try:
        killer = threading.Thread(target=ask_then_kill)
        killer.start()
        server.serve()
        killer.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


def test_a_taken_port_is_an_error_that_says_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SettingsError) as failure:
            bind_all([f"127.0.0.1:{port}"])
    message = str(failure.value)
    assert f"--web.listen-address 127.0.0.1:{port}" in message
    assert f"ss -ltnp 'sport = :{port}'" in message


def test_no_socket_stays_bound_when_one_address_fails():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as probe:
            free = probe.getsockname()[1]
        with pytest.raises(SettingsError):
            bind_all([f"127.0.0.1:{free}", f"127.0.0.1:{port}"])
        with socket.create_server(("127.0.0.1", free)):
            pass


@pytest.mark.parametrize(
    "address",
    [
        "",
        "19190",
        "host",
        ":",
        ":http",
        ":70000",
        ":-1",
        "::1:19190",
        "[::1:19190",
        "[::1]",
        "a:b:1",
        ":\u0661",
    ],
)
def test_an_address_that_is_none_is_a_settings_error(address):
    with pytest.raises(SettingsError, match=r"expected host:port, :port or \[v6\]:port"):
        bind_all([address])


def test_a_host_without_an_address_is_a_settings_error():
    with pytest.raises(SettingsError, match="no such address"):
        bind_all(["192.0.2.1:0"])


def test_listening_on_no_address_is_a_settings_error():
    with pytest.raises(SettingsError, match="at least one"):
        bind_all([])


def test_a_port_alone_means_all_interfaces_of_both_families():
    (bound,) = bind_all([":0"])
    with bound:
        port = bound.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=10):
            pass
        if bound.family == socket.AF_INET6 and socket.has_dualstack_ipv6():
            try:
                socket.create_connection(("::1", port), timeout=10).close()
            except OSError:
                pytest.skip("this machine has no IPv6 loopback; IPv4 was checked")
