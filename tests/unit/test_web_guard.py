"""What stands before the application: passwords, the rate limit, names of clients, headers."""

from __future__ import annotations

import asyncio
import base64
import ssl

import bcrypt
import pytest

from wattledger.clock import ManualClock
from wattledger.exposition.web_file import Loaded
from wattledger.exposition.web_guard import PEER, Guard, Peer
from wattledger.exposition.web_limit import Limiter
from wattledger.exposition.web_passwords import MAX_WAITING, Passwords, Verdict
from wattledger.exposition.web_records import Pem, RateLimit, TlsConfig, WebConfig
from wattledger.model import S_NS

SALT = b"$2b$04$" + b"." * 22
USERS = {"alice": bcrypt.hashpw(b"right", SALT), "bob": bcrypt.hashpw("grün".encode(), SALT)}


def basic(user: str, password: str, scheme: str = "Basic") -> bytes:
    return f"{scheme} ".encode() + base64.b64encode(f"{user}:{password}".encode())


def verdict(authorization: bytes, users=USERS) -> Verdict:
    passwords = Passwords()
    try:
        return asyncio.run(passwords.check(users, authorization))
    finally:
        passwords.close()


@pytest.mark.parametrize(
    "authorization",
    [
        basic("alice", "right"),
        basic("alice", "right", "bAsIC"),
        basic("bob", "grün"),
    ],
)
def test_the_right_password_is_allowed(authorization):
    assert verdict(authorization) is Verdict.ALLOWED


@pytest.mark.parametrize("prefix", [b"$2a$", b"$2b$", b"$2y$"])
def test_hashes_of_all_usual_tools_are_understood(prefix):
    """htpasswd writes $2y$."""
    users = {"alice": USERS["alice"].replace(b"$2b$", prefix)}
    assert verdict(basic("alice", "right"), users) is Verdict.ALLOWED
    assert verdict(basic("alice", "wrong"), users) is Verdict.REFUSED


@pytest.mark.parametrize(
    "authorization",
    [
        basic("alice", "wrong"),
        basic("alice", ""),
        basic("nobody", "right"),
        basic("", "right"),
        basic("bob", "right"),
        basic("alice", "right" + "\0"),
        b"",
        b"Basic",
        b"Basic !!!",
        b"Basic " + base64.b64encode(b"alice"),
        b"Basic " + base64.b64encode(b"\xff:right"),
        basic("alice", "right", "Bearer"),
    ],
)
def test_anything_else_is_refused(authorization):
    assert verdict(authorization) is Verdict.REFUSED


def test_a_password_of_more_than_72_bytes_is_refused():
    """bcrypt would look at the first 72 bytes only, so that others would fit too."""
    users = {"alice": bcrypt.hashpw(b"a" * 72, SALT)}
    assert verdict(basic("alice", "a" * 72), users) is Verdict.ALLOWED
    assert verdict(basic("alice", "a" * 73), users) is Verdict.REFUSED


def test_what_was_right_once_needs_no_comparison_any_more_and_strangers_do():
    """While as many as may wait for a comparison, who is remembered passes, and nobody else.

    Users that do not exist take a comparison too, for they are what everybody waits for here.
    """

    async def ask():
        passwords = Passwords()
        assert await passwords.check(USERS, basic("alice", "right")) is Verdict.ALLOWED
        waiting = [
            asyncio.create_task(passwords.check(USERS, basic(f"nobody{i}", "right")))
            for i in range(MAX_WAITING)
        ]
        await asyncio.sleep(0)
        remembered = await passwords.check(USERS, basic("alice", "right"))
        wrong = await passwords.check(USERS, basic("alice", "wrong"))
        new = await passwords.check(USERS, basic("bob", "grün"))
        strangers = await asyncio.gather(*waiting)
        later = await passwords.check(USERS, basic("bob", "grün"))
        passwords.close()
        return remembered, wrong, new, set(strangers), later

    busy = Verdict.BUSY
    assert asyncio.run(ask()) == (Verdict.ALLOWED, busy, busy, {Verdict.REFUSED}, Verdict.ALLOWED)


def test_a_changed_password_is_not_remembered():
    async def ask():
        passwords = Passwords()
        before = await passwords.check(USERS, basic("alice", "right"))
        changed = {"alice": bcrypt.hashpw(b"new", SALT)}
        after = [await passwords.check(changed, basic("alice", word)) for word in ("right", "new")]
        passwords.close()
        return [before, *after]

    assert asyncio.run(ask()) == [Verdict.ALLOWED, Verdict.REFUSED, Verdict.ALLOWED]


def test_the_event_loop_goes_on_during_a_comparison():
    """A comparison at cost 8 takes some 15 ms, in which other requests are answered."""

    async def ask():
        passwords = Passwords()
        users = {"alice": b"$2b$08$" + b"." * 53}
        comparison = asyncio.create_task(passwords.check(users, basic("alice", "x")))
        turns = 0
        while not comparison.done():
            await asyncio.sleep(0)
            turns += 1
        passwords.close()
        return turns

    assert asyncio.run(ask()) > 5


def test_a_burst_and_then_one_request_per_interval():
    limiter = Limiter(RateLimit(interval_ns=10 * S_NS, burst=3))
    passed = [limiter.allows(at_s * S_NS) for at_s in (0, 0, 0, 0, 9, 10, 10, 19, 20, 100, 100, 100, 100)]
    assert passed == [True, True, True, False, False, True, False, False, True, True, True, True, False]


async def application(scope, receive, send):
    """Answers 200 with one header of its own."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-frame-options", b"own")]})
    await send({"type": "http.response.body", "body": b"served"})


def ask(guard, *, path="/metrics", authorization=(), peer=None):
    """Status, headers and body of one answer."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "headers": [(b"authorization", value) for value in authorization],
        "state": {} if peer is None else {PEER: peer},
    }
    asyncio.run(guard(scope, receive, send))
    start, body = sent
    return start["status"], dict(start["headers"]), body["body"]


def guard_of(config, context=None, clock=None):
    loaded = Loaded(config=config, context=context, stamps=())
    return Guard(application, lambda: loaded, clock or ManualClock())


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready", "/none"])
def test_every_path_needs_the_password(path):
    guard = guard_of(WebConfig(users=USERS))
    status, headers, body = ask(guard, path=path)
    assert (status, headers[b"www-authenticate"]) == (401, b'Basic realm="wattledger", charset="UTF-8"')
    assert headers[b"connection"] == b"close"
    assert b"served" not in body
    assert ask(guard, path=path, authorization=[basic("alice", "right")])[0] == 200
    guard.close()


def test_two_authorization_headers_are_none():
    guard = guard_of(WebConfig(users=USERS))
    assert ask(guard, authorization=[basic("alice", "right"), basic("alice", "wrong")])[0] == 401
    guard.close()


def test_configured_headers_are_on_every_answer_in_place_of_the_applications():
    guard = guard_of(WebConfig(users=USERS, headers=((b"x-frame-options", b"deny"),)))
    assert ask(guard)[1][b"x-frame-options"] == b"deny"
    assert ask(guard, authorization=[basic("alice", "right")])[1] == {b"x-frame-options": b"deny"}
    guard.close()


def test_without_anything_asked_for_the_answer_stays_as_it_is():
    assert ask(guard_of(WebConfig())) == (200, {b"x-frame-options": b"own"}, b"served")


def test_above_the_rate_requests_are_refused_until_the_interval_is_over():
    clock = ManualClock()
    guard = guard_of(WebConfig(rate=RateLimit(interval_ns=5 * S_NS // 2, burst=1)), clock=clock)
    assert ask(guard)[0] == 200
    status, headers, _ = ask(guard)
    assert (status, headers[b"retry-after"]) == (429, b"3")
    clock.advance(3)
    assert ask(guard)[0] == 200


def test_the_rate_limit_comes_before_passwords():
    """Guessing is limited too."""
    guard = guard_of(WebConfig(users=USERS, rate=RateLimit(interval_ns=S_NS, burst=1)))
    assert [ask(guard, authorization=[basic("alice", "wrong")])[0] for _ in range(2)] == [401, 429]
    guard.close()


def test_only_certificates_with_an_allowed_name_are_let_in():
    pem = Pem(origin="")
    tls = TlsConfig(
        origin="", certificate=pem, key=pem, client_auth="required", allowed_sans=frozenset({"a", "::1"})
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    guard = guard_of(WebConfig(tls=tls), context)
    for names, status in (({"b", "a"}, 200), ({"::1"}, 200), ({"b"}, 403), (set(), 403)):
        assert ask(guard, peer=Peer(context=context, names=frozenset(names)))[0] == status
    assert ask(guard)[0] == 403


def test_a_connection_under_an_old_context_ends_with_its_next_answer():
    """It is answered, for no scrape is to be lost."""
    old, new = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
    guard = guard_of(WebConfig(), new)
    status, headers, body = ask(guard, peer=Peer(context=old))
    assert (status, headers[b"connection"], body) == (200, b"close", b"served")
    assert b"connection" not in ask(guard, peer=Peer(context=new))[1]
