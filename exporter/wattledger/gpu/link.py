"""The agent's side of the NVML worker: starts it, listens without waiting, replaces it when it hangs."""

from __future__ import annotations

import logging
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Literal

import msgspec

from ..clock import Clock
from ..hostfs import HostFS
from .backoff import Backoff, Quarantine
from .channel import touched
from .messages import (
    ABSENT,
    FINDING,
    FINDING_HUNG_AFTER_NS,
    HUNG,
    HUNG_AFTER_NS,
    MAX_MESSAGE,
    Farewell,
    Orders,
    Report,
    decode,
)

log = logging.getLogger(__name__)

ABSENT_RETRY_NS = 300_000_000_000
HEALTHY_AFTER_NS = 60_000_000_000
MAX_DYING = 2
"""So many killed workers may still be stuck in the driver; beyond it none is added to them."""

State = Literal["new", "running", "waiting", "released", "closed"]


class WorkerLink:
    """One worker at a time. No method waits for it, `settle` apart.

    `newest` is the last report of the present worker, None while it has sent none; `reason` and `detail` say
    why there is none: `starting`, `released`, `hung`, `crashed`, or the worker's own farewell.
    """

    def __init__(self, hostfs: HostFS, clock: Clock, environment: Mapping[str, str] = os.environ) -> None:
        self._hostfs = hostfs
        self._clock = clock
        self._environment = environment
        self._state: State = "new"
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._progress_fd = -1
        self._dying: list[subprocess.Popen[bytes]] = []
        self._backoff = Backoff()
        self._quarantine = Quarantine()
        self._due_ns = 0
        self._started_ns = 0
        self._heard_ns = 0
        self.newest: Report | None = None
        self.reason = "starting"
        self.detail = ""

    @property
    def state(self) -> State:
        return self._state

    @property
    def pid(self) -> int | None:
        """The process of the present worker."""
        return self._process.pid if self._process is not None else None

    @property
    def silent(self) -> bool:
        """Whether the present worker has been silent for longer than boards may be shown as up."""
        return self._clock.monotonic_ns() - self._heard_ns > HUNG_AFTER_NS

    def start(self) -> None:
        """Start the first worker; later ones start by themselves."""
        if self._state == "new":
            self._spawn(self._clock.monotonic_ns())

    def poll(self) -> None:
        """Take what has arrived, and deal with a worker that ended or hangs."""
        now_ns = self._clock.monotonic_ns()
        if self._state == "running":
            self._listen(now_ns)
        elif self._state == "waiting" and now_ns >= self._due_ns:
            self._dying = [process for process in self._dying if process.returncode is None]
            if len(self._dying) < MAX_DYING:
                self._spawn(now_ns)

    def settle(self, seconds: float) -> None:
        """Wait for the first word of a worker that was just started, where nobody waits behind us."""
        if self._state == "running" and self.newest is None and self._socket is not None:
            poll = select.poll()  # select() cannot wait for a descriptor beyond 1,023, and cgroups hold many
            poll.register(self._socket, select.POLLIN)
            poll.poll(round(seconds * 1000))
            self.poll()

    def release(self) -> None:
        """End the worker, so that nothing of ours holds the device files, and start none until `acquire`."""
        if self._state != "closed":
            self._drop("released", "an operator released the boards: wattledger gpu acquire takes them back")
            self._state = "released"

    def acquire(self) -> None:
        """Take the boards back."""
        if self._state == "released":
            self._wait(self._clock.monotonic_ns(), 0)
            self.reason, self.detail = "starting", ""
            self.poll()

    def close(self) -> None:
        """End the worker for good."""
        self._drop("released", "")
        self._state = "closed"
        if self._progress_fd >= 0:
            os.close(self._progress_fd)
            self._progress_fd = -1

    def _listen(self, now_ns: int) -> None:
        """Take the newest message; those before it said less, and a farewell is always the last."""
        process, channel = self._process, self._socket
        if process is None or channel is None:
            return
        newest, ended = _newest(channel)
        if newest:
            self._heard_ns = now_ns
            try:
                message = decode(newest)
            except msgspec.DecodeError as error:
                self._fail(now_ns, "protocol", str(error))
                return
            if isinstance(message, Farewell):
                self._fail(now_ns, message.reason, message.detail)
                return
            self._take(message, now_ns)
        if ended or process.poll() is not None:
            self._fail(now_ns, "crashed", f"the worker ended with status {process.poll()}")
        else:
            self._check_hang(now_ns)

    def _take(self, report: Report, now_ns: int) -> None:
        if self.newest is None and self.reason not in ("starting", "released"):
            log.info("gpu worker answers again", extra={"after": self.reason})
        self.newest = report
        self.reason = self.detail = ""
        if now_ns - self._started_ns >= HEALTHY_AFTER_NS:
            self._backoff.reset()
            self._quarantine.absolve()

    def _check_hang(self, now_ns: int) -> None:
        what = touched(self._progress_fd)
        finding = what.startswith(FINDING) or (not what and self.newest is None)
        patience_ns = FINDING_HUNG_AFTER_NS if finding else HUNG_AFTER_NS
        if now_ns - self._heard_ns > patience_ns:
            board = what.removeprefix(FINDING)
            self._quarantine.blame(board, now_ns)
            self._fail(now_ns, HUNG, f"the driver does not answer for {board or 'NVML'}")
        elif self._quarantine.is_over(now_ns):
            self._drop("starting", "trying a board again that hung")
            self._wait(now_ns, 0)

    def _spawn(self, now_ns: int) -> None:
        if self._progress_fd < 0:
            self._progress_fd = os.memfd_create("wattledger-gpu")
        os.ftruncate(self._progress_fd, 0)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        orders = Orders(
            channel_fd=theirs.fileno(),
            progress_fd=self._progress_fd,
            procfs=self._hostfs.procfs,
            sysfs=self._hostfs.sysfs,
            avoid=self._quarantine.avoided(now_ns),
        )
        try:
            process = subprocess.Popen(  # noqa: S603 - our own module, run by our own interpreter
                [sys.executable, "-P", "-m", f"{__package__}.worker", msgspec.json.encode(orders).decode()],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), self._progress_fd),
                env=_with_package(self._environment),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            self._fail(now_ns, "crashed", f"the worker does not start: {error}")
            return
        finally:
            theirs.close()
        ours.setblocking(False)
        self._process, self._socket = process, ours
        self._started_ns = self._heard_ns = now_ns
        self._state = "running"

    def _fail(self, now_ns: int, reason: str, detail: str) -> None:
        """The worker is of no use any more: end it, and wait before the next."""
        if self.reason != reason:
            level = logging.INFO if reason == ABSENT else logging.WARNING
            log.log(level, "gpu worker ended", extra={"reason": reason, "detail": detail})
        self._drop(reason, detail)
        self._wait(now_ns, ABSENT_RETRY_NS if reason == ABSENT else self._backoff.next_ns())

    def _wait(self, now_ns: int, delay_ns: int) -> None:
        self._state = "waiting"
        self._due_ns = now_ns + delay_ns

    def _drop(self, reason: str, detail: str) -> None:
        """Kill the worker without waiting for it: one that hangs in the driver may never die."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            if process.stdin is not None:
                process.stdin.close()
            threading.Thread(target=process.wait, name="gpu-worker-end", daemon=True).start()
            self._dying.append(process)
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self.newest = None
        self.reason, self.detail = reason, detail


def _newest(channel: socket.socket) -> tuple[bytes, bool]:
    """The newest packet that has arrived, b"" for none, and whether the other end is closed."""
    newest = b""
    while True:
        try:
            packet = channel.recv(MAX_MESSAGE)
        except BlockingIOError:
            return newest, False
        except ConnectionResetError:
            return newest, True
        if not packet:
            return newest, True
        newest = packet


def _with_package(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment; where this package is not installed its place goes first on the path."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if os.path.basename(root) in ("site-packages", "dist-packages"):
        return dict(environment)
    path = environment.get("PYTHONPATH")
    return {**environment, "PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root}
