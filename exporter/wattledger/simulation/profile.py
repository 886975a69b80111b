"""Which simulated hosts there are: their hardware, their meters, who lives on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

WholeNode = Literal["", "bmc", "psys"]
ZONE_NAMES = ("DEMO-A", "DEMO-B", "DEMO-C")
Cast = Literal["base", "shop", "ml", "batch", "build", "virtual", "people", "media"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostProfile:
    """One kind of host.

    Every core has two hardware threads. `rapl` False leaves only an estimate of the CPUs.
    `whole_node` is the meter of the whole machine, `lost` names zones that fail with EIO
    from `lost_after_s` on.
    `casts` are the groups of workloads that live here, `scale` how much they do on this hardware, `load`
    multiplies that at the play's own time. `grid` is the zone, `grid_fails` says that its live source
    does not answer, `over` that the node lives beyond its budgets.
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
    lost_after_s: float = 0.0
    casts: tuple[Cast, ...] = ("base", "shop", "batch")
    scale: float = 1.0
    load: float = 1.0
    grid: str = ""
    grid_fails: bool = False
    over: bool = False

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
        name="",
        cores=32,
        tdp_w=250.0,
        whole_node="psys",
        casts=("base", "media", "people"),
        grid="DEMO-C",
        over=True,
    ),
    HostProfile(name="", casts=("base", "shop", "people"), scale=0.7, grid_fails=True),
)
"""A GPU node, a plain one, a virtual machine without meters, one with a lost meter, one that is over
its budgets, and one whose source of intensity does not answer."""

ORDINARY = (
    HostProfile(name="", cores=32, tdp_w=250.0, casts=("base", "batch"), whole_node="bmc"),
    HostProfile(name="", cores=16, tdp_w=150.0, casts=("base", "build"), scale=0.7),
    HostProfile(name="", casts=("base", "virtual"), dram=False),
    HostProfile(name="", cores=32, tdp_w=250.0, gpus=4, casts=("base", "ml"), whole_node="psys"),
    HostProfile(name="", casts=("base", "shop", "people")),
    HostProfile(name="", sockets=1, cores=8, rapl=False, dram=False, casts=("base", "shop"), scale=0.15),
    HostProfile(
        name="", cores=32, tdp_w=250.0, whole_node="psys", casts=("base", "shop", "build"), scale=2.2
    ),
)
"""The last one has more to do than it can."""

TURNS = 5
"""How often the ordinary hosts are repeated with another amount of work before they are the same again."""


def fleet(count: int, load: float = 1.0) -> list[HostProfile]:
    """`count` differing hosts, node-01 onwards, in turn in the three zones; the first six are special cases.

    What comes after them are ordinary hosts, of which about one in 40 each has lost a meter, is over its
    budgets, or cannot reach its source of intensity. A host is the same in fleets of any size.
    """
    hosts = [_host(index) for index in range(count)]
    return [
        replace(
            host,
            name=f"node-{index + 1:02d}",
            grid=host.grid or ZONE_NAMES[index % len(ZONE_NAMES)],
            load=load,
        )
        for index, host in enumerate(hosts)
    ]


def _host(index: int) -> HostProfile:
    if index < len(SPECIAL):
        return SPECIAL[index]
    turn, kind = divmod(index - len(SPECIAL), len(ORDINARY))
    profile = ORDINARY[kind]
    loses = index % 31 == 0 and profile.rapl and profile.sockets > 1
    return replace(
        profile,
        scale=profile.scale * (0.7 + 0.15 * (turn % TURNS)),
        lost=("package-1",) if loses else (),
        over=index % 37 == 0,
        grid_fails=index % 41 == 0,
    )
