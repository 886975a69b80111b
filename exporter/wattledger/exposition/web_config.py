"""Reads a web configuration in the format of Prometheus exporters (`--web.config.file`)."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from typing import Literal

from ..model import S_NS
from .web_records import ClientAuth, Pem, RateLimit, TlsConfig, WebConfig
from .web_tls import curves_are_honoured
from .web_yaml import Value, read_yaml

MAX_BCRYPT_COST = 14
"""A comparison at cost 14 takes about a second; each step doubles it."""

_LONGEST_INTERVAL_NS = 3600 * S_NS
_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}", re.ASCII)
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-Content-Type-Options": ("nosniff",),
    "X-XSS-Protection": (),
    "Strict-Transport-Security": (),
}
TLS_KEYS = (
    "cert_file",
    "key_file",
    "cert",
    "key",
    "client_auth_type",
    "client_ca_file",
    "client_ca",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
)
_CLIENT_AUTH: Mapping[str, ClientAuth] = {
    "NoClientCert": "none",
    "RequestClientCert": "none",
    "VerifyClientCertIfGiven": "optional",
    "RequireAndVerifyClientCert": "required",
}
_UNVERIFIED = ("RequireAnyClientCert", "RequireClientCert")

# Go's names (crypto/tls, CipherSuites) and those of OpenSSL; suites of TLS 1.3 cannot be chosen in either.
_CIPHERS = {
    f"TLS_ECDHE_{key}_WITH_{go}": f"ECDHE-{key}-{openssl}"
    for key in ("ECDSA", "RSA")
    for go, openssl in (
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
    )
}
_CIPHERS |= {
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
}
_TLS13_CIPHERS = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
_CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}


def read_web_config(path: str) -> WebConfig:
    """What the file at `path` asks for; paths in it are relative to its folder. Certificates stay unread.

    Raises SettingsError with file, line and key path for the first value that cannot be used.
    """
    document = read_yaml(path)
    if document is None:
        return WebConfig()
    parts = document.fields(("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit"))
    notes: list[str] = []
    tls = _tls(parts["tls_server_config"], notes) if "tls_server_config" in parts else None
    users = _users(parts["basic_auth_users"]) if "basic_auth_users" in parts else {}
    if users and tls is None:
        notes.append(f"{path}: passwords cross the network in the clear; configure tls_server_config too")
    return WebConfig(
        tls=tls,
        users=users,
        headers=_http(parts["http_server_config"], notes) if "http_server_config" in parts else (),
        rate=_rate(parts["rate_limit"]) if "rate_limit" in parts else None,
        notes=tuple(notes),
    )


def _tls(part: Value, notes: list[str]) -> TlsConfig | None:
    given = part.fields(TLS_KEYS)
    if not given:
        return None
    certificate = _pem(given, "cert")
    key = _pem(given, "key")
    if certificate is None or key is None:
        missing = "cert_file" if certificate is None else "key_file"
        raise part.error(f"{missing} is missing; give both cert_file and key_file, PEM files")
    client_ca = _pem(given, "client_ca")
    client_auth = _client_auth(given.get("client_auth_type"), notes)
    if client_auth == "none" and client_ca is not None:
        raise given["client_ca_file" if client_ca.file else "client_ca"].error(
            "of no use without client certificates; give client_auth_type: RequireAndVerifyClientCert too"
        )
    ciphers = _ciphers(given.get("cipher_suites"), notes)
    only_new = "cipher_suites" in given and not ciphers
    lowest = _version(given.get("min_version"), "TLS13" if only_new else "TLS12")
    highest = _version(given.get("max_version"), "TLS13")
    if lowest > highest:
        raise given["max_version"].error("older than min_version or cipher_suites ask for; give TLS13")
    return TlsConfig(
        origin=part.origin,
        certificate=certificate,
        key=key,
        client_ca=client_ca,
        client_auth=client_auth,
        allowed_sans=_allowed_sans(given.get("client_allowed_sans"), client_auth),
        lowest=lowest,
        highest=highest,
        ciphers=ciphers,
        curves=_curves(given.get("curve_preferences"), notes),
        prefer_server=given["prefer_server_cipher_suites"].switch()
        if "prefer_server_cipher_suites" in given
        else True,
    )


def _pem(given: Mapping[str, Value], name: str) -> Pem | None:
    """What `NAME_file` or `NAME` gives, None when neither does."""
    file, text = given.get(f"{name}_file"), given.get(name)
    if file is not None and text is not None:
        raise text.error(f"given twice, here and as {name}_file; keep one of them")
    if file is not None:
        where = file.text("the path of a PEM file")
        return Pem(origin=file.origin, file=os.path.join(os.path.dirname(file.file), where))
    if text is not None:
        return Pem(origin=text.origin, text=text.text("PEM text, in a block that begins with |"))
    return None


def _client_auth(given: Value | None, notes: list[str]) -> ClientAuth:
    if given is None:
        return "none"
    if given.node.value in _UNVERIFIED:
        raise given.error(
            "Python's TLS takes no certificate that it does not verify, and one that is not verified"
            " proves nothing; give RequireAndVerifyClientCert with client_ca_file"
        )
    word = given.choice(_CLIENT_AUTH)
    if word == "RequestClientCert":
        notes.append(f"{given.origin}: asks for certificates nobody looks at, so clients are not asked")
    return _CLIENT_AUTH[word]


def _version(given: Value | None, default: Literal["TLS12", "TLS13"]) -> Literal["TLS12", "TLS13"]:
    if given is None:
        return default
    if given.node.value in ("TLS10", "TLS11"):
        raise given.error("TLS before 1.2 can be broken (RFC 8996) and is not served; give TLS12 or TLS13")
    return "TLS12" if given.choice(("TLS12", "TLS13")) == "TLS12" else "TLS13"


def _allowed_sans(given: Value | None, client_auth: ClientAuth) -> frozenset[str]:
    if given is None:
        return frozenset()
    if client_auth != "required":
        raise given.error(
            "needs certificates to look at; give client_auth_type: RequireAndVerifyClientCert too"
        )
    names = frozenset(san_of(text) for text, _ in given.texts("names, addresses or URIs"))
    if not names:
        raise given.error("an empty list lets nobody in; give names, or leave it out")
    return names


def san_of(text: str) -> str:
    """A name as it is compared: an IP address in its shortest form, anything else as it is."""
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return text


def _ciphers(given: Value | None, notes: list[str]) -> tuple[str, ...]:
    if given is None:
        return ()
    names = [member.choice((*_CIPHERS, *_TLS13_CIPHERS)) for _, member in given.texts("cipher suites")]
    if not names:
        raise given.error("an empty list; give suites, or leave it out")
    if any(name in _TLS13_CIPHERS for name in names):
        notes.append(f"{given.origin}: suites of TLS 1.3 cannot be chosen, all of them are offered")
    return tuple(_CIPHERS[name] for name in names if name in _CIPHERS)


def _curves(given: Value | None, notes: list[str]) -> tuple[str, ...]:
    if given is None:
        return ()
    curves = tuple(_CURVES[member.choice(_CURVES)] for _, member in given.texts("curves"))
    if not curves_are_honoured(curves):
        notes.append(
            f"{given.origin}: this Python can choose a single curve only, so OpenSSL's own are offered"
        )
        return ()
    return curves


def _http(part: Value, notes: list[str]) -> tuple[tuple[bytes, bytes], ...]:
    given = part.fields(("http2", "headers"))
    if "http2" in given and given["http2"].switch():
        notes.append(f"{given['http2'].origin}: HTTP/2 is not served, HTTP/1.1 is")
    found = []
    for name, value in given["headers"].fields(_HEADERS).items() if "headers" in given else ():
        if value.node.value == "":
            continue
        text = value.choice(_HEADERS[name]) if _HEADERS[name] else value.text("a text")
        if not _HEADER_VALUE.fullmatch(text):
            raise value.error("not accepted; give one line of ASCII text without blanks at its ends")
        found.append((name.lower().encode(), text.encode()))
    return tuple(found)


def _users(part: Value) -> dict[str, bytes]:
    users = {}
    for name, (place, value) in part.entries("a mapping of user names to bcrypt hashes").items():
        if not name or ":" in name:
            raise place.error("no client can send such a name; give one that has no colon and is not empty")
        accepts = "the bcrypt hash of the password, as `htpasswd -nBC 10 USER` prints it after the colon"
        match = _BCRYPT.fullmatch(value.text(accepts))
        if match is None:
            raise value.error(f"not accepted; give {accepts}")
        if not 4 <= int(match[1]) <= MAX_BCRYPT_COST:
            raise value.error(
                f"a bcrypt cost of {int(match[1])} is not accepted;"
                f" hash with a cost from 4 to {MAX_BCRYPT_COST}, such as 10"
            )
        users[name] = match[0].encode()
    return users


def _rate(part: Value) -> RateLimit | None:
    given = part.fields(("interval", "burst"))
    interval_ns = given["interval"].duration_ns(_LONGEST_INTERVAL_NS) if "interval" in given else 0
    burst = given["burst"].whole(0, 1_000_000) if "burst" in given else None
    if interval_ns == 0:
        return None
    if not burst:
        raise part.error("burst is missing or 0, so that every request would be refused; give at least 1")
    return RateLimit(interval_ns=interval_ns, burst=burst)
