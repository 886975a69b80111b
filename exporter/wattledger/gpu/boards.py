"""One board as the worker sees it, and the roster of all there are."""

from __future__ import annotations

from collections.abc import Callable, Collection

from ..clock import Clock
from ..errors import SensorError
from . import nvml, pci
from .energy import EnergyMeter, Moment
from .messages import ASLEEP, FINDING, HUNG, LOST, BoardReport, Unnamed
from .usage import BoardUsage

FACTS_EVERY_NS = 60_000_000_000


class Board:
    """One board and everything remembered of it; `report` never raises for the state of this board."""

    def __init__(
        self, handle: nvml.Handle, *, procfs: str, sysfs: str, generation: str, clock: Clock
    ) -> None:
        """Ask the board who it is; raises SensorError when it does not say."""
        self.pci = nvml.pci_address(handle)
        self.uuid = nvml.uuid(handle)
        self._handle = handle
        self._sysfs = sysfs
        self._generation = generation
        self._clock = clock
        self._index = nvml.index_of(handle)
        self._model = nvml.model(handle)
        self._energy = EnergyMeter(handle)
        self._usage = BoardUsage(handle, procfs, self._now().wall_us)
        self._facts_ns: int | None = None
        self._limit_mw: int | None = None
        self._persistent: bool | None = None

    def report(self, load: str, avoided: bool = False) -> BoardReport:
        """Look at the board once; raises SensorError only when the driver as a whole has ended."""
        if avoided:
            return self.down(HUNG)
        if pci.asleep(self._sysfs, self.pci):
            return self.down(ASLEEP)
        try:
            energy = self._energy.read(self._now)
            self._learn_facts(energy.at_ns)
            self._usage.look(self._now().wall_us)
        except SensorError as error:
            if error.reason in nvml.ENDED:
                raise
            return self.down(error.reason)
        usage = self._usage
        return BoardReport(
            uuid=self.uuid,
            index=self._index,
            pci=self.pci,
            model=self._model,
            at_ns=energy.at_ns,
            energy_uj=energy.energy_uj,
            source=energy.source,
            load=load if energy.source == "counter" else self._generation,
            check_ratio=self._energy.check_ratio,
            limit_mw=self._limit_mw,
            persistent=self._persistent,
            mig=usage.mig,
            use_known=usage.known,
            busy_us=dict(usage.busy_us),
            watched_us=usage.watched_us,
            holders=usage.holders,
            quality=usage.quality,
            instances=usage.instances,
        )

    def resume(self, before: Board) -> None:
        """Go on with what was counted of this board before it was found anew."""
        self._energy.resume(before._energy)
        self._usage.resume(before._usage)

    def down(self, failure: str) -> BoardReport:
        """The report of a board that gives no value."""
        return BoardReport(
            uuid=self.uuid,
            index=self._index,
            pci=self.pci,
            model=self._model,
            at_ns=self._clock.boottime_ns(),
            failure=failure,
        )

    def close(self) -> None:
        """Free what the driver keeps for us."""
        self._usage.close()

    def _now(self) -> Moment:
        return Moment(self._clock.boottime_ns(), self._clock.wall_ns() // 1000)

    def _learn_facts(self, at_ns: int) -> None:
        """What changes seldom: the power limit and persistence mode."""
        if self._facts_ns is not None and at_ns - self._facts_ns < FACTS_EVERY_NS:
            return
        self._facts_ns = at_ns
        try:
            self._limit_mw = nvml.power_limit_mw(self._handle)
        except SensorError as error:
            _raise_if_failed(error)
        try:
            self._persistent = nvml.persistent(self._handle)
        except SensorError as error:
            _raise_if_failed(error)


def _raise_if_failed(error: SensorError) -> None:
    if error.reason in (*nvml.ENDED, *nvml.BOARD_FAILED):
        raise error


class Roster:
    """The boards there are. Found by UUID, for the order changes; those that were lost stay as down.

    `touch` is told what is about to be touched, so that a hang can be blamed; what is in `avoid` is not.
    """

    def __init__(
        self,
        procfs: str,
        sysfs: str,
        worker: str,
        clock: Clock,
        *,
        avoid: Collection[str] = (),
        touch: Callable[[str], None],
    ) -> None:
        self._procfs = procfs
        self._sysfs = sysfs
        self._worker = worker
        self._clock = clock
        self._avoid = frozenset(avoid)
        self._touch = touch
        self._boards: dict[str, Board] = {}
        self._missing: dict[str, str] = {}
        self._addresses: tuple[str, ...] = ()
        self.unnamed: tuple[Unnamed, ...] = ()

    @property
    def generation(self) -> str:
        """A name for everything that counts from the start of this worker."""
        return self._worker

    def find(self) -> None:
        """Find the boards after NVML was opened; raises SensorError when the driver as a whole has ended."""
        self._addresses = pci.addresses(self._sysfs)
        unnamed: list[Unnamed] = []
        found: dict[str, Board] = {}
        for where, open_board in self._places(unnamed):
            self._touch(FINDING + where)
            try:
                board = Board(
                    open_board(),
                    procfs=self._procfs,
                    sysfs=self._sysfs,
                    generation=self.generation,
                    clock=self._clock,
                )
            except SensorError as error:
                if error.reason in nvml.ENDED:
                    raise
                unnamed.append(Unnamed(where=where, failure=error.reason))
                continue
            before = self._boards.get(board.uuid)
            if before is not None:
                board.resume(before)
            found[board.uuid] = board
        self._touch("")
        # A board that does not answer any more is lost as long as the bus, or a nameless one, speaks for it.
        silent = {place.where: place.failure for place in unnamed}
        self._missing = {
            uuid: silent.get(board.pci, LOST)
            for uuid, board in self._boards.items()
            if uuid not in found and (silent or pci.present(self._sysfs, board.pci))
        }
        named = {self._boards[uuid].pci for uuid in self._missing}
        self._boards = {uuid: self._boards[uuid] for uuid in self._missing} | found
        self.unnamed = tuple(place for place in unnamed if place.where not in named)

    def reports(self) -> list[BoardReport]:
        """Look at every board; raises SensorError when the driver as a whole has ended."""
        load = pci.driver_load(self._sysfs)
        reports = []
        for uuid, board in self._boards.items():
            if uuid in self._missing:
                reports.append(board.down(self._missing[uuid]))
                continue
            self._touch(board.pci)
            reports.append(board.report(load, avoided=board.pci in self._avoid))
        self._touch("")
        return reports

    def moved(self) -> bool:
        """Whether boards came or went on the bus since they were found."""
        return pci.addresses(self._sysfs) != self._addresses

    def woken(self) -> bool:
        """Whether a board that slept when the boards were found is awake now."""
        slept = [place.where for place in self.unnamed if place.failure == ASLEEP]
        slept += [self._boards[uuid].pci for uuid, failure in self._missing.items() if failure == ASLEEP]
        return any(not pci.asleep(self._sysfs, address) for address in slept)

    def incomplete(self) -> bool:
        """Whether a board that is awake and not avoided could not be found."""
        failures = [place.failure for place in self.unnamed] + list(self._missing.values())
        return any(failure not in (ASLEEP, HUNG) for failure in failures)

    def close(self) -> None:
        """Let go of every handle, before NVML is closed; the boards themselves are remembered."""
        for board in self._boards.values():
            board.close()

    def _places(self, unnamed: list[Unnamed]) -> list[tuple[str, Callable[[], nvml.Handle]]]:
        """Where boards are and how to open each. By index, but by address when one must be left alone."""
        asleep = {address for address in self._addresses if pci.asleep(self._sysfs, address)}
        alone = asleep | (self._avoid & set(self._addresses))
        if alone:
            unnamed += [Unnamed(where=a, failure=ASLEEP if a in asleep else HUNG) for a in sorted(alone)]
            return [(a, _by_pci(a)) for a in self._addresses if a not in alone]
        places = [(f"#{index}", _by_index(index)) for index in range(nvml.count())]
        unnamed += [Unnamed(where=where, failure=HUNG) for where, _ in places if where in self._avoid]
        return [(where, open_board) for where, open_board in places if where not in self._avoid]


def _by_index(index: int) -> Callable[[], nvml.Handle]:
    return lambda: nvml.by_index(index)


def _by_pci(address: str) -> Callable[[], nvml.Handle]:
    return lambda: nvml.by_pci(address)
