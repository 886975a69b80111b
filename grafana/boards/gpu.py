"""GPU: boards, MIG instances, who shares them, and what they draw for nothing."""

from __future__ import annotations

from ..builder.dashboard import Dashboard, Row, selection
from ..builder.fields import GRAMS, KWH, NUMBER, RATIO, WATT
from ..builder.links import TO_NODE
from ..builder.palette import SHARES
from ..builder.panels import Bars, Query, Stat, TimeSeries
from ..builder.promql import (
    IDENTITY,
    NODE,
    NODE_NAME,
    WORKLOAD_NAME,
    grown,
    kwh,
    largest,
    newest,
    of,
    rate,
    short_ids,
    total,
)
from ..builder.tables import Label, Table, Value

ENERGY = "wattledger_gpu_energy_joules_total"
WORKLOAD_ENERGY = "wattledger_workload_energy_joules_total"
WORKLOAD_EMISSIONS = "wattledger_workload_emissions_grams_total"
ON_GPU = 'component="gpu"'
UNUSED = 'kind="idle"'
WHO = f"{NODE}, {IDENTITY}"
BOARD = f"{NODE}, gpu_uuid"
NAMED = (
    f"* on ({BOARD}) group_left (model, index)\n"
    f"max by ({BOARD}, model, index) ({newest(of('wattledger_gpu_info'), BOARD)})"
)
CHECK = of("wattledger_gpu_energy_check_ratio")
NO_GPU = "on nodes without a GPU"
RANKED_BOARDS = f"sum by ({BOARD}) (rate({of(ENERGY)}[$__range] @ end()))"
RANKED_USERS = f"sum by ({WHO}) (rate({of(WORKLOAD_ENERGY, ON_GPU)}[$__range] @ end()))"

TOP = f"topk(64, {total(rate(ENERGY), BOARD)})"


def among_top(expression: str) -> str:
    """What the list shows of a board beside its power."""
    return f"{expression}\nand on ({BOARD})\n{TOP}"


NOW = (
    Stat(
        title="Boards",
        description="GPU boards on the chosen nodes.",
        queries=(Query(f"count({of('wattledger_gpu_power_watts')})"),),
        empty=NO_GPU,
    ),
    Stat(
        title="Power",
        description="What all boards draw.",
        queries=(Query(total(rate(ENERGY))),),
        unit=WATT,
        empty=NO_GPU,
    ),
    Stat(
        title="Energy",
        description="Of all boards over the time shown, from their own counters.",
        queries=(Query(kwh(total(grown(ENERGY)))),),
        unit=KWH,
        empty=NO_GPU,
    ),
    Stat(
        title="Emissions",
        description="CO₂e of the component gpu over the time shown, PUE included.",
        queries=(Query(total(grown("wattledger_node_emissions_grams_total", ON_GPU))),),
        unit=GRAMS,
        empty=NO_GPU,
    ),
    Stat(
        title="Share of the node's energy",
        description="GPU energy over all energy of the nodes that have one.",
        queries=(
            Query(
                f"{total(rate('wattledger_node_energy_joules_total', ON_GPU))}\n/\n"
                f"sum({total(rate('wattledger_node_energy_joules_total'), NODE)}\nand on ({NODE})\n"
                f"{of('wattledger_gpu_info')})"
            ),
        ),
        unit=RATIO,
        decimals=0,
        empty=NO_GPU,
    ),
    Stat(
        title="Idle waste",
        description=(
            "GPU power that no workload bears: all of a board that waits, "
            "and the idle part of a board at work unless it is allocated to its users."
        ),
        queries=(Query(total(rate(WORKLOAD_ENERGY, ON_GPU, UNUSED))),),
        unit=WATT,
        empty=NO_GPU,
    ),
)

BOARDS = (
    TimeSeries(
        title="Power by board",
        description="The 16 boards with most energy over the time shown.",
        queries=(
            Query(
                f"({largest(total(rate(ENERGY), BOARD), RANKED_BOARDS, BOARD, 16)})\n{NAMED}",
                f"{NODE_NAME} #{{{{index}}}} {{{{model}}}}",
            ),
        ),
        unit=WATT,
        height=10,
        empty=NO_GPU,
    ),
    TimeSeries(
        title="Used, idle and unattributed",
        description="GPU power by what it was for, over the chosen nodes.",
        queries=(
            Query(total(rate(WORKLOAD_ENERGY, ON_GPU, 'mode="idle"')), "idle"),
            Query(total(rate(WORKLOAD_ENERGY, ON_GPU, 'mode!="idle"', 'kind!="unattributed"')), "dynamic"),
            Query(
                total(rate(WORKLOAD_ENERGY, ON_GPU, 'mode!="idle"', 'kind="unattributed"')), "unattributed"
            ),
        ),
        unit=WATT,
        stacked=True,
        colors=SHARES,
        height=10,
        empty=NO_GPU,
    ),
    Table(
        title="Board list",
        description="The 64 boards that draw most, with their idle floor where one was seen yet.",
        queries=(
            Query(TOP),
            Query(
                among_top(
                    f"max by ({BOARD}, model, index, pci, driver) "
                    f"({newest(of('wattledger_gpu_info'), BOARD)})"
                )
            ),
            Query(among_top(f"max by ({BOARD}) ({of('wattledger_gpu_idle_power_watts')})")),
            Query(among_top(kwh(total(grown(ENERGY), BOARD)))),
        ),
        labels=(
            Label("cluster", "Cluster"),
            Label("instance", "Node", TO_NODE),
            Label("index", "Index"),
            Label("model", "Model"),
            Label("gpu_uuid", "UUID"),
            Label("pci", "PCI address"),
            Label("driver", "Driver"),
        ),
        values=(
            Value(title="Power", unit=WATT),
            Value(title="Info", unit=NUMBER, hidden=True),
            Value(title="Idle floor", unit=WATT),
            Value(title="Energy", unit=KWH),
        ),
        sort="Power",
        empty=NO_GPU,
    ),
)

SHARING = (
    TimeSeries(
        title="Users of the boards",
        description=(
            "The twelve workloads with most GPU energy over the time shown; idle is what none bears."
        ),
        queries=(
            Query(
                short_ids(largest(total(rate(WORKLOAD_ENERGY, ON_GPU), WHO), RANKED_USERS, WHO, 12)),
                f"{NODE_NAME} {WORKLOAD_NAME}",
            ),
        ),
        unit=WATT,
        stacked=True,
        height=10,
        empty=NO_GPU,
    ),
    Table(
        title="GPU energy by workload",
        description="The 25 workloads with most GPU energy over the time shown, on the chosen nodes.",
        queries=(
            Query(f"topk(25, {kwh(total(grown(WORKLOAD_ENERGY, ON_GPU), WHO))})"),
            Query(
                f"{total(grown(WORKLOAD_EMISSIONS, ON_GPU), WHO)}\nand on ({WHO})\n"
                f"topk(25, {total(grown(WORKLOAD_ENERGY, ON_GPU), WHO)})"
            ),
        ),
        labels=(
            Label("cluster", "Cluster"),
            Label("instance", "Node", TO_NODE),
            Label("kind", "Kind"),
            Label("pod_namespace", "Namespace"),
            Label("pod_name", "Pod"),
            Label("name", "Name"),
            Label("id", "Id"),
        ),
        values=(Value(title="GPU energy", unit=KWH), Value(title="GPU emissions", unit=GRAMS)),
        sort="GPU energy",
        width=12,
        empty=NO_GPU,
    ),
    Table(
        title="MIG instances",
        description=(
            "Instances that boards are divided into, 100 at most. "
            "Energy is measured per board and split by the activity or the size of its instances."
        ),
        queries=(
            Query(
                f"topk(100, max by ({BOARD}, mig_uuid, profile, gpu_instance, compute_instance) "
                f"({of('wattledger_gpu_mig_info')}))"
            ),
        ),
        labels=(
            Label("cluster", "Cluster"),
            Label("instance", "Node", TO_NODE),
            Label("gpu_uuid", "Board"),
            Label("profile", "Profile"),
            Label("gpu_instance", "GPU instance"),
            Label("compute_instance", "Compute instance"),
            Label("mig_uuid", "UUID"),
        ),
        values=(Value(title="Info", unit=NUMBER, hidden=True),),
        width=12,
        empty="while no board is divided",
    ),
    Table(
        title="Weak splits",
        description="Boards whose energy cannot be split well among their users, and why; 100 at most.",
        queries=(Query(f"topk(100, max by ({BOARD}, quality) ({of('wattledger_gpu_split_info')}))"),),
        labels=(
            Label("cluster", "Cluster"),
            Label("instance", "Node", TO_NODE),
            Label("gpu_uuid", "Board"),
            Label("quality", "Why"),
        ),
        values=(Value(title="Info", unit=NUMBER, hidden=True),),
        width=12,
        empty="while every board is split well",
    ),
)

WASTE = (
    Bars(
        title="Idle GPU power by node",
        description="The 15 nodes with most GPU power that no workload bears, now.",
        queries=(
            Query(
                f"sort_desc(topk(15, {total(rate(WORKLOAD_ENERGY, ON_GPU, UNUSED), NODE)}))",
                NODE_NAME,
            ),
        ),
        unit=WATT,
        empty=NO_GPU,
    ),
    TimeSeries(
        title="Counter against integrated power",
        description=(
            "Energy counter of a board over its integrated power: near 1 where both are right, "
            "off by up to 18 % for single cards. The 16 boards furthest from 1 at the end of the time shown."
        ),
        queries=(
            Query(
                largest(CHECK, f"abs({CHECK} @ end() - 1)", BOARD, 16),
                f"{NODE_NAME} {{{{gpu_uuid}}}}",
            ),
        ),
        unit=RATIO,
        minimum=None,
        empty="where the boards have no counter to compare with, and in the first minutes",
    ),
)

GPU = Dashboard(
    uid="wattledger-gpu",
    title="Wattledger / GPU",
    description="GPU boards: power, sharing, MIG, idle waste.",
    variables=selection(),
    rows=(
        Row(title="Now", panels=NOW),
        Row(title="Boards", panels=BOARDS),
        Row(title="Sharing", panels=SHARING),
        Row(title="Idle waste and trust", panels=WASTE),
    ),
    span="3h",
    refresh="30s",
)
