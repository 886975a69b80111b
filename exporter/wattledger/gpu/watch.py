"""The worker's round: look at every board, report, sleep; open NVML anew when boards come, go or wake."""

from __future__ import annotations

import os
import time

from ..clock import Clock, SystemClock
from . import nvml, pci
from .boards import Roster
from .channel import Channel
from .messages import ASLEEP, FINDING, BoardReport, Orders, Report, Unnamed

MEMORY_EVERY = 60
LOOK_AROUND_EVERY_NS = 60_000_000_000
FIND_AGAIN_NS = 60_000_000_000
FIND_AGAIN_MAX_NS = 3_600_000_000_000
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Watch:
    """The rounds of one worker. Every method raises SensorError when only a new process can help."""

    def __init__(self, orders: Orders, channel: Channel, clock: Clock) -> None:
        worker = f"{os.getpid()}-{clock.boottime_ns()}"
        self._clock = clock
        self._sysfs = orders.sysfs
        self._channel = channel
        self._roster = Roster(
            orders.procfs, orders.sysfs, worker, clock, avoid=orders.avoid, touch=channel.touch
        )
        self._driver = ""
        self._sequence = 0
        self._rss_bytes = 0
        self._looked_around_ns = 0
        self._find_again_ns = 0
        self._patience_ns = FIND_AGAIN_NS

    def open(self) -> None:
        """Open NVML and find the boards."""
        self._looked_around_ns = self._clock.monotonic_ns()
        self._channel.touch(FINDING)
        nvml.start()
        self._driver = nvml.driver_version()
        self._roster.find()
        self._find_again_ns = self._clock.monotonic_ns() + self._patience_ns

    def round(self) -> None:
        """Look at every board once and report; then find them anew if that is due."""
        reports = self._roster.reports()
        self._send(reports, self._roster.unnamed)
        lost = self._roster.incomplete() or any(r.failure in nvml.BOARD_FAILED for r in reports)
        if self._is_due(self._clock.monotonic_ns(), lost):
            self._channel.touch(FINDING)
            self._roster.close()
            nvml.stop()
            self.open()

    def doze(self) -> bool:
        """Report that every board sleeps, without opening NVML; False when one is awake or none is seen."""
        addresses = pci.addresses(self._sysfs)
        if not addresses or not all(pci.asleep(self._sysfs, address) for address in addresses):
            return False
        self._send([], tuple(Unnamed(where=address, failure=ASLEEP) for address in addresses))
        return True

    def _send(self, reports: list[BoardReport], unnamed: tuple[Unnamed, ...]) -> None:
        if self._sequence % MEMORY_EVERY == 0:
            self._rss_bytes = resident_bytes()
        self._sequence += 1
        self._channel.send(
            Report(
                generation=self._roster.generation,
                sequence=self._sequence,
                driver=self._driver,
                boards=tuple(reports),
                unnamed=unnamed,
                rss_bytes=self._rss_bytes,
            )
        )

    def _is_due(self, now_ns: int, lost: bool) -> bool:
        """Whether to find the boards anew: when one came, went or woke; ever more seldom for a lost one."""
        if not lost:
            self._patience_ns = FIND_AGAIN_NS
            self._find_again_ns = now_ns + FIND_AGAIN_NS
        elif now_ns >= self._find_again_ns:
            self._patience_ns = min(2 * self._patience_ns, FIND_AGAIN_MAX_NS)
            return True
        if self._roster.woken():
            return True
        if now_ns - self._looked_around_ns < LOOK_AROUND_EVERY_NS:
            return False
        self._looked_around_ns = now_ns
        return self._roster.moved()


def watch(orders: Orders, channel: Channel) -> None:
    """Work for ever; raises SensorError when only a new process can help."""
    clock = SystemClock()
    rounds = Watch(orders, channel, clock)
    while rounds.doze():
        time.sleep(orders.interval_ns / 1e9)
    rounds.open()
    due_ns = clock.monotonic_ns()
    while True:
        rounds.round()
        now_ns = clock.monotonic_ns()
        due_ns = max(due_ns + orders.interval_ns, now_ns)
        time.sleep((due_ns - now_ns) / 1e9)


def resident_bytes() -> int:
    """Resident memory of this process (`/proc/self/statm`, second field, in pages)."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * PAGE_BYTES
