"""The fake NVIDIA driver tells which processes use a board, as vaguely as real ones do.

Boards here are an H200 of 100 W idle and 700 W at most, unless a test says otherwise: 600 W are work.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ..fake_nvml.binding import bound, first, raw, run, seen
from ..fake_nvml_driver import FakeDriver, missing

pytest.importorskip("pynvml")
pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "a compiler is there")

NO_INSTANCE = 0xFFFFFFFF
SLOT_S = 0.138889


@pytest.fixture
def driver(tmp_path: Path) -> FakeDriver:
    """A driver without boards whose time stands still."""
    return FakeDriver(tmp_path / "driver", frozen=True)


@pytest.fixture
def nvml(driver: FakeDriver) -> Iterator[Any]:
    with bound(driver) as module:
        yield module


def until(condition: Callable[[], Any]) -> None:
    """Wait for what must come."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


class TestProcessUtilisation:
    def test_a_query_without_a_buffer_is_told_100_entries(self, driver: FakeDriver, nvml: Any) -> None:
        driver.add_board()
        handle = first(nvml)
        count = ctypes.c_uint(0)
        since = ctypes.c_ulonglong(0)
        code = raw(nvml, "nvmlDeviceGetProcessUtilization", handle, None, ctypes.byref(count), since)
        assert (code, count.value) == (nvml.NVML_ERROR_INSUFFICIENT_SIZE, 100)

    def test_nobody_on_the_board_is_not_found(self, driver: FakeDriver, nvml: Any) -> None:
        driver.add_board()
        handle = first(nvml)
        driver.advance(10)
        with pytest.raises(nvml.NVMLError_NotFound):
            nvml.nvmlDeviceGetProcessUtilization(handle, 0)

    def test_one_slot_shows_one_process_with_all_of_the_work(self, driver: FakeDriver, nvml: Any) -> None:
        """Two at 50 % and 30 %: whoever is found is charged 80 %, now the one, now the other."""
        board = driver.add_board()
        board.set_use(11, 0.5)
        board.set_use(12, 0.3)
        handle = first(nvml)
        driver.advance(1)
        found = set()
        for _ in range(20):
            driver.advance(SLOT_S)
            [sample] = nvml.nvmlDeviceGetProcessUtilization(handle, driver.unix_us() - round(SLOT_S * 1e6))
            assert sample.smUtil == 80
            found.add(sample.pid)
        assert found == {11, 12}

    def test_over_the_whole_ring_shares_are_right_and_add_up(self, driver: FakeDriver, nvml: Any) -> None:
        board = driver.add_board()
        board.set_use(11, 0.6)
        board.set_use(12, 0.2)
        handle = first(nvml)
        driver.advance(15)
        shares = seen(nvml, handle)
        assert shares[11] == pytest.approx(60, abs=2)
        assert shares[12] == pytest.approx(20, abs=2)
        assert sum(shares.values()) == pytest.approx(80, abs=2)

    def test_independent_draws_are_noisier_but_add_up_too(self, tmp_path: Path) -> None:
        driver = FakeDriver(tmp_path / "random", frozen=True, sampling="random")
        board = driver.add_board()
        board.set_use(11, 0.5)
        board.set_use(12, 0.5)
        with bound(driver) as nvml:
            handle = first(nvml)
            answers = []
            for _ in range(10):
                driver.advance(10.1)
                answers.append(seen(nvml, handle))
        assert all(98 <= sum(shares.values()) <= 100 for shares in answers)
        assert len({shares[11] for shares in answers}) > 3
        assert sum(shares[11] for shares in answers) / 10 == pytest.approx(50, abs=8)

    def test_timestamp_0_is_the_ring_of_10_s_and_no_more(self, driver: FakeDriver, nvml: Any) -> None:
        """5 s at 100 % are half of the ring, and after 11 s of idling they have left it."""
        board = driver.add_board()
        handle = first(nvml)
        driver.advance(20)
        board.set_use(11, 1.0)
        driver.advance(5)
        board.leave(11)
        assert seen(nvml, handle)[11] == pytest.approx(50, abs=2)
        driver.advance(11)
        with pytest.raises(nvml.NVMLError_NotFound):
            nvml.nvmlDeviceGetProcessUtilization(handle, 0)

    def test_a_timestamp_leaves_out_what_was_seen_before(self, driver: FakeDriver, nvml: Any) -> None:
        board = driver.add_board()
        board.set_use(11, 1.0)
        handle = first(nvml)
        driver.advance(5)
        last = max(s.timeStamp for s in nvml.nvmlDeviceGetProcessUtilization(handle, 0))
        assert driver.unix_us() - SLOT_S * 1e6 < last <= driver.unix_us()
        with pytest.raises(nvml.NVMLError_NotFound):
            nvml.nvmlDeviceGetProcessUtilization(handle, last)
        board.leave(11)
        board.set_use(12, 0.4)
        driver.advance(5)
        shares = seen(nvml, handle, last)
        assert shares[12] == pytest.approx(40, abs=2)
        assert shares.get(11, 0) <= 3  # in the one slot that both were in

    def test_engines_are_sampled_each_for_itself(self, driver: FakeDriver, nvml: Any) -> None:
        board = driver.add_board()
        board.set_use(11, 0.5, memory=0.4)
        board.set_use(12, 0.0, memory=0.0, encoder=0.3, decoder=0.2)
        handle = first(nvml)
        driver.advance(11)
        by_pid = {s.pid: s for s in nvml.nvmlDeviceGetProcessUtilization(handle, 0)}
        of = lambda s: (s.smUtil, s.memUtil, s.encUtil, s.decUtil)  # noqa: E731
        assert (of(by_pid[11]), of(by_pid[12])) == ((50, 40, 0, 0), (0, 0, 30, 20))

    def test_the_newer_call_says_the_same(self, driver: FakeDriver, nvml: Any) -> None:
        board = driver.add_board()
        board.set_use(11, 0.5)
        board.set_use(12, 0.3)
        handle = first(nvml)
        driver.advance(11)
        newer = nvml.nvmlDeviceGetProcessesUtilizationInfo(handle, 0)
        older = nvml.nvmlDeviceGetProcessUtilization(handle, 0)
        of = lambda s: (s.pid, s.timeStamp, s.smUtil, s.memUtil)  # noqa: E731
        assert [of(s) for s in newer] == [of(s) for s in older]

    def test_garbage_when_asked_for(self, driver: FakeDriver, nvml: Any) -> None:
        board = driver.add_board()
        board.set_use(11, 0.5)
        board.set_garbage(1)
        handle = first(nvml)
        driver.advance(11)
        entries = [(s.pid, s.smUtil) for s in nvml.nvmlDeviceGetProcessUtilization(handle, 0)]
        assert entries == [(11, 50), (0, 50), (4000000000, 2863311530)]

    def test_a_board_is_never_busier_than_full(self, driver: FakeDriver, nvml: Any) -> None:
        board = driver.add_board()
        board.set_use(11, 0.9)
        board.set_use(12, 0.9)
        handle = first(nvml)
        driver.advance(11)
        shares = seen(nvml, handle)
        assert shares[11] == pytest.approx(50, abs=2)
        assert nvml.nvmlDeviceGetTotalEnergyConsumption(handle) == 7_700_000
        assert board.worked_joules(12) == pytest.approx(3300.0)

    def test_rates_of_the_board(self, driver: FakeDriver, nvml: Any) -> None:
        board = driver.add_board()
        handle = first(nvml)
        board.set_use(11, 0.6, memory=0.2)
        driver.advance(0.5)
        rates = nvml.nvmlDeviceGetUtilizationRates(handle)
        assert (rates.gpu, rates.memory) == (30, 10)  # half of the last second


class TestContexts:
    def test_lists_by_kind_with_memory(self, driver: FakeDriver, nvml: Any) -> None:
        board = driver.add_board()
        handle = first(nvml)
        assert nvml.nvmlDeviceGetComputeRunningProcesses(handle) == []
        board.set_use(11, 0.5, memory_bytes=1 << 30)
        board.hold(12, 2 << 30)
        board.hold(11, 3 << 30, kind="graphics")
        board.hold(13, 4 << 30, kind="mps")
        of = lambda found: [(p.pid, p.usedGpuMemory, p.gpuInstanceId) for p in found]  # noqa: E731
        assert of(nvml.nvmlDeviceGetComputeRunningProcesses(handle)) == [
            (11, 1 << 30, NO_INSTANCE),
            (12, 2 << 30, NO_INSTANCE),
        ]
        assert of(nvml.nvmlDeviceGetGraphicsRunningProcesses_v3(handle)) == [(11, 3 << 30, NO_INSTANCE)]
        assert of(nvml.nvmlDeviceGetMPSComputeRunningProcesses_v3(handle)) == [(13, 4 << 30, NO_INSTANCE)]
        board.leave(11)
        assert nvml.nvmlDeviceGetGraphicsRunningProcesses_v3(handle) == []

    def test_too_small_a_buffer_is_told_the_size(self, driver: FakeDriver, nvml: Any) -> None:
        board = driver.add_board()
        for pid in (11, 12, 13):
            board.hold(pid, 1)
        handle = first(nvml)
        count = ctypes.c_uint(2)
        room = (nvml.c_nvmlProcessInfo_v3_t * 2)()
        code = raw(nvml, "nvmlDeviceGetComputeRunningProcesses_v3", handle, ctypes.byref(count), room)
        assert (code, count.value) == (nvml.NVML_ERROR_INSUFFICIENT_SIZE, 3)


class TestAccounting:
    def test_a_process_that_lived_between_two_polls_is_found(self, driver: FakeDriver, nvml: Any) -> None:
        """3 s at 80 % and 1 s at 40 %: 4 s at 70 %."""
        board = driver.add_board(accounting=True)
        handle = first(nvml)
        driver.advance(1)
        started = driver.unix_us()
        board.set_use(11, 0.8, memory_bytes=5 << 30)
        driver.advance(3)
        board.set_use(11, 0.4)
        running = nvml.nvmlDeviceGetAccountingStats(handle, 11)
        assert (running.isRunning, running.time, running.gpuUtilization) == (1, 0, 80)
        driver.advance(1)
        board.leave(11)
        driver.advance(10)
        assert nvml.nvmlDeviceGetAccountingPids(handle) == [11]
        stats = nvml.nvmlDeviceGetAccountingStats(handle, 11)
        assert (stats.isRunning, stats.time, stats.gpuUtilization) == (0, 4000, 70)
        assert (stats.maxMemoryUsage, stats.startTime) == (5 << 30, started)
        with pytest.raises(nvml.NVMLError_NotFound):
            nvml.nvmlDeviceGetAccountingStats(handle, 12)
        driver.reload()
        assert nvml.nvmlDeviceGetAccountingPids(handle) == []

    def test_it_is_off_by_default(self, driver: FakeDriver, nvml: Any) -> None:
        board = driver.add_board()
        handle = first(nvml)
        board.set_use(11, 1.0)
        assert nvml.nvmlDeviceGetAccountingMode(handle) == 0
        assert nvml.nvmlDeviceGetAccountingBufferSize(handle) == 4000
        with pytest.raises(nvml.NVMLError_NotSupported):
            nvml.nvmlDeviceGetAccountingPids(handle)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root may set it")
    def test_root_can_turn_it_on_for_everybody(self, driver: FakeDriver, nvml: Any) -> None:
        board = driver.add_board()
        handle = first(nvml)
        nvml.nvmlDeviceSetAccountingMode(handle, 1)
        board.set_use(11, 1.0)
        driver.advance(1)
        code = "print(n.nvmlDeviceGetAccountingPids(n.nvmlDeviceGetHandleByIndex(0)))"
        assert run(driver, code) == "[11]"
        nvml.nvmlDeviceSetAccountingMode(handle, 0)
        assert nvml.nvmlDeviceGetAccountingMode(handle) == 0

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
    def test_nobody_else_can(self, driver: FakeDriver) -> None:
        driver.add_board()
        code = (
            "import os; h = n.nvmlDeviceGetHandleByIndex(0); os.seteuid(65534)\n"
            "try: n.nvmlDeviceSetAccountingMode(h, 1)\n"
            "except n.NVMLError_NoPermission: print('refused')"
        )
        for folder in (driver.folder, *driver.folder.parents):
            if folder.owner() == "root" and folder.stat().st_mode & 0o055 != 0o055:
                folder.chmod(0o755)
            if folder.name.startswith("pytest-of"):
                break
        assert run(driver, code) == "refused"


@pytest.fixture
def worker() -> Iterator[SimpleNamespace]:
    """A process that works for some milliseconds of CPU time when told to, and says when it is done."""
    code = (
        "import sys, time\n"
        "for line in sys.stdin:\n"
        "    end = time.process_time() + int(line) / 1000\n"
        "    while time.process_time() < end: pass\n"
        "    print('done', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def work(milliseconds: int) -> None:
        process.stdin.write(f"{milliseconds}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n"

    work(0)  # it runs
    yield SimpleNamespace(pid=process.pid, work=work, process=process)
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


class TestLive:
    def test_work_follows_the_true_cpu_time(self, tmp_path: Path, worker: SimpleNamespace) -> None:
        """Over two steps, 600 W times the CPU seconds that the kernel counts for the process."""
        driver = FakeDriver(tmp_path / "live", live=True)
        board = driver.add_board(energy_step_us=1)
        driver.step()
        before_us, before_j = driver.now_us(), board.true_joules()
        clock = (~worker.pid << 3) | 2
        cpu_before_s = time.clock_gettime(clock)
        board.follow(worker.pid)
        for _ in range(2):
            worker.work(40)
            driver.step()
        cpu_s = time.clock_gettime(clock) - cpu_before_s
        lasting_s = (driver.now_us() - before_us) / 1e6
        assert cpu_s >= 0.08
        # Rounding to 1/100 %, and the process may run on a little between the step's look and ours.
        assert board.worked_joules(worker.pid) == pytest.approx(600 * cpu_s, abs=1.0)
        drawn_j = board.true_joules() - before_j
        assert drawn_j == pytest.approx(100 * lasting_s + board.worked_joules(worker.pid), abs=0.01)
        with bound(driver) as nvml:
            counter_mj = nvml.nvmlDeviceGetTotalEnergyConsumption(first(nvml))
        assert counter_mj / 1000 == pytest.approx(board.true_joules(), abs=0.001)

    def test_nothing_is_known_between_two_steps(self, tmp_path: Path) -> None:
        driver = FakeDriver(tmp_path / "live", live=True)
        driver.add_board(energy_step_us=1)
        with bound(driver) as nvml:
            handle = first(nvml)
            driver.step()
            before = nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            time.sleep(0.002)
            assert nvml.nvmlDeviceGetTotalEnergyConsumption(handle) == before
            driver.step()
            assert nvml.nvmlDeviceGetTotalEnergyConsumption(handle) >= before + 200

    def test_a_process_that_is_gone_uses_nothing_and_holds_nothing(
        self, tmp_path: Path, worker: SimpleNamespace
    ) -> None:
        driver = FakeDriver(tmp_path / "live", live=True)
        board = driver.add_board(accounting=True)
        board.set_use(worker.pid, 0.5)
        driver.step()
        with bound(driver) as nvml:
            handle = first(nvml)
            assert [p.pid for p in nvml.nvmlDeviceGetComputeRunningProcesses(handle)] == [worker.pid]
            worked_j = board.worked_joules(worker.pid)
            assert worked_j > 0
            worker.process.kill()
            worker.process.wait()
            driver.step()
            assert board.worked_joules(worker.pid) == worked_j
            assert nvml.nvmlDeviceGetComputeRunningProcesses(handle) == []
            assert nvml.nvmlDeviceGetAccountingStats(handle, worker.pid).isRunning == 0

    def test_a_thread_takes_the_steps(self, tmp_path: Path, worker: SimpleNamespace) -> None:
        """Programs see the counter move and the process work, without anybody's doing."""
        with FakeDriver(tmp_path / "live", live=True) as driver:
            board = driver.add_board()
            board.follow(worker.pid)
            with bound(driver) as nvml:
                handle = first(nvml)
                before = nvml.nvmlDeviceGetTotalEnergyConsumption(handle)

                def moved() -> bool:
                    worker.work(30)
                    return nvml.nvmlDeviceGetTotalEnergyConsumption(handle) > before

                def found() -> bool:
                    worker.work(30)
                    try:
                        return worker.pid in seen(nvml, handle)
                    except nvml.NVMLError_NotFound:
                        return False

                until(moved)
                until(found)
            assert board.worked_joules(worker.pid) > 0
