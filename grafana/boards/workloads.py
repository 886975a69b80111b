"""Workloads: from namespace to pod to container; units, users and accounts, jobs and virtual machines."""

from __future__ import annotations

from ..builder.dashboard import ANYTHING_OR_NOTHING, Dashboard, Row, Variable, selection
from ..builder.fields import GRAMS, KWH, SECONDS, WATT
from ..builder.links import TO_NAMESPACE, TO_NODE
from ..builder.panels import Bars, Query, TimeSeries
from ..builder.promql import IDENTITY, NODE, across, grown, integral, kwh, largest_recorded, of, rate, total
from ..builder.tables import Label, Table, Value

ENERGY = "wattledger_workload_energy_joules_total"
EMISSIONS = "wattledger_workload_emissions_grams_total"
CPU = "wattledger_workload_cpu_seconds_total"
CONTAINER = ('kind="container"', 'pod_namespace=~"$namespace"')
IN_A_NAMESPACE = 'pod_namespace!=""'
JOB = ('kind=~"job|vm"',)
WHO = f"{NODE}, {IDENTITY}"
WHICH_JOB = f"{NODE}, kind, id, name"
ALL_NODES = "Over all nodes of the cluster and job, whichever instance is chosen."

NAMESPACE_POWER = across("namespace:wattledger_workload_energy_joules:rate5m", 'pod_namespace=~"$namespace"')
NAMESPACE_RATE = across("namespace:wattledger_workload_emissions_grams:rate5m", 'pod_namespace=~"$namespace"')
NAMESPACE_EMBODIED = across(
    "namespace:wattledger_workload_embodied_emissions_grams:increase1h", 'pod_namespace=~"$namespace"'
)
TOP_NAMESPACES = f"topk(50, {total(integral(NAMESPACE_POWER), 'cluster, pod_namespace')})"
POD_POWER = across("pod:wattledger_workload_energy_joules:rate5m", 'pod_namespace=~"$namespace"')
UNIT_POWER = across("unit:wattledger_workload_energy_joules:rate5m")
USER_POWER = across("user:wattledger_workload_energy_joules:rate5m")


def among_top_namespaces(expression: str) -> str:
    """A sum per namespace, of the 50 with most energy."""
    return f"{total(expression, 'cluster, pod_namespace')}\nand on (cluster, pod_namespace)\n{TOP_NAMESPACES}"


def container(expression: str) -> str:
    """A sum per container, of the 25 that draw most."""
    return f"{total(expression, WHO)}\nand on ({WHO})\ntopk(25, {total(rate(ENERGY, *CONTAINER), WHO)})"


def job(expression: str) -> str:
    """A sum per job or virtual machine with its user and account; one that has none is left as it is."""
    info = (
        f"topk by ({NODE}, kind, id) (1, sum by ({NODE}, kind, id, user, account) (\n"
        f"count_over_time({of('wattledger_workload_info', *JOB)}[$__range]))) > bool 0"
    )
    return f"{total(expression, WHICH_JOB)}\n* on ({NODE}, kind, id) group_left (user, account)\n({info})"


def among_top_jobs(expression: str) -> str:
    """A figure per job or virtual machine, of the 100 with most energy."""
    return f"{expression}\nand on ({WHICH_JOB})\ntopk(100, {total(grown(ENERGY, *JOB), WHICH_JOB)})"


def of_people(label: str) -> tuple[Query, Query]:
    """Energy and emissions of the last hour by user or account, of the 25 with most energy."""
    energy, emissions = (
        f"sum by ({label}) ({across(f'{label}:wattledger_workload_{what}:increase1h')})"
        for what in ("energy_joules", "emissions_grams")
    )
    return (
        Query(f"topk(25, {kwh(energy)})"),
        Query(f"{emissions}\nand on ({label})\ntopk(25, {energy})"),
    )


NAMESPACES = (
    TimeSeries(
        title="Power by namespace",
        description=f"The ten namespaces with most energy over the time shown. {ALL_NODES}",
        queries=(Query(largest_recorded(NAMESPACE_POWER, "pod_namespace", 10), "{{pod_namespace}}"),),
        unit=WATT,
        stacked=True,
        empty="without Kubernetes",
    ),
    TimeSeries(
        title="Emissions per hour by namespace",
        description=f"CO₂e of the ten namespaces that emitted most over the time shown. {ALL_NODES}",
        queries=(
            Query(f"3600 * ({largest_recorded(NAMESPACE_RATE, 'pod_namespace', 10)})", "{{pod_namespace}}"),
        ),
        unit=GRAMS,
        stacked=True,
        empty="without Kubernetes",
    ),
    Table(
        title="Namespaces",
        description=(
            "The 50 with most energy over the time shown, up to the last full minute; embodied emissions "
            f"of the last hour. The name leads to its pods. {ALL_NODES}"
        ),
        queries=(
            Query(among_top_namespaces(NAMESPACE_POWER)),
            Query(kwh(TOP_NAMESPACES)),
            Query(among_top_namespaces(integral(NAMESPACE_RATE))),
            Query(among_top_namespaces(NAMESPACE_EMBODIED)),
        ),
        labels=(Label("cluster", "Cluster"), Label("pod_namespace", "Namespace", TO_NAMESPACE)),
        values=(
            Value(title="Power", unit=WATT),
            Value(title="Energy", unit=KWH),
            Value(title="Emissions", unit=GRAMS),
            Value(title="Embodied, last hour", unit=GRAMS),
        ),
        sort="Energy",
        empty="without Kubernetes; the embodied column also where no embodied emissions are configured",
    ),
)

PODS = (
    Table(
        title="Pods by power",
        description=f"The 25 pods that draw most, with energy and emissions of the last hour. {ALL_NODES}",
        queries=(
            Query(f"topk(25, {total(POD_POWER, 'cluster, pod_namespace, pod_name')})"),
            *(
                Query(
                    kwh_or_grams(
                        total(across(name, 'pod_namespace=~"$namespace"'), "cluster, pod_namespace, pod_name")
                    )
                    + "\nand on (cluster, pod_namespace, pod_name)\n"
                    + f"topk(25, {total(POD_POWER, 'cluster, pod_namespace, pod_name')})"
                )
                for name, kwh_or_grams in (
                    ("pod:wattledger_workload_energy_joules:increase1h", kwh),
                    ("pod:wattledger_workload_emissions_grams:increase1h", str),
                )
            ),
        ),
        labels=(
            Label("cluster", "Cluster"),
            Label("pod_namespace", "Namespace", TO_NAMESPACE),
            Label("pod_name", "Pod"),
        ),
        values=(
            Value(title="Power", unit=WATT),
            Value(title="Energy, last hour", unit=KWH),
            Value(title="Emissions, last hour", unit=GRAMS),
        ),
        sort="Power",
        width=12,
        empty="without Kubernetes",
    ),
    Table(
        title="Containers by power",
        description=(
            "The 25 containers that draw most on the chosen nodes, at the pace of now. "
            "In a fleet of a thousand nodes choose a namespace or nodes first."
        ),
        queries=(
            Query(f"topk(25, {total(rate(ENERGY, *CONTAINER), WHO)})"),
            Query(f"3600 * {container(rate(EMISSIONS, *CONTAINER))}"),
            Query(
                f"{total(rate(EMISSIONS, *CONTAINER), WHO)} / ({total(rate(CPU, *CONTAINER), WHO)} > 0)"
                f"\nand on ({WHO})\ntopk(25, {total(rate(ENERGY, *CONTAINER), WHO)})"
            ),
        ),
        labels=(
            Label("cluster", "Cluster"),
            Label("instance", "Node", TO_NODE),
            Label("pod_namespace", "Namespace"),
            Label("pod_name", "Pod"),
            Label("name", "Container"),
        ),
        values=(
            Value(title="Power", unit=WATT),
            Value(title="Emissions per hour", unit=GRAMS),
            Value(title="Grams per CPU second", unit=GRAMS),
        ),
        sort="Power",
        width=12,
        empty="without containers",
    ),
)

UNITS = (
    TimeSeries(
        title="Power by unit",
        description=(
            f"The ten systemd units with most energy over the time shown, each over all nodes. {ALL_NODES}"
        ),
        queries=(Query(largest_recorded(UNIT_POWER, "id", 10), "{{id}}"),),
        unit=WATT,
        stacked=True,
        empty="without systemd",
    ),
    Table(
        title="Units",
        description=f"The 25 units that draw most, with energy and emissions of the last hour. {ALL_NODES}",
        queries=(
            Query(f"topk(25, sum by (id) ({UNIT_POWER}))"),
            Query(
                kwh(f"sum by (id) ({across('unit:wattledger_workload_energy_joules:increase1h')})")
                + f"\nand on (id)\ntopk(25, sum by (id) ({UNIT_POWER}))"
            ),
            Query(
                f"sum by (id) ({across('unit:wattledger_workload_emissions_grams:increase1h')})"
                f"\nand on (id)\ntopk(25, sum by (id) ({UNIT_POWER}))"
            ),
        ),
        labels=(Label("id", "Unit"),),
        values=(
            Value(title="Power", unit=WATT),
            Value(title="Energy, last hour", unit=KWH),
            Value(title="Emissions, last hour", unit=GRAMS),
        ),
        sort="Power",
        width=12,
        height=8,
        empty="without systemd",
    ),
)

PEOPLE = (
    TimeSeries(
        title="Power by user",
        description=f"The ten users with most energy over the time shown. {ALL_NODES}",
        queries=(Query(largest_recorded(USER_POWER, "user", 10), "{{user}}"),),
        unit=WATT,
        stacked=True,
        empty="while no workload has a known user",
    ),
    Table(
        title="Users",
        description=f"The 25 users with most energy in the last hour. {ALL_NODES}",
        queries=of_people("user"),
        labels=(Label("user", "User"),),
        values=(
            Value(title="Energy, last hour", unit=KWH),
            Value(title="Emissions, last hour", unit=GRAMS),
        ),
        sort="Energy, last hour",
        width=6,
        height=8,
        empty="while no workload has a known user",
    ),
    Table(
        title="Accounts",
        description=(
            "The 25 accounts of the batch system with most energy in the last hour. "
            f"What an account bears its users bear too, so the two lists are not to be added up. {ALL_NODES}"
        ),
        queries=of_people("account"),
        labels=(Label("account", "Account"),),
        values=(
            Value(title="Energy, last hour", unit=KWH),
            Value(title="Emissions, last hour", unit=GRAMS),
        ),
        sort="Energy, last hour",
        width=6,
        height=8,
        empty="without a batch system",
    ),
)

JOBS = (
    Table(
        title="Jobs and virtual machines",
        description=(
            "Batch jobs and virtual machines on the chosen nodes that ran in the time shown, the 100 with "
            "most energy: what each of them cost there. One that was on several nodes has one row per node."
        ),
        queries=(
            Query(f"topk(100, {kwh(job(grown(ENERGY, *JOB)))})"),
            Query(among_top_jobs(job(grown(EMISSIONS, *JOB)))),
            Query(among_top_jobs(job(grown(CPU, *JOB)))),
            Query(
                among_top_jobs(
                    f"({job(grown(EMISSIONS, *JOB))})\n/ on ({WHICH_JOB}, user, account)\n"
                    f"({job(grown(CPU, *JOB))} > 0)"
                )
            ),
        ),
        labels=(
            Label("cluster", "Cluster"),
            Label("kind", "Kind"),
            Label("id", "Id"),
            Label("name", "Name"),
            Label("user", "User"),
            Label("account", "Account"),
            Label("instance", "Node", TO_NODE),
        ),
        values=(
            Value(title="Energy", unit=KWH),
            Value(title="Emissions", unit=GRAMS),
            Value(title="CPU time", unit=SECONDS),
            Value(title="Grams per CPU second", unit=GRAMS),
        ),
        sort="Energy",
        width=16,
        empty="without a batch system and virtual machines",
    ),
    Bars(
        title="Whose nobody is",
        description=(
            "Power that no single workload bears: idle, kernel, what had ended before it could be named, "
            "what was recovered after the agent was down, and what is beyond the series limit."
        ),
        queries=(
            Query(
                "sort_desc("
                + total(rate(ENERGY, 'kind=~"idle|kernel|exited|unattributed|other"'), "kind")
                + ")",
                "{{kind}}",
            ),
        ),
        unit=WATT,
        width=8,
        height=10,
    ),
)

WORKLOADS = Dashboard(
    uid="wattledger-workloads",
    title="Wattledger / Workloads",
    description="What workloads cost: namespace, pod, container, unit, user, account, job, virtual machine.",
    variables=(
        *selection(),
        Variable(
            name="namespace",
            label="Namespace",
            query=f"label_values({of('wattledger_workload_info', IN_A_NAMESPACE)}, pod_namespace)",
            regex_of_all=ANYTHING_OR_NOTHING,
        ),
    ),
    rows=(
        Row(title="Namespaces", panels=NAMESPACES),
        Row(title="Pods and containers", panels=PODS),
        Row(title="Units", panels=UNITS),
        Row(title="Users and accounts", panels=PEOPLE),
        Row(title="Jobs, virtual machines, and what belongs to nobody", panels=JOBS),
    ),
    span="3h",
)
