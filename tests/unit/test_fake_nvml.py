"""The fake NVIDIA driver answers the real pynvml as boards do, and knows the truth about them.

Boards here are an H200 of 100 W idle and 700 W at most, unless a test says otherwise: 600 W are work.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ..fake_nvml.binding import bound, first, raw, run
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


class TestBinding:
    def test_the_library_is_found_by_name_in_a_program_of_its_own(self, driver: FakeDriver) -> None:
        driver.add_board()
        code = "print(n.nvmlDeviceGetName(n.nvmlDeviceGetHandleByIndex(0)), n.nvmlSystemGetDriverVersion())"
        assert run(driver, code) == "NVIDIA H200 580.95.05"

    @pytest.mark.parametrize(
        ("struct", "size"),
        [
            ("c_nvmlProcessInfo_v3_t", 24),
            ("c_nvmlFieldValue_t", 40),
            ("c_nvmlProcessUtilizationSample_t", 32),
            ("c_nvmlProcessUtilizationInfo_v1_t", 40),
            ("c_nvmlProcessesUtilizationInfo_v1_t", 24),
            ("c_nvmlDeviceAttributes", 40),
            ("c_nvmlAccountingStats_t", 56),
            ("nvmlPciInfo_t", 68),
            ("c_nvmlMemory_v2_t", 40),
            ("c_nvmlSample_t", 16),
            ("c_nvmlGpmMetricsGet_t", 19104),
        ],
    )
    def test_structs_are_as_large_as_the_source_asserts(self, nvml: Any, struct: str, size: int) -> None:
        assert ctypes.sizeof(getattr(nvml, struct)) == size

    def test_calls_need_an_initialised_library_and_count_how_often_it_was(
        self, driver: FakeDriver, nvml: Any
    ) -> None:
        driver.add_board()
        with pytest.raises(nvml.NVMLError_Uninitialized):
            nvml.nvmlDeviceGetCount()
        nvml.nvmlInit()
        nvml.nvmlInit()
        nvml.nvmlShutdown()
        assert nvml.nvmlDeviceGetCount() == 1
        nvml.nvmlShutdown()
        with pytest.raises(nvml.NVMLError_Uninitialized):
            nvml.nvmlDeviceGetCount()
        with pytest.raises(nvml.NVMLError_Uninitialized):
            nvml.nvmlShutdown()

    def test_a_state_that_makes_no_sense_is_an_unknown_error(self, driver: FakeDriver, nvml: Any) -> None:
        driver.state_path.write_text("fake-nvml 1\nnonsense 3\n")
        with pytest.raises(nvml.NVMLError_Unknown):
            nvml.nvmlInit()

    def test_the_device_file_is_held_between_the_first_init_and_the_last_shutdown(
        self, driver: FakeDriver, nvml: Any
    ) -> None:
        driver.add_board()
        assert driver.holders() == []
        nvml.nvmlInit()
        nvml.nvmlInit()
        nvml.nvmlShutdown()
        assert driver.holders() == [os.getpid()]
        nvml.nvmlShutdown()
        assert driver.holders() == []

    def test_calls_are_written_down_when_asked_for(self, driver: FakeDriver, nvml: Any) -> None:
        board = driver.add_board()
        handle = first(nvml)
        driver.log_calls()
        nvml.nvmlDeviceGetPowerUsage(handle)
        nvml.nvmlDeviceGetCount()
        pid = os.getpid()
        assert driver.calls() == [
            (pid, "nvmlDeviceGetPowerUsage", board.uuid),
            (pid, "nvmlDeviceGetCount_v2", "-"),
        ]


class TestIdentity:
    def test_a_board_says_what_it_is(self, driver: FakeDriver, nvml: Any) -> None:
        driver.add_board("ga100", uuid="GPU-a")
        driver.add_board(uuid="GPU-b", persistence=False)
        nvml.nvmlInit()
        assert nvml.nvmlDeviceGetCount() == 2
        handle = nvml.nvmlDeviceGetHandleByIndex(1)
        assert nvml.nvmlDeviceGetName(handle) == "NVIDIA H200"
        assert nvml.nvmlDeviceGetUUID(handle) == "GPU-b"
        assert nvml.nvmlDeviceGetIndex(handle) == 1
        assert nvml.nvmlDeviceGetMinorNumber(handle) == 1
        assert nvml.nvmlDeviceGetPersistenceMode(handle) == 0
        assert nvml.nvmlDeviceGetArchitecture(handle) == nvml.NVML_DEVICE_ARCH_HOPPER
        assert nvml.nvmlDeviceGetEnforcedPowerLimit(handle) == 700_000
        assert nvml.nvmlSystemGetNVMLVersion() == "13.580.95.05"

    def test_it_is_found_by_uuid_and_by_pci_address(self, driver: FakeDriver, nvml: Any) -> None:
        driver.add_board(uuid="GPU-a")
        driver.add_board(uuid="GPU-b")
        nvml.nvmlInit()
        pci = nvml.nvmlDeviceGetPciInfo(nvml.nvmlDeviceGetHandleByUUID(b"GPU-b"))
        assert (pci.busId, pci.busIdLegacy) == ("00000000:1C:00.0", "0000:1C:00.0")
        assert (pci.domain, pci.bus, pci.device, pci.pciDeviceId) == (0, 0x1C, 0, 0x233510DE)
        handle = nvml.nvmlDeviceGetHandleByPciBusId(b"0000:1b:00.0")
        assert nvml.nvmlDeviceGetUUID(handle) == "GPU-a"
        with pytest.raises(nvml.NVMLError_NotFound):
            nvml.nvmlDeviceGetHandleByUUID(b"GPU-c")
        with pytest.raises(nvml.NVMLError_InvalidArgument):
            nvml.nvmlDeviceGetHandleByIndex(2)

    def test_memory_is_what_contexts_hold(self, driver: FakeDriver, nvml: Any) -> None:
        board = driver.add_board()
        board.hold(11, 3 << 30)
        board.hold(12, 1 << 30, kind="graphics")
        handle = first(nvml)
        newer = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
        assert (newer.total, newer.used) == (141 << 30, 4 << 30)
        assert newer.total == newer.used + newer.free + newer.reserved
        older = nvml.nvmlDeviceGetMemoryInfo(handle)
        assert older.used == newer.used + newer.reserved
        with pytest.raises(nvml.NVMLError_ArgumentVersionMismatch):
            nvml.nvmlDeviceGetMemoryInfo(handle, version=0x01000028)

    def test_a_text_that_does_not_fit_is_refused(self, driver: FakeDriver, nvml: Any) -> None:
        driver.add_board()
        handle = first(nvml)
        assert raw(nvml, "nvmlDeviceGetName", handle, ctypes.create_string_buffer(4), 4) == 7


class TestEnergy:
    def test_it_is_the_integral_of_power(self, driver: FakeDriver, nvml: Any) -> None:
        """10 s at 100 W, 10 s at 100 W + half of 600 W, 10 s pinned to 250 W: 1 + 4 + 2.5 kJ."""
        board = driver.add_board()
        handle = first(nvml)
        read = lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle)  # noqa: E731
        assert read() == 0
        driver.advance(10)
        assert read() == 1_000_000
        board.set_use(11, 0.5)
        driver.advance(10)
        assert read() == 5_000_000
        board.set_power(250.0)
        driver.advance(10)
        assert read() == 7_500_000
        assert board.true_joules() == pytest.approx(7500.0)
        assert board.worked_joules(11) == pytest.approx(3000.0 + 1500.0)

    def test_it_advances_in_steps(self, driver: FakeDriver, nvml: Any) -> None:
        """100 ms at 100 W are 10 J; nothing is added in between."""
        driver.add_board()
        handle = first(nvml)
        seen = []
        for _ in range(5):
            seen.append(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
            driver.advance(0.05)
        assert seen == [0, 0, 10_000, 10_000, 20_000]

    def test_a_change_within_a_step_is_in_the_next_reading_and_in_no_earlier(
        self, driver: FakeDriver, nvml: Any
    ) -> None:
        """50 ms at 100 W and 50 ms at 700 W: 5 J + 35 J."""
        board = driver.add_board()
        handle = first(nvml)
        driver.advance(0.05)
        board.set_use(11, 1.0)
        assert nvml.nvmlDeviceGetTotalEnergyConsumption(handle) == 0
        driver.advance(0.05)
        assert nvml.nvmlDeviceGetTotalEnergyConsumption(handle) == 40_000

    def test_it_never_goes_back_however_often_the_state_changes(self, driver: FakeDriver, nvml: Any) -> None:
        """49 s in steps of 70 ms with a change in each, and history forgotten on the way."""
        board = driver.add_board()
        handle = first(nvml)
        seen = [0]
        for i in range(700):
            board.set_use(11, (i % 11) / 10)
            driver.advance(0.07)
            seen.append(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        assert all(later >= earlier for earlier, later in pairwise(seen))
        assert len(board.history.segments) < 220  # 15 s
        assert seen[-1] / 1000 == pytest.approx(board.true_joules(), abs=70.0)  # one step at most
        driver.advance(0.1 - driver.now_us() % 100_000 / 1e6)  # to the end of a step
        assert nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000 == pytest.approx(
            board.true_joules(), abs=0.001
        )

    def test_every_process_reads_the_same(self, driver: FakeDriver, nvml: Any) -> None:
        board = driver.add_board()
        board.set_use(11, 0.37)
        driver.advance(12.3)
        code = "print(n.nvmlDeviceGetTotalEnergyConsumption(n.nvmlDeviceGetHandleByIndex(0)))"
        assert int(run(driver, code)) == nvml.nvmlDeviceGetTotalEnergyConsumption(first(nvml)) == 3_960_600

    def test_a_reload_restarts_it(self, driver: FakeDriver, nvml: Any) -> None:
        driver.add_board()
        handle = first(nvml)
        driver.advance(10)
        driver.reload()
        assert nvml.nvmlDeviceGetTotalEnergyConsumption(handle) == 0
        driver.advance(1)
        assert nvml.nvmlDeviceGetTotalEnergyConsumption(handle) == 100_000

    def test_a_counter_that_shows_too_little_does_so_from_now_on(self, driver: FakeDriver, nvml: Any) -> None:
        """1 kJ as it is, then nine tenths of 1 kJ, while power readings show all of it."""
        board = driver.add_board()
        handle = first(nvml)
        driver.advance(10)
        board.set_gains(energy=0.9)
        driver.advance(10)
        assert nvml.nvmlDeviceGetTotalEnergyConsumption(handle) == 1_900_000
        assert nvml.nvmlDeviceGetPowerUsage(handle) == 100_000
        board.set_gains(power=0.95)
        assert nvml.nvmlDeviceGetPowerUsage(handle) == 95_000
        assert board.true_joules() == pytest.approx(2000.0)

    @pytest.mark.parametrize("architecture", ["kepler", "maxwell", "pascal"])
    def test_old_boards_have_none(self, driver: FakeDriver, nvml: Any, architecture: str) -> None:
        driver.add_board(architecture)
        handle = first(nvml)
        with pytest.raises(nvml.NVMLError_NotSupported):
            nvml.nvmlDeviceGetTotalEnergyConsumption(handle)

    def test_a_day_of_it_is_exact(self, driver: FakeDriver, nvml: Any) -> None:
        """700 W for 86 400 s: 60.48 MJ."""
        driver.add_board().set_power(700.0)
        handle = first(nvml)
        driver.advance(86_400)
        assert nvml.nvmlDeviceGetTotalEnergyConsumption(handle) == 60_480_000_000


class TestPower:
    @pytest.mark.parametrize(
        ("architecture", "shown_w", "average_w", "instant_w"),
        [
            ("hopper", 300.0, 300.0, 500.0),
            ("blackwell", 300.0, 300.0, 500.0),
            ("ada", 300.0, 300.0, 500.0),
            ("ampere", 300.0, 300.0, 500.0),
            ("ga100", 500.0, None, 500.0),
            ("turing", 500.0, None, 500.0),
            ("volta", 500.0, None, 500.0),
            ("pascal", 500.0, None, 500.0),
        ],
    )
    def test_readings_average_over_the_window_of_the_architecture(
        self,
        driver: FakeDriver,
        nvml: Any,
        architecture: str,
        shown_w: float,
        average_w: float | None,
        instant_w: float,
    ) -> None:
        """Half a second after a step from 100 to 500 W a window of 1 s shows 300 W, a shorter one 500 W."""
        board = driver.add_board(architecture, idle_w=100.0, max_w=900.0)
        handle = first(nvml)
        driver.advance(5)
        board.set_power(500.0)
        driver.advance(0.5)
        assert nvml.nvmlDeviceGetPowerUsage(handle) == shown_w * 1000
        average, instant = nvml.nvmlDeviceGetFieldValues(handle, [185, 186])
        assert instant.value.uiVal == instant_w * 1000
        if average_w is None:
            assert average.nvmlReturn == nvml.NVML_ERROR_NOT_SUPPORTED
        else:
            assert (average.nvmlReturn, average.value.uiVal) == (0, average_w * 1000)

    @pytest.mark.parametrize(
        ("architecture", "seen_w"), [("hopper", 500.0), ("ga100", 500.0), ("ada", 200.0)]
    )
    def test_only_a_part_of_the_time_is_observed(
        self, driver: FakeDriver, nvml: Any, architecture: str, seen_w: float
    ) -> None:
        """75 ms at 100 W, 25 ms at 500 W, an update: who looks at the last 25 ms alone sees 500 W."""
        board = driver.add_board(architecture, idle_w=100.0, max_w=900.0)
        handle = first(nvml)
        driver.advance(0.075)
        board.set_power(500.0)
        driver.advance(0.025)
        assert nvml.nvmlDeviceGetFieldValues(handle, [186])[0].value.uiVal == seen_w * 1000

    @pytest.mark.parametrize(("architecture", "period_ms"), [("hopper", 100), ("volta", 20)])
    def test_readings_stay_until_the_next_update(
        self, driver: FakeDriver, nvml: Any, architecture: str, period_ms: int
    ) -> None:
        board = driver.add_board(architecture, idle_w=100.0, max_w=900.0)
        handle = first(nvml)
        board.set_power(500.0)
        reading = lambda: nvml.nvmlDeviceGetFieldValues(handle, [186])[0].value.uiVal  # noqa: E731
        driver.advance((period_ms - 1) / 1000)
        assert reading() == 100_000
        driver.advance(0.001)
        assert reading() == 500_000

    def test_the_oldest_boards_follow_like_a_capacitor(self, driver: FakeDriver, nvml: Any) -> None:
        """From 100 towards 500 W with 0.5 s: after 0.5 s 1 - 1/e of the way, after 5 s all of it."""
        board = driver.add_board("maxwell", idle_w=100.0, max_w=900.0)
        handle = first(nvml)
        board.set_power(500.0)
        driver.advance(0.5)
        assert nvml.nvmlDeviceGetPowerUsage(handle) == 100_000 + 252_848
        driver.advance(4.5)
        assert nvml.nvmlDeviceGetPowerUsage(handle) == pytest.approx(500_000, abs=20)

    def test_fields_tell_energy_limits_and_time_and_fail_one_by_one(
        self, driver: FakeDriver, nvml: Any
    ) -> None:
        driver.add_board()
        handle = first(nvml)
        driver.advance(2.05)
        values = nvml.nvmlDeviceGetFieldValues(handle, [83, 191, 186, 188, 9999, (185, 1), (185, 2)])
        assert [v.nvmlReturn for v in values] == [0, 0, 0, 0, 3, 3, 3]
        assert values[0].value.ullVal == values[1].value.ullVal == 200_000
        assert values[0].valueType == nvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
        assert values[3].value.uiVal == 700_000
        assert values[2].timestamp == driver.unix_us() - 50_000

    def test_scopes_of_a_module_and_of_memory(self, driver: FakeDriver, nvml: Any) -> None:
        """A board of 100 W in a module whose CPU draws 60 W; where the board's own scope is missing too."""
        board = driver.add_board()
        board.set_scopes(module_extra_w=60.0, memory_w=47.5)
        handle = first(nvml)
        values = nvml.nvmlDeviceGetFieldValues(handle, [(185, 0), (185, 1), (185, 2)])
        assert [v.value.uiVal for v in values] == [100_000, 160_000, 47_500]
        board.answer("field:185:0", 3)
        values = nvml.nvmlDeviceGetFieldValues(handle, [(185, 0), (185, 1)])
        assert [v.nvmlReturn for v in values] == [3, 0]

    def test_samples_newer_than_a_timestamp_integrate_to_the_energy(
        self, driver: FakeDriver, nvml: Any
    ) -> None:
        """2 s at 100 W and 2 s at 300 W in 40 samples of 100 ms: 800 J."""
        board = driver.add_board()
        handle = first(nvml)
        since = driver.unix_us()
        driver.advance(2)
        board.set_power(300.0)
        driver.advance(2)
        kind, samples = nvml.nvmlDeviceGetSamples(handle, nvml.NVML_TOTAL_POWER_SAMPLES, since)
        assert (kind, len(samples)) == (nvml.NVML_VALUE_TYPE_UNSIGNED_INT, 40)
        assert sum(sample.sampleValue.uiVal for sample in samples) / 1000 * 0.1 == pytest.approx(800.0)
        assert {b.timeStamp - a.timeStamp for a, b in pairwise(samples)} == {100_000}
        with pytest.raises(nvml.NVMLError_NotFound):
            nvml.nvmlDeviceGetSamples(handle, 0, samples[-1].timeStamp)
        with pytest.raises(nvml.NVMLError_NotSupported):
            nvml.nvmlDeviceGetSamples(handle, nvml.NVML_MODULE_POWER_SAMPLES, 0)

    def test_at_most_120_samples_are_kept(self, driver: FakeDriver, nvml: Any) -> None:
        driver.add_board()
        handle = first(nvml)
        driver.advance(60)
        assert len(nvml.nvmlDeviceGetSamples(handle, 0, 0)[1]) == 120
