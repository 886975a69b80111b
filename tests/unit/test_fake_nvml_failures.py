"""The fake NVIDIA driver fails, hangs and changes as real ones do.

Boards here are an H200 of 100 W idle and 700 W at most, unless a test says otherwise: 600 W are work.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..fake_nvml.binding import bound, first, run
from ..fake_nvml_driver import FakeDriver, missing

pytest.importorskip("pynvml")
pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "a compiler is there")


@pytest.fixture
def driver(tmp_path: Path) -> FakeDriver:
    """A driver without boards whose time stands still."""
    return FakeDriver(tmp_path / "driver", frozen=True)


@pytest.fixture
def nvml(driver: FakeDriver) -> Iterator[Any]:
    with bound(driver) as module:
        yield module


def signals(pid: int, kind: str) -> int:
    """A set of signals of a process's main thread, as /proc tells it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(kind)), 16)


def until(condition: Callable[[], Any]) -> None:
    """Wait for what must come."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


class TestFailures:
    def test_a_lost_board_takes_no_other_along(self, driver: FakeDriver, nvml: Any) -> None:
        driver.add_board(uuid="GPU-a")
        lost = driver.add_board(uuid="GPU-b")
        healthy = first(nvml)
        handle = nvml.nvmlDeviceGetHandleByIndex(1)
        lost.lose()
        for call in (
            lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle),
            lambda: nvml.nvmlDeviceGetFieldValues(handle, [186]),
            lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle),
            lambda: nvml.nvmlDeviceGetProcessUtilization(handle, 0),
            lambda: nvml.nvmlDeviceGetHandleByIndex(1),
            lambda: nvml.nvmlDeviceGetHandleByUUID(b"GPU-b"),
        ):
            with pytest.raises(nvml.NVMLError_GpuIsLost):
                call()
        assert nvml.nvmlDeviceGetCount() == 2
        assert nvml.nvmlDeviceGetPowerUsage(healthy) == 100_000
        lost.heal()
        assert nvml.nvmlDeviceGetPowerUsage(handle) == 100_000

    @pytest.mark.parametrize(
        ("code", "error"), [(3, "NotSupported"), (4, "NoPermission"), (10, "Timeout"), (999, "Unknown")]
    )
    def test_one_call_of_a_board_fails_as_told(
        self, driver: FakeDriver, nvml: Any, code: int, error: str
    ) -> None:
        board = driver.add_board()
        handle = first(nvml)
        board.answer("nvmlDeviceGetTotalEnergyConsumption", code)
        with pytest.raises(getattr(nvml, f"NVMLError_{error}")):
            nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        assert nvml.nvmlDeviceGetPowerUsage(handle) == 100_000

    def test_no_driver(self, driver: FakeDriver, nvml: Any) -> None:
        driver.add_board()
        driver.unload()
        with pytest.raises(nvml.NVMLError_DriverNotLoaded):
            nvml.nvmlInit()
        driver.heal()
        nvml.nvmlInit()
        driver.state_path.unlink()
        with pytest.raises(nvml.NVMLError_DriverNotLoaded):
            nvml.nvmlDeviceGetCount()
        nvml.nvmlShutdown()

    def test_a_mismatch_of_library_and_driver(self, driver: FakeDriver, nvml: Any) -> None:
        driver.add_board()
        handle = first(nvml)
        driver.mismatch()
        with pytest.raises(nvml.NVMLError_LibRmVersionMismatch):
            nvml.nvmlDeviceGetPowerUsage(handle)
        with pytest.raises(nvml.NVMLError_LibRmVersionMismatch):
            nvml.nvmlInit()

    def test_an_upgrade_needs_new_processes(self, driver: FakeDriver, nvml: Any) -> None:
        driver.add_board()
        nvml.nvmlInit()
        driver.upgrade("590.44.01")
        nvml.nvmlShutdown()
        with pytest.raises(nvml.NVMLError_LibRmVersionMismatch):
            nvml.nvmlInit()
        assert run(driver, "print(n.nvmlSystemGetDriverVersion())") == "590.44.01"

    def test_no_boards(self, driver: FakeDriver, nvml: Any) -> None:
        with pytest.raises(nvml.NVMLError_NotFound):
            nvml.nvmlInit()
        nvml.nvmlInitWithFlags(nvml.NVML_INIT_FLAG_NO_GPUS)
        assert nvml.nvmlDeviceGetCount() == 0

    def test_a_board_plugged_in_is_seen_after_the_next_initialisation(
        self, driver: FakeDriver, nvml: Any
    ) -> None:
        pulled = driver.add_board(uuid="GPU-a")
        handle = first(nvml)
        driver.add_board(uuid="GPU-b")
        assert nvml.nvmlDeviceGetCount() == 1
        driver.remove_board(pulled)
        with pytest.raises(nvml.NVMLError_GpuIsLost):
            nvml.nvmlDeviceGetPowerUsage(handle)
        nvml.nvmlShutdown()
        assert nvml.nvmlDeviceGetUUID(first(nvml)) == "GPU-b"
        driver.add_board(uuid="GPU-c")  # in the place that is free again
        nvml.nvmlShutdown()
        nvml.nvmlInit()
        assert {nvml.nvmlDeviceGetMinorNumber(nvml.nvmlDeviceGetHandleByIndex(i)) for i in (0, 1)} == {0, 1}

    def test_a_call_can_take_its_time(self, driver: FakeDriver, nvml: Any) -> None:
        board = driver.add_board()
        handle = first(nvml)
        board.delay("nvmlDeviceGetPowerUsage", 0.03)
        before = time.monotonic()
        nvml.nvmlDeviceGetPowerUsage(handle)
        assert time.monotonic() - before >= 0.03

    def test_a_hanging_call_ends_by_sigkill_alone_and_holds_up_no_other_thread(
        self, driver: FakeDriver
    ) -> None:
        stuck = driver.add_board()
        driver.add_board()
        code = (
            "import pynvml as n, threading\n"
            "n.nvmlInit()\n"
            "one, other = (n.nvmlDeviceGetHandleByIndex(i) for i in (0, 1))\n"
            "threading.Thread(target=n.nvmlDeviceGetPowerUsage, args=(other,)).start()\n"
            "print('ready', flush=True); input()\n"
            "thread = threading.Thread(target=n.nvmlDeviceGetTotalEnergyConsumption, args=(one,))\n"
            "thread.start(); thread.join(0.05)\n"
            "print(n.nvmlDeviceGetPowerUsage(other), flush=True)\n"
            "n.nvmlDeviceGetTotalEnergyConsumption(one)\n"
        )
        program = subprocess.Popen(
            [sys.executable, "-c", code],
            env=driver.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert program.stdout.readline() == "ready\n"
            driver.log_calls()
            stuck.hang("nvmlDeviceGetTotalEnergyConsumption")
            program.stdin.write("\n")
            program.stdin.flush()
            assert program.stdout.readline() == "100000\n"
            until(lambda: signals(program.pid, "SigBlk") >> (signal.SIGTERM - 1) & 1)
            program.send_signal(signal.SIGTERM)
            until(lambda: signals(program.pid, "ShdPnd") >> (signal.SIGTERM - 1) & 1)
            assert program.poll() is None
        finally:
            program.kill()
            assert program.wait() == -signal.SIGKILL
            program.stdin.close()
            program.stdout.close()
