"""A fake NVIDIA driver: boards whose truth is known, behind a libnvidia-ml.so.1 that real programs load.

    with FakeDriver(tmp_path, live=True) as driver:
        board = driver.add_board()
        board.follow(pid)
        subprocess.run([...], env=driver.environment())

Its time is one of three kinds.
With `FakeDriver(folder)` it is the machine's, and pids are mere numbers whose shares hold until changed.
With `live=True` it is the machine's too, but pids are real processes: a thread writes down ten times a second
what they did, the boards show what is written, and a process that is gone uses nothing.
With `frozen=True` time moves by `advance` alone, so that every answer can be foretold.
The state file, and what the library answers, is described in fake_nvml/README.md.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from .fake_nvml.board import FakeBoard, Instance
from .fake_nvml.build import SONAME, library, missing

__all__ = ["STEP_S", "FakeBoard", "FakeDriver", "Instance", "missing"]

STEP_S = 0.1
"""How often a live driver looks at the processes."""
FROZEN_START_US = 1_000_000_000
FROZEN_WALL_OFFSET_US = 1_700_000_000_000_000
_STATE_VARIABLE = "FAKE_NVML_STATE"
_MODELS = {
    # architecture: name, idle W, max W, memory GiB, SMs
    "kepler": ("Tesla K40m", 20.0, 235.0, 12, 15),
    "maxwell": ("Quadro K620", 5.0, 41.0, 2, 3),
    "pascal": ("Tesla P100-PCIE-16GB", 30.0, 250.0, 16, 56),
    "volta": ("Tesla V100-SXM2-32GB", 40.0, 300.0, 32, 80),
    "turing": ("Tesla T4", 10.0, 70.0, 16, 40),
    "ga100": ("NVIDIA A100-SXM4-80GB", 50.0, 400.0, 80, 108),
    "ampere": ("NVIDIA A40", 25.0, 300.0, 48, 84),
    "ada": ("NVIDIA L40S", 35.0, 350.0, 48, 142),
    "hopper": ("NVIDIA H200", 100.0, 700.0, 141, 132),
    "blackwell": ("NVIDIA B200", 140.0, 1000.0, 180, 148),
}


class FakeDriver:
    """The driver of one machine. Several threads may use it."""

    def __init__(
        self,
        folder: Path,
        *,
        version: str = "580.95.05",
        live: bool = False,
        frozen: bool = False,
        sampling: str = "rotation",
    ) -> None:
        """Keep its files in `folder`. `sampling` decides which process a sample of the ring finds:

        `rotation`, as a steady round of time slices does, with shares exact over some seconds; or `random`,
        with the noise of independent draws.
        """
        self.folder = folder
        self.library = folder / "lib" / SONAME
        self.state_path = folder / "state"
        self.device_file = folder / "nvidiactl"
        self.log_path = folder / "calls"
        self.boards: list[FakeBoard] = []
        self._version, self._sampling = version, sampling
        self._live, self._frozen = live, frozen
        self._log_calls = False
        self._faults: list[str] = []
        self._written_ns = 0
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._now_us = FROZEN_START_US if frozen else time.monotonic_ns() // 1000
        self._wall_offset_us = (
            FROZEN_WALL_OFFSET_US if frozen else (time.time_ns() - time.monotonic_ns()) // 1000
        )
        self.library.parent.mkdir(parents=True)
        shutil.copy(library(), self.library)  # a copy of its own, so that drivers in one process keep apart
        self.device_file.touch()
        self.write()

    def __enter__(self) -> FakeDriver:
        if self._live:
            self._thread = threading.Thread(target=self._follow, name="fake NVIDIA driver", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment (by default this process's) in which a program finds this driver."""
        environment = dict(os.environ if base is None else base)
        before = environment.get("LD_LIBRARY_PATH")
        environment["LD_LIBRARY_PATH"] = ":".join(filter(None, (str(self.library.parent), before)))
        environment[_STATE_VARIABLE] = str(self.state_path)
        return environment

    def now_us(self) -> int:
        """The driver's time: CLOCK_MONOTONIC in microseconds, the last step's in a live driver."""
        return self._now_us if self._live or self._frozen else time.monotonic_ns() // 1000

    def unix_us(self) -> int:
        """The same instant as NVML's timestamps tell it."""
        return self.now_us() + self._wall_offset_us

    def advance(self, seconds: float) -> None:
        """Let the time of a frozen driver pass."""
        if not self._frozen:
            raise ValueError("only a frozen driver's time can be moved")
        self._now_us += round(seconds * 1e6)
        self.write()

    def add_board(
        self,
        architecture: str = "hopper",
        *,
        uuid: str | None = None,
        idle_w: float | None = None,
        max_w: float | None = None,
        persistence: bool = True,
        accounting: bool = False,
        energy_step_us: int = 100_000,
    ) -> FakeBoard:
        """Plug a board in. Programs see it when they initialise NVML anew."""
        name, model_idle_w, model_max_w, memory_gib, multiprocessors = _MODELS[architecture]
        number = next(n for n in range(32) if n not in {board.minor for board in self.boards})
        uuid = uuid or f"GPU-{number:08x}-0000-4000-8000-{number:012x}"
        board = FakeBoard(
            uuid=uuid,
            name=name,
            architecture=architecture,
            pci=f"00000000:{0x1B + number:02X}:00.0",
            minor=number,
            idle_w=model_idle_w if idle_w is None else idle_w,
            max_w=model_max_w if max_w is None else max_w,
            memory_bytes=memory_gib << 30,
            multiprocessors=multiprocessors,
            now_us=self.now_us,
            changed=self.write,
            lock=self._lock,
            persistence=persistence,
            accounting_at_first=accounting,
            accounting_mode_file=self.state_path.with_name(f"{self.state_path.name}.accounting.{uuid}"),
            energy_step_us=energy_step_us,
        )
        with self._lock:
            self.boards.append(board)
            self.write()
        return board

    def remove_board(self, board: FakeBoard) -> None:
        """Pull a board out. Programs that hold it are told that it is lost."""
        with self._lock:
            self.boards.remove(board)
            self.write()

    def reload(self) -> None:
        """Unload the driver and load it again: counters restart, accounts are forgotten."""
        with self._lock:
            for board in self.boards:
                board.accounting.clear()
                board.restart_counter()

    def unload(self) -> None:
        """Every call answers DRIVER_NOT_LOADED, until `heal`."""
        self.answer("*", 9)

    def mismatch(self) -> None:
        """Every call answers LIB_RM_VERSION_MISMATCH, until `heal`."""
        self.answer("*", 18)

    def upgrade(self, version: str) -> None:
        """Install another version: programs that loaded the library before mismatch until they restart."""
        self._version = version
        self.reload()

    def answer(self, call: str, code: int) -> None:
        """Answer a call (its symbol, or `*` for all) with an nvmlReturn_t, whatever board it is about."""
        self._faults.append(f"answer {call} {code}")
        self.write()

    def hang(self, call: str) -> None:
        """Let callers of it wait for ever; only SIGKILL ends them."""
        self._faults.append(f"delay {call} -1")
        self.write()

    def heal(self) -> None:
        """End all answers and hangs prescribed for the library."""
        self._faults.clear()
        self.write()

    def log_calls(self) -> None:
        """Have every call written down from now on."""
        self._log_calls = True
        self.write()

    def calls(self) -> list[tuple[int, str, str]]:
        """Calls written down: the pid of the caller, the symbol, the board's UUID or `-`."""
        lines = self.log_path.read_text().splitlines() if self.log_path.exists() else []
        return [(int(pid), call, uuid) for pid, call, uuid in (line.split() for line in lines)]

    def holders(self) -> list[int]:
        """Processes that keep the device file open, as they would keep a driver from being unloaded."""
        return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and self._held_by(pid)]

    def write(self) -> None:
        """Write the state file; readers see the old state or the new one."""
        with self._lock:
            new = self.state_path.with_suffix(".new")
            new.write_text("\n".join(self._lines()) + "\n")
            # A time never used before tells readers of every change, however soon it follows the last.
            self._written_ns = max(self._written_ns + 1, time.time_ns())
            os.utime(new, ns=(self._written_ns, self._written_ns))
            new.replace(self.state_path)

    def step(self) -> None:
        """Write down what the processes did since the last step."""
        with self._lock:
            since_us, until_us = self._now_us, time.monotonic_ns() // 1000
            if until_us == since_us:
                return
            for board in self.boards:
                board.step(since_us, until_us)
            self._now_us = until_us
            self.write()

    def _follow(self) -> None:
        while not self._stop.wait(STEP_S):
            self.step()

    def _lines(self) -> list[str]:
        now_us = self.now_us()
        lines = [
            "fake-nvml 1",
            f"driver {self._version}",
            f"nvml 13.{self._version}",
            f"wall_offset_us {self._wall_offset_us}",
            f"device_file {self.device_file}",
            f"sampling {self._sampling}",
            f"check_pids {int(self._live)}",
        ]
        if self._frozen:
            lines.append(f"fixed_clock_us {now_us}")
        if self._live:
            lines.append(f"horizon_us {now_us}")
        if self._log_calls:
            lines.append(f"log {self.log_path}")
        lines += self._faults
        for board in self.boards:
            board.history.forget_before(now_us)
            lines += board.lines(self._wall_offset_us)
        return lines

    def _held_by(self, pid: str) -> bool:
        folder = f"/proc/{pid}/fd"
        try:
            return any(os.readlink(f"{folder}/{fd}") == str(self.device_file) for fd in os.listdir(folder))
        except OSError:
            return False
