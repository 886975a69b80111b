"""The energy counter of AMD boards by ROCm's amdsmi library, where that is installed."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
from typing import Any

log = logging.getLogger(__name__)


class AmdSmiCounter:
    """Microjoules drawn by a board since its driver was loaded, by PCI address; None where nobody counts.

    amdsmi comes with ROCm or from PyPI and loads a library of ROCm's; without either every answer is None
    and power is integrated instead. It is looked for once, at the first question, which only a host with an
    amdgpu card asks.
    """

    def __init__(self, module: str = "amdsmi") -> None:
        self._module = module
        self._looked = False
        self._amdsmi: Any = None
        self._handles: dict[str, Any] = {}

    def __call__(self, pci: str) -> int | None:
        if not self._looked:
            self._looked = True
            self._open()
        handle = self._handles.get(pci.lower())
        if handle is None:
            return None
        try:
            answer = self._amdsmi.amdsmi_get_energy_count(handle)
        except self._amdsmi.AmdSmiException as error:
            log.debug("no energy counter", extra={"device": pci, "error": str(error)})
            return None
        # Before ROCm 6.2.1 the accumulator was called power.
        ticks = answer["energy_accumulator"] if "energy_accumulator" in answer else answer["power"]
        energy_uj: int = round(ticks * answer["counter_resolution"])
        return energy_uj

    def _open(self) -> None:
        try:
            # Where its library is missing, the binding says so on stdout and then fails in its own ways.
            with contextlib.redirect_stdout(io.StringIO()):
                amdsmi = importlib.import_module(self._module)
        except (ImportError, OSError, KeyError, AttributeError) as error:
            log.debug("amdsmi cannot be used", extra={"error": repr(error)})
            return
        try:
            amdsmi.amdsmi_init(amdsmi.AmdSmiInitFlags.INIT_AMD_GPUS)
            for handle in amdsmi.amdsmi_get_processor_handles():
                self._handles[amdsmi.amdsmi_get_gpu_device_bdf(handle).lower()] = handle
        except amdsmi.AmdSmiException as error:
            log.warning("amdsmi is installed but does not work", extra={"error": str(error)})
            return
        self._amdsmi = amdsmi
