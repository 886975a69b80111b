"""The fake NVIDIA driver partitions boards, and says by GPM what their instances do.

Boards here are an H200 of 100 W idle and 700 W at most, unless a test says otherwise: 600 W are work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..fake_nvml.binding import bound, first
from ..fake_nvml_driver import FakeBoard, FakeDriver, Instance, missing

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


def mig_board(driver: FakeDriver) -> FakeBoard:
    """A 3g instance in slot 0, and a 1g instance in slot 2."""
    board = driver.add_board()
    board.set_mig([Instance(slot=0, gi=2, profile="3g.71gb"), Instance(slot=2, gi=9)])
    return board


def gpm(nvml: Any, driver: FakeDriver, take: Callable[[Any], Any], *metrics: int, over_s: float = 1.0) -> Any:
    """Metrics between two samples, with the answer for each."""
    samples = [nvml.nvmlGpmSampleAlloc(), nvml.nvmlGpmSampleAlloc()]
    take(samples[0])
    driver.advance(over_s)
    take(samples[1])
    query = nvml.c_nvmlGpmMetricsGet_t()
    query.version, query.numMetrics = nvml.NVML_GPM_METRICS_GET_VERSION, len(metrics)
    query.sample1, query.sample2 = samples
    for i, metric in enumerate(metrics):
        query.metrics[i].metricId = metric
    nvml.nvmlGpmMetricsGet(query)
    for sample in samples:
        nvml.nvmlGpmSampleFree(sample)
    return [(query.metrics[i].nvmlReturn, query.metrics[i].value) for i in range(len(metrics))]


class TestMig:
    def test_instances_are_found_past_empty_slots(self, driver: FakeDriver, nvml: Any) -> None:
        mig_board(driver)
        parent = first(nvml)
        assert nvml.nvmlDeviceGetMigMode(parent) == [1, 1]
        found = {}
        for slot in range(nvml.nvmlDeviceGetMaxMigDeviceCount(parent)):
            try:
                found[slot] = nvml.nvmlDeviceGetMigDeviceHandleByIndex(parent, slot)
            except nvml.NVMLError_NotFound:
                continue
        assert list(found) == [0, 2]
        assert [nvml.nvmlDeviceGetGpuInstanceId(mig) for mig in found.values()] == [2, 9]
        assert nvml.nvmlDeviceGetComputeInstanceId(found[2]) == 0
        attributes = nvml.nvmlDeviceGetAttributes(found[0])
        assert (attributes.multiprocessorCount, attributes.gpuInstanceSliceCount) == (60, 3)
        assert attributes.memorySizeMB == 71 * 1024
        assert nvml.nvmlDeviceIsMigDeviceHandle(found[0]).value == 1
        assert nvml.nvmlDeviceIsMigDeviceHandle(parent).value == 0
        back = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(found[2])
        assert nvml.nvmlDeviceGetUUID(back) == nvml.nvmlDeviceGetUUID(parent)
        uuid = nvml.nvmlDeviceGetUUID(found[2])
        assert uuid.startswith("MIG-")
        by_uuid = nvml.nvmlDeviceGetHandleByUUID(uuid.encode())
        assert nvml.nvmlDeviceGetName(by_uuid) == "NVIDIA H200 MIG 1g.18gb"

    def test_what_exists_for_whole_boards_alone(self, driver: FakeDriver, nvml: Any) -> None:
        mig_board(driver)
        parent = first(nvml)
        mig = nvml.nvmlDeviceGetMigDeviceHandleByIndex(parent, 0)
        for call, handle in [
            (nvml.nvmlDeviceGetPowerUsage, mig),
            (nvml.nvmlDeviceGetTotalEnergyConsumption, mig),
            (nvml.nvmlDeviceGetUtilizationRates, parent),
            (nvml.nvmlDeviceGetUtilizationRates, mig),
            (lambda h: nvml.nvmlDeviceGetProcessUtilization(h, 0), parent),
            (lambda h: nvml.nvmlDeviceGetProcessesUtilizationInfo(h, 0), parent),
            (nvml.nvmlDeviceGetGpuInstanceId, parent),
        ]:
            with pytest.raises(nvml.NVMLError_NotSupported):
                call(handle)

    def test_contexts_tell_their_instance(self, driver: FakeDriver, nvml: Any) -> None:
        board = mig_board(driver)
        board.set_use(11, 0.5, gi=2)
        board.hold(12, 1 << 30, gi=9)
        parent = first(nvml)
        of = lambda h: [  # noqa: E731
            (p.pid, p.gpuInstanceId, p.computeInstanceId)
            for p in nvml.nvmlDeviceGetComputeRunningProcesses(h)
        ]
        assert of(parent) == [(11, 2, 0), (12, 9, 0)]
        assert of(nvml.nvmlDeviceGetMigDeviceHandleByIndex(parent, 2)) == [(12, 9, 0)]

    def test_activity_of_instances_and_the_power_it_takes(self, driver: FakeDriver, nvml: Any) -> None:
        """60 of 132 SMs at 50 % and 16 at 25 %: 34 of 132 SMs of 600 W over the idle 100 W."""
        board = mig_board(driver)
        board.set_use(11, 0.5, gi=2)
        board.set_use(12, 0.25, gi=9)
        parent = first(nvml)
        assert nvml.nvmlGpmQueryDeviceSupport(parent).isSupportedDevice == 1
        take = lambda gi: lambda sample: nvml.nvmlGpmMigSampleGet(parent, gi, sample)  # noqa: E731
        assert gpm(nvml, driver, take(2), 1, 2, 3, 5, 10) == [(0, 50), (0, 50), (0, 25), (0, 0), (0, 25)]
        assert gpm(nvml, driver, take(9), 1) == [(0, 25)]
        mig = nvml.nvmlDeviceGetMigDeviceHandleByIndex(parent, 2)
        assert gpm(nvml, driver, lambda sample: nvml.nvmlGpmSampleGet(mig, sample), 1) == [(0, 25)]
        driver.advance(7)
        work_w = 600 * (60 * 0.5 + 16 * 0.25) / 132
        assert nvml.nvmlDeviceGetTotalEnergyConsumption(parent) == pytest.approx((100 + work_w) * 1e4, abs=10)
        assert board.instance_joules(9) == pytest.approx(10 * work_w * 4 / 34, rel=1e-4)
        assert board.worked_joules(12) == pytest.approx(board.instance_joules(9))

    def test_activity_is_the_mean_between_two_samples(self, driver: FakeDriver, nvml: Any) -> None:
        """1 s idle, then 1 s of which all is busy with 30 % tensor work."""
        board = mig_board(driver)
        parent = first(nvml)
        sample = [nvml.nvmlGpmSampleAlloc(), nvml.nvmlGpmSampleAlloc()]
        nvml.nvmlGpmMigSampleGet(parent, 9, sample[0])
        driver.advance(1)
        board.set_activity(9, 1.0, tensor=0.3)
        driver.advance(1)
        nvml.nvmlGpmMigSampleGet(parent, 9, sample[1])
        query = nvml.c_nvmlGpmMetricsGet_t()
        query.version, query.numMetrics, query.sample1, query.sample2 = 1, 2, *sample
        query.metrics[0].metricId, query.metrics[1].metricId = 1, 5
        nvml.nvmlGpmMetricsGet(query)
        assert [query.metrics[i].value for i in (0, 1)] == [50.0, 15.0]

    def test_gpm_refuses_what_it_cannot_tell(self, driver: FakeDriver, nvml: Any) -> None:
        mig_board(driver)
        parent = first(nvml)
        take = lambda sample: nvml.nvmlGpmMigSampleGet(parent, 9, sample)  # noqa: E731
        assert gpm(nvml, driver, take, 1, over_s=0.05)[0][0] == nvml.NVML_ERROR_NO_DATA
        assert gpm(nvml, driver, take, 200)[0][0] == nvml.NVML_ERROR_NOT_SUPPORTED
        with pytest.raises(nvml.NVMLError_NotFound):
            nvml.nvmlGpmMigSampleGet(parent, 5, nvml.nvmlGpmSampleAlloc())
        query = nvml.c_nvmlGpmMetricsGet_t()
        query.version = 2
        with pytest.raises(nvml.NVMLError_ArgumentVersionMismatch):
            nvml.nvmlGpmMetricsGet(query)

    def test_an_a100_has_mig_but_no_gpm(self, driver: FakeDriver, nvml: Any) -> None:
        board = driver.add_board("ga100")
        board.set_mig([Instance(slot=0, gi=1, profile="1g.10gb")])
        parent = first(nvml)
        assert nvml.nvmlGpmQueryDeviceSupport(parent).isSupportedDevice == 0
        with pytest.raises(nvml.NVMLError_NotSupported):
            nvml.nvmlGpmMigSampleGet(parent, 1, nvml.nvmlGpmSampleAlloc())

    def test_without_mig_gpm_is_about_the_board(self, driver: FakeDriver, nvml: Any) -> None:
        board = driver.add_board()
        board.set_use(11, 0.75)
        handle = first(nvml)
        assert gpm(nvml, driver, lambda sample: nvml.nvmlGpmSampleGet(handle, sample), 2) == [(0, 75)]

    def test_after_a_reconfiguration_an_old_handle_is_another_instance_or_none(
        self, driver: FakeDriver, nvml: Any
    ) -> None:
        board = mig_board(driver)
        parent = first(nvml)
        old = [nvml.nvmlDeviceGetMigDeviceHandleByIndex(parent, slot) for slot in (0, 2)]
        driver.advance(10)
        board.set_mig([Instance(slot=0, gi=5, profile="4g.71gb")])
        assert nvml.nvmlDeviceGetGpuInstanceId(old[0]) == 5
        with pytest.raises(nvml.NVMLError_InvalidArgument):
            nvml.nvmlDeviceGetGpuInstanceId(old[1])
        driver.advance(10)
        assert nvml.nvmlDeviceGetTotalEnergyConsumption(parent) == 2_000_000
        board.set_mig(None)
        assert nvml.nvmlDeviceGetMigMode(parent) == [0, 0]
        assert nvml.nvmlDeviceGetMaxMigDeviceCount(parent) == 0
        with pytest.raises(nvml.NVMLError_NotSupported):
            nvml.nvmlDeviceGetMigDeviceHandleByIndex(parent, 0)

    def test_boards_without_mig_say_so(self, driver: FakeDriver, nvml: Any) -> None:
        driver.add_board("ada")
        handle = first(nvml)
        with pytest.raises(nvml.NVMLError_NotSupported):
            nvml.nvmlDeviceGetMigMode(handle)
