"""What `wattledger check` says of NVIDIA boards (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, Protocol

from ..gpu.messages import ABSENT, ASLEEP, HUNG, BoardReport, Unnamed
from ..model import Finding

SENSOR: Final = "nvidia"
SUBJECT: Final = "NVML"

ALLOW_DEVICES = r"""# as a service:
sudo mkdir -p /etc/systemd/system/wattledger.service.d
printf '[Service]\nPrivateDevices=no\nDeviceAllow=char-nvidia rw\nDeviceAllow=char-nvidia-frontend rw\n' \
  | sudo tee /etc/systemd/system/wattledger.service.d/nvidia.conf
sudo systemctl daemon-reload && sudo systemctl restart wattledger
# or in a container, where NVIDIA's container toolkit is installed: --gpus all"""
"""The device class has the one name in /proc/devices with some drivers and the other with older ones."""

RELOAD_DRIVER = (
    "sudo systemctl stop nvidia-persistenced; "
    "sudo rmmod nvidia_uvm nvidia_drm nvidia_modeset nvidia && sudo modprobe nvidia  # or reboot"
)

_SOURCES = {
    "counter": "energy counter",
    "samples": "no energy counter: power samples, integrated",
    "average": "no energy counter: power as a mean over 1 s, integrated",
    "power": "no energy counter: power once a second, integrated",
    "module": "only the power of the whole module, its CPU included: shown, not added",
}


class LinkState(Protocol):
    """How it stands with the worker."""

    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def detail(self) -> str: ...


def describe(link: LinkState, boards: Sequence[BoardReport], unnamed: Sequence[Unnamed]) -> list[Finding]:
    """The findings: one for NVML when it gives nothing, else one per board."""
    if link.state == "new":
        why = "no trace of its driver (/proc/driver/nvidia, /dev/nvidiactl)"
        return [Finding(sensor=SENSOR, subject=SUBJECT, status="absent", why=why)]
    if link.reason:
        return [_without_reports(link.reason, link.detail)]
    if not boards and not unnamed:
        return [Finding(sensor=SENSOR, subject=SUBJECT, status="absent", why="the driver has no boards")]
    of_unnamed = [_down(f"a board at {place.where}", place.where, place.failure) for place in unnamed]
    return [_of_board(board) for board in boards] + of_unnamed


def _without_reports(reason: str, detail: str) -> Finding:
    status: Literal["absent", "denied", "failed", "ignored"] = "failed"
    why, fix = detail or reason, ""
    if reason == ABSENT:
        status = "absent"
        fix = "python3 -m pip install nvidia-ml-py" if "nvidia-ml-py" in detail else ""
    elif reason in ("no_permission", "operating_system"):
        status, fix = "denied", ALLOW_DEVICES
        why = "the device files /dev/nvidia* may not be opened"
    elif reason == "driver_not_loaded":
        why, fix = "the kernel driver is not loaded", "sudo modprobe nvidia"
    elif reason == "lib_rm_version_mismatch":
        why = "library and kernel driver are of different versions, as after an upgrade without a restart"
        fix = RELOAD_DRIVER
    elif reason == "released":
        status, fix = "ignored", "wattledger gpu acquire"
        why = "an operator released the boards"
    elif reason == "starting":
        why = "the driver has not answered yet"
    elif reason == HUNG:
        fix = "sudo dmesg | grep -i xid  # what the driver says; a board that hangs needs a reset or a reboot"
    return Finding(sensor=SENSOR, subject=SUBJECT, status=status, why=why, fix=fix)


def _down(subject: str, where: str, failure: str) -> Finding:
    if failure == ASLEEP:
        why = "runtime-suspended; asking it anything would wake it"
        return Finding(sensor=SENSOR, subject=subject, status="ignored", why=why)
    why, fix = (
        f"no value: {failure}",
        f"sudo nvidia-smi --gpu-reset -i {where.removeprefix('#')}  # or reboot",
    )
    return Finding(sensor=SENSOR, subject=subject, status="failed", why=why, fix=fix)


def _of_board(board: BoardReport) -> Finding:
    subject = f"{board.model} {board.pci} ({board.uuid})"
    if board.failure:
        return _down(subject, board.pci, board.failure)
    parts = [_SOURCES.get(board.source, board.source)]
    if board.mig:
        parts.append(f"MIG on, {_count(len(board.instances), 'instance')}{_how(board.quality)}")
    elif board.quality == "holders":
        parts.append("no utilisation by process: shared by the memory they hold")
    fix = ""
    if board.persistent is False:
        parts.append(
            "persistence mode off: each start of a first client takes a second and restarts the counter"
        )
        fix = f"sudo nvidia-smi -i {board.pci} -pm 1"
    status: Literal["usable", "ignored"] = "ignored" if board.source == "module" else "usable"
    return Finding(sensor=SENSOR, subject=subject, status=status, why="; ".join(parts), fix=fix)


def _how(quality: str) -> str:
    return " without activity counters: shared by size" if quality == "mig-share" else ""


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
