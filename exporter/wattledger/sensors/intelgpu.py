"""Intel graphics cards: the energy counter of i915 and xe under hwmon, and who uses the cards.

Both drivers add a 32-bit register of the card to a 63-bit sum whenever it is read (`hwm_energy`,
`xe_hwmon_energy_get`). So the counter has no range. The register turns over after 2^32 / 2^14 J = 262 kJ,
14.5 min at 300 W: while the agent is down for longer and nobody else reads it, whole turns are missing, and
what is recovered then is the certain minimum. Where the register was cleared (suspend, a sleep in D3cold),
the driver takes that for a turn and adds up to 262 kJ: so the counter does not survive a suspend, its lineage
contains how long the card has slept, and a jump beyond MAX_POWER_W is dropped.

xe has `energy1` for the card and `energy2` for the package on it: the card contains the package, so only one
is read, the card's where it exists (not on Arc A). `energy1` of i915 is the package; chips called `i915_gtN`
are its tiles. Integrated GPUs have no hwmon: they are in RAPL's package, and its `uncore`.

A card that sleeps (runtime-suspended) is not woken: its reading fails as `suspended`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..clock import Clock
from ..errors import SensorError
from ..gpu.cards import Card, Rests, find_cards
from ..gpu.drm import GRANT_PTRACE, DrmClients, board_use
from ..gpu.records import BoardUse
from ..hostfs import HostFS, read_int, reason_of
from ..model import Finding, Probe, Reading, Zone
from .place import ON_HOST, Place

NAME = "intelgpu"
DRIVERS = frozenset({"i915", "xe"})

MAX_POWER_W = 1200
"""Twice the board power of the largest card (Data Center GPU Max 1550, 600 W)."""

PACKAGE_UNCERTAINTY = 0.2
"""What a card draws beyond its package: 16 % of an Arc A770 at its limits (190 W of 225 W)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Board:
    """A card that counts its energy."""

    card: Card
    zone: Zone
    path: str

    def count(self, boot_id: str) -> tuple[int, str]:
        """Microjoules and the lineage they belong to; raises SensorError.

        A driver that is loaded anew makes the file anew, with another inode.
        """
        slept_ms = self.card.slept_ms()
        value = read_int(self.path)
        try:
            inode = os.stat(self.path).st_ino
        except OSError as error:
            raise SensorError(reason_of(error), f"{self.path}: {error.strerror}") from error
        return value, f"{boot_id}:{inode}:{self.card.driver}:{slept_ms}"


class IntelGpu:
    """The `intelgpu` collector."""

    def __init__(self, hostfs: HostFS, clock: Clock, place: Place = ON_HOST) -> None:
        self._hostfs = hostfs
        self._place = place
        self._clock = clock
        self._boot_id = ""
        self._boards: dict[str, _Board] = {}
        self._rests = Rests()
        self._clients = DrmClients(hostfs, clock, DRIVERS)
        self._following = False

    @property
    def name(self) -> str:
        return NAME

    def probe(self) -> Probe:
        """Look for cards anew; one that was there before stays, also if it cannot be read now."""
        self._boot_id = self._hostfs.boot_id()
        findings: list[Finding] = []
        boards: dict[str, _Board] = {}
        for card in find_cards(self._hostfs, DRIVERS):
            board, finding = self._look(card)
            findings.append(finding)
            if board is not None:
                boards[card.pci] = board
        if not findings:
            why = f"no card of the i915 or xe driver in {self._hostfs.sysfs}/class/drm"
            findings.append(Finding(sensor=NAME, subject=NAME, status="absent", why=why))
        self._boards = boards
        if boards:
            if not self._following:
                self._following = True
                self._clients.start()
            findings += self._clients.findings(NAME, self._place.to_hold("SYS_PTRACE", GRANT_PTRACE))
        return Probe(zones=tuple(board.zone for board in boards.values()), findings=tuple(findings))

    def read(self) -> Sequence[Reading]:
        """Read every card that is awake, at three small files each.

        A card that is idle and may fall asleep is left alone for a while: it has no reading at that turn.
        """
        readings = [self._read(board) for board in self._boards.values()]
        return [reading for reading in readings if reading is not None]

    def use(self) -> Sequence[BoardUse]:
        """The use of each card since the previous call, in engine nanoseconds; the first is since the probe.

        A card that nobody was seen to use is left out while some processes cannot be looked into: it is
        not known to be idle.
        """
        if not self._following:
            return ()
        found = self._clients.use({pci for pci, board in self._boards.items() if board.card.asleep()})
        uses = [board_use(pci, [found[pci]] if pci in found else []) for pci in self._boards]
        known = not self._clients.denied
        self._rests.observe([use.device for use in uses if known and not use.shares])
        return [use for use in uses if known or use.shares]

    def _look(self, card: Card) -> tuple[_Board | None, Finding]:
        """The card as a board, and what to say of it; it is read once unless it sleeps."""
        files = card.meters(card.driver)
        meter = next((name for name in ("energy1_input", "energy2_input") if name in files), "")
        if not meter:
            why = f"{card.driver}: integrated, without an energy counter of its own; RAPL's uncore shows it"
            return None, Finding(sensor=NAME, subject=card.pci, status="ignored", why=why)
        of_package = meter == "energy2_input" or card.driver == "i915"
        zone = Zone(
            sensor=NAME,
            name="board",
            device=card.pci,
            covers="gpu",
            max_power_w=MAX_POWER_W,
            uncertainty_ratio=PACKAGE_UNCERTAINTY if of_package else 0.05,
            survives_suspend=False,
            attributes=card.attributes(),
        )
        board = _Board(card=card, zone=zone, path=files[meter])
        if card.asleep():
            why = "asleep; it is read when something else wakes it"
            return board, Finding(sensor=NAME, subject=card.pci, status="usable", why=why)
        try:
            board.count(self._boot_id)
        except SensorError as error:
            kept = board if card.pci in self._boards else None
            if error.reason == "eacces":
                fix = self._place.to_read(f"sudo chmod a+r {board.path}")
                return kept, Finding(sensor=NAME, subject=card.pci, status="denied", why=str(error), fix=fix)
            return kept, Finding(sensor=NAME, subject=card.pci, status="failed", why=str(error))
        what = "the package, less than the card" if of_package else "the whole card"
        why = f"{card.driver}: energy counter of {what}, counts towards gpu"
        return board, Finding(sensor=NAME, subject=card.pci, status="usable", why=why)

    def _read(self, board: _Board) -> Reading | None:
        if board.card.asleep():
            return Reading(board.zone, self._clock.boottime_ns(), None, failure="suspended")
        if not self._rests.due(board.card, self._clock.boottime_ns()):
            return None
        try:
            count_uj, lineage = board.count(self._boot_id)
        except SensorError as error:
            return Reading(board.zone, self._clock.boottime_ns(), None, failure=error.reason)
        return Reading(board.zone, self._clock.boottime_ns(), count_uj, lineage=lineage)
