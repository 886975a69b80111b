"""What sysfs tells of NVIDIA boards without touching them: where they are, whether they sleep."""

from __future__ import annotations

import os

from ..hostfs import read_text

VENDOR = "0x10de"
DISPLAY_CLASS = "0x03"


def addresses(sysfs: str) -> tuple[str, ...]:
    """The PCI addresses of NVIDIA display and 3D controllers; empty where sysfs shows none."""
    folder = f"{sysfs}/bus/pci/devices"
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return ()
    return tuple(name for name in names if _is_board(f"{folder}/{name}"))


def asleep(sysfs: str, address: str) -> bool:
    """Whether a board is runtime-suspended: any NVML call would wake it for 10 s and longer."""
    try:
        return read_text(f"{sysfs}/bus/pci/devices/{address}/power/runtime_status", 32) == "suspended"
    except OSError:
        return False


def present(sysfs: str, address: str) -> bool:
    """Whether the board is on the bus."""
    return os.path.exists(f"{sysfs}/bus/pci/devices/{address}")


def driver_load(sysfs: str) -> str:
    """A name for this load of the driver, "" where sysfs does not show the module.

    sysfs numbers its nodes upwards through a boot (`kernfs_new_node`), so a module that was loaded again has
    another inode.
    """
    try:
        return str(os.stat(f"{sysfs}/module/nvidia").st_ino)
    except OSError:
        return ""


def _is_board(folder: str) -> bool:
    try:
        return read_text(f"{folder}/vendor", 16) == VENDOR and read_text(f"{folder}/class", 16).startswith(
            DISPLAY_CLASS
        )
    except OSError:
        return False
