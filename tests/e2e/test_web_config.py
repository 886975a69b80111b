"""The agent behind TLS and passwords, scraped by a real Prometheus."""

from __future__ import annotations

import base64
import socket
import ssl
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import bcrypt
import pytest

from tests.agent_process import AgentProcess, Answer, host_arguments
from tests.command_line import run
from tests.known_host import KnownHost
from tests.prometheus_server import PrometheusServer, needs_prometheus, scrape_config
from tests.web_certificates import WebAuthority, needs_openssl

pytestmark = [pytest.mark.e2e, needs_openssl]

NODE = "wattledger_node_energy_joules_total"
RELOADED = "wattledger_config_last_reload_successful"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return WebAuthority(tmp_path_factory.mktemp("pki") / "a")


@pytest.fixture(scope="module")
def pairs(authority):
    """Certificates of the server, one after the other, and of a client."""
    sans = {"one": (), "two": (), "three": (), "client": ("DNS:prometheus.example",)}
    return {name: authority.issue(name, *san) for name, san in sans.items()}


@pytest.fixture
def host(tmp_path):
    return KnownHost(tmp_path / "host")


@pytest.fixture
def web(tmp_path, pairs):
    """A folder with the server's certificate, and the web configuration to be written."""
    folder = tmp_path / "web"
    folder.mkdir()
    pairs["one"].put(folder / "server.pem", folder / "server.key")
    return folder / "web.yml"


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def tls(more: str = "") -> str:
    return f"tls_server_config: {{cert_file: server.pem, key_file: server.key{more}}}\n"


class SecureAgent(AgentProcess):
    """An agent that is asked over TLS, with a password or a certificate where it wants one."""

    def __init__(self, *arguments, context: ssl.SSLContext, user: str = "", **more) -> None:
        super().__init__(*arguments, **more)
        self.url = f"https://{self.address}"
        self._context = context
        self._user = user

    def get(self, path, headers=None, timeout_s=10.0) -> Answer:
        basic = {"Authorization": "Basic " + base64.b64encode(self._user.encode()).decode()}
        request = urllib.request.Request(self.url + path, headers={**basic, **(headers or {})})
        try:
            with urllib.request.urlopen(request, timeout=timeout_s, context=self._context) as answer:
                return Answer(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())

    def shown(self) -> bytes:
        """The certificate it shows to a new connection."""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=10) as raw,
            self._context.wrap_socket(raw, server_hostname="127.0.0.1") as secured,
        ):
            return secured.getpeercert(binary_form=True)


@contextmanager
def agent_of(host, web, tmp_path, **more):
    arguments = (*host_arguments(host.root), f"--web.config.file={web}", "--sampling.interval=1s")
    with SecureAgent(*arguments, folder=tmp_path, **more) as agent:
        yield agent


@needs_prometheus
def test_prometheus_scrapes_over_tls_with_a_password(host, web, authority, tmp_path):
    """With the authority and the password it gets figures, without one of them it is told why not."""
    web.write_text(f"{tls()}basic_auth_users: {{prometheus: {hashed('right')}}}\n")
    trust = {"ca_file": str(authority.certificate)}

    def job(name: str, password: str = "right", tls_config=trust, scheme="https"):
        basic = {"username": "prometheus", "password": password}
        return scrape_config(agent.address, job=name, scheme=scheme, tls_config=tls_config, basic_auth=basic)

    with agent_of(host, web, tmp_path, context=authority.client(), user="prometheus:right") as agent:
        jobs = [
            job("good"),
            job("wrong", "guess"),
            job("distrust", tls_config={}),
            job("plain", scheme="http"),
        ]
        with PrometheusServer(tmp_path / "prometheus", scrape_configs=jobs) as prometheus:
            prometheus.wait_for(f'count_over_time({NODE}{{job="good",component="cpu"}}[1m]) >= 3')
            prometheus.wait_for("count(count_over_time(up[1m]) >= 3) == 4")
            assert prometheus.by("job", "max_over_time(up[1m])") == {
                "good": 1,
                "wrong": 0,
                "distrust": 0,
                "plain": 0,
            }
            errors = {target["labels"]["job"]: target["lastError"] for target in prometheus.targets()}
        assert "401" in errors["wrong"]
        assert "certificate" in errors["distrust"]
        assert f"https://127.0.0.1:{agent.port}/" in agent.log
        assert "guess" not in agent.log
        assert "right" not in agent.log


@needs_prometheus
def test_certificates_are_renewed_under_a_scraping_prometheus_without_a_lost_scrape(
    host, web, authority, pairs, tmp_path
):
    """Client certificates are asked for as well, so that every new connection shakes hands in full."""
    web.write_text(
        tls(
            f", client_auth_type: RequireAndVerifyClientCert, client_ca_file: {authority.certificate},"
            " client_allowed_sans: [prometheus.example]"
        )
    )
    client = pairs["client"]
    with agent_of(host, web, tmp_path, context=authority.client(client)) as agent:
        tls_config = {
            "ca_file": str(authority.certificate),
            "cert_file": str(client.certificate),
            "key_file": str(client.key),
        }
        jobs = [scrape_config(agent.address, scheme="https", tls_config=tls_config)]
        with PrometheusServer(tmp_path / "prometheus", scrape_configs=jobs) as prometheus:
            prometheus.wait_for("up == 1")
            for number, name in enumerate(("two", "three", "one", "two"), start=1):
                pairs[name].put(web.with_name("server.pem"), web.with_name("server.key"))
                until(lambda name=name: agent.shown() == pairs[name].der())
                prometheus.wait_for(f"count_over_time(up[10m]) >= {1 + 2 * number}")
            assert prometheus.value("min_over_time(up[10m])") == 1
        assert agent.log.count("web configuration reloaded") >= 4


def until(true, seconds=30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_more_requests_than_the_limit_are_answered_429(host, web, authority, tmp_path):
    web.write_text(tls())
    with agent_of(host, web, tmp_path, context=authority.client()) as agent:
        web.write_text(f"{tls()}rate_limit: {{interval: 1h, burst: 2}}\n")
        until(lambda: agent.get("/-/healthy").status == 429)
        answer = agent.get("/metrics")
        assert (answer.status, answer.headers["retry-after"]) == (429, "3600")


def test_a_bad_new_file_leaves_the_agent_as_it_was(host, web, authority, tmp_path):
    web.write_text(f"{tls()}basic_auth_users: {{alice: {hashed('right')}}}\n")
    with agent_of(host, web, tmp_path, context=authority.client(), user="alice:right") as agent:
        web.write_text(f"{tls()}basic_auth_user: {{alice: {hashed('other')}}}\n")
        until(lambda: agent.get("/metrics").status == 200 and "not reloaded" in agent.log)
        assert (
            "web.yml:2: basic_auth_user: unknown key; the nearest valid key is basic_auth_users" in agent.log
        )
        until(lambda: agent.scrape().value(RELOADED) == 0)
        web.write_text(f"{tls()}basic_auth_users: {{alice: {hashed('right')}}}\n")
        until(lambda: agent.scrape().value(RELOADED) == 1)
        web.write_text(f"{tls()}basic_auth_users: {{alice: {hashed('other')}}}\n")
        until(lambda: agent.get("/metrics").status == 401)


def test_it_ends_in_good_order(host, web, authority, tmp_path):
    """SIGTERM, with a connection open that says nothing and would be closed after ten seconds."""
    web.write_text(tls())
    with agent_of(host, web, tmp_path, context=authority.client()) as agent:
        with (
            socket.create_connection(("127.0.0.1", agent.port), timeout=10) as raw,
            authority.client().wrap_socket(raw, server_hostname="127.0.0.1"),
        ):
            status, seconds = agent.terminate()
        assert status == 0
        assert seconds < 8
        assert "error" not in agent.log


def test_the_demo_takes_it_too(web, authority, tmp_path):
    web.write_text(tls())
    arguments = (f"--web.config.file={web}", "--nodes=1")
    with SecureAgent(*arguments, folder=tmp_path, command="demo", context=authority.client()) as demo:
        assert demo.get("/metrics").status == 200


@pytest.mark.parametrize("command", ["run", "demo", "check"])
def test_a_certificate_that_cannot_be_used_is_exit_status_2_and_says_what_to_do(host, web, pairs, command):
    web.with_name("server.key").write_bytes(pairs["two"].key.read_bytes())
    web.write_text(tls())
    paths = () if command == "demo" else host_arguments(host.root)
    done = run(command, *paths, "--web.listen-address=127.0.0.1:0", f"--web.config.file={web}")
    assert done.returncode == 2
    assert (
        f"{web}:1: tls_server_config.key_file: the key does not belong to the certificate;"
        " give those of one pair" in done.stderr
    )
    assert "Traceback" not in done.stderr


def test_check_is_content_with_a_good_one(host, web):
    web.write_text(f"{tls()}basic_auth_users: {{alice: {hashed('right')}}}\n")
    done = run("check", "--seconds=0.1", *host_arguments(host.root), f"--web.config.file={web}")
    assert done.returncode in (0, 1)
