"""One GET against servers that answer badly."""

from __future__ import annotations

import base64
import gzip
import logging
import time
import traceback
import tracemalloc
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.hostile_server import (
    Authority,
    Behaviour,
    HostileServer,
    answer,
    close_at_once,
    drip_body,
    drip_head,
    endless,
    head_of,
    needs_openssl,
    never,
    raw,
    tunnel_to,
    zipped,
)
from tests.ports import free_port
from wattledger.carbon.live.address import address_of, proxy_for
from wattledger.carbon.live.fetch import FetchError, Reply, Request
from wattledger.carbon.live.http import HttpGet, retry_after_s

KEY = "sup3r-secret-key"
PASSWORD = "pa55-phrase"
TOTAL_S = 0.6
"""Of those that are to be given up."""
PATIENCE_S = 30.0
"""Of those that are to be answered, on a machine that is busy."""
SLACK_S = 5.0


@pytest.fixture(autouse=True)
def all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with HostileServer(answer()) as server:
        yield server


def getter(**given: object) -> HttpGet:
    return HttpGet(**{"environ": {}, "connect_s": PATIENCE_S, "total_s": PATIENCE_S, **given})


def asked(url: str) -> Request:
    """A request full of secrets."""
    return Request(
        url=f"{url}/v4/latest",
        query={"zone": "DE", "lat": "52.123456"},
        headers={"auth-token": KEY},
        basic=("ann", PASSWORD),
    )


def failure(
    url: str, caplog: pytest.LogCaptureFixture | None = None, request: Request | None = None, **given: object
) -> FetchError:
    """The error of a request, which is shown to say nothing that was sent and to end in time."""
    began_s = time.monotonic()
    with pytest.raises(FetchError) as caught:
        getter(**given)(request or asked(url))
    assert time.monotonic() - began_s < given.get("total_s", PATIENCE_S) + SLACK_S
    error = caught.value
    told = "".join(traceback.format_exception(error)) + repr(error) + str(error.__dict__)
    told += caplog.text if caplog else ""
    for secret in (
        KEY,
        PASSWORD,
        base64.b64encode(f"ann:{PASSWORD}".encode()).decode(),
        "52.123456",
        "zone=",
    ):
        assert secret not in told
    assert error.__cause__ is None
    assert error.__context__ is None
    return error


def test_a_whole_answer_comes_back_with_its_status(server: HostileServer) -> None:
    server.behave = answer(b'{"x":1}', 200)
    assert getter()(asked(server.url)) == Reply(status=200, body=b'{"x":1}')
    server.behave = answer(b"no", 404)
    assert getter()(asked(server.url)) == Reply(status=404, body=b"no")


def test_what_is_sent(server: HostileServer) -> None:
    """The query is encoded, the secrets are in their headers, the agent says who it is."""
    request = Request(
        url=f"{server.url}/dataset?a=1",
        query={"filter": '{"PriceArea":["DK1"]}', "sort": "Minutes5UTC desc"},
        headers={"auth-token": KEY},
        basic=("ann", PASSWORD),
    )
    getter()(request)
    (head,) = server.heads
    line, *headers = head.strip().split("\r\n")
    wanted = "a=1&filter=%7B%22PriceArea%22%3A%5B%22DK1%22%5D%7D&sort=Minutes5UTC%20desc"
    assert line == f"GET /dataset?{wanted} HTTP/1.1"
    pair = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
    assert {f"auth-token: {KEY}", f"Authorization: Basic {pair}", "Connection: close"} <= set(headers)
    assert any(header.startswith("User-Agent: wattledger/") for header in headers)


@pytest.mark.parametrize("status", [200, 204, 304, 401, 403, 404, 429, 500, 502, 503])
def test_every_status_that_is_no_redirect_is_an_answer(server: HostileServer, status: int) -> None:
    server.behave = answer(b"" if status in {204, 304} else b"{}", status)
    assert getter()(asked(server.url)).status == status


def test_a_compressed_answer_is_unpacked(server: HostileServer) -> None:
    server.behave = zipped(b'{"x":1}')
    assert getter()(asked(server.url)).body == b'{"x":1}'


@pytest.mark.parametrize(
    "behave",
    [drip_head(0.02), drip_body(0.02), drip_body(0.02, length=False), never],
    ids=("head", "body", "no length", "never"),
)
def test_a_slow_server_is_left_at_the_deadline(
    server: HostileServer, behave: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    """Each byte comes well within any timeout of a read; all of them would take over half an hour."""
    server.behave = behave
    error = failure(server.url, caplog, total_s=TOTAL_S)
    assert error.reason == "timeout"
    assert str(error) == f"{server.url.removeprefix('http://')}/v4/latest: no whole answer within 0.6 s"


@needs_openssl
@pytest.mark.parametrize("behave", [drip_head(0.02), drip_body(0.02), never], ids=("head", "body", "never"))
def test_a_slow_server_is_left_under_tls_too(authority: Authority, behave: Behaviour) -> None:
    with HostileServer(behave, tls=authority.good()) as server:
        assert failure(server.url, ca_file=str(authority.ca_file), total_s=TOTAL_S).reason == "timeout"


def test_a_handshake_that_never_ends_is_left_too() -> None:
    """The port is open, but what is behind it does not speak TLS."""
    with HostileServer(never) as server:
        assert failure(server.url.replace("http:", "https:"), total_s=TOTAL_S).reason == "timeout"


def test_a_body_is_bounded_with_and_without_a_length(server: HostileServer) -> None:
    server.behave = answer(b" " * 1001)
    assert failure(server.url, max_bytes=1000).reason == "too_large"
    server.behave = endless
    assert failure(server.url, max_bytes=200_000, total_s=60).reason == "too_large"
    server.behave = answer(b" " * 1000)
    assert len(getter(max_bytes=1000)(asked(server.url)).body) == 1000


def test_a_compressed_bomb_is_defused(server: HostileServer) -> None:
    """8 MiB of spaces are 8 KiB on the wire, and are never unpacked as a whole."""
    bomb = gzip.compress(b" " * (8 << 20))
    assert len(bomb) < 10_000
    server.behave = answer(bomb, Content_Encoding="gzip")
    tracemalloc.start()
    try:
        error = failure(server.url, max_bytes=100_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.reason == "too_large"
    assert peak < 4 << 20


@pytest.mark.parametrize(
    ("behave", "reason", "words"),
    [
        (close_at_once, "connect", "closed the connection without an answer"),
        (raw(head_of(200, {"Content-Length": "100"}) + b"{}"), "connect", "cut off"),
        (raw(head_of(200, {"Transfer-Encoding": "chunked"}) + b"5\r\nab"), "connect", "cut off"),
        (raw(head_of(200, {"Transfer-Encoding": "chunked"}) + b"zz\r\nab"), "connect", "cut off"),
        (raw(b"220 mail.example.org ESMTP\r\n\r\n"), "connect", "no answer in HTTP"),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n"), "connect", "no answer in HTTP"),
        (raw(b"HTTP/1.1 200 " + b"x" * 70_000), "connect", "no answer in HTTP"),
        (answer(b"\x1f\x8bno", Content_Encoding="gzip"), "bad_data", "damaged"),
        (answer(gzip.compress(b"{}")[:-9], Content_Encoding="gzip"), "connect", "cut off"),
        (answer(b"{}", Content_Encoding="br"), "bad_data", "not asked for"),
    ],
)
def test_an_answer_that_is_not_whole_is_none(
    server: HostileServer, behave: Behaviour, reason: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.behave = behave
    error = failure(server.url, caplog)
    assert error.reason == reason
    assert str(error).startswith(f"{server.url.removeprefix('http://')}/v4/latest: ")
    assert words in str(error)


def test_a_length_that_is_too_short_cuts_the_body(server: HostileServer) -> None:
    """What follows is no part of the answer; the JSON parser refuses the rest."""
    server.behave = answer(b'{"x":1}', Content_Length="3")
    assert getter()(asked(server.url)).body == b'{"x'


def test_nobody_listens() -> None:
    port = free_port()
    error = failure(f"http://127.0.0.1:{port}")
    assert (error.reason, str(error)) == ("connect", f"127.0.0.1:{port}/v4/latest: Connection refused")


def test_a_name_that_nobody_has() -> None:
    """`.invalid` never exists (RFC 2606)."""
    error = failure("https://api.invalid", total_s=20)
    assert error.reason == "connect"
    assert "name of the host" in str(error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_named_without_its_query(server: HostileServer, status: int) -> None:
    with HostileServer(answer()) as other:
        location = f"{other.url}/take?zone=DE&lat=52.123456"
        server.behave = answer(b"", status, Location=location)
        error = failure(server.url)
        assert error.reason == "redirect"
        assert "redirected to http://127.0.0.1," in str(error)
        assert "take" not in str(error)
        assert other.heads == []
    assert len(server.heads) == 1


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/v4/latest", "to http://127.0.0.1,"),
        ("https://elsewhere.example/x", "to https://elsewhere.example,"),
        ("https://ann:pw@elsewhere.example/", "to https://elsewhere.example,"),
        ("javascript:alert(1)", "to somewhere else,"),
        ("https://[::bad", "to somewhere else,"),
        ("https://tab\x0bbed\x1b.example/", "to somewhere else,"),
    ],
)
def test_where_a_redirect_leads(server: HostileServer, location: str, words: str) -> None:
    """To itself as well; what no host can be called is not repeated."""
    server.behave = answer(b"", 302, Location=location)
    assert words in str(failure(server.url))


@needs_openssl
def test_certificates_are_verified(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    ca_file = str(authority.ca_file)
    with HostileServer(answer(b"[]"), tls=authority.good()) as server:
        assert getter(ca_file=ca_file)(asked(server.url)).body == b"[]"
        unknown = failure(server.url, caplog)  # the system's authorities do not know this one
        assert unknown.reason == "tls"
        assert "certificate is not accepted" in str(unknown)
        assert len(server.heads) == 1  # nothing was asked of a server that nobody vouches for
    for context, words in (
        (authority.self_signed(), "self-signed certificate"),
        (authority.good("DNS:other.example"), "certificate is not valid for '127.0.0.1'"),
        (authority.expired(), "certificate has expired"),
    ):
        with HostileServer(answer(), tls=context) as server:
            error = failure(server.url, caplog, ca_file=ca_file)
            assert error.reason == "tls"
            assert words in str(error)
            assert server.heads == []


@needs_openssl
def test_a_rotated_ca_file_is_taken_up(authority: Authority, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    get = getter(ca_file=str(ca_file))
    with HostileServer(answer(b"[]"), tls=authority.good()) as server:
        with pytest.raises(FetchError, match="No such file") as missing:
            get(asked(server.url))
        ca_file.write_text("not a certificate")
        with pytest.raises(FetchError, match="not a PEM file") as broken:
            get(asked(server.url))
        assert {missing.value.reason, broken.value.reason} == {"tls"}
        ca_file.write_bytes(authority.ca_file.read_bytes())
        assert get(asked(server.url)).body == b"[]"


def test_tls_to_a_port_without_it_is_told_apart(server: HostileServer) -> None:
    server.behave = raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with HostileServer(answer()) as plain:
        plain.behave = raw(b"")
        assert failure(plain.url.replace("http:", "https:"), total_s=2).reason in {
            "tls",
            "timeout",
            "connect",
        }


@pytest.mark.parametrize(
    ("headers", "basic"),
    [({"auth-token": KEY}, None), ({"Authorization": KEY}, None), ({}, ("ann", PASSWORD))],
)
def test_a_secret_never_leaves_the_host_in_the_clear(headers: dict[str, str], basic: object) -> None:
    """Nobody is asked: the address is one that no packet reaches (RFC 5737)."""
    request = Request(url="http://192.0.2.1/v1", headers=headers, basic=basic)
    error = failure("", request=request)
    assert error.reason == "connect"
    assert "use https://" in str(error)


def test_a_request_without_a_secret_may_go_in_the_clear() -> None:
    """Through a proxy here, so that nothing leaves this host."""
    with HostileServer(answer(b"[1]")) as proxy:
        get = getter(environ={"http_proxy": f"http://bob:{PASSWORD}@127.0.0.1:{proxy.port}"})
        reply = get(Request(url="http://grid.example/v1", query={"a": "b"}))
        assert reply.body == b"[1]"
        (head,) = proxy.heads
    assert head.startswith("GET http://grid.example:80/v1?a=b HTTP/1.1\r\n")
    assert "Host: grid.example" in head
    assert f"Proxy-Authorization: Basic {base64.b64encode(f'bob:{PASSWORD}'.encode()).decode()}" in head


@needs_openssl
def test_tls_goes_through_a_proxy_which_sees_no_key(authority: Authority) -> None:
    """The proxy learns the host; the certificate is that of the host."""
    with (
        HostileServer(answer(b"[1]"), tls=authority.good("DNS:grid.example")) as grid,
        HostileServer(tunnel_to(grid.port)) as proxy,
    ):
        get = getter(
            ca_file=str(authority.ca_file), total_s=10, environ={"HTTPS_PROXY": f"127.0.0.1:{proxy.port}"}
        )
        assert get(asked("https://grid.example")).body == b"[1]"
        assert proxy.heads[0].startswith("CONNECT grid.example:443 HTTP/1.")
        assert KEY not in proxy.heads[0]
        assert KEY in grid.heads[0]
        with pytest.raises(FetchError, match=r"not valid for 'other\.example'"):
            get(asked("https://other.example"))


@pytest.mark.parametrize(
    ("behave", "reason", "words"),
    [
        (answer(b"", 407), "connect", "the proxy opened no tunnel (HTTP 407)"),
        (drip_head(0.02), "timeout", "no whole answer within"),
        (close_at_once, "connect", "closed the connection"),
    ],
)
def test_a_proxy_that_fails(behave: Behaviour, reason: str, words: str) -> None:
    """Its password is as secret as the key."""
    with HostileServer(behave) as proxy:
        environ = {"https_proxy": f"http://bob:{PASSWORD}@127.0.0.1:{proxy.port}"}
        total_s = TOTAL_S if reason == "timeout" else PATIENCE_S
        error = failure("https://grid.example", environ=environ, total_s=total_s)
    assert error.reason == reason
    assert words in str(error)


@pytest.mark.parametrize(
    ("url", "environ", "port"),
    [
        ("https://grid.example/", {"HTTPS_PROXY": "http://p.example:1"}, 1),
        ("https://grid.example/", {"HTTPS_PROXY": "http://p:1", "https_proxy": "http://p:2"}, 2),
        ("https://grid.example/", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://grid.example/", {"HTTP_PROXY": "http://p:1"}, 1),
        ("http://127.0.0.1/", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://localhost/", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://[::1]/", {"HTTP_PROXY": "http://p:1"}, None),
        ("https://grid.example/", {"HTTPS_PROXY": "p:1", "NO_PROXY": "a, .example"}, None),
        ("https://grid.example/", {"HTTPS_PROXY": "p:1", "NO_PROXY": "grid.example:443"}, None),
        ("https://grid.example/", {"HTTPS_PROXY": "p:1", "NO_PROXY": "grid.example:80"}, 1),
        ("https://grid.example/", {"HTTPS_PROXY": "p:1", "NO_PROXY": "id.example,rid"}, 1),
        ("https://grid.example/", {"HTTPS_PROXY": "p:1", "no_proxy": "*"}, None),
        ("https://10.1.2.3/", {"HTTPS_PROXY": "p:1", "NO_PROXY": "10.0.0.0/8"}, None),
        ("https://11.1.2.3/", {"HTTPS_PROXY": "p:1", "NO_PROXY": "10.0.0.0/8"}, 1),
    ],
)
def test_which_proxy_is_used(url: str, environ: dict[str, str], port: int | None) -> None:
    proxy = proxy_for(address_of(Request(url=url)), environ)
    assert (proxy.port if proxy else None) == port


@pytest.mark.parametrize(
    "value", [f"socks5://bob:{PASSWORD}@p:1", f"https://bob:{PASSWORD}@p:1", "http://p:port"]
)
def test_a_proxy_of_another_kind_is_refused_without_repeating_it(value: str) -> None:
    error = failure("https://grid.example", environ={"HTTPS_PROXY": value})
    assert error.reason == "connect"
    assert str(error).startswith("HTTPS_PROXY: ")


@pytest.mark.parametrize(
    "url",
    [
        f"https://ann:{PASSWORD}@grid.example/",
        f"https://:{PASSWORD}@grid.example/",
        f"https://grid.example:{PASSWORD}/",
        f"ftp://grid.example/{PASSWORD}",
        f"https:///{PASSWORD}",
        f"https://grid.example/#{PASSWORD}",
        f"https://grid.example/a b{PASSWORD}",
        f"https://grid.example/\r\nX: {PASSWORD}",
        f"https://grid.exämple/{PASSWORD}",
        f"https://[::{PASSWORD}",
    ],
)
def test_an_address_that_is_refused_is_not_repeated(url: str) -> None:
    error = failure("", request=Request(url=url, headers={"auth-token": KEY}))
    assert error.reason == "connect"
    assert str(error).startswith("url: ")


@pytest.mark.parametrize("value", [f"{KEY}\r\nX: y", f"{KEY}\n", f"{KEY}é", f"{KEY}\x00"])
def test_a_key_that_no_header_can_carry_is_not_repeated(value: str) -> None:
    error = failure("", request=Request(url="https://grid.example/", headers={"auth-token": value}))
    assert error.reason == "no_key"


NOW_S = 1_767_225_600.0  # Thu, 01 Jan 2026 00:00:00 GMT


@pytest.mark.parametrize(
    ("value", "server_date", "seconds"),
    [
        (None, None, None),
        ("120", None, 120.0),
        (" 0 ", None, 0.0),
        ("999999999", None, 86400.0),
        ("1" * 20, None, 86400.0),
        ("-5", None, None),
        ("soon", None, None),
        ("1.5", None, None),
        ("٣", None, None),
        (formatdate(NOW_S + 90, usegmt=True), None, 90.0),
        (formatdate(NOW_S - 90, usegmt=True), None, 0.0),
        (formatdate(NOW_S + 10**7, usegmt=True), None, 86400.0),
        (formatdate(NOW_S + 7290, usegmt=True), formatdate(NOW_S + 7200, usegmt=True), 90.0),
        (formatdate(NOW_S + 90, usegmt=True), "yesterday", 90.0),
        ("Thu, 99 Jan 2026 00:00:00 GMT", None, None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None, 86400.0),
    ],
)
def test_retry_after(value: str | None, server_date: str | None, seconds: float | None) -> None:
    """Seconds or a date; the server's own clock counts where it tells it, two hours ahead of ours or not."""
    assert retry_after_s(value, server_date, NOW_S) == seconds


def test_a_429_says_how_long_to_wait(server: HostileServer) -> None:
    server.behave = answer(b"{}", 429, Retry_After="17")
    assert getter()(asked(server.url)) == Reply(status=429, body=b"{}", retry_after_s=17.0)


def test_no_repr_shows_a_secret() -> None:
    request = asked("https://grid.example")
    proxy = proxy_for(address_of(request), {"HTTPS_PROXY": f"http://bob:{PASSWORD}@p:1"})
    shown = repr((request, address_of(request), proxy, getter()))
    assert KEY not in shown
    assert PASSWORD not in shown
    assert base64.b64encode(f"bob:{PASSWORD}".encode()).decode() not in shown
