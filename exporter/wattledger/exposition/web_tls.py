"""Makes the TLS context that a web configuration asks for."""

from __future__ import annotations

import os
import ssl
from collections.abc import Generator
from contextlib import contextmanager

from ..errors import SettingsError
from .web_records import Pem, TlsConfig
from .web_yaml import read_file

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_MODES = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def tls_context(tls: TlsConfig) -> ssl.SSLContext:
    """A context for servers, its certificates read now.

    Raises SettingsError with the place in the web configuration for what cannot be read or used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.lowest]
    context.maximum_version = _VERSIONS[tls.highest]
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if not tls.prefer_server:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    try:
        if tls.ciphers:
            context.set_ciphers(":".join(tls.ciphers))
        if tls.curves:
            _set_curves(context, tls.curves)
    except (ssl.SSLError, ValueError):
        raise SettingsError(
            f"{tls.origin}: OpenSSL on this machine allows none of the suites or curves; leave them out"
        ) from None
    _load_certificate(context, tls)
    if tls.client_auth != "none":
        _load_authorities(context, tls.client_ca)
        context.verify_mode = _MODES[tls.client_auth]
    return context


def curves_are_honoured(curves: tuple[str, ...]) -> bool:
    """Whether Python can offer these curves and no others; before 3.15 it can set a single one."""
    return len(curves) <= 1 or hasattr(ssl.SSLContext, "set_groups")


def _set_curves(context: ssl.SSLContext, curves: tuple[str, ...]) -> None:
    if hasattr(context, "set_groups"):
        context.set_groups(":".join(curves))
    else:
        context.set_ecdh_curve(curves[0])


def _load_certificate(context: ssl.SSLContext, tls: TlsConfig) -> None:
    certificate = _read(tls.certificate, b"BEGIN CERTIFICATE", "a certificate")
    key = _read(tls.key, b"PRIVATE KEY", "a private key")
    if b"ENCRYPTED" in key:
        raise _unusable(tls.key, "the key has a passphrase, for which there is no place; decrypt the key")
    with _in_memory(certificate) as certificate_path, _in_memory(key) as key_path:
        try:
            context.load_cert_chain(certificate_path, key_path, password="")
        except ssl.SSLError as error:
            if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
                message = "the key does not belong to the certificate; give those of one pair"
                raise _unusable(tls.key, message) from None
            reason = (error.reason or "not PEM").lower().replace("_", " ")
            message = f"the certificate or its key cannot be used: {reason}; give PEM files of one pair"
            raise _unusable(tls.certificate, message) from None


def _load_authorities(context: ssl.SSLContext, client_ca: Pem | None) -> None:
    if client_ca is None:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        return
    pem = _read(client_ca, b"BEGIN CERTIFICATE", "a certificate")
    try:
        context.load_verify_locations(cadata=pem.decode("ascii", "replace"))
    except ssl.SSLError as error:
        reason = (error.reason or "not PEM").lower().replace("_", " ")
        raise _unusable(client_ca, f"the authority cannot be used: {reason}; give a PEM file") from None


def _read(pem: Pem, marker: bytes, what: str) -> bytes:
    """The PEM text; raises SettingsError when there is no such thing in it."""
    content: bytes | None
    if pem.file is None:
        content = (pem.text or "").encode()
    else:
        try:
            content = read_file(pem.file)
        except OSError as error:
            raise _unusable(
                pem, f"cannot read {pem.file}: {error.strerror}; give a file that this user may read"
            ) from error
    if content is None or marker not in content:
        where = pem.file or "the text"
        raise _unusable(pem, f"{where} holds no PEM block of {what}; give one that begins with -----BEGIN")
    return content


@contextmanager
def _in_memory(content: bytes) -> Generator[str]:
    """A path at which OpenSSL can read `content`, which reaches no disk."""
    fd = os.memfd_create("wattledger-pem", os.MFD_CLOEXEC)
    with open(fd, "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{fd}"


def _unusable(pem: Pem, message: str) -> SettingsError:
    return SettingsError(f"{pem.origin}: {message}")
