"""AMD graphics cards: the power that amdgpu shows under hwmon, and who uses the cards.

Power is integrated over CLOCK_MONOTONIC by the trapezoid rule, as in `hwmon`. A card that sleeps
(runtime-suspended) is not woken: its reading fails as `suspended`, which shows as one count per tick and one
line in the log, and when it wakes the integral starts anew under another lineage, so the sleep is an interval
without a value, neither 0 W nor a bridge between two waking moments. While a card is reset, or the machine is
about to sleep, the driver answers EPERM; that is bridged for up to MAX_GAP_NS.

The power of an APU contains its CPU, which RAPL counts: it is shown and covers nothing. An APU is told by
any of three signs: hwmon shows `in1_label`, the voltage of the north bridge, which amdgpu_pm.c makes for APUs
only; the PCI id is that of an MI300A, which has no such voltage; or older KFD topologies list CPU cores and
SIMDs in one node. The size of the VRAM is no sign: firmware carves out anything from 64 MiB to 96 GiB.

The partitions of an MI300 are cards of their own and platform devices; one sensor measures the whole socket.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..clock import Clock
from ..errors import SensorError
from ..gpu.cards import Card, Rests, find_cards
from ..gpu.drm import GRANT_PTRACE, DrmClients, board_use
from ..gpu.kfd import KfdProcesses
from ..gpu.records import BoardUse
from ..hostfs import HostFS, read_int
from ..model import S_NS, Finding, Probe, Reading, Zone
from .integrate import SampledPower
from .place import ON_HOST, Place

NAME = "amdgpu"

MAX_GAP_NS = 60 * S_NS
"""Longest time between two samples that is joined: two of the longest sampling intervals."""

MAX_POWER_W = 3000
"""Twice the board power of the largest card (MI355X, 1,400 W), rounded up: more is a code for unknown."""

APU_IDS = frozenset({"0x74a0"})
"""PCI device ids of APUs without a north bridge voltage: MI300A (amdgpu_drv.c, GC 9.4.3 with AMD_IS_APU)."""

EnergyCounter = Callable[[str], int | None]
"""Microjoules used by the card at a PCI address since its driver was loaded, None if it does not count."""


@dataclass(slots=True)
class _Board:
    """A card that measures itself; `slept_ms` is how long it had slept when its integral began."""

    card: Card
    zone: Zone
    path: str
    slept_ms: str = ""
    sampled: SampledPower = field(default_factory=lambda: SampledPower(MAX_GAP_NS))

    def power_uw(self) -> int:
        """Microwatts now; raises SensorError. A card that is awake draws power: 0 W does not measure."""
        value = read_int(self.path)
        if value == 0 and self.zone.covers:
            raise SensorError("zero", f"{self.path}: 0 W")
        if not 0 <= value <= MAX_POWER_W * 1_000_000:
            raise SensorError("implausible", f"{self.path}: {value / 1e6:.0f} W")
        return value


class AmdGpu:
    """The `amdgpu` collector.

    `counter` gives an energy counter in microjoules by PCI address, or None where there is none; it goes
    before integrated power. The registry gives `AmdSmiCounter`.
    """

    def __init__(
        self,
        hostfs: HostFS,
        clock: Clock,
        counter: EnergyCounter = lambda _: None,
        place: Place = ON_HOST,
    ) -> None:
        self._hostfs = hostfs
        self._place = place
        self._clock = clock
        self._counter = counter
        self._token = secrets.token_hex(6)
        self._boot_id = ""
        self._boards: dict[str, _Board] = {}
        self._rests = Rests()
        self._clients = DrmClients(hostfs, clock, {NAME})
        self._kfd = KfdProcesses(hostfs, clock)
        self._following = False

    @property
    def name(self) -> str:
        return NAME

    def probe(self) -> Probe:
        """Look for cards anew; a card that was there before keeps its integral, also if it fails now."""
        self._boot_id = self._hostfs.boot_id()
        cards = find_cards(self._hostfs, {NAME})
        nodes = self._kfd.probe({card.pci for card in cards if card.pci})
        apus = {node.pci for node in nodes if node.with_cpu}
        findings: list[Finding] = []
        boards: dict[str, _Board] = {}
        for card in cards:
            if card.pci:
                board, finding = self._look(card, card.pci in apus)
                findings.append(finding)
                if board is not None:
                    boards[card.pci] = board
        partitions = sum(1 for card in cards if not card.pci)
        if partitions:
            why = f"{partitions} partitions of cards above, measured with their card"
            findings.append(Finding(sensor=NAME, subject="partitions", status="ignored", why=why))
        if not findings:
            why = f"no card of the amdgpu driver in {self._hostfs.sysfs}/class/drm"
            findings.append(Finding(sensor=NAME, subject=NAME, status="absent", why=why))
        self._boards = boards
        if any(board.zone.covers for board in boards.values()):
            if not self._following:
                self._following = True
                self._clients.start()
                self._kfd.use(self._asleep())
            grant = self._place.to_hold("SYS_PTRACE", GRANT_PTRACE)
            findings += [*self._clients.findings(NAME, grant), *self._kfd.findings(NAME)]
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
        asleep = self._asleep()
        drm = self._clients.use(asleep)
        kfd, quality = self._kfd.use(asleep)
        uses = [
            board_use(pci, [found[pci] for found in (drm, kfd) if pci in found], quality.get(pci, ""))
            for pci, board in self._boards.items()
            if board.zone.covers
        ]
        known = not self._clients.denied and not self._kfd.denied
        self._rests.observe([use.device for use in uses if known and not use.shares])
        return [use for use in uses if known or use.shares]

    def _asleep(self) -> frozenset[str]:
        return frozenset(pci for pci, board in self._boards.items() if board.card.asleep())

    def _look(self, card: Card, apu: bool) -> tuple[_Board | None, Finding]:
        """The card as a board, and what to say of it; it is read once unless it sleeps."""
        files = card.meters(NAME)
        meter = next((name for name in ("power1_average", "power1_input") if name in files), "")
        if not meter:
            why = "the driver shows no power (virtual function, or a card that cannot measure)"
            return None, Finding(sensor=NAME, subject=card.pci, status="absent", why=why)
        apu = apu or "in1_label" in files or card.text("device") in APU_IDS
        zone = Zone(
            sensor=NAME,
            name="apu" if apu else "board",
            device=card.pci,
            covers="" if apu else "gpu",
            max_power_w=MAX_POWER_W,
            attributes=card.attributes(),
        )
        board = _Board(card=card, zone=zone, path=files[meter])
        known = self._boards.get(card.pci)
        if known is not None and known.zone.key == zone.key:
            board.sampled, board.slept_ms = known.sampled, known.slept_ms
        if card.asleep():
            why = "asleep; it is read when something else wakes it"
            return board, Finding(sensor=NAME, subject=card.pci, status="usable", why=why)
        try:
            board.power_uw()
        except SensorError as error:
            kept = board if known is not None else None
            if error.reason == "eacces":
                fix = self._place.to_read(f"sudo chmod a+r {board.path}")
                return kept, Finding(sensor=NAME, subject=card.pci, status="denied", why=str(error), fix=fix)
            return kept, Finding(sensor=NAME, subject=card.pci, status="failed", why=str(error))
        if apu:
            why = "an APU, whose power contains the CPU that RAPL counts: only shown"
        elif self._counter(card.pci) is not None:
            why = "energy counter, counts towards gpu"
        else:
            why = f"power ({meter}), integrated, counts towards gpu"
        return board, Finding(sensor=NAME, subject=card.pci, status="usable", why=why)

    def _read(self, board: _Board) -> Reading | None:
        if board.card.asleep():
            return Reading(board.zone, self._clock.boottime_ns(), None, failure="suspended")
        if not self._rests.due(board.card, self._clock.boottime_ns()):
            return None
        counted_uj = self._counter(board.card.pci)
        if counted_uj is not None:
            lineage = f"{self._boot_id}:counter"
            return Reading(board.zone, self._clock.boottime_ns(), counted_uj, lineage=lineage)
        slept_ms = board.card.slept_ms()
        if slept_ms != board.slept_ms:
            board.sampled, board.slept_ms = SampledPower(MAX_GAP_NS), slept_ms
        try:
            power_uw = board.power_uw()
        except SensorError as error:
            return Reading(board.zone, self._clock.boottime_ns(), None, failure=error.reason)
        at_ns = self._clock.boottime_ns()
        board.sampled.sample(self._clock.monotonic_ns(), power_uw)
        lineage = f"{self._token}.{slept_ms}.{board.sampled.gaps}"
        return Reading(board.zone, at_ns, board.sampled.energy_uj, lineage=lineage)
