"""TLS over sockets: who gets in, rotation, and connections that dawdle."""

from __future__ import annotations

import base64
import gc
import http.client
import io
import socket
import ssl
import struct
import threading
from asyncio import sslproto
from contextlib import ExitStack, contextmanager

import bcrypt
import pytest

from tests.web_certificates import WebAuthority, needs_openssl
from wattledger.clock import ManualClock
from wattledger.errors import SettingsError
from wattledger.exposition.server import Server
from wattledger.exposition.web_accept import MAX_CONNECTIONS, MAX_HANDSHAKES
from wattledger.exposition.web_file import WebFile, check_web_config
from wattledger.logs import configure

pytestmark = needs_openssl


async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"6")]})
    await send({"type": "http.response.body", "body": b"served"})


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return WebAuthority(tmp_path_factory.mktemp("pki") / "a")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """An authority that nobody here trusts."""
    return WebAuthority(tmp_path_factory.mktemp("pki") / "b")


@pytest.fixture(scope="module")
def pairs(authority):
    """Certificates of the server, one after the other, and of a client."""
    return {
        name: authority.issue(name, *san)
        for name, *san in (("one",), ("two",), ("client", "DNS:prometheus.example,IP:::1"))
    }


@pytest.fixture
def web(tmp_path, authority, pairs):
    return Web(tmp_path, authority, pairs["one"])


class Web:
    """A web configuration in a folder with the server's certificate, and the clock of its server."""

    def __init__(self, folder, authority, pair):
        self.authority = authority
        self.file = folder / "web.yml"
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        self.clock = ManualClock()
        pair.put(self.certificate, self.key)
        self.write("")

    def write(self, more: str, rest: str = "") -> None:
        self.file.write_text(
            f"tls_server_config: {{cert_file: server.pem, key_file: server.key{more}}}\n{rest}"
        )

    @contextmanager
    def serving(self, **more):
        """The server in a thread; when the block has ended, it must end before any connection has to."""
        server = Server(
            application, ["127.0.0.1:0"], web_config_file=str(self.file), clock=self.clock, **more
        )
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join(8)
            assert not thread.is_alive()


def port_of(server: Server) -> int:
    return int(server.urls[0].rpartition(":")[2].strip("/"))


def connect(server: Server, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection("127.0.0.1", port_of(server), context=context, timeout=10)


def ask(connection, **headers) -> tuple[int, bytes]:
    connection.request("GET", "/metrics", headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def gets_in(server: Server, context: ssl.SSLContext) -> bool:
    """Whether a client gets an answer of 200; in TLS 1.3 it learns of a refusal when it reads."""
    connection = connect(server, context)
    try:
        return ask(connection)[0] == 200
    except (ssl.SSLError, ConnectionError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def shown(server: Server, context: ssl.SSLContext) -> bytes:
    """The certificate that the server shows to a new connection."""
    connection = connect(server, context)
    connection.connect()
    certificate = connection.sock.getpeercert(binary_form=True)
    connection.close()
    return certificate


def test_https_is_served_with_keep_alive_and_named_in_the_url(web):
    with web.serving() as server:
        assert server.urls[0].startswith("https://127.0.0.1:")
        context = web.authority.client()
        context.set_alpn_protocols(["h2", "http/1.1"])
        connection = connect(server, context)
        assert [ask(connection) for _ in range(3)] == [(200, b"served")] * 3
        assert connection.sock.version() == "TLSv1.3"
        assert connection.sock.selected_alpn_protocol() == "http/1.1"
        connection.close()


@pytest.mark.parametrize(
    ("asked", "without", "unknown", "verified"),
    [
        ("NoClientCert", True, True, True),
        ("RequestClientCert", True, True, True),
        ("VerifyClientCertIfGiven, client_ca_file: {ca}", True, False, True),
        ("RequireAndVerifyClientCert, client_ca_file: {ca}", False, False, True),
        (
            "RequireAndVerifyClientCert, client_ca_file: {ca}, client_allowed_sans: [prometheus.example]",
            False,
            False,
            True,
        ),
        (
            "RequireAndVerifyClientCert, client_ca_file: {ca}, client_allowed_sans: ['0:0::1']",
            False,
            False,
            True,
        ),
        (
            "RequireAndVerifyClientCert, client_ca_file: {ca}, client_allowed_sans: [example]",
            False,
            False,
            False,
        ),
    ],
)
def test_which_clients_get_in(web, pairs, other, asked, without, unknown, verified):
    """Without a certificate, with one of an authority that is not trusted, and with a good one."""
    web.write(f", client_auth_type: {asked.format(ca=web.authority.certificate)}")
    stranger = other.issue("stranger", "DNS:prometheus.example")
    with web.serving() as server:
        clients = (None, stranger, pairs["client"])
        assert [gets_in(server, web.authority.client(pair)) for pair in clients] == [
            without,
            unknown,
            verified,
        ]


def test_without_a_client_ca_the_systems_authorities_count(web, pairs, other, monkeypatch):
    """As in other exporters; OpenSSL takes them from this file."""
    monkeypatch.setenv("SSL_CERT_FILE", str(web.authority.certificate))
    web.write(", client_auth_type: RequireAndVerifyClientCert")
    with web.serving() as server:
        assert gets_in(server, web.authority.client(pairs["client"]))
        assert not gets_in(server, web.authority.client(other.issue("stranger")))


@pytest.mark.parametrize(
    ("asked", "old", "new"),
    [("", True, True), (", min_version: TLS13", False, True), (", max_version: TLS12", True, False)],
)
def test_which_versions_are_served(web, asked, old, new):
    web.write(asked)
    with web.serving() as server:
        for version, served in ((ssl.TLSVersion.TLSv1_2, old), (ssl.TLSVersion.TLSv1_3, new)):
            context = web.authority.client()
            context.minimum_version = context.maximum_version = version
            assert gets_in(server, context) is served


def test_suites_of_tls_12_and_curves_can_be_chosen(web):
    suite = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    web.write(f", max_version: TLS12, cipher_suites: [{suite}], curve_preferences: [CurveP384]")
    with web.serving() as server:
        connection = connect(server, web.authority.client())
        assert ask(connection)[0] == 200
        assert connection.sock.cipher()[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"
        connection.close()
        for ciphers, curve in (("ECDHE-ECDSA-AES128-GCM-SHA256", "secp384r1"), ("HIGH", "prime256v1")):
            context = web.authority.client()
            context.set_ciphers(ciphers)
            context.set_ecdh_curve(curve)
            assert not gets_in(server, context)


def test_certificate_and_key_may_stand_in_the_file(web):
    """No file on a disk gets the key for that."""
    lines = {
        name: path.read_text().replace("\n", "\n    ")
        for name, path in vars(web).items()
        if name in ("certificate", "key")
    }
    web.file.write_text(
        f"tls_server_config:\n  cert: |\n    {lines['certificate']}\n  key: |\n    {lines['key']}\n"
    )
    with web.serving() as server:
        assert gets_in(server, web.authority.client())


def test_a_password_over_tls(web):
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    web.write("", f"basic_auth_users: {{alice: {hashed}}}\n")
    with web.serving() as server:
        assert not gets_in(server, web.authority.client())
        connection = connect(server, web.authority.client())
        basic = base64.b64encode(b"alice:right").decode()
        assert ask(connection, Authorization=f"Basic {basic}") == (200, b"served")
        connection.close()


def test_a_new_certificate_is_taken_without_a_lost_answer(web, pairs):
    """An open connection gets one more answer, and comes back to the new certificate by itself."""
    client = web.authority.client()
    with web.serving() as server:
        kept = connect(server, client)
        assert ask(kept) == (200, b"served")
        pairs["two"].put(web.certificate, web.key)
        assert shown(server, client) == pairs["one"].der()
        web.clock.advance(1)
        assert shown(server, client) == pairs["two"].der()
        assert ask(kept) == (200, b"served")
        assert kept.sock is None
        assert ask(kept) == (200, b"served")
        assert kept.sock.getpeercert(binary_form=True) == pairs["two"].der()
        kept.close()


def test_of_a_pair_half_replaced_the_old_one_is_served(web, pairs):
    client = web.authority.client()
    with web.serving() as server:
        web.certificate.write_bytes(pairs["two"].certificate.read_bytes())
        web.clock.advance(1)
        assert shown(server, client) == pairs["one"].der()
        web.key.write_bytes(pairs["two"].key.read_bytes())
        web.clock.advance(1)
        assert shown(server, client) == pairs["two"].der()


def test_a_folder_swapped_by_a_link_is_noticed(web, pairs, tmp_path):
    """This is how Kubernetes renews a mounted secret."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        pairs[name].put(tmp_path / name / "server.pem", tmp_path / name / "server.key")
    link = tmp_path / "now"
    link.symlink_to("one")
    web.file.write_text("tls_server_config: {cert_file: now/server.pem, key_file: now/server.key}\n")
    client = web.authority.client()
    with web.serving() as server:
        assert shown(server, client) == pairs["one"].der()
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").rename(link)
        web.clock.advance(1)
        assert shown(server, client) == pairs["two"].der()


def test_a_client_let_in_by_an_old_file_is_not_let_in_for_longer(web):
    with web.serving() as server:
        kept = connect(server, web.authority.client())
        assert ask(kept)[0] == 200
        web.write(
            f", client_auth_type: RequireAndVerifyClientCert, client_ca_file: {web.authority.certificate}"
        )
        web.clock.advance(1)
        assert ask(kept)[0] == 200
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
            ask(kept)
        kept.close()


@pytest.fixture
def log():
    """What is logged from the level of info on."""
    text = io.StringIO()
    configure("info", "logfmt", text)
    yield text
    configure("info", "logfmt")


def test_a_file_that_cannot_be_used_leaves_the_old_one_in_force_and_is_logged_once(web, log):
    file = WebFile(str(web.file), web.clock)
    before = file.current()
    for _ in range(3):
        web.file.write_text("tls_server_config: {cert_fil: x}\n")
        web.clock.advance(1)
        assert file.current() is before
    assert log.getvalue().count("web configuration not reloaded, the old one stays in force") == 1
    assert "web.yml:1: tls_server_config.cert_fil: unknown key" in log.getvalue()
    web.write(", min_version: TLS13")
    web.clock.advance(1)
    assert file.current().config.tls.lowest == "TLS13"
    assert log.getvalue().count("web configuration reloaded") == 1


def test_files_are_looked_at_once_in_a_second_at_most(web):
    file = WebFile(str(web.file), web.clock)
    before = file.current()
    web.write(", min_version: TLS13")
    web.clock.advance(0.999)
    assert file.current() is before
    web.clock.advance(0.001)
    assert file.current().config.tls.lowest == "TLS13"
    after = file.current()
    web.clock.advance(1)
    assert file.current() is after


@pytest.mark.parametrize("secure_first", [True, False])
def test_tls_is_neither_begun_nor_ended_without_a_restart(web, log, secure_first):
    texts = [web.file.read_text(), "rate_limit: {interval: 1s, burst: 1}\n"]
    first, second = texts if secure_first else reversed(texts)
    web.file.write_text(first)
    file = WebFile(str(web.file), web.clock)
    before = file.current()
    web.file.write_text(second)
    web.clock.advance(1)
    assert file.current() is before
    assert file.secure is secure_first
    assert "takes a restart" in log.getvalue()


def test_what_has_no_effect_is_warned_of_once(web, log):
    web.write("", "http_server_config: {http2: true}\n")
    file = WebFile(str(web.file), web.clock)
    web.write(", min_version: TLS13", "http_server_config: {http2: true}\n")
    web.clock.advance(1)
    assert file.current().config.tls.lowest == "TLS13"
    assert log.getvalue().count("HTTP/2 is not served") == 1


def ruin_nothing(web, pairs):
    web.certificate.unlink()


def ruin_key(web, pairs):
    web.key.write_bytes(pairs["two"].key.read_bytes())


def ruin_pem(web, pairs):
    web.certificate.write_text("not PEM\n")


def ruin_body(web, pairs):
    web.certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


def ruin_by_passphrase(web, pairs):
    web.key.write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")


def ruin_by_a_folder(web, pairs):
    web.key.unlink()
    web.key.mkdir()


def ruin_authority(web, pairs):
    ca = web.certificate.with_name("ca.pem")
    ca.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    web.write(", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem")


@pytest.mark.parametrize(
    ("ruin", "said"),
    [
        (ruin_nothing, "tls_server_config.cert_file: cannot read {folder}/server.pem: No such file"),
        (ruin_key, "tls_server_config.key_file: the key does not belong to the certificate; give those of"),
        (ruin_pem, "tls_server_config.cert_file: {folder}/server.pem holds no PEM block of a certificate"),
        (ruin_body, "tls_server_config.cert_file: the certificate or its key cannot be used: "),
        (ruin_by_passphrase, "tls_server_config.key_file: the key has a passphrase, for which there is no"),
        (ruin_by_a_folder, "tls_server_config.key_file: cannot read {folder}/server.key: "),
        (ruin_authority, "tls_server_config.client_ca_file: the authority cannot be used: "),
    ],
)
def test_certificates_that_cannot_be_used_are_an_error_that_says_what_to_do(web, pairs, ruin, said):
    ruin(web, pairs)
    with pytest.raises(SettingsError) as caught:
        check_web_config(str(web.file))
    assert str(caught.value).startswith(f"{web.file}:1: {said.format(folder=web.file.parent)}")
    with pytest.raises(SettingsError):
        Server(application, ["127.0.0.1:0"], web_config_file=str(web.file))


def test_connections_that_never_shake_hands_hold_up_nobody(web):
    """More of them than may wait: the oldest give way, and everybody else is served meanwhile."""
    with web.serving() as server, ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port_of(server)), timeout=10))
            for _ in range(MAX_HANDSHAKES + 5)
        ]
        assert gets_in(server, web.authority.client())
        for connection in silent[:6]:
            assert connection.recv(1) == b""
        silent[-1].setblocking(False)
        with pytest.raises(BlockingIOError):
            silent[-1].recv(1)


def test_a_handshake_has_its_time(web):
    with (
        web.serving(handshake_s=0.05) as server,
        socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as silent,
    ):
        assert silent.recv(1) == b""


def test_a_secured_connection_that_never_asks_is_closed(web):
    with web.serving(first_request_s=0.05) as server:
        connection = connect(server, web.authority.client())
        connection.connect()
        assert ends(connection.sock)
        connection.close()


def ends(secured: ssl.SSLSocket) -> bool:
    """Whether the server ends the connection, in good order or not."""
    try:
        return secured.recv(1) == b""
    except (ssl.SSLError, ConnectionError):
        return True


def test_too_many_connections_are_closed_at_once(web):
    """Those that are open go on."""
    client = web.authority.client()
    with web.serving() as server, ExitStack() as stack:
        held = [stack.enter_context(_open(server, client)) for _ in range(MAX_CONNECTIONS)]
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _open(server, client)
        answered(held[0])


def _open(server: Server, context: ssl.SSLContext) -> ssl.SSLSocket:
    """A connection that has been answered once, so that the server counts it."""
    raw = socket.create_connection(("127.0.0.1", port_of(server)), timeout=10)
    secured = context.wrap_socket(raw, server_hostname="127.0.0.1")
    answered(secured)
    return secured


def answered(secured: ssl.SSLSocket) -> None:
    """Ask, and read all of the answer; raises ConnectionError or ssl.SSLError when there is none."""
    secured.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    got = b""
    while not got.endswith(b"served"):
        more = secured.recv(4096)
        if not more:
            raise ConnectionError("closed")
        got += more


def by_reset(server, client):
    secured = _open(server, client)
    secured.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    secured.close()


def by_goodbye(server, client):
    _open(server, client).unwrap().close()


def by_silence(server, client):
    raw = socket.create_connection(("127.0.0.1", port_of(server)), timeout=10)
    client.wrap_socket(raw, server_hostname="127.0.0.1").close()


def by_half_a_handshake(server, client):
    socket.create_connection(("127.0.0.1", port_of(server)), timeout=10).close()


def by_noise(server, client):
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert connection.recv(1) != b"H"


@pytest.mark.parametrize("end", [by_reset, by_goodbye, by_silence, by_half_a_handshake, by_noise])
def test_what_a_connection_held_is_given_back_at_once(web, end):
    """Its buffers of 0.3 MiB wait for no timer and no garbage collector."""
    client = web.authority.client()
    gc.collect()
    gc.disable()
    try:
        with web.serving() as server:
            for _ in range(5):
                end(server, client)
            assert gets_in(server, client)  # what came before has been accepted
            for _ in range(300):
                if not _held():
                    break
                threading.Event().wait(0.01)
            assert _held() == 0
    finally:
        gc.enable()


def _held() -> int:
    return sum(type(one) is sslproto.SSLProtocol for one in gc.get_objects())


def test_plain_http_and_noise_are_turned_away_without_a_log_line(web, log):
    with web.serving() as server:
        for sent in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\0" * 100):
            with socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as connection:
                connection.sendall(sent)
                while connection.recv(100):
                    pass
        assert gets_in(server, web.authority.client())
    assert log.getvalue() == ""


def test_it_ends_at_once_despite_open_connections(web, log):
    """One idle, one that never shakes hands, one that never asks; `serving` looks at the clock."""
    with ExitStack() as stack, web.serving() as server:
        idle = stack.enter_context(_open(server, web.authority.client()))
        stack.enter_context(socket.create_connection(("127.0.0.1", port_of(server)), timeout=10))
        silent = connect(server, web.authority.client())
        silent.connect()
        stack.callback(silent.close)
        assert idle.fileno() > 0
    assert log.getvalue() == ""


def test_plain_http_with_a_password_stays_plain(tmp_path):
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{alice: {hashed}}}\n")
    server = Server(application, ["127.0.0.1:0"], web_config_file=str(file))
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        assert server.urls[0].startswith("http://")
        connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=10)
        assert ask(connection)[0] == 401
        basic = base64.b64encode(b"alice:right").decode()
        assert ask(connection, Authorization=f"Basic {basic}") == (200, b"served")
        connection.close()
    finally:
        server.stop()
        thread.join(10)


def test_the_body_does_not_wait_for_an_acknowledgement_of_the_head():
    """Which clients delay by 40 ms; connections accepted have the option of the socket they came by."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        server = Server(application, [], inherited=[bound])
        with socket.create_connection(bound.getsockname()):
            accepted, _ = bound.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        server.close()


def test_whether_a_new_state_could_be_used_is_told_once(web):
    told = []
    file = WebFile(str(web.file), web.clock, told.append)
    good = web.file.read_text()
    for text, so_far in (("nonsense", [False]), ("nonsense", [False]), (good, [False, True])):
        web.file.write_text(text)
        web.clock.advance(1)
        file.current()
        assert told == so_far
