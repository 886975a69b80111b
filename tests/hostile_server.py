"""A web server on loopback that answers as badly as it is told to.

    with HostileServer(answer(b"{}")) as server:
        server.url, server.heads      # where it is, and the head of every request it got
        server.behave = drip_body(b"{}", every_s=0.1)

    authority = Authority(folder)
    HostileServer(answer(b"{}"), tls=authority.good())

Certificates are made with the openssl command.
"""

from __future__ import annotations

import contextlib
import gzip
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="no openssl on PATH (apt-get install openssl)"
)


class Exchange:
    """One connection, with the head of its request."""

    def __init__(self, sock: socket.socket, head: str, stop: threading.Event) -> None:
        self.sock = sock
        self.head = head
        self._stop = stop

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drip(self, data: bytes, every_s: float) -> None:
        """Byte by byte, until the server ends."""
        for i in range(len(data)):
            if self._stop.wait(every_s):
                return
            self.send(data[i : i + 1])

    def hang(self) -> None:
        """Say nothing until the server ends."""
        self._stop.wait()


Behaviour = Callable[[Exchange], None]


def head_of(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def answer(body: bytes = b"{}", status: int = 200, **headers: str) -> Behaviour:
    """A whole answer; header names are written with _ for -."""
    given = {"Content-Length": str(len(body)), **{k.replace("_", "-"): v for k, v in headers.items()}}
    return lambda exchange: exchange.send(head_of(status, given) + body)


def zipped(body: bytes, status: int = 200) -> Behaviour:
    """A whole answer, compressed."""
    return answer(gzip.compress(body), status, Content_Encoding="gzip")


def raw(data: bytes) -> Behaviour:
    """These bytes, and the end of the connection."""
    return lambda exchange: exchange.send(data)


def drip_head(every_s: float) -> Behaviour:
    """A head that never ends, a byte at a time."""
    return lambda exchange: exchange.drip(b"HTTP/1.1 200 OK\r\n" + b"X-More: 1\r\n" * 10_000, every_s)


def drip_body(every_s: float, *, length: bool = True) -> Behaviour:
    """A head at once, then a body a byte at a time."""

    def behave(exchange: Exchange) -> None:
        exchange.send(head_of(200, {"Content-Length": "100000"} if length else {}))
        exchange.drip(b" " * 100_000, every_s)

    return behave


def never(exchange: Exchange) -> None:
    """Takes the request, and says nothing."""
    exchange.hang()


def close_at_once(exchange: Exchange) -> None:
    """Takes the request, and hangs up."""


def endless(exchange: Exchange) -> None:
    """A body without a length that goes on as long as somebody reads."""
    exchange.send(head_of(200, {}))
    while True:
        exchange.send(b" " * 65536)


def tunnel_to(port: int) -> Behaviour:
    """An HTTP proxy that sends every CONNECT to one port of this host."""

    def behave(exchange: Exchange) -> None:
        with socket.create_connection(("127.0.0.1", port)) as far:
            exchange.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pipe, args=(far, exchange.sock), daemon=True)
            back.start()
            _pipe(exchange.sock, far)
            back.join()

    return behave


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class HostileServer:
    """Behaves from entry to exit, one thread per connection; `behave` may be changed in between."""

    def __init__(self, behave: Behaviour, *, tls: ssl.SSLContext | None = None) -> None:
        self.behave = behave
        self.heads: list[str] = []
        self._tls = tls
        self._stop = threading.Event()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> HostileServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._open.append(sock)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            if self._tls is None:
                self._converse(sock)
            else:
                with self._tls.wrap_socket(sock, server_side=True) as secure:
                    self._converse(secure)
                    with contextlib.suppress(OSError):
                        secure.unwrap()

    def _converse(self, sock: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = sock.recv(65536)
            if not data:
                return
            head += data
        text = head.decode("latin-1")
        self.heads.append(text)
        self.behave(Exchange(sock, text, self._stop))


class Authority:
    """A throw-away certificate authority in `folder`, and the servers' certificates for tests."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.ca_file = folder / "ca.pem"
        self._ca_key = folder / "ca.key"
        _self_signed("-subj", "/CN=test authority", "-days", "2", key=self._ca_key, out=self.ca_file)

    def good(self, name: str = "IP:127.0.0.1") -> ssl.SSLContext:
        """Signed by the authority for one name."""
        return self._server("-days", "2", *self._signature, name=name)

    def expired(self) -> ssl.SSLContext:
        """The same, but its time is long over."""
        key, out, request = (self._folder / f"expired.{kind}" for kind in ("key", "pem", "csr"))
        _openssl("req", "-new", *_CURVE, "-subj", "/CN=server", "-keyout", key, "-out", request)
        config = self._folder / "ca.conf"
        config.write_text(_CA_CONFIG.format(folder=self._folder))
        (self._folder / "index").touch()
        _openssl(
            *(
                "ca",
                "-batch",
                "-notext",
                "-config",
                config,
                "-in",
                request,
                "-out",
                out,
                "-extensions",
                "names",
            ),
            *("-cert", self.ca_file, "-keyfile", self._ca_key, "-rand_serial"),
            *("-startdate", "20200101000000Z", "-enddate", "20200102000000Z"),
        )
        return _context(out, key)

    def self_signed(self) -> ssl.SSLContext:
        """For the right name, by nobody."""
        return self._server("-days", "2", name="IP:127.0.0.1")

    @property
    def _signature(self) -> tuple[object, ...]:
        return ("-CA", self.ca_file, "-CAkey", self._ca_key)

    def _server(self, *arguments: object, name: str) -> ssl.SSLContext:
        key, out = self._folder / "server.key", self._folder / "server.pem"
        names = ("-addext", f"subjectAltName={name}", "-addext", "basicConstraints=critical,CA:FALSE")
        _self_signed("-subj", "/CN=server", *names, *arguments, key=key, out=out)
        return _context(out, key)


_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_CA_CONFIG = """
[ca]
default_ca = here
[here]
database = {folder}/index
new_certs_dir = {folder}
serial = {folder}/serial
default_md = sha256
policy = any
[any]
commonName = supplied
[names]
subjectAltName = IP:127.0.0.1
"""


def _self_signed(*arguments: object, key: Path, out: Path) -> None:
    """A certificate of its own, or of the authority that the arguments name."""
    _openssl("req", "-x509", *_CURVE, *arguments, "-keyout", key, "-out", out)


def _openssl(*arguments: object) -> None:
    command = ["openssl", *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, timeout=60, text=True)
    assert done.returncode == 0, done.stderr


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
