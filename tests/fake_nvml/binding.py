"""Points the real pynvml of this process at a fake driver, and back."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..fake_nvml_driver import FakeDriver


@contextmanager
def bound(driver: FakeDriver) -> Iterator[Any]:
    """The module `pynvml`, not yet initialised, as a program has it on a machine with this driver."""
    import pynvml  # noqa: PLC0415, in the body: the tests of other parts run without it

    before = os.environ.get("FAKE_NVML_STATE")
    os.environ["FAKE_NVML_STATE"] = str(driver.state_path)
    pynvml.nvmlLib = ctypes.CDLL(str(driver.library))
    pynvml._nvmlGetFunctionPointer_cache.clear()
    try:
        yield pynvml
    finally:
        while pynvml._nvmlLib_refcount > 0:
            pynvml.nvmlShutdown()
        pynvml.nvmlLib = None
        pynvml._nvmlGetFunctionPointer_cache.clear()
        del os.environ["FAKE_NVML_STATE"]
        if before is not None:
            os.environ["FAKE_NVML_STATE"] = before


def first(nvml: Any) -> Any:
    """Initialise the library, and the handle of its first board."""
    nvml.nvmlInit()
    return nvml.nvmlDeviceGetHandleByIndex(0)


def raw(nvml: Any, call: str, *arguments: Any) -> int:
    """Call the library past pynvml's conveniences."""
    return nvml._nvmlGetFunctionPointer(call)(*arguments)


def run(driver: FakeDriver, code: str) -> str:
    """What a program of its own prints that finds the library by its name."""
    command = [sys.executable, "-c", "import pynvml as n\nn.nvmlInit()\n" + code]
    done = subprocess.run(command, env=driver.environment(), text=True, capture_output=True, check=True)
    return done.stdout.strip()


def seen(nvml: Any, handle: Any, since: int = 0) -> dict[int, int]:
    """Shares of the SMs by pid since a timestamp, in percent."""
    return {s.pid: s.smUtil for s in nvml.nvmlDeviceGetProcessUtilization(handle, since)}
