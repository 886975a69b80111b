"""The real agent as a process of its own, and its exposition as values a test can ask for.

with AgentProcess(*host_arguments(root), "--sampling.interval=1s", folder=tmp_path) as agent:
    scrape = agent.scrape()
    scrape.sum("wattledger_node_energy_joules_total", component="cpu")
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.ports import free_port

REPOSITORY = Path(__file__).parent.parent
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
START_TIMEOUT_S = 60.0

Key = tuple[str, frozenset[tuple[str, str]]]


class Answer(NamedTuple):
    """One HTTP answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Scrape:
    """The samples of one exposition, read by prometheus_client's parser.

    Raises ValueError for a series that is there twice, which that parser lets pass.
    """

    def __init__(self, text: str, families: Iterable[Metric]) -> None:
        _check_unique(text)
        self.values: dict[Key, float] = {}
        self.types: dict[str, str] = {}
        self.labels: dict[Key, dict[str, str]] = {}
        for family in families:
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                self.values[key] = float(sample.value)
                self.labels[key] = sample.labels
                self.types[sample.name] = family.type

    @classmethod
    def of_text(cls, text: str) -> Scrape:
        """Parse the text format 0.0.4."""
        return cls(text, parse_text(text))

    @classmethod
    def of_openmetrics(cls, text: str) -> Scrape:
        """Parse OpenMetrics 1.0, strictly."""
        return cls(text, parse_openmetrics(text))

    def select(self, name: str, **labels: str) -> dict[Key, float]:
        """The series of this name that have at least these labels; "" asks for a label's absence."""
        return {
            key: value
            for key, value in self.values.items()
            if key[0] == name
            and all(self.labels[key].get(label, "") == wanted for label, wanted in labels.items())
        }

    def sum(self, name: str, **labels: str) -> float:
        """The sum over the selected series, 0 if there are none."""
        return sum(self.select(name, **labels).values())

    def sum_uj(self, name: str, **labels: str) -> int:
        """The sum in whole microjoules; exact, for each value is the double nearest to its microjoules."""
        return sum(round(value * 1e6) for value in self.select(name, **labels).values())

    def value(self, name: str, **labels: str) -> float:
        """The value of the one series selected; raises LookupError unless it is exactly one."""
        found = self.select(name, **labels)
        if len(found) != 1:
            raise LookupError(f"{name}{labels}: {len(found)} series")
        return next(iter(found.values()))

    def counters(self) -> dict[Key, float]:
        """Every series of type counter, apart from the standard metric that starts with the process."""
        own = ("process_cpu_seconds_total",)
        return {
            key: value
            for key, value in self.values.items()
            if self.types[key[0]] == "counter" and key[0] not in own
        }


def host_arguments(root: Path | str) -> tuple[str, ...]:
    """The flags that make the agent read a fixture host instead of this machine."""
    return (f"--path.procfs={root}/proc", f"--path.sysfs={root}/sys", f"--path.rootfs={root}")


class AgentProcess:
    """`python -m wattledger run` on a loopback port, started on entry and killed on exit.

    It may be started again after its end, on the same port; its log goes to `agent.log` in `folder`,
    where every start appends.
    """

    def __init__(
        self,
        *arguments: str,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        command: str = "run",
    ) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        self._command = [
            sys.executable,
            "-m",
            "wattledger",
            command,
            f"--web.listen-address={self.address}",
            *arguments,
        ]
        self._environment = _clean_environment() | dict(environment or {})
        self._log_path = folder / "agent.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> AgentProcess:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def log(self) -> str:
        """What every start so far wrote to stderr and stdout."""
        return self._log_path.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The process id; raises RuntimeError when none was started."""
        return self._running().pid

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal, None while it runs."""
        return self._running().poll()

    def start(self) -> None:
        """Start the process without waiting for anything."""
        with self._log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=REPOSITORY,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until /-/ready says so; raises RuntimeError with the log when the agent does not get there."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self.status is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get("/-/ready").status == 200:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"the agent did not become ready (exit status {self.status}):\n{self.log}")

    def get(self, path: str, headers: Mapping[str, str] | None = None, timeout_s: float = 10.0) -> Answer:
        """GET a path; answers with an error status are answers too. Raises OSError when there is none."""
        request = urllib.request.Request(self.url + path, headers=dict(headers or {}))
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return Answer(answer.status, _lower(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _lower(error.headers), error.read())

    def scrape(self, *, openmetrics: bool = False) -> Scrape:
        """One scrape, parsed; raises OSError when there is no answer, ValueError unless it is a 200."""
        answer = self.get("/metrics", {"Accept": OPENMETRICS} if openmetrics else None)
        if answer.status != 200:
            raise ValueError(f"/metrics answered {answer.status}: {answer.body[:200]!r}")
        text = answer.body.decode()
        return Scrape.of_openmetrics(text) if openmetrics else Scrape.of_text(text)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._running().send_signal(number)

    def terminate(self, timeout_s: float = 10.0) -> tuple[int, float]:
        """SIGTERM; returns the exit status and how many seconds the end took."""
        process = self._running()
        began = time.monotonic()
        process.terminate()
        return process.wait(timeout_s), time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone; nothing happens if it is already."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the agent was not started")
        return self._process


def _check_unique(text: str) -> None:
    seen: set[str] = set()
    for line in text.split("\n"):
        series = line.rpartition(" ")[0]
        if line.startswith("#") or not series:
            continue
        if series in seen:
            raise ValueError(f"the series {series} is there twice")
        seen.add(series)


def _clean_environment() -> dict[str, str]:
    """This process's environment without what would configure the agent, and with its source on the path."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("WATTLEDGER_") and name not in ("STATE_DIRECTORY", "NOTIFY_SOCKET")
    }
    return kept | {"PYTHONPATH": str(REPOSITORY / "exporter")}


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
