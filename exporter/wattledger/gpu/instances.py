"""The MIG instances of one board as they are now, and how active each was since the last look."""

from __future__ import annotations

import contextlib
from typing import Any

from ..errors import SensorError
from . import nvml
from .mig import MigDevice
from .records import MigInstance


def mig_devices(board: nvml.Handle) -> list[tuple[MigDevice, nvml.Handle]]:
    """The MIG devices with their handles, which any reconfiguration makes invalid; raises SensorError."""
    found = []
    for handle in nvml.mig_handles(board):
        gpu_instance, compute_instance = nvml.mig_ids(handle)
        size = nvml.mig_size(handle)
        instance = MigInstance(
            uuid=nvml.uuid(handle),
            profile=nvml.model(handle).partition(" MIG ")[2],
            gpu_instance=gpu_instance,
            compute_instance=compute_instance,
            multiprocessors=size.multiprocessors,
            memory_bytes=size.memory_mb << 20,
        )
        found.append((MigDevice(instance, size.whole_multiprocessors), handle))
    return found


class Activity:
    """How busy each GPU instance was between two looks, from GPM samples.

    An instance is known by its number and by the MIG devices in it, for a number is used again. The first
    look at an instance tells nothing yet: 0.
    """

    def __init__(self, board: nvml.Handle) -> None:
        self._board = board
        self._supported = nvml.gpm_supported(board)
        self._pairs: dict[tuple[int, tuple[str, ...]], _Pair] = {}

    def take(self, devices: list[MigDevice]) -> tuple[dict[int, float | None], bool]:
        """Percent by GPU instance, None where it cannot be told; and whether any was compared yet."""
        inside: dict[int, list[str]] = {}
        for device in devices:
            inside.setdefault(device.instance.gpu_instance, []).append(device.instance.uuid)
        if not self._supported:
            return dict.fromkeys(inside), True
        wanted = {(number, tuple(sorted(uuids))) for number, uuids in inside.items()}
        for key in self._pairs.keys() - wanted:
            self._pairs.pop(key).close()
        activity: dict[int, float | None] = {}
        compared = False
        for key in wanted:
            try:
                pair = self._pairs.setdefault(key, _Pair())
                percent = pair.look(self._board, key[0])
            except SensorError as error:
                self._pairs.pop(key).close()
                refused = error.reason in (*nvml.UNSUPPORTED, "no_permission")
                activity[key[0]] = None if refused else 0.0
                compared = compared or refused
                continue
            activity[key[0]] = percent or 0.0
            compared = compared or percent is not None
        return activity, compared or not wanted

    def close(self) -> None:
        """Free the samples."""
        for pair in self._pairs.values():
            pair.close()
        self._pairs.clear()


class _Pair:
    """Two GPM samples of one instance, used in turn."""

    def __init__(self) -> None:
        self._earlier: Any = None
        self._spare: Any = None

    def look(self, board: nvml.Handle, gpu_instance: int) -> float | None:
        """Take a sample and compare it with the one before; None at the first."""
        later = self._spare if self._spare is not None else nvml.gpm_alloc()
        self._spare = later
        nvml.gpm_sample(board, gpu_instance, later)
        earlier, self._earlier = self._earlier, later
        self._spare = earlier
        return None if earlier is None else nvml.gpm_activity(earlier, later)

    def close(self) -> None:
        """Free the samples; a board that is lost cannot even do that."""
        for sample in (self._earlier, self._spare):
            if sample is not None:
                with contextlib.suppress(SensorError):
                    nvml.gpm_free(sample)
        self._earlier = self._spare = None
