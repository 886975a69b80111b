"""The agent serves on sockets that the service manager bound, and warns of a watchdog it cannot feed."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from tests.agent_process import REPOSITORY, host_arguments
from tests.known_host import KnownHost

pytestmark = pytest.mark.e2e


AS_SYSTEMD = """
import os, sys
variables, fd, *command = sys.argv[1:]
if fd:
    os.dup2(int(fd), 3)
os.environ |= {part.split("=")[0]: part.split("=")[1] for part in variables.split()}
os.environ |= {name: str(os.getpid()) for name in ("LISTEN_PID", "WATCHDOG_PID")}
os.execv(command[0], command)
"""


def start(host, log, variables: str, bound: socket.socket | None = None) -> subprocess.Popen:
    """The agent as systemd starts it: with its own pid in the variables, and a socket as descriptor 3."""
    agent = [sys.executable, "-m", "wattledger", "run", *host_arguments(host.root), "--no-names"]
    fd = bound.fileno() if bound else None
    return subprocess.Popen(
        [
            *(sys.executable, "-c", AS_SYSTEMD, variables, "" if fd is None else str(fd)),
            *(*agent, "--web.listen-address=127.0.0.1:0"),
        ],
        pass_fds=() if fd is None else (fd,),
        stderr=log,
        env={"PYTHONPATH": str(REPOSITORY / "exporter"), "PATH": "/usr/bin:/bin"},
    )


def metrics(port: int) -> bytes:
    """The exposition, as soon as there is a first sample."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            time.sleep(0.1)
    raise AssertionError("not ready within 10 s")


def test_inherited_sockets_are_served_and_the_address_is_left_alone(tmp_path):
    """What systemd binds by a socket unit is where the agent listens; its own address is not used."""
    host = KnownHost(tmp_path / "host")
    with socket.create_server(("127.0.0.1", 0)) as bound, (tmp_path / "log").open("w") as log:
        port = bound.getsockname()[1]
        agent = start(host, log, "LISTEN_FDS=1", bound)
        try:
            assert b"wattledger_build_info" in metrics(port)
        finally:
            agent.terminate()
            agent.wait(10)
    assert agent.returncode == 0
    assert f"http://127.0.0.1:{port}/" in (tmp_path / "log").read_text()


def test_a_watchdog_shorter_than_two_ticks_is_warned_of(tmp_path):
    """Such a watchdog would end a healthy agent; the message says which of the two to change."""
    host = KnownHost(tmp_path / "host")
    path = tmp_path / "log"
    with path.open("w") as log:
        agent = start(host, log, "WATCHDOG_USEC=6000000")
        try:
            for _ in range(300):
                if "watchdog" in path.read_text() or agent.poll() is not None:
                    break
                time.sleep(0.1)
        finally:
            agent.terminate()
            agent.wait(10)
    assert "WatchdogSec" in path.read_text()
