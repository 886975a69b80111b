"""The calls of NVML that are needed, each with a plain answer or a SensorError with a bounded reason.

What the binding raises beside `NVMLError` is translated too: `NVMLLibraryMismatchError` of a driver that is
older than the binding, and an "error" of value 0. Facts about the calls: NVML's header `nvml.h`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pynvml  # type: ignore[import-untyped]

from ..errors import SensorError
from .accounting import Accounted
from .mig import Context, MigSize
from .utilisation import Sample

Handle = Any
NOT_FOUND = "not_found"
UNSUPPORTED = ("not_supported", "function_not_found", "version_mismatch", "argument_version_mismatch")
ENDED = ("uninitialized", "driver_not_loaded", "lib_rm_version_mismatch", "library_not_found")
"""Failures of the library as a whole: only a new process can help."""

BOARD_FAILED = ("gpu_is_lost", "reset_required", "gpu_not_found")
"""Failures of one board as a whole."""

MODULE_SCOPE, MEMORY_SCOPE = 1, 2
POWER_AVERAGE: int = pynvml.NVML_FI_DEV_POWER_AVERAGE
"""The field of the mean power over a second."""

POWER_INSTANT: int = pynvml.NVML_FI_DEV_POWER_INSTANT
"""The field of the momentary power."""

PROCESS_LISTS = ("Compute", "Graphics", "MPSCompute")


def _reason(code: int) -> str:
    return NOT_FOUND if code == 0 else _REASONS.get(code, "unknown")


_REASONS = {
    getattr(pynvml, name): name.removeprefix("NVML_ERROR_").lower()
    for name in dir(pynvml)
    if name.startswith("NVML_ERROR_")
}


def call(name: str, *arguments: Any) -> Any:
    """Call the binding's function of this name."""
    try:
        return getattr(pynvml, name)(*arguments)
    except pynvml.NVMLError as error:
        raise SensorError(_reason(error.value), f"{name}: {error}") from error
    except pynvml.NVMLLibraryMismatchError as error:
        raise SensorError("version_mismatch", f"{name}: {error}") from error
    except AttributeError as error:
        raise SensorError("function_not_found", f"{name}: not in this version of nvidia-ml-py") from error


def start() -> None:
    """Open the library. It looks at no board yet."""
    call("nvmlInit")


def stop() -> None:
    """Close the library, and with it the device files."""
    call("nvmlShutdown")


def driver_version() -> str:
    """The version of the loaded kernel driver."""
    return _text(call("nvmlSystemGetDriverVersion"))


def count() -> int:
    """How many boards the driver had when the library was opened."""
    return int(call("nvmlDeviceGetCount"))


def by_index(index: int) -> Handle:
    """A board by its place; the order may change with every start."""
    return call("nvmlDeviceGetHandleByIndex", index)


def by_pci(address: str) -> Handle:
    """A board by its PCI address."""
    return call("nvmlDeviceGetHandleByPciBusId", address.encode())


def index_of(handle: Handle) -> int:
    return int(call("nvmlDeviceGetIndex", handle))


def uuid(handle: Handle) -> str:
    return _text(call("nvmlDeviceGetUUID", handle))


def model(handle: Handle) -> str:
    return _text(call("nvmlDeviceGetName", handle))


def pci_address(handle: Handle) -> str:
    """The PCI address as sysfs writes it, such as `0000:1b:00.0`."""
    info = call("nvmlDeviceGetPciInfo", handle)
    return f"{info.domain:04x}:{info.bus:02x}:{info.device:02x}.0"


def persistent(handle: Handle) -> bool:
    """Whether the driver keeps the board initialised while nobody uses it."""
    return bool(call("nvmlDeviceGetPersistenceMode", handle))


def power_limit_mw(handle: Handle) -> int:
    """The power limit in force, in milliwatts."""
    return int(call("nvmlDeviceGetEnforcedPowerLimit", handle))


def energy_mj(handle: Handle) -> int:
    """Millijoules since the driver was loaded (Volta and newer)."""
    return int(call("nvmlDeviceGetTotalEnergyConsumption", handle))


def power_mw(handle: Handle) -> int:
    """Milliwatts of the board: a 1 s mean on Ampere (GA100 apart) and newer, else momentary."""
    return int(call("nvmlDeviceGetPowerUsage", handle))


def power_field_mw(handle: Handle, field: int, scope: int = 0) -> int:
    """Milliwatts from a field value of a scope: 0 the board, 1 the module with its CPU."""
    value = call("nvmlDeviceGetFieldValues", handle, [(field, scope)])[0]
    if value.nvmlReturn != 0:
        raise SensorError(_reason(value.nvmlReturn), f"field {field} of scope {scope}")
    return int(value.value.uiVal)


def power_samples(handle: Handle, since_us: int) -> list[tuple[int, int]]:
    """(Unix microseconds, milliwatts) newer than `since_us`, oldest first; empty when there are none."""
    try:
        _, samples = call("nvmlDeviceGetSamples", handle, pynvml.NVML_TOTAL_POWER_SAMPLES, since_us)
    except SensorError as error:
        if error.reason == NOT_FOUND:
            return []
        raise
    return sorted((int(sample.timeStamp), int(sample.sampleValue.uiVal)) for sample in samples)


def process_samples(handle: Handle, since_us: int) -> list[Sample]:
    """Utilisation by process since `since_us` (Unix microseconds); nobody at all is an empty list."""
    try:
        samples = call("nvmlDeviceGetProcessUtilization", handle, since_us)
    except SensorError as error:
        if error.reason == NOT_FOUND:
            return []
        raise
    return [
        Sample(int(s.pid), int(s.timeStamp), int(s.smUtil), int(s.encUtil), int(s.decUtil)) for s in samples
    ]


def board_utilisation(handle: Handle) -> int:
    """Percent of the last sampling period in which a kernel ran on the board."""
    return int(call("nvmlDeviceGetUtilizationRates", handle).gpu)


def contexts(handle: Handle, kind: str) -> list[Context]:
    """The processes of one of `PROCESS_LISTS`, as the driver lists them (535.43 to 535.86: scrambled)."""
    name = f"nvmlDeviceGet{kind}RunningProcesses"
    try:
        processes = call(f"{name}_v3", handle)
    except SensorError as error:
        if error.reason != "function_not_found":
            raise
        processes = call(f"{name}_v2", handle)
    return [Context(int(p.pid), int(p.gpuInstanceId), int(p.usedGpuMemory or 0)) for p in processes]


def accounting(handle: Handle) -> bool:
    """Whether accounting mode is on."""
    return bool(call("nvmlDeviceGetAccountingMode", handle))


def accounted_pids(handle: Handle) -> list[int]:
    """The processes accounting mode remembers, running or ended."""
    return [int(pid) for pid in call("nvmlDeviceGetAccountingPids", handle)]


def accounted(handle: Handle, pid: int) -> Accounted:
    """What accounting mode knows of a process."""
    stats = call("nvmlDeviceGetAccountingStats", handle, pid)
    return Accounted(int(stats.gpuUtilization), int(stats.time), bool(stats.isRunning))


def mig_enabled(handle: Handle) -> bool:
    """Whether the board is cut into instances now."""
    return int(call("nvmlDeviceGetMigMode", handle)[0]) == 1


def mig_handles(handle: Handle) -> Iterator[Handle]:
    """The MIG devices of a board; empty slots lie between them."""
    for slot in range(int(call("nvmlDeviceGetMaxMigDeviceCount", handle))):
        try:
            yield call("nvmlDeviceGetMigDeviceHandleByIndex", handle, slot)
        except SensorError as error:
            if error.reason != NOT_FOUND:
                raise


def mig_ids(handle: Handle) -> tuple[int, int]:
    """The GPU instance and the compute instance of a MIG device."""
    gpu_instance = call("nvmlDeviceGetGpuInstanceId", handle)
    return int(gpu_instance), int(call("nvmlDeviceGetComputeInstanceId", handle))


def mig_size(handle: Handle) -> MigSize:
    """The size of a MIG device."""
    found = call("nvmlDeviceGetAttributes_v2", handle)
    return MigSize(
        int(found.multiprocessorCount),
        int(found.gpuInstanceSliceCount),
        int(found.computeInstanceSliceCount),
        int(found.memorySizeMB),
    )


def gpm_supported(handle: Handle) -> bool:
    """Whether the board has GPM counters (Hopper and newer)."""
    try:
        return bool(call("nvmlGpmQueryDeviceSupport", handle).isSupportedDevice)
    except SensorError as error:
        if error.reason in UNSUPPORTED:
            return False
        raise


def gpm_alloc() -> Any:
    """Room for one GPM sample; to be freed."""
    return call("nvmlGpmSampleAlloc")


def gpm_free(sample: Any) -> None:
    call("nvmlGpmSampleFree", sample)


def gpm_sample(handle: Handle, gpu_instance: int, sample: Any) -> None:
    """Fill `sample` for one GPU instance of a board."""
    call("nvmlGpmMigSampleGet", handle, gpu_instance, sample)


def gpm_activity(earlier: Any, later: Any) -> float | None:
    """Percent of an instance's multiprocessors that were busy between two samples.

    Where SM_UTIL is not told it is GRAPHICS_UTIL, the time in which anything ran; None without either.
    """
    request = pynvml.c_nvmlGpmMetricsGet_t()
    request.version = pynvml.NVML_GPM_METRICS_GET_VERSION
    request.numMetrics = 2
    request.sample1, request.sample2 = earlier, later
    request.metrics[0].metricId = pynvml.NVML_GPM_METRIC_SM_UTIL
    request.metrics[1].metricId = pynvml.NVML_GPM_METRIC_GRAPHICS_UTIL
    call("nvmlGpmMetricsGet", request)
    for metric in request.metrics[:2]:
        if metric.nvmlReturn == 0 and math.isfinite(metric.value) and 0.0 <= metric.value <= 100.0:
            return float(metric.value)
    return None


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
