"""What others need for the same processes: Debian's prometheus-process-exporter, and psutil in Python."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.ports import free_port

from .own_cost import cpu_ns, rss_mib

PROGRAM = "prometheus-process-exporter"
EVERY_PROCESS = 'process_names:\n  - name: "{{.Comm}}"\n    cmdline: [".+"]\n'
LEAN = ("-gather-smaps=false", "-threads=false")
START_TIMEOUT_S = 60.0
SCRAPE_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCost:
    """CPU milliseconds of one look at every process; `rss_mib` None where it runs in this process."""

    name: str
    scan_ms: float
    rss_mib: float | None


def measure_process_exporter(
    folder: Path, *, scrapes: int, work: Callable[[], None], flags: tuple[str, ...] = ()
) -> PeerCost | None:
    """CPU time per scrape of the exporter watching every process; None where it is not installed."""
    program = shutil.which(PROGRAM)
    if program is None:
        return None
    config = folder / "process-exporter.yml"
    config.write_text(EVERY_PROCESS)
    port = free_port()
    command = [program, f"-config.path={config}", f"-web.listen-address=127.0.0.1:{port}", *flags]
    url = f"http://127.0.0.1:{port}/metrics"
    with (folder / "process-exporter.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _wait(url, process)
        began_ns = cpu_ns(process.pid)
        for _ in range(scrapes):
            work()
            time.sleep(0.5)
            _get(url)
        spent_ns = cpu_ns(process.pid) - began_ns
        return PeerCost(
            name=" ".join(("process-exporter", *flags)),
            scan_ms=spent_ns / 1e6 / scrapes,
            rss_mib=rss_mib(process.pid),
        )
    finally:
        process.kill()
        process.wait(10)


def measure_psutil(*, rounds: int) -> PeerCost:
    """CPU time of one `process_iter` over pid, name and CPU times, in this process."""
    list(psutil.process_iter(["pid", "name", "cpu_times"]))
    began_ns = time.thread_time_ns()
    for _ in range(rounds):
        for _process in psutil.process_iter(["pid", "name", "cpu_times"]):
            pass
    spent_ns = time.thread_time_ns() - began_ns
    return PeerCost(name="psutil process_iter", scan_ms=spent_ns / 1e6 / rounds, rss_mib=None)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until the first answer, which is no part of the measurement."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            _get(url)
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{PROGRAM} does not answer (exit status {process.poll()})")


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=SCRAPE_TIMEOUT_S) as answer:
        return answer.read()
