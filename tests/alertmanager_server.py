"""A real Alertmanager on a loopback port, and a webhook that collects what it delivers.

    with Webhook() as webhook, Alertmanager(tmp_path, webhook.url) as alertmanager:
        ...
        webhook.wait_for(lambda alert: alert["labels"]["alertname"] == "X", timeout_s=60)

Mark such a test with `@needs_alertmanager`: it is skipped, with the reason, where there is none on PATH.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.agent_process import REPOSITORY
from tests.ports import free_port

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
START_TIMEOUT_S = 60.0

needs_alertmanager = pytest.mark.skipif(
    PROGRAM is None, reason="no prometheus-alertmanager on PATH (apt-get install prometheus-alertmanager)"
)

Alert = dict[str, Any]


class Webhook:
    """Takes notifications; `alerts` are all alerts of all of them, in order of arrival."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
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

    def wait_for(self, wanted: Callable[[Alert], bool], timeout_s: float) -> Alert | None:
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


def documented_config() -> dict[str, Any]:
    """The configuration that docs/alerts.md gives."""
    text = (REPOSITORY / "docs/alerts.md").read_text()
    (found,) = re.findall(r"^```yaml\n(# alertmanager\.yml\n.*?)^```", text, re.MULTILINE | re.DOTALL)
    config: dict[str, Any] = yaml.safe_load(found)
    return config


class Alertmanager:
    """One Alertmanager with the documented configuration; ended, by its own process id, on exit.

    Two things differ: every receiver is the webhook, and every route waits but `wait` for more to tell.
    """

    def __init__(self, folder: Path, webhook_url: str, *, wait: str = "0s") -> None:
        self._folder = folder / "alertmanager"
        config = documented_config()
        for receiver in config["receivers"]:
            receiver["webhook_configs"] = [{"url": webhook_url}]
        for route in (config["route"], *config["route"]["routes"]):
            route["group_wait"] = wait
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self.address = ""

    def __enter__(self) -> Alertmanager:
        self._folder.mkdir()
        config = self._folder / "alertmanager.yml"
        config.write_text(json.dumps(self._config))  # JSON is YAML
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
                env=os.environ | {"GOMAXPROCS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(20)

    def post(self, alerts: Sequence[Mapping[str, str]]) -> None:
        """Let alerts with these labels fire, as Prometheus would; raises OSError when they are refused."""
        body = json.dumps([{"labels": dict(labels)} for labels in alerts]).encode()
        request = urllib.request.Request(
            f"http://{self.address}/api/v2/alerts", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10):
            pass

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"alertmanager did not start:\n{(self._folder / 'log').read_text()}")
