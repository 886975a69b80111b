"""Which GPUs a job scheduler's prolog gave to which job, by the convention of dcgm-exporter.

The folder that `--hpc-job-mapping-dir` names there has a file per GPU, called by its index (`0`), or per MIG
instance, called by the index of the GPU and the id of its GPU instance (`0.7`), with one job id per line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .base import ResolverError
from .rooted import Rooted

FILES = 1024
_FILE_LIMIT = 1 << 16
_NAME = re.compile(r"(?P<index>[0-9]{1,4})(?:\.(?P<instance>[0-9]{1,4}))?")


@dataclass(frozen=True, slots=True)
class GpuSlot:
    """A GPU by the index that the driver gives it, or one of its MIG GPU instances (else None)."""

    index: int
    instance: int | None = None

    def __str__(self) -> str:
        return str(self.index) if self.instance is None else f"{self.index}.{self.instance}"


def read_gpu_jobs(rooted: Rooted, folder: str) -> dict[str, tuple[GpuSlot, ...]]:
    """The GPUs of every job in the mapping folder, in order; empty if there is no such folder.

    Files with other names are passed over, and so are those that cannot be read.
    Raises ResolverError when the folder cannot be listed or has more than 1024 files.
    """
    try:
        names = rooted.listdir(folder, FILES)
    except FileNotFoundError:
        return {}
    jobs: dict[str, set[GpuSlot]] = {}
    for name in names:
        match = _NAME.fullmatch(name)
        if not match:
            continue
        slot = GpuSlot(int(match["index"]), int(match["instance"]) if match["instance"] else None)
        try:
            content = rooted.read(f"{folder}/{name}", _FILE_LIMIT)
        except (FileNotFoundError, ResolverError):
            continue  # removed by an epilog, or not a plain file
        for line in content.decode("utf-8", "replace").splitlines():
            if job := line.strip():
                jobs.setdefault(job, set()).add(slot)
    return {job: tuple(sorted(slots, key=_order)) for job, slots in jobs.items()}


def _order(slot: GpuSlot) -> tuple[int, int]:
    return slot.index, -1 if slot.instance is None else slot.instance
