"""The ledger: books frames, keeps what must outlive the process, and shows the account."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ..attribution import Frame
from ..carbon.pricing import Prices
from ..clock import Clock
from ..idle import Floor, Hour, IdleFloor
from ..meters import Meters
from ..model import COMPONENTS, S_NS, Component, Price, Share
from ..snapshot import NodeRow, ProcessRow, WorkloadRow
from .accounts import Accounts
from .checkpoint import Checkpoint
from .processes import Processes

log = logging.getLogger(__name__)

FLOORS_FILE = "idle-floor.json"
FLOORS_EVERY_NS = 300 * S_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a snapshot shows of the ledger."""

    workloads: tuple[WorkloadRow, ...]
    processes: tuple[ProcessRow, ...]
    series: int
    limited: int
    self_energy_uj: int


class Ledger:
    """Accounts, process detail and idle floors, with their storage.

    `folder` is the state directory, None to keep everything in memory. `counts` are the agent's counts of
    its own doings, which go on after a restart like every other counter.
    """

    def __init__(
        self,
        *,
        accounts: Accounts,
        processes: Processes,
        idle: IdleFloor,
        clock: Clock,
        boot_id: str = "",
        folder: str | None = None,
    ) -> None:
        self.accounts = accounts
        self.processes = processes
        self.idle = idle
        self.checkpoint_errors = 0
        self.counts: dict[str, int] = {}
        self._clock = clock
        self._boot_id = boot_id
        self._folder = folder
        self._checkpoint = Checkpoint(folder) if folder else None
        self._saved_meters: dict[str, Any] | None = None
        self._self_energy_uj = 0
        self._resumed_ns: int | None = None
        self._floors_ns = clock.boottime_ns()
        self._broken = False

    def open(self) -> None:
        """Take up what the last process left; raises StorageError when the directory cannot be used."""
        if self._checkpoint is None:
            log.warning("no state directory: counters and idle floors start anew with every start")
            return
        self._load_floors()
        saved = self._checkpoint.open()
        if saved is None:
            return
        if saved.get("boot_id") != self._boot_id:
            log.info("another boot: counters start at zero")
            return
        try:
            counts = dict(saved["counts"])
            Meters().load(saved["meters"], ())  # before anything else: the sampler takes them up later
            self.processes.load(saved["processes"])
            self.accounts.load(saved["accounts"], self._clock.boottime_ns())
            self._self_energy_uj = saved["self_energy_uj"]
            self.checkpoint_errors = saved["checkpoint_errors"]
            self.counts = counts
            self._saved_meters = saved["meters"]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self._checkpoint.reject(repr(error))
            return
        self._resumed_ns = saved["at_ns"]
        down_ns = self._clock.boottime_ns() - saved["at_ns"]
        log.info("going on from the checkpoint", extra={"down_seconds": round(down_ns / S_NS, 3)})

    def configure(
        self, *, series_limit: int, grace_ns: int, hold_ns: int, top: int, idle_watts: Mapping[str, float]
    ) -> None:
        """Put reloaded settings in force."""
        self.accounts.configure(series_limit=series_limit, grace_ns=grace_ns, hold_ns=hold_ns)
        self.processes.configure(top=top, grace_ns=grace_ns)
        self.idle.configure(idle_watts)

    @property
    def resumed_ns(self) -> int | None:
        """Boot time of the checkpoint from which this process went on, None where it began anew."""
        return self._resumed_ns

    def take_saved_meters(self) -> dict[str, Any] | None:
        """The meters' part of the checkpoint, once."""
        saved, self._saved_meters = self._saved_meters, None
        return saved

    def declare(self, components: Iterable[Component], *, node: bool) -> None:
        """Show components that are metered from the start, at zero."""
        self.accounts.declare([*components, *(["other"] if node else [])])  # type: ignore[list-item]

    def book(
        self,
        frame: Frame,
        shares: Sequence[Share],
        prices: Prices,
        *,
        estimated: Collection[Component] = (),
        self_energy_uj: int = 0,
    ) -> None:
        """Book one frame; what a frame holds is booked exactly once.

        `estimated` are the components whose energy is an estimate.
        """
        usage = frame.usage
        self.accounts.meet(usage.born, usage.ended, frame.end_ns)
        self.accounts.book(shares, usage.cpu_ns, prices, estimated=estimated)
        self._self_energy_uj += self_energy_uj
        if usage.processes:
            dynamic_uj: dict[tuple[str, str], int] = {}
            for share in shares:
                if share.mode == "dynamic":
                    key = share.workload.key
                    dynamic_uj[key] = dynamic_uj.get(key, 0) + share.energy_uj
            self.processes.book(usage.processes, usage.cpu_ns, dynamic_uj, prices.now, frame.end_ns)
        else:
            self.processes.book((), {}, {}, prices.now, frame.end_ns)

    def view(self, interval_ns: int) -> View:
        """The account now."""
        return View(
            workloads=self.accounts.rows(interval_ns),
            processes=self.processes.rows(),
            series=self.accounts.series,
            limited=self.accounts.limited,
            self_energy_uj=self._self_energy_uj,
        )

    def node_rows(self, frame: Frame, estimated: Collection[Component], price: Price) -> list[NodeRow]:
        """The node's totals, in component order; market-based emissions and water where they have a price."""
        rows = []
        for component in COMPONENTS:
            total = self.accounts.node.get(component)
            if total is None:
                continue
            not_shown = self.accounts.not_shown(component)
            floor = self.idle.floor(component) or _boards_floor(component, frame)
            energy_uj = frame.energy_uj.get(component)
            span_ns = frame.span_ns.get(component, frame.end_ns - frame.start_ns)
            rows.append(
                NodeRow(
                    component=component,
                    energy_uj=total.energy_uj,
                    emissions_g=total.emissions_g,
                    expired_uj=not_shown.energy_uj,
                    expired_g=max(0.0, not_shown.emissions_g),
                    power_w=energy_uj * (S_NS / 1e6) / span_ns
                    if energy_uj is not None and span_ns > 0
                    else None,
                    idle_power_w=floor.power_w if floor else None,
                    idle_source=floor.source if floor else "",
                    estimated=component in estimated,
                    market_g=total.market_g if price.market else None,
                    water_l=total.water_l if price.wue_l_per_kwh is not None else None,
                )
            )
        return rows

    def checkpoint(self, meters: Meters) -> None:
        """Write what the next snapshot will show. A failing disk is counted and never stops the agent."""
        if self._checkpoint is None:
            return
        now_ns = self._clock.boottime_ns()
        state = {
            "boot_id": self._boot_id,
            "at_ns": now_ns,
            "accounts": self.accounts.dump(),
            "processes": self.processes.dump(),
            "meters": meters.dump(),
            "self_energy_uj": self._self_energy_uj,
            "checkpoint_errors": self.checkpoint_errors,
            "counts": self.counts,
        }
        try:
            self._checkpoint.write(state)
            if now_ns - self._floors_ns >= FLOORS_EVERY_NS:
                self._floors_ns = now_ns
                self._save_floors()
        except OSError as error:
            self.checkpoint_errors += 1
            if not self._broken:
                log.error(
                    "checkpoint cannot be written; a restart now would lose the account",
                    extra={"path": self._checkpoint.path, "reason": error.strerror},
                )
            self._broken = True
            return
        if self._broken:
            log.info("checkpoint is written again", extra={"path": self._checkpoint.path})
        self._broken = False

    def close(self) -> None:
        """Save the idle floors and release the state directory."""
        if self._checkpoint is None:
            return
        try:
            self._save_floors()
            self._checkpoint.close()
        except OSError as error:
            log.error("state could not be saved at the end", extra={"reason": error.strerror})

    def _save_floors(self) -> None:
        """Replace the floors' file in one step; they outlive the boot, so this one is synced."""
        if self._folder is None:
            return
        path = os.path.join(self._folder, FLOORS_FILE)
        fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, msgspec.json.encode(self.idle.dump()))
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(f"{path}.new", path)

    def _load_floors(self) -> None:
        if self._folder is None:
            return
        path = os.path.join(self._folder, FLOORS_FILE)
        try:
            with open(path, "rb") as file:
                saved = msgspec.json.decode(file.read(), type=dict[str, list[Hour]])
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            log.warning("idle floors start anew", extra={"path": path, "reason": str(error)})
            return
        self.idle.load(saved, self._clock.wall_ns())


def _boards_floor(component: Component, frame: Frame) -> Floor | None:
    """The idle power of the GPU boards together, as far as it is known."""
    known_w = [board.idle_floor_w for board in frame.boards if board.idle_floor_w]
    return Floor(sum(known_w), "observed") if component == "gpu" and known_w else None
