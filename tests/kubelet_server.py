"""A stand-in for the kubelet: GET /pods over real TLS for whoever has the token.

    authority = Authority(folder / "ca")
    with KubeletServer(authority, body=pod_list(pod("web", "default", uid))) as kubelet:
        kubelet.url, authority.ca_file
        kubelet.requests  # how many it answered, refused ones included

Certificates are made with the openssl command.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="no openssl on PATH (apt-get install openssl)"
)


class Authority:
    """A certificate authority in `folder`, with one server certificate for 127.0.0.1 and `node-1`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.ca_file = folder / "ca.pem"
        self.certificate = folder / "server.pem"
        self.key = folder / "server.key"
        ca_key = folder / "ca.key"
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
        _openssl("req", "-x509", *curve, "-subj", "/CN=test CA", "-keyout", ca_key, "-out", self.ca_file)
        _openssl(
            *("req", "-x509", *curve, "-subj", "/CN=node-1", "-keyout", self.key, "-out", self.certificate),
            *("-CA", self.ca_file, "-CAkey", ca_key),
            *("-addext", "subjectAltName=IP:127.0.0.1,DNS:node-1"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
        )

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


class KubeletServer:
    """Serves from entry to exit; everything about its answer may be changed in between.

    `drip_s` puts so many seconds before every byte of the body, `drip_headers_s` before every byte of the
    head; `length` says whether the answer tells its length. A request without `token` is a 401, with
    another status than 200 that status.
    """

    def __init__(self, authority: Authority, *, token: str = "", body: bytes = b"{}") -> None:
        self.token = token
        self.body = body
        self.status = 200
        self.length = True
        self.drip_s = 0.0
        self.drip_headers_s = 0.0
        self.requests = 0
        self._stop = threading.Event()
        self._server = _Server(self, authority.context())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> KubeletServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def answer(self, path: str, authorization: str) -> tuple[int, bytes]:
        """Status and body for one request."""
        self.requests += 1
        if path != "/pods":
            return 404, b""
        if self.token and not hmac.compare_digest(authorization, f"Bearer {self.token}"):
            return 401, b"Unauthorized"
        return self.status, self.body if self.status == 200 else b""

    def pause(self, seconds: float) -> bool:
        """Wait, but not beyond the server's end; whether to go on."""
        return not self._stop.wait(seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, kubelet: KubeletServer, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.kubelet = kubelet
        self.context = context

    def finish_request(self, request: Any, client_address: Any) -> None:
        with contextlib.suppress(OSError), self.context.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that give up are what some tests are about


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kubelet = self.server.kubelet
        status, body = kubelet.answer(self.path, self.headers.get("Authorization", ""))
        length = f"Content-Length: {len(body)}\r\n" if kubelet.length else ""
        head = f"HTTP/1.0 {status} x\r\nContent-Type: application/json\r\n{length}\r\n"
        self._send(head.encode(), kubelet.drip_headers_s)
        self._send(body, kubelet.drip_s)

    def _send(self, data: bytes, drip_s: float) -> None:
        if not drip_s:
            self.wfile.write(data)
            return
        for i in range(len(data)):
            self.wfile.write(data[i : i + 1])
            if not self.server.kubelet.pause(drip_s):
                return

    def log_message(self, *_: object) -> None:
        pass


def pod_list(*pods: dict[str, Any]) -> bytes:
    """A v1 PodList as the kubelet writes it."""
    return json.dumps({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": list(pods)}).encode()


def pod(
    name: str,
    namespace: str,
    uid: str,
    *,
    containers: Iterable[tuple[str, str, str]] = (),
    init: Iterable[tuple[str, str, str]] = (),
    ephemeral: Iterable[tuple[str, str, str]] = (),
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
) -> dict[str, Any]:
    """One pod; each container is a name, an image and a container id with its runtime's scheme."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "uid": uid}
    if labels is not None:
        metadata["labels"] = labels
    if annotations is not None:
        metadata["annotations"] = annotations
    spec: dict[str, Any] = {}
    status: dict[str, Any] = {"phase": "Running"}
    lists = (
        ("containers", "containerStatuses", containers),
        ("initContainers", "initContainerStatuses", init),
        ("ephemeralContainers", "ephemeralContainerStatuses", ephemeral),
    )
    for in_spec, in_status, given in lists:
        if some := list(given):
            spec[in_spec] = [{"name": item[0], "image": item[1], "resources": {}} for item in some]
            status[in_status] = [
                {"name": item[0], "image": f"sha256:{'0' * 64}", "containerID": item[2], "ready": True}
                for item in some
            ]
    return {"metadata": metadata, "spec": spec, "status": status}
