"""A certificate authority for tests of TLS, with certificates for servers and clients as asked for."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="no openssl on PATH (apt-get install openssl)"
)

_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


class Pair(NamedTuple):
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path

    def put(self, certificate: Path, key: Path) -> None:
        """Put copies in the place of other files, each at one stroke, as careful tools do."""
        for source, target in ((self.certificate, certificate), (self.key, key)):
            fresh = target.with_name(target.name + ".new")
            shutil.copy(source, fresh)
            fresh.replace(target)

    def der(self) -> bytes:
        """The certificate as a client sees it."""
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text())


class WebAuthority:
    """An authority whose files lie in `folder`; `certificate` is its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        _openssl(
            *("req", "-x509", *_EC, "-subj", "/CN=a", "-keyout", self._key, "-out", self.certificate),
            *("-addext", "keyUsage=critical,keyCertSign"),  # Python 3.13 and later insist
        )

    def issue(self, name: str, san: str = "IP:127.0.0.1,DNS:localhost") -> Pair:
        """A certificate with these alternative names, in files called after `name`."""
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        _openssl(
            *("req", "-x509", *_EC, "-subj", f"/CN={name}", "-keyout", pair.key, "-out", pair.certificate),
            *("-CA", self.certificate, "-CAkey", self._key, "-addext", f"subjectAltName={san}"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
        )
        return pair

    def client(self, pair: Pair | None = None) -> ssl.SSLContext:
        """What a client uses that trusts this authority and may show a certificate."""
        context = ssl.create_default_context(cafile=self.certificate)
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        return context


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)
