"""The web configuration file: what it may say, and how a mistake in it is told."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.command_line import REPOSITORY
from wattledger.errors import SettingsError
from wattledger.exposition.web_config import TLS_KEYS, read_web_config
from wattledger.exposition.web_records import RateLimit, WebConfig
from wattledger.model import S_NS

HASH = "$2y$10$" + "a" * 53
TLS = "tls_server_config: {cert_file: c.pem, key_file: k.pem"

FULL = f"""\
tls_server_config:
  cert_file: tls/server.pem
  key_file: /etc/keys/server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans: [prometheus.example, "0:0:0:0:0:0:0:1"]
  min_version: TLS12
  max_version: TLS12
  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [CurveP384]
http_server_config:
  http2: false
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=31536000
    Content-Security-Policy:
basic_auth_users:
  alice: {HASH}
  123: {HASH.replace("$2y$", "$2b$")}
rate_limit: {{interval: 1m30s, burst: 5}}
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "web.yml"


def read(file, text: str) -> WebConfig:
    file.write_text(text)
    return read_web_config(str(file))


def refusal(file, text: str) -> str:
    """What is said about a file, without the folder."""
    with pytest.raises(SettingsError) as caught:
        read(file, text)
    return str(caught.value).replace(f"{file.parent}/", "")


def test_every_part_is_read(file):
    config = read(file, FULL)
    tls = config.tls
    assert tls is not None
    assert tls.certificate.file == str(file.parent / "tls/server.pem")
    assert tls.key.file == "/etc/keys/server.key"
    assert tls.client_ca is not None
    assert tls.files == (tls.certificate.file, tls.key.file, str(file.parent / "ca.pem"))
    assert tls.client_auth == "required"
    assert tls.allowed_sans == {"prometheus.example", "::1"}
    assert (tls.lowest, tls.highest, tls.prefer_server) == ("TLS12", "TLS12", False)
    assert tls.ciphers == ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305")
    assert tls.curves == ("secp384r1",)
    assert config.headers == (
        (b"x-frame-options", b"deny"),
        (b"strict-transport-security", b"max-age=31536000"),
    )
    assert config.users == {"alice": HASH.encode(), "123": HASH.replace("$2y$", "$2b$").encode()}
    assert config.rate == RateLimit(interval_ns=90 * S_NS, burst=5)
    assert config.notes == ()


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "{}", "tls_server_config:\n", "tls_server_config: {}", "rate_limit: {interval: 0}"],
)
def test_a_file_that_asks_for_nothing_is_plain_http_open_to_all(file, text):
    assert read(file, text) == WebConfig()


def test_defaults_of_tls(file):
    tls = read(file, TLS + "}").tls
    assert tls is not None
    assert (tls.client_auth, tls.lowest, tls.highest) == ("none", "TLS12", "TLS13")
    assert (tls.ciphers, tls.curves, tls.allowed_sans) == ((), (), frozenset())


def test_certificates_may_stand_in_the_file(file):
    """They show in no repr, which a log line could hold."""
    tls = read(file, "tls_server_config:\n  cert: |\n    CERT\n  key: |\n    SECRET\n").tls
    assert tls is not None
    assert (tls.certificate.text, tls.key.text, tls.files) == ("CERT\n", "SECRET\n", ())
    assert "SECRET" not in repr(tls)


def test_passwords_show_in_no_repr(file):
    assert HASH not in repr(read(file, f"basic_auth_users: {{alice: {HASH}}}"))


def test_only_suites_of_tls_13_means_no_other_version(file):
    """As in Go, where nothing would be left for TLS 1.2."""
    tls = read(file, TLS + ", cipher_suites: [TLS_AES_128_GCM_SHA256]}").tls
    assert tls is not None
    assert (tls.lowest, tls.ciphers) == ("TLS13", ())


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("http_server_config: {http2: true}", "web.yml:1: http_server_config.http2: HTTP/2 is not served"),
        (TLS + ",\n client_auth_type: RequestClientCert}", "web.yml:2: tls_server_config.client_auth_type: "),
        (TLS + ",\n cipher_suites: [TLS_AES_128_GCM_SHA256]}", "suites of TLS 1.3 cannot be chosen"),
        (f"basic_auth_users: {{a: {HASH}}}", "passwords cross the network in the clear"),
    ],
)
def test_what_has_no_effect_or_a_surprising_one_is_noted(file, text, note):
    (said,) = read(file, text).notes
    assert note in said


BAD = [
    ("tls_sever_config: {}", "web.yml:1: tls_sever_config: unknown key; the nearest valid key is tls_server"),
    (
        TLS + ",\n  min_vers: TLS13}",
        "web.yml:2: tls_server_config.min_vers: unknown key; the nearest valid k",
    ),
    ("rate_limit:\n  brust: 1", "web.yml:2: rate_limit.brust: unknown key; the nearest valid key is burst"),
    ("tls_server_config: x", "web.yml:1: tls_server_config: not what is expected here; give a mapping with"),
    ("- a", "web.yml:1: the file: not what is expected here; give a mapping with tls_server_config"),
    ("a: 1\na: 2", "web.yml:2: a: given twice"),
    ("tls_server_config: [\n", "web.yml:2: not valid YAML"),
    ("? [a]\n: 1", "web.yml:1: the file: a key must be plain text"),
    (
        'tls_server_config: {cert_file: "a\\0b", key_file: k}',
        "cert_file: not what is expected here",
    ),
    ('tls_server_config: {cert: "\\ud800", key_file: k}', "cert: not what is expected here; give PEM text"),
    ("tls_server_config: {cert_file: c}", "web.yml:1: tls_server_config: key_file is missing; give both"),
    ("tls_server_config: {key_file: k}", "web.yml:1: tls_server_config: cert_file is missing"),
    ("tls_server_config: {min_version: TLS13}", "tls_server_config: cert_file is missing"),
    (TLS + ", cert: x}", "tls_server_config.cert: given twice, here and as cert_file"),
    (
        TLS + ", client_ca_file: ca}",
        "tls_server_config.client_ca_file: of no use without client certificates",
    ),
    (TLS + ", client_ca: ca}", "tls_server_config.client_ca: of no use without client certificates"),
    (TLS + ", client_auth_type: RequireAnyClientCert}", "proves nothing; give RequireAndVerifyClientCert"),
    (TLS + ", client_auth_type: RequireClientCert}", "proves nothing; give RequireAndVerifyClientCert"),
    (TLS + ", client_auth_type: Require}", "not accepted; give one of NoClientCert, RequestClientCert, "),
    (TLS + ", client_auth_type: [a]}", "tls_server_config.client_auth_type: not what is expected here"),
    (TLS + ", client_allowed_sans: [a]}", "client_allowed_sans: needs certificates to look at"),
    (
        TLS + ", client_auth_type: VerifyClientCertIfGiven, client_allowed_sans: [a]}",
        "client_allowed_sans: needs certificates to look at",
    ),
    (
        TLS + ", client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: []}",
        "client_allowed_sans: an empty list lets nobody in",
    ),
    (TLS + ", min_version: TLS11}", "min_version: TLS before 1.2 can be broken (RFC 8996) and is not served"),
    (TLS + ", max_version: TLS10}", "max_version: TLS before 1.2 can be broken"),
    (TLS + ", min_version: TLS111}", "min_version: not accepted; give one of TLS12, TLS13; the nearest is"),
    (TLS + ", min_version: TLS13, max_version: TLS12}", "max_version: older than min_version"),
    (TLS + ", max_version: TLS12, cipher_suites: [TLS_AES_128_GCM_SHA256]}", "max_version: older than min"),
    (TLS + ", cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}", "cipher_suites[0]: not accepted; give one of TLS"),
    (TLS + ", cipher_suites: []}", "cipher_suites: an empty list"),
    (TLS + ", cipher_suites: TLS}", "cipher_suites: not what is expected here; give a list of cipher suites"),
    (TLS + ", curve_preferences: [CurveP257]}", "curve_preferences[0]: not accepted; give one of CurveP256"),
    (TLS + ", prefer_server_cipher_suites: maybe}", "prefer_server_cipher_suites: not accepted; give true"),
    ("http_server_config: {http2: 'true'}", "http2: not accepted; give true or false"),
    ("http_server_config: {headers: {Server: x}}", "headers.Server: unknown key"),
    ("http_server_config: {headers: {X-Frame-Options: allow}}", "give one of deny, sameorigin"),
    ("http_server_config: {headers: {X-Content-Type-Options: x}}", "give one of nosniff"),
    ('http_server_config: {headers: {Content-Security-Policy: "a\\nb"}}', "give one line of ASCII text"),
    ("basic_auth_users: [a]", "basic_auth_users: not what is expected here; give a mapping of user names"),
    ("basic_auth_users: {alice: }", "basic_auth_users.alice: not what is expected here; give the bcrypt"),
    ("basic_auth_users: {alice: hunter2}", "basic_auth_users.alice: not accepted; give the bcrypt hash"),
    (f"basic_auth_users: {{alice: {HASH}a}}", "basic_auth_users.alice: not accepted"),
    (f"basic_auth_users: {{alice: {HASH.replace('2y', '2x')}}}", "basic_auth_users.alice: not accepted"),
    (f"basic_auth_users: {{alice: {HASH.replace('$10$', '$15$')}}}", "a bcrypt cost of 15 is not accepted"),
    (f"basic_auth_users: {{alice: {HASH.replace('$10$', '$03$')}}}", "a bcrypt cost of 3 is not accepted"),
    (f'basic_auth_users: {{"a:b": {HASH}}}', "no client can send such a name"),
    ("rate_limit: {interval: 1s}", "rate_limit: burst is missing or 0, so that every request would be refu"),
    ("rate_limit: {interval: 1s, burst: 0}", "rate_limit: burst is missing or 0"),
    ("rate_limit: {interval: 1, burst: 1}", "rate_limit.interval: not accepted; give a duration up to 3600s"),
    ("rate_limit: {interval: 2h, burst: 1}", "rate_limit.interval: not accepted"),
    ("rate_limit: {interval: 1s, burst: -1}", "rate_limit.burst: not accepted; give a whole number from 0"),
]


@pytest.mark.parametrize(("text", "said"), BAD)
def test_a_mistake_is_told_with_its_place_and_what_is_accepted(file, text, said):
    message = refusal(file, text)
    assert said in message
    assert message.startswith("web.yml:")


@pytest.mark.parametrize(
    "text",
    [
        "basic_auth_users: {alice: hunter2}",
        "basic_auth_users: {alice: [hunter2]}",
        "basic_auth_users: {alice: *hunter2}",
        "basic_auth_users: {alice: !hunter2 x}",
        "tls_server_config: {cert_file: c, key: hunter2, key_file: k}",
        "tls_server_config: {cert: hunter2, key: [hunter2]}",
        "rate_limit: hunter2",
    ],
)
def test_no_message_repeats_what_may_be_a_secret(file, text):
    assert "hunter2" not in refusal(file, text)


@pytest.mark.parametrize(
    ("interval", "interval_ns"),
    [
        ("1s", S_NS),
        ("250ms", S_NS // 4),
        ("1.5m", 90 * S_NS),
        ("10us", 10_000),
        ("100ns", 100),
        ("1h", 3600 * S_NS),
    ],
)
def test_intervals_are_written_as_in_go(file, interval, interval_ns):
    rate = read(file, f"rate_limit: {{interval: {interval}, burst: 1}}").rate
    assert rate == RateLimit(interval_ns=interval_ns, burst=1)


def test_what_cannot_be_read_is_told(tmp_path):
    with pytest.raises(SettingsError, match="cannot read the web configuration: No such file"):
        read_web_config(str(tmp_path / "none.yml"))
    with pytest.raises(SettingsError, match="cannot read the web configuration"):
        read_web_config(str(tmp_path))
    large = tmp_path / "large.yml"
    large.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(SettingsError, match="larger than 1 MiB"):
        read_web_config(str(large))
    binary = tmp_path / "binary.yml"
    binary.write_bytes(b"a: \xff\n")
    with pytest.raises(SettingsError, match="not a text in UTF-8"):
        read_web_config(str(binary))


PAGE = (REPOSITORY / "docs/web-config.md").read_text()


def test_the_example_of_the_page_is_accepted(file):
    """What people copy works; the other example is one of Prometheus."""
    (example,) = re.findall(r"^```yaml\n(tls_server_config.*?)^```$", PAGE, re.M | re.S)
    config = read(file, example)
    assert config.tls is not None
    assert set(config.users) == {"prometheus"}
    assert config.notes == ()


def test_the_page_names_every_key_of_tls():
    named = set(re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE, re.M))
    keys = {key for cell in named for key in re.findall(r"`(\w+)`", cell)}
    assert set(TLS_KEYS) <= keys


KEYS = st.sampled_from(
    (
        *("tls_server_config", "basic_auth_users", "rate_limit", "http_server_config"),
        *("headers", "http2", "X-Frame-Options", "interval", "burst"),
        *TLS_KEYS,
    )
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["TLS13", HASH, "1s"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(content=VALUES | st.text(max_size=40))
def test_whatever_the_file_holds_it_is_read_or_refused_in_one_line(file, content):
    text = content if isinstance(content, str) else yaml.safe_dump(content, allow_unicode=True)
    file.write_text(text, errors="replace")
    said = ""
    try:
        read_web_config(str(file))
    except SettingsError as error:
        said = str(error)
    assert not said or said.startswith(str(file))
    assert "\n" not in said
