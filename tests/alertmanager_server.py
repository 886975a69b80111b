"""A real Alertmanager on a loopback port, and a webhook that collects what it delivers.

    with Webhook() as webhook, Alertmanager(tmp_path, webhook.url) as alertmanager:
        ...
        webhook.wait_for(lambda alert: alert["labels"]["alertname"] == "X", timeout_s=60)

Mark such a test with `@needs_alertmanager`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
START_TIMEOUT_S = 30.0

needs_alertmanager = pytest.mark.skipif(
    PROGRAM is None, reason="no prometheus-alertmanager on PATH (apt-get install prometheus-alertmanager)"
)


class Webhook:
    """Takes notifications; `alerts` are all alerts of all of them, in order of arrival."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self._arrived = threading.Condition()
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                with webhook._arrived:
                    webhook.alerts += json.loads(body)["alerts"]
                    webhook._arrived.notify_all()
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __enter__(self) -> Webhook:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool], timeout_s: float) -> dict[str, Any] | None:
        """The first alert of that kind; None when the time is over."""
        deadline = time.monotonic() + timeout_s
        with self._arrived:
            while True:
                for alert in self.alerts:
                    if wanted(alert):
                        return alert
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return None
                self._arrived.wait(left_s)


class Alertmanager:
    """One Alertmanager that sends every alert to a webhook at once; ended, by its own process id, on exit."""

    def __init__(self, folder: Path, webhook_url: str) -> None:
        self._folder = folder / "alertmanager"
        self._webhook_url = webhook_url
        self._process: subprocess.Popen[bytes] | None = None
        self.address = ""

    def __enter__(self) -> Alertmanager:
        self._folder.mkdir()
        config = self._folder / "alertmanager.yml"
        route = {"receiver": "webhook", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"}
        receiver = {"name": "webhook", "webhook_configs": [{"url": self._webhook_url}]}
        config.write_text(json.dumps({"route": route, "receivers": [receiver]}))
        self.address = f"127.0.0.1:{free_port()}"
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    str(PROGRAM),
                    f"--config.file={config}",
                    f"--storage.path={self._folder}",
                    f"--web.listen-address={self.address}",
                    "--cluster.listen-address=",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is not None:
            process.terminate()
            process.wait(20)

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"alertmanager did not start:\n{(self._folder / 'log').read_text()}")
