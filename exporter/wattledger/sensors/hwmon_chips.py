"""What each channel of a known hwmon chip measures (pure).

Sources: the kernel's `Documentation/hwmon` pages and `drivers/hwmon/{acpi_power_meter,amd_energy,
xgene-hwmon,ina3221,ina2xx}.c`, `drivers/hwmon/occ/common.c`; Jetson and Grace rail names from NVIDIA's
developer and tuning guides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..model import Covers

NODE_MAX_W = 20_000.0
"""Plausible power of a whole node: above the densest GPU servers sold (about 15 kW)."""

SOCKET_MAX_W = 1000.0
"""Plausible power of a socket: twice the largest TDP sold."""

BOARD_MAX_W = 500.0
"""Plausible power of one rail of an embedded board: above the largest Jetson module (130 W)."""

AMD_ENERGY_RANGE_UJ = 2**48
"""Where `amd_energy` turns over: it multiplies a 64-bit count by 10^6 before dividing by 2^16.

281 MJ, about 16 days at 200 W. The divisor is the energy status unit, 16 on every part with the driver.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One channel of a chip: where its value is and what it counts towards.

    The product of the integers in `files` times `scale` is microwatts, or cumulative microjoules
    if `counter`. `ignored` says why it must not be read, `note` what a person should know of it.
    Of the channels that cover the node, those with the lowest `node_rank` count;
    several of them only if `adds_up`, because else one may contain the other.
    """

    name: str
    files: tuple[str, ...] = ()
    scale: int = 1
    counter: bool = False
    covers: Covers = ""
    range_uj: int = 0
    max_power_w: float = NODE_MAX_W
    uncertainty_ratio: float = 0.05
    node_rank: int = 1
    adds_up: bool = False
    ignored: str = ""
    note: str = ""


def channels_of(chip: str, files: Collection[str], texts: Mapping[str, str]) -> tuple[Channel, ...]:
    """The power and energy channels of the chip named `chip`, none if it is not in KNOWN_CHIPS.

    `files` are the names of its attribute files, `texts` the contents of those that hold labels.
    """
    rule = _RULES.get(chip)
    return tuple(rule(files, texts)) if rule else ()


def settle_node(channels: Sequence[Channel]) -> list[Channel]:
    """Keep the node meters that can be added or stand alone; the others are only shown."""
    nodes = [channel for channel in channels if channel.covers == "node"]
    best = min((channel.node_rank for channel in nodes), default=0)
    kept = [channel for channel in nodes if channel.node_rank == best]
    ambiguous = len(kept) > 1 and not all(channel.adds_up for channel in kept)
    settled = []
    for channel in channels:
        if channel.covers == "node" and ambiguous:
            note = f"one of {len(kept)} meters that do not say what they measure, so none counts"
            settled.append(replace(channel, covers="", note=note))
        elif channel.covers == "node" and channel.node_rank != best:
            settled.append(replace(channel, covers="", note="another meter of the node contains it"))
        else:
            settled.append(channel)
    return settled


def _indices(files: Collection[str], pattern: str) -> list[int]:
    """The channel numbers N for which a file matches `pattern` (one group), in order."""
    matches = (re.fullmatch(pattern, name) for name in files)
    return sorted({int(match[1]) for match in matches if match})


def _first_present(files: Collection[str], *names: str) -> str:
    return next(name for name in names if name in files)


# Module contains Grace, which contains CPU and SysIO and memory (Grace performance tuning guide).
_GRACE_LABEL = re.compile(r"(Module|Grace|CPU|SysIO) Power Socket \d+")


def _power_meter(files: Collection[str], texts: Mapping[str, str]) -> Iterator[Channel]:
    for number in _indices(files, r"power(\d+)_(?:average|input)"):
        # The average over the meter's interval says more of the time between reads than an instant.
        source = _first_present(files, f"power{number}_average", f"power{number}_input")
        label = texts.get(f"power{number}_oem_info", "")
        grace = _GRACE_LABEL.fullmatch(label)
        if texts.get(f"power{number}_is_battery") == "1":
            yield Channel(name=f"power{number}", ignored="measures a battery, valid only while discharging")
        elif grace is None:
            yield Channel(name=f"power{number}", files=(source,), covers="node")
        elif grace[1] == "Module":
            yield Channel(name=label, files=(source,), covers="node", node_rank=0, adds_up=True)
        elif grace[1] == "CPU":
            yield Channel(name=label, files=(source,), covers="cpu", max_power_w=SOCKET_MAX_W)
        else:
            yield Channel(name=label, files=(source,), max_power_w=SOCKET_MAX_W)


def _amd_energy(files: Collection[str], texts: Mapping[str, str]) -> Iterator[Channel]:
    cores = 0
    for number in _indices(files, r"energy(\d+)_input"):
        label = texts.get(f"energy{number}_label", "")
        if label.startswith("Esocket"):
            yield Channel(
                name=label,
                files=(f"energy{number}_input",),
                counter=True,
                covers="cpu",
                range_uj=AMD_ENERGY_RANGE_UJ,
                max_power_w=SOCKET_MAX_W,
            )
        else:
            cores += 1
    if cores:
        yield Channel(name="Ecore", ignored=f"{cores} core counters, contained in their sockets")


def _labelled(
    meaning: Mapping[str, Covers], uncertainty_ratio: float = 0.05
) -> Callable[[Collection[str], Mapping[str, str]], Iterator[Channel]]:
    """A rule for chips with `powerN_input` and `powerN_label`: `meaning` by the label's last word part.

    Not `powerN_average`: occ averages since the controller started.
    """

    def rule(files: Collection[str], texts: Mapping[str, str]) -> Iterator[Channel]:
        for number in _indices(files, r"power(\d+)_input"):
            label = texts.get(f"power{number}_label") or f"power{number}"
            covers = meaning.get(label.rpartition("_")[2], "")
            yield Channel(
                name=label,
                files=(f"power{number}_input",),
                covers=covers,
                max_power_w=SOCKET_MAX_W if covers == "cpu" else NODE_MAX_W,
                uncertainty_ratio=uncertainty_ratio,
            )

    return rule


_INPUT_RAILS = {"VIN": 0, "VDD_IN": 1, "POM_5V_IN": 1}
"""Rails that feed a whole Jetson, with their rank: VIN of the carrier board contains VDD_IN of the module."""

_CPU_RAILS = {
    "VDD_CPU": "",
    "CPU": "",  # AGX Xavier
    "VDD_SYS_CPU": "",  # TX2
    "POM_5V_CPU": "",  # Nano
    "VDD_CPU_CV": "the vision accelerators are on this rail too",  # AGX Orin
    "VDD_CPU_SOC_MSS": "parts of the SoC are on this rail too",  # AGX Thor
    "VDD_CPU_GPU_CV": "the GPU and the vision accelerators are on this rail too",  # Xavier NX, Orin NX
}


def _rail(label: str, files: tuple[str, ...], scale: int) -> Channel:
    """A rail of a board, by its name in the device tree; 5 % for the shunt and the ripple between samples."""
    if label in _INPUT_RAILS:
        rank = _INPUT_RAILS[label]
        return Channel(name=label, files=files, scale=scale, covers="node", node_rank=rank)
    return Channel(
        name=label,
        files=files,
        scale=scale,
        covers="cpu" if label in _CPU_RAILS else "",
        max_power_w=BOARD_MAX_W,
        note=_CPU_RAILS.get(label, ""),
    )


def _ina3221(files: Collection[str], texts: Mapping[str, str]) -> Iterator[Channel]:
    """Three bus voltages in1 to in3 with their currents; in4 to in7 are shunt voltages."""
    for number in _indices(files, r"in([123])_input"):
        label = texts.get(f"in{number}_label") or f"in{number}"
        if f"curr{number}_input" in files and label != "NC":
            yield _rail(label, (f"in{number}_input", f"curr{number}_input"), 1)  # mV x mA = uW


def _ina3221x(files: Collection[str], texts: Mapping[str, str]) -> Iterator[Channel]:
    """NVIDIA's IIO driver of the 4.x kernels (L4T 32): milliwatts."""
    for number in _indices(files, r"in_power(\d+)_input"):
        yield _rail(texts.get(f"rail_name_{number}") or f"power{number}", (f"in_power{number}_input",), 1000)


def _ina2xx(files: Collection[str], texts: Mapping[str, str]) -> Iterator[Channel]:
    """One channel; what it is wired to is known only where the board names it."""
    for number in _indices(files, r"power(\d+)_input"):
        yield _rail(texts.get("label") or f"power{number}", (f"power{number}_input",), 1)


_RULES: Mapping[str, Callable[[Collection[str], Mapping[str, str]], Iterator[Channel]]] = {
    "power_meter": _power_meter,
    "amd_energy": _amd_energy,
    "apm_xgene": _labelled({"CPU power": "cpu"}, uncertainty_ratio=0.1),
    "occ": _labelled({"system": "node"}),
    "ina3221": _ina3221,
    "ina3221x": _ina3221x,
    **dict.fromkeys(("ina209", "ina219", "ina220", "ina226", "ina230", "ina231"), _ina2xx),
    **dict.fromkeys(("ina228", "ina237", "ina238"), _ina2xx),
}

KNOWN_CHIPS = frozenset(_RULES)
