"""A real Prometheus on a loopback port, for tests that ask PromQL.

    with PrometheusServer(tmp_path, scrape_configs=[scrape_config(agent.address)]) as prometheus:
        prometheus.wait_for("up == 1")
        prometheus.value("sum(wattledger_node_energy_joules_total)")

Mark such a test with `@needs_prometheus`: it is skipped, with the reason, where there is none on PATH.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.ports import free_port

START_TIMEOUT_S = 60.0
PORTS_TO_TRY = 3


def missing_prometheus() -> str:
    """Why no Prometheus can be started here, or ""."""
    absent = [program for program in ("prometheus", "promtool") if shutil.which(program) is None]
    return f"no {' and no '.join(absent)} on PATH (apt-get install prometheus)" if absent else ""


needs_prometheus = pytest.mark.skipif(bool(missing_prometheus()), reason=missing_prometheus())


class Sample(NamedTuple):
    """One series of an instant vector; `labels` holds `__name__` too where there is one."""

    labels: dict[str, str]
    value: float


class Series(NamedTuple):
    """One series of a range query, its points as (seconds since the epoch, value)."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


class QueryError(Exception):
    """Prometheus answered with an error; the message is its own."""


def scrape_config(
    address: str, *, job: str = "wattledger", interval: str = "1s", path: str = "/metrics", **more: Any
) -> dict[str, Any]:
    """A scrape configuration for one static target; `more` are further keys of it."""
    return {
        "job_name": job,
        "scrape_interval": interval,
        "scrape_timeout": interval,
        "metrics_path": path,
        "static_configs": [{"targets": [address]}],
        **more,
    }


def import_openmetrics(lines: Iterator[str], folder: Path) -> Path:
    """Make a TSDB folder out of OpenMetrics lines with timestamps; returns the folder for `data`."""
    source = folder / "samples.om"
    data = folder / "data"
    with source.open("w") as file:
        file.writelines(f"{line}\n" for line in lines)
        file.write("# EOF\n")
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(source), str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"promtool failed: {done.stdout}{done.stderr}")
    source.unlink()
    return data


class PrometheusServer:
    """One `prometheus` process, started on entry and ended, by its own process id, on exit.

    `folder` takes its configuration, log and, unless a prepared TSDB folder is given as `data`, its data.
    """

    def __init__(
        self,
        folder: Path,
        *,
        scrape_configs: Sequence[Mapping[str, Any]] = (),
        rule_files: Sequence[str] = (),
        data: Path | None = None,
        retention: str = "10y",
        alertmanagers: Sequence[str] = (),
        processors: int = 1,
    ) -> None:
        self._folder = folder
        self._config = {
            "global": {"scrape_interval": "15s", "evaluation_interval": "1s"},
            "scrape_configs": list(scrape_configs),
            "rule_files": list(rule_files),
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": list(alertmanagers)}]}]},
        }
        self._data = data or folder / "prometheus-data"
        self._retention = retention
        self._processors = processors
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> PrometheusServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What the server wrote so far."""
        return self._log_path.read_text(errors="replace")

    @property
    def _log_path(self) -> Path:
        return self._folder / "prometheus.log"

    def start(self) -> None:
        """Start and wait until it is ready; raises RuntimeError with its log when it does not get there."""
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "prometheus.yml"
        config.write_text(json.dumps(self._config))  # JSON is YAML
        for _ in range(PORTS_TO_TRY):
            self.port = free_port()
            with self._log_path.open("wb") as log:
                self._process = subprocess.Popen(
                    [
                        "prometheus",
                        f"--config.file={config}",
                        f"--storage.tsdb.path={self._data}",
                        f"--storage.tsdb.retention.time={self._retention}",
                        f"--web.listen-address=127.0.0.1:{self.port}",
                        "--log.level=warn",
                    ],
                    cwd=self._folder,
                    env=os.environ | {"GOMAXPROCS": str(self._processors)},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            if self._wait_ready():
                return
            self.stop()
            if "address already in use" not in self.log:
                break
        raise RuntimeError(f"prometheus did not start:\n{self.log}")

    def _wait_ready(self) -> bool:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                    return bool(answer.status == 200)
            except (OSError, http.client.HTTPException):
                pass  # not listening yet, or 503 while it starts
            time.sleep(0.05)
        return False

    def stop(self) -> None:
        """End the server and wait for it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)

    def query(self, expression: str, at: float | None = None) -> list[Sample]:
        """Evaluate at one moment (now by default); a scalar comes as one sample without labels."""
        parameters = {"query": expression} if at is None else {"query": expression, "time": repr(at)}
        data = self._get("query", parameters)
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(entry["metric"], float(entry["value"][1])) for entry in data["result"]]

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """Evaluate at `start`, then every `step` seconds, up to `end`."""
        parameters = {"query": expression, "start": repr(start), "end": repr(end), "step": repr(step)}
        data = self._get("query_range", parameters)
        return [
            Series(entry["metric"], [(float(at), float(value)) for at, value in entry["values"]])
            for entry in data["result"]
        ]

    def value(self, expression: str, at: float | None = None) -> float:
        """The value of an expression that gives exactly one sample; raises QueryError otherwise."""
        samples = self.query(expression, at)
        if len(samples) != 1:
            raise QueryError(f"{expression}: {len(samples)} samples instead of one: {samples[:5]}")
        return samples[0].value

    def by(self, label: str, expression: str, at: float | None = None) -> dict[str, float]:
        """The samples of an instant vector by one label, which must tell them apart."""
        samples = self.query(expression, at)
        values = {sample.labels.get(label, ""): sample.value for sample in samples}
        if len(values) != len(samples):
            raise QueryError(f"{expression}: {label} does not tell the samples apart")
        return values

    def targets(self) -> list[dict[str, Any]]:
        """The active targets as the API shows them (`health`, `lastError`, `labels`, ...)."""
        targets: list[dict[str, Any]] = self._get("targets", {"state": "active"})["activeTargets"]
        return targets

    def wait_for(self, expression: str, timeout_s: float = 60.0) -> list[Sample]:
        """Ask again until the expression gives anything; raises TimeoutError saying how the targets are."""
        deadline = time.monotonic() + timeout_s
        while True:
            samples = self.query(expression)
            if samples:
                return samples
            if time.monotonic() > deadline:
                state = [(target["scrapeUrl"], target["lastError"]) for target in self.targets()]
                raise TimeoutError(f"{expression}: nothing within {timeout_s} s; targets: {state}")
            time.sleep(0.1)

    def _get(self, endpoint: str, parameters: Mapping[str, str]) -> Any:
        url = f"{self.url}/api/v1/{endpoint}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                body = json.load(answer)
        except urllib.error.HTTPError as error:
            body = json.load(error)
        if body["status"] != "success":
            raise QueryError(f"{parameters}: {body['error']}")
        return body["data"]
