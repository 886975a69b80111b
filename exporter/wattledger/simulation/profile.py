"""Which simulated hosts there are: their hardware, their meters, who lives on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

WholeNode = Literal["", "bmc", "psys"]
Cast = Literal["base", "shop", "ml", "batch", "build", "virtual", "people"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostProfile:
    """One kind of host.

    Every core has two hardware threads. `rapl` False leaves only an estimate of the CPUs.
    `whole_node` is the meter of the whole machine, `lost` names zones that fail with EIO
    from `lost_after_s` on.
    `casts` are the groups of workloads that live here, `scale` multiplies how much they do.
    """

    name: str
    sockets: int = 2
    cores: int = 24
    tdp_w: float = 205.0
    rapl: bool = True
    dram: bool = True
    gpus: int = 0
    whole_node: WholeNode = ""
    lost: tuple[str, ...] = ()
    lost_after_s: float = 20.0
    casts: tuple[Cast, ...] = ("base", "shop", "batch")
    scale: float = 1.0

    @property
    def cpus(self) -> int:
        """Logical CPUs of the host."""
        return self.sockets * self.cores * 2


REFERENCE = HostProfile(
    name="reference", whole_node="bmc", casts=("base", "shop", "batch", "build", "virtual", "people")
)
"""The host of the accuracy table: everything a CPU node may run, with every meter."""

SPECIAL = (
    HostProfile(
        name="",
        cores=32,
        tdp_w=250.0,
        gpus=8,
        whole_node="bmc",
        casts=("base", "shop", "ml", "batch", "virtual", "people"),
    ),
    HostProfile(name="", casts=("base", "shop", "build"), scale=0.8),
    HostProfile(name="", sockets=1, cores=4, rapl=False, dram=False, casts=("base", "shop"), scale=0.1),
    HostProfile(name="", lost=("package-1",), casts=("base", "batch", "people")),
    HostProfile(
        name="", cores=32, tdp_w=250.0, whole_node="psys", casts=("base", "shop", "build"), scale=2.2
    ),
)
"""A GPU node, a plain one, a virtual machine without meters, one with a lost meter, an overloaded one."""

ORDINARY = (
    HostProfile(name="", casts=("base", "shop", "people")),
    HostProfile(name="", cores=32, tdp_w=250.0, casts=("base", "batch"), whole_node="bmc"),
    HostProfile(name="", cores=16, tdp_w=150.0, casts=("base", "build"), scale=0.7),
    HostProfile(name="", casts=("base", "virtual"), dram=False),
    HostProfile(name="", cores=32, tdp_w=250.0, gpus=4, casts=("base", "ml"), whole_node="psys"),
)


def fleet(count: int) -> list[HostProfile]:
    """`count` differing hosts, node-01 onwards; the first five are the special cases."""
    profiles = []
    for index in range(count):
        turn, kind = divmod(index - len(SPECIAL), len(ORDINARY))
        if index < len(SPECIAL):
            profile = SPECIAL[index]
        else:
            profile = replace(ORDINARY[kind], scale=ORDINARY[kind].scale * (0.7 + 0.15 * (turn % 5)))
        profiles.append(replace(profile, name=f"node-{index + 1:02d}"))
    return profiles
