"""One bounded, verified GET of a kubelet's list of pods."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import stat
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from urllib3.connection import HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from ...errors import SettingsError
from ...hostfs import reason_of
from .base import ResolverError

CONNECT_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 5.0
BODY_LIMIT = 32 << 20
_TOKEN_LIMIT = 64 << 10
_CHUNK = 256 << 10
_MESSAGE_LIMIT = 200
_STATUS_REASONS = {401: "unauthorized", 403: "forbidden"}


class KubeletClient:
    """Asks one kubelet, whose certificate is always verified.

    `url` is an https:// address (a path before `/pods` is kept). `server_name` is the name that the
    certificate has to carry where that is not the host of the address; without `ca_file` the system's
    authorities are trusted. `token_file` and `ca_file` belong to the agent, not to the host below
    `--path.rootfs`, and are read anew on every call: a rotated one just works.
    Raises SettingsError when the address cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        token_file: str | None = None,
        ca_file: str | None = None,
        server_name: str | None = None,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        body_limit: int = BODY_LIMIT,
    ) -> None:
        self._host, self._port, self._path = _address(url)
        self._token_file = token_file
        self._ca_file = ca_file
        self._server_name = server_name
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._body_limit = body_limit

    def pods(self) -> bytes:
        """The body of GET /pods, at most `body_limit` bytes of it.

        Takes at most the connect timeout twice (TCP, TLS) and the read timeout once, however slowly the
        bytes come. Raises ResolverError; no message of it contains the token.
        """
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        token = self._token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        connection = HTTPSConnection(
            self._host,
            self._port,
            timeout=self._connect_timeout_s,
            ssl_context=self._context(),
            server_hostname=self._server_name,
        )
        try:
            return self._exchange(connection, headers)
        finally:
            connection.close()

    def _exchange(self, connection: HTTPSConnection, headers: dict[str, str]) -> bytes:
        deadline: _Deadline | None = None
        body = b""
        try:
            connection.connect()
            with _Deadline(connection.sock, self._read_timeout_s) as deadline:
                connection.request("GET", self._path, headers=headers, preload_content=False)
                body = self._body(connection.getresponse())
        except (HTTPError, http.client.HTTPException, OSError) as error:
            if deadline is None or not deadline.passed:
                raise self._error(*_explain(error)) from None
        if deadline is None or deadline.passed:  # a body without a length may just seem to end
            raise self._error("timeout", f"no whole answer in {self._read_timeout_s:g} s")
        return body

    def _body(self, response: BaseHTTPResponse) -> bytes:
        if response.status != 200:
            reason = _STATUS_REASONS.get(response.status, "http")
            raise self._error(reason, f"HTTP status {response.status}")
        parts: list[bytes] = []
        size = 0
        while size <= self._body_limit:
            part = response.read(_CHUNK, decode_content=False)
            if not part:
                return b"".join(parts)
            parts.append(part)
            size += len(part)
        raise self._error("too_large", f"more than {self._body_limit} bytes")

    def _token(self) -> str:
        if self._token_file is None:
            return ""
        try:
            token = _read_regular(self._token_file).decode("ascii").strip()
        except OSError as error:
            raise ResolverError(reason_of(error), f"{self._token_file}: {error.strerror}") from None
        except UnicodeDecodeError:
            token = ""
        if not token or not token.isprintable() or " " in token:
            # Anything else would end up in the message of an error further down.
            raise ResolverError("parse", f"{self._token_file}: not a bearer token")
        return token

    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except ssl.SSLError:
            raise ResolverError("tls", f"{self._ca_file}: not a PEM file of certificates") from None
        except OSError as error:
            raise ResolverError(reason_of(error), f"{self._ca_file}: {error.strerror}") from None

    def _error(self, reason: str, message: str) -> ResolverError:
        return ResolverError(reason, f"kubelet {self._host}:{self._port}: {message}")


class _Deadline:
    """Ends what goes on on a socket after a time; a timeout of its own counts from the last byte only."""

    def __init__(self, sock: socket.socket, after_s: float) -> None:
        self.passed = False
        self._sock = sock
        sock.settimeout(after_s)
        self._timer = threading.Timer(after_s, self._pass)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()

    def _pass(self) -> None:
        self.passed = True
        try:
            # Below the TLS layer, whose state belongs to the thread that reads.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
        except OSError:
            pass  # already over


def _address(url: str) -> tuple[str, int, str]:
    accepted = "names.kubelet.url: an https:// address such as https://127.0.0.1:10250 is accepted"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError(accepted) from None
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise SettingsError(accepted)
    return parts.hostname, port or 443, parts.path.rstrip("/") + "/pods"


def _read_regular(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ResolverError("not_regular", f"{path}: not a regular file")
        return os.read(fd, _TOKEN_LIMIT)
    finally:
        os.close(fd)


def _explain(error: Exception) -> tuple[str, str]:
    """The reason and the message for an error of a connection, by what it was caused by."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    for cause in causes:
        if isinstance(cause, TimeoutError):
            return "timeout", "timed out"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "tls", f"its certificate is not accepted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "tls", f"TLS failed: {cause.reason}"
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno:
            return reason_of(cause), cause.strerror or ""
    return "http", f"{type(error).__name__}: {error}"[:_MESSAGE_LIMIT]
