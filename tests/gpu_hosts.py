"""Fixture hosts with graphics cards, ten seconds of their life, and processes that open cards."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tests.host_copies import copy_host
from wattledger.clock import ManualClock
from wattledger.gpu.records import BoardUse
from wattledger.model import Probe, Reading


class GpuSensor(Protocol):
    """Both faces of a GPU sensor."""

    def probe(self) -> Probe: ...
    def read(self) -> Sequence[Reading]: ...
    def use(self) -> Sequence[BoardUse]: ...


@contextmanager
def shared_folder() -> Iterator[Path]:
    """A folder that the user nobody may enter, as pytest's own may not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def open_copy(name: str, folder: Path) -> Path:
    """A copy of the fixture host; what it will be like in ten seconds lies in its `later`."""
    return copy_host(name, folder)


def let_pass(root: Path, clock: ManualClock, seconds: float = 10) -> None:
    """Let time pass and lay `later` over the host."""
    clock.advance(seconds)
    if (root / "later").exists():
        shutil.copytree(root / "later", root, dirs_exist_ok=True)


def account(sensor: GpuSensor, root: Path, clock: ManualClock) -> str:
    """What the sensor finds, and what it reads over ten seconds, as a text for a golden."""
    probe = sensor.probe()
    before = {reading.zone.key: reading.raw_uj for reading in sensor.read()}
    let_pass(root, clock)
    lines = ["zones"]
    for zone in probe.zones:
        lines.append(f"  {' '.join(zone.key)} covers={zone.covers or '-'} +-{zone.uncertainty_ratio:.0%}")
        lines.append(f"    {', '.join(f'{key}={value}' for key, value in zone.attributes)}")
    lines.append("findings")
    for finding in probe.findings:
        why = finding.why.replace(str(root), "")
        lines.append(f"  {finding.subject}: {finding.status}: {why}")
    lines.append("ten seconds later")
    for reading in sensor.read():
        start_uj = before[reading.zone.key]
        assert reading.raw_uj is not None
        assert start_uj is not None
        lines.append(f"  {reading.zone.device}: {(reading.raw_uj - start_uj) / 1e6:.6f} J")
    for use in sensor.use():
        lines.append(f"  {use.device}: used by{f' ({use.quality})' if use.quality else ''}")
        lines += [f"    {share.pid}: {share.weight} ns" for share in use.shares]
        lines += [f"    {pid} holds {size >> 20} MiB" for pid, size in use.holders]
    return "\n".join(lines) + "\n"


def weights(uses: Sequence[BoardUse]) -> dict[str, dict[int, int]]:
    """Weight by process by device."""
    return {use.device: {share.pid: share.weight for share in use.shares} for use in uses}


def device_of(root: Path, card: int) -> Path:
    """The device's folder of a card."""
    return (root / f"sys/class/drm/card{card}/device").resolve()


def open_card(root: Path, pid: int, descriptor: int, text: str, node: str = "/dev/dri/renderD128") -> None:
    """Let a process have a descriptor of a card open, with this fdinfo."""
    for folder in ("fd", "fdinfo"):
        (root / f"proc/{pid}/{folder}").mkdir(parents=True, exist_ok=True)
    link = root / f"proc/{pid}/fd/{descriptor}"
    link.unlink(missing_ok=True)
    link.symlink_to(node)
    (root / f"proc/{pid}/fdinfo/{descriptor}").write_text(text)


def close_card(root: Path, pid: int, descriptor: int) -> None:
    """Close it again."""
    (root / f"proc/{pid}/fd/{descriptor}").unlink()
    (root / f"proc/{pid}/fdinfo/{descriptor}").unlink()


def fdinfo(client: int, pci: str = "0000:03:00.0", driver: str = "amdgpu", **keys: str) -> str:
    """The text of an fdinfo file; keys are written with `_` for `-` and without `drm-`."""
    lines = [f"drm-driver:\t{driver}", f"drm-client-id:\t{client}", f"drm-pdev:\t{pci}"]
    lines += [f"drm-{key.replace('_', '-')}:\t{value}" for key, value in keys.items()]
    return "\n".join(["pos:\t0", "flags:\t02100002", *lines]) + "\n"
