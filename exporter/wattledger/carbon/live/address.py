"""Where a request goes: its URL in parts, and the proxy between (pure)."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

from .fetch import FetchError, Request

_LABEL_LIMIT = 200
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """`target` is path and query as sent; `label` is what messages say: host, unusual port, and path."""

    host: str
    port: int
    tls: bool
    target: str = field(repr=False)
    label: str

    @property
    def loopback(self) -> bool:
        """Whether nothing leaves this host."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def authority(self) -> str:
        """Host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """All of it again, as a forwarding proxy is asked."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """An HTTP proxy; `headers` hold its credentials."""

    host: str
    port: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def address_of(request: Request) -> Address:
    """The parts of a request's URL, the query of the request after one that the URL has.

    Raises FetchError `connect` for anything but http:// and https:// with a host in ASCII, for a URL with a
    user or password, a fragment, or characters that no URL has. The URL is not repeated then.
    """
    url = request.url
    parts, port = _split(url)
    if parts is None:
        raise FetchError("connect", "url: an address such as https://api.example.org/v1 is accepted")
    host = parts.hostname or ""
    if parts.username is not None or parts.password is not None:
        raise FetchError("connect", "url: no user or password belongs into it; use username and key_file")
    if not (url.isascii() and url.isprintable()) or " " in url:
        raise FetchError("connect", "url: write other characters than printable ASCII as %XX, hosts as xn--")
    if parts.scheme not in _PORTS or not host or parts.fragment:
        raise FetchError("connect", "url: an address such as https://api.example.org/v1 is accepted")
    path = parts.path or "/"
    query = "&".join(filter(None, (parts.query, urlencode(request.query, quote_via=quote))))
    usual = _PORTS[parts.scheme]
    shown = f"[{host}]" if ":" in host else host
    return Address(
        host=host,
        port=usual if port is None else port,
        tls=parts.scheme == "https",
        target=f"{path}?{query}" if query else path,
        label=f"{shown if port in (None, usual) else f'{shown}:{port}'}{path}"[:_LABEL_LIMIT],
    )


def proxy_for(address: Address, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that `environ` names for an address, as curl reads it: `https_proxy` before `HTTPS_PROXY`.

    None for this host itself and for what NO_PROXY lists. Raises FetchError `connect` where it is not an
    http:// proxy; its value is not repeated, for it may hold a password.
    """
    variable = "HTTPS_PROXY" if address.tls else "HTTP_PROXY"
    value = _variable(environ, variable)
    if not value or address.loopback:
        return None
    if _goes_direct(address, _variable(environ, "NO_PROXY")):
        return None
    parts, port = _split(value if "://" in value else f"http://{value}")
    if parts is None or parts.scheme != "http" or not parts.hostname:
        raise FetchError("connect", f"{variable}: a proxy such as http://proxy.example.org:3128 is accepted")
    headers = {}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(pair).decode()
    return Proxy(host=parts.hostname, port=port or 80, headers=headers)


def _split(url: str) -> tuple[SplitResult | None, int | None]:
    """The parts and the port; no parts where it is no URL, and nothing that says what it was."""
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        return None, None


def _goes_direct(address: Address, no_proxy: str) -> bool:
    """Whether NO_PROXY lists the host: by name, by a domain it is in, by address or network, or by `*`."""
    host = address.host.lower()
    for entry in no_proxy.lower().replace(",", " ").split():
        name = entry.removesuffix(f":{address.port}").removeprefix("*").removeprefix(".")
        if entry == "*" or (name and (host == name or host.endswith(f".{name}"))):
            return True
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False):
                return True
        except ValueError:
            continue  # one of them is a name
    return False


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.lower(), "") or environ.get(name, "")
