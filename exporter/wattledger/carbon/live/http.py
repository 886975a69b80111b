"""One GET over HTTP: bounded in time and size, verified, and silent about what it carries.

The words of an error name the host and the path, never the query, a header or a credential, and no error
refers to the one it was made from: those hold requests. That is why this is http.client: urllib3 logs the
whole URL of an answer whose head is damaged.
"""

from __future__ import annotations

import base64
import http
import http.client
import os
import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import closing
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

from ... import __version__
from .address import Address, Proxy, address_of, proxy_for
from .deadline import Deadline
from .failures import explain
from .fetch import FetchError, Reply, Request

CONNECT_S = 5.0
TOTAL_S = 30.0
MAX_BYTES = 2 << 20
RETRY_AFTER_LIMIT_S = 86400.0

_CHUNK = 64 << 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HARMLESS_HEADERS = frozenset({"accept", "accept-language", "user-agent"})
_HOST = re.compile(r"[A-Za-z0-9.:_-]{1,253}")


class HttpGet:
    """Makes requests as `fetch.Get` promises, each over a connection of its own.

    An exchange takes at most `total_s`, whatever the pace at which the bytes come; only looking up the name
    is bounded by the resolver's own limits instead. A body is at most `max_bytes`, compressed and not.
    Certificates are always verified, against `ca_file` where one is given, which is read anew every time.
    A proxy is taken from HTTPS_PROXY, HTTP_PROXY and NO_PROXY of `environ`, never for this host itself.
    Redirects are not followed, and nothing is tried twice. `wall_s` is the time of a Retry-After date, where
    the server does not tell its own.
    """

    def __init__(
        self,
        ca_file: str | None = None,
        environ: Mapping[str, str] = os.environ,
        *,
        connect_s: float = CONNECT_S,
        total_s: float = TOTAL_S,
        max_bytes: int = MAX_BYTES,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._ca_file = ca_file
        self._environ = environ
        self._connect_s = connect_s
        self._total_s = total_s
        self._max_bytes = max_bytes
        self._wall_s = wall_s

    def __call__(self, request: Request) -> Reply:
        address = address_of(request)
        headers = _headers_of(request, address)
        failure: FetchError
        with Deadline(self._connect_s, self._total_s) as deadline:
            try:
                reply = self._exchange(address, headers, deadline)
                failure = deadline.error(address.label)  # a body without a length may just seem to end
                if not deadline.passed:
                    return reply
            except FetchError as error:
                failure = error
            except (http.client.HTTPException, OSError, ValueError) as error:
                failure = explain(error, address.label)
            if deadline.passed:
                failure = deadline.error(address.label)
        raise failure  # here, where there is no other error that it could refer to

    def _exchange(self, address: Address, headers: dict[str, str], deadline: Deadline) -> Reply:
        proxy = proxy_for(address, self._environ)
        context = self._context(address) if address.tls else None
        target = address.target
        if proxy is not None and not address.tls:
            target = address.url
            headers = {**headers, **proxy.headers}
        connection = _Connection(address, proxy, context, deadline)
        try:
            connection.request("GET", target, headers=headers)
            with closing(connection.getresponse()) as response:
                return self._reply(response, address)
        finally:
            connection.close()

    def _reply(self, response: http.client.HTTPResponse, address: Address) -> Reply:
        told = response.headers
        if response.status in _REDIRECTS:
            raise _redirected(address, told.get("Location", ""))
        body = self._body(response, address)
        return Reply(
            status=response.status,
            body=_decoded(body, told.get("Content-Encoding", ""), self._max_bytes, address),
            retry_after_s=retry_after_s(told.get("Retry-After"), told.get("Date"), self._wall_s()),
        )

    def _context(self, address: Address) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._ca_file)
            context.set_alpn_protocols(["http/1.1"])
            return context
        except ssl.SSLError:
            why = "not a PEM file of certificates"
        except OSError as error:
            why = error.strerror or "cannot be read"
        raise FetchError("tls", f"{address.label}: ca_file {self._ca_file}: {why}")

    def _body(self, response: http.client.HTTPResponse, address: Address) -> bytes:
        """The body as it was sent."""
        parts: list[bytes] = []
        size = 0
        while size <= self._max_bytes:
            part = response.read(_CHUNK)
            if not part:
                break
            parts.append(part)
            size += len(part)
        if size > self._max_bytes:
            raise _too_large(address, self._max_bytes)
        if response.length:  # what the head promised and did not come
            raise FetchError("connect", f"{address.label}: the answer is cut off")
        return b"".join(parts)


class _Connection(http.client.HTTPConnection):
    """To an address, through a proxy and under TLS where they are given; the deadline opens and ends it."""

    def __init__(
        self, address: Address, proxy: Proxy | None, context: ssl.SSLContext | None, deadline: Deadline
    ) -> None:
        super().__init__(address.host, address.port)
        if address.tls:
            self.default_port = http.client.HTTPS_PORT
        self._address = address
        self._proxy = proxy
        self._context = context
        self._deadline = deadline

    def connect(self) -> None:
        near = self._proxy or self._address
        self.sock = self._deadline.connect(near.host, near.port)
        if self._context is None:
            return
        if self._proxy is not None:
            self._open_tunnel(self.sock, self._proxy)
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self._address.host)

    def _open_tunnel(self, sock: socket.socket, proxy: Proxy) -> None:
        """CONNECT, RFC 9110 section 9.3.6."""
        host = self._address.authority
        lines = (
            f"CONNECT {host} HTTP/1.1",
            f"Host: {host}",
            *(f"{k}: {v}" for k, v in proxy.headers.items()),
        )
        sock.sendall("\r\n".join((*lines, "", "")).encode("ascii"))
        with closing(http.client.HTTPResponse(sock, method="CONNECT")) as reply:
            reply.begin()
            if reply.status != http.HTTPStatus.OK:
                why = f"the proxy opened no tunnel (HTTP {reply.status})"
                raise FetchError("connect", f"{self._address.label}: {why}")


def retry_after_s(value: str | None, server_date: str | None, now_s: float) -> float | None:
    """Seconds from a Retry-After header, 0 to a day; None where there is none or it makes no sense.

    A date is compared with the server's own Date where it tells one, so that a wrong clock here does no harm.
    """
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(r"[0-9]{1,20}", text):
        return min(float(text), RETRY_AFTER_LIMIT_S)
    until_s = _date_s(text)
    if until_s is None:
        return None
    from_s = _date_s(server_date) if server_date else None
    return min(max(0.0, until_s - (now_s if from_s is None else from_s)), RETRY_AFTER_LIMIT_S)


def _date_s(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _headers_of(request: Request, address: Address) -> dict[str, str]:
    """What is sent beside the request line; FetchError where a secret could be overheard or not sent."""
    headers = {
        "User-Agent": f"wattledger/{__version__}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "Connection": "close",
        **request.headers,
    }
    if request.basic is not None:
        pair = ":".join(request.basic).encode()
        headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
    secret = request.basic is not None or any(
        name.lower() not in _HARMLESS_HEADERS for name in request.headers
    )
    if secret and not address.tls and not address.loopback:
        raise FetchError("connect", f"{address.label}: use https://, or the key could be read on its way")
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise FetchError(
                "no_key", f"{address.label}: the header {name} would hold more than printable ASCII"
            )
    return headers


def _redirected(address: Address, location: str) -> FetchError:
    """Says where to, without the query, which may repeat what was asked."""
    try:
        parts = urlsplit(urljoin(address.url, location))
        host, scheme = parts.hostname or "", parts.scheme
    except ValueError:
        host, scheme = "", ""
    where = (
        f"{scheme}://{host}" if scheme in {"http", "https"} and _HOST.fullmatch(host) else "somewhere else"
    )
    return FetchError(
        "redirect",
        f"{address.label}: redirected to {where}, which is not followed; set url to where it is now",
    )


def _decoded(body: bytes, encoding: str, limit: int, address: Address) -> bytes:
    """The body without its compression, at most `limit` bytes of it."""
    coding = encoding.strip().lower()
    if not body or coding in {"", "identity"}:
        return body
    if coding not in {"gzip", "x-gzip"}:
        raise FetchError("bad_data", f"{address.label}: compressed in a way that was not asked for")
    inflate = zlib.decompressobj(wbits=31)
    try:
        plain = inflate.decompress(body, limit + 1)
    except zlib.error:
        plain = None
    if plain is None:
        raise FetchError("bad_data", f"{address.label}: the compressed answer is damaged")
    if len(plain) > limit:
        raise _too_large(address, limit)
    if not inflate.eof:
        raise FetchError("connect", f"{address.label}: the answer is cut off")
    return plain


def _too_large(address: Address, limit: int) -> FetchError:
    return FetchError(
        "too_large", f"{address.label}: the answer is larger than {limit} bytes; ask for less of it"
    )
