"""The graphics cards of a kernel driver, as /sys/class/drm shows them, and whether they sleep.

Reading a meter wakes a card that is runtime-suspended (amdgpu until Linux 6.11, i915, xe), and each read
puts off the moment when an idle card may fall asleep (`pm_runtime_mark_last_busy`). So a meter is read
only while `asleep()` is false, and `Rests` spaces the reads of a card that nobody uses further apart than
the delay after which its driver suspends it. No file that this module reads touches the hardware.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ..hostfs import HostFS, read_text
from ..model import S_NS

LONGEST_REST_NS = 30 * S_NS
"""The longest time a meter may go unread: the longest sampling interval, which every reader bridges."""

_CARD = re.compile(r"card(\d+)")
_PCI = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One `cardN`: its device's folder, its place on the PCI bus ("" if it is no PCI device) and its meters.

    `hwmon` maps the name of a hwmon chip of this device to the chip's folder. `rest_ns` is how far apart
    reads must be for the card to fall asleep when idle; 0 where it never does.
    """

    index: int
    pci: str
    driver: str
    path: str
    hwmon: Mapping[str, str] = field(default_factory=dict)
    rest_ns: int = 0

    def text(self, name: str) -> str:
        """A file of the device's folder, "" where it cannot be read."""
        return text_of(f"{self.path}/{name}")

    def meters(self, chip: str) -> dict[str, str]:
        """The files of this device's hwmon chip of that name, as paths by attribute name."""
        folder = self.hwmon.get(chip)
        return {name: f"{folder}/{name}" for name in listing(folder)} if folder else {}

    def asleep(self) -> bool:
        """Whether the device is runtime-suspended, or about to be."""
        return self.text("power/runtime_status") in {"suspended", "suspending"}

    def slept_ms(self) -> str:
        """How long the device has been runtime-suspended since boot: unchanged means that it never was."""
        return self.text("power/runtime_suspended_time") or "0"

    def attributes(self) -> tuple[tuple[str, str], ...]:
        """What an info series shows: the board's name where the driver knows it, else its PCI ids."""
        ids = ":".join(self.text(name).removeprefix("0x") for name in ("vendor", "device"))
        version = text_of(f"{self.path}/driver/module/version")
        return (
            ("model", self.text("product_name") or ids),
            ("pci", self.pci),
            ("index", str(self.index)),
            ("driver", f"{self.driver} {version}".strip()),
        )


def find_cards(hostfs: HostFS, drivers: Collection[str]) -> list[Card]:
    """The cards bound to one of the drivers, and the partitions of such cards, by index.

    A partition (`amdgpu_xcp`, of an MI300) is a platform device: a card of its own without a bus address.
    """
    found = []
    folder = f"{hostfs.sysfs}/class/drm"
    for entry in listing(folder):
        match = _CARD.fullmatch(entry)
        if match is None:
            continue
        path = os.path.realpath(f"{folder}/{entry}/device")
        place = os.path.basename(path)
        driver = os.path.basename(os.path.realpath(f"{path}/driver"))
        if _PCI.fullmatch(place) and driver in drivers:
            found.append(_card(int(match[1]), place, driver, path))
        elif place.split("_xcp")[0] in drivers:
            found.append(Card(index=int(match[1]), pci="", driver=place.split("_xcp")[0], path=path))
    return sorted(found, key=lambda card: card.index)


class Rests:
    """Lets idle cards sleep: says which are due to be read."""

    def __init__(self) -> None:
        self._quiet: frozenset[str] = frozenset()
        self._read_ns: dict[str, int] = {}

    def observe(self, quiet: Collection[str]) -> None:
        """These PCI addresses are known to have had no user lately; all others are read at every turn."""
        self._quiet = frozenset(quiet)

    def due(self, card: Card, now_ns: int) -> bool:
        """Whether to read the card now; if so, its rest begins."""
        last_ns = self._read_ns.get(card.pci)
        resting = last_ns is not None and now_ns - last_ns < card.rest_ns
        if resting and card.pci in self._quiet:
            return False
        self._read_ns[card.pci] = now_ns
        return True


def _card(index: int, pci: str, driver: str, path: str) -> Card:
    hwmon = {}
    for entry in listing(f"{path}/hwmon"):
        chip = f"{path}/hwmon/{entry}"
        hwmon[text_of(f"{chip}/name")] = chip
    return Card(index=index, pci=pci, driver=driver, path=path, hwmon=hwmon, rest_ns=_rest_ns(path))


def _rest_ns(path: str) -> int:
    """Twice the driver's autosuspend delay, where it may suspend the device at all."""
    delay_ms = text_of(f"{path}/power/autosuspend_delay_ms")
    if text_of(f"{path}/power/control") != "auto" or not delay_ms.isdecimal():
        return 0
    return min(2 * int(delay_ms) * 1_000_000, LONGEST_REST_NS)


def listing(folder: str) -> list[str]:
    """The entries of a folder in order, none where it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def text_of(path: str) -> str:
    """A small file's text, "" where it cannot be read."""
    try:
        return read_text(path, 4096)
    except OSError:
        return ""
