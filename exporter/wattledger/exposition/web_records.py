"""What a web configuration asks for, as records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ClientAuth = Literal["none", "optional", "required"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pem:
    """Certificates or a key, in a file or as text. `origin` is the start of a message about them."""

    origin: str
    file: str | None = None
    text: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """What `tls_server_config` asks for.

    `client_auth` says whether clients show a certificate. One that is shown is always verified: against
    `client_ca`, else against the authorities of the system. `allowed_sans` are the names of which a client's
    certificate has to have one; empty: any. `ciphers` (of TLS 1.2) and `curves` are names of OpenSSL;
    empty: its own choice. `origin` is the start of a message.
    """

    origin: str
    certificate: Pem
    key: Pem
    client_ca: Pem | None = None
    client_auth: ClientAuth = "none"
    allowed_sans: frozenset[str] = frozenset()
    lowest: Literal["TLS12", "TLS13"] = "TLS12"
    highest: Literal["TLS12", "TLS13"] = "TLS13"
    ciphers: tuple[str, ...] = ()
    curves: tuple[str, ...] = ()
    prefer_server: bool = True

    @property
    def files(self) -> tuple[str, ...]:
        """The files whose changes have to be noticed."""
        pems = (self.certificate, self.key, self.client_ca)
        return tuple(pem.file for pem in pems if pem is not None and pem.file is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """One request per interval, after `burst` at once; the interval is more than 0."""

    interval_ns: int
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """What the whole file asks for.

    `users` maps names to bcrypt hashes, `headers` are set on every answer, names in lower case.
    `notes` tell what of the file has no effect, or one that may surprise.
    """

    tls: TlsConfig | None = None
    users: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = ()
    rate: RateLimit | None = None
    notes: tuple[str, ...] = ()
