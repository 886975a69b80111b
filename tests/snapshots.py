"""Builders of snapshots for tests: one small and plain, one that fills every family, one of any size."""

from __future__ import annotations

from dataclasses import replace

from wattledger.model import (
    IDLE,
    J_UJ,
    KERNEL,
    S_NS,
    UNATTRIBUTED,
    BudgetRow,
    FeedHealth,
    Intensity,
    Outlook,
    Price,
    Window,
    Workload,
    Zone,
)
from wattledger.snapshot import (
    BoardRow,
    Cell,
    Health,
    MigRow,
    NodeRow,
    ProcessRow,
    SensorRow,
    Snapshot,
    SourceHealth,
    WorkloadRow,
)

WALL_NS = 1_767_225_600 * S_NS  # 2026-01-01T00:00:00Z

HEALTH = Health(
    interval_ns=5 * S_NS,
    duration_ns=1_500_000,
    ticks=12,
    overruns=0,
    failures=0,
    last_success_wall_ns=WALL_NS,
    series=4,
    series_limited=0,
    self_energy_uj=2 * J_UJ,
)


def node_row(component="cpu", energy_uj=1000 * J_UJ, **changes) -> NodeRow:
    """1,000 J at 100 W, of which 40 W are idle, 0.25 g."""
    row = NodeRow(
        component=component,
        energy_uj=energy_uj,
        emissions_g=0.25,
        expired_uj=0,
        expired_g=0.0,
        power_w=100.0,
        idle_power_w=40.0,
        idle_source="observed",
        estimated=False,
    )
    return replace(row, **changes)


def workload_row(
    uid=1, workload=None, cells=None, cpu_ns=90 * S_NS, power_w=60.0, embodied_g=0.0
) -> WorkloadRow:
    """A unit that drew 600 J of cpu energy and 0.15 g."""
    workload = workload or Workload(kind="unit", id="/system.slice/nginx.service", name="nginx")
    cells = cells if cells is not None else (Cell("cpu", "dynamic", 600 * J_UJ, 0.15),)
    return WorkloadRow(uid, workload, cpu_ns, power_w, cells, None, embodied_g)


def sensor_row(zone=None, **changes) -> SensorRow:
    """A RAPL package that is up, at 1,000 J and 100 W."""
    row = SensorRow(
        zone=zone or Zone(sensor="powercap", name="package-0", device="intel-rapl:0", covers="cpu"),
        up=True,
        energy_uj=1000 * J_UJ,
        power_w=100.0,
        read_errors={},
        wraps=0,
        dropped={},
    )
    return replace(row, **changes)


def snapshot(**changes) -> Snapshot:
    """One component, one sensor, one unit and the idle share: 1,000 J = 600 J + 400 J."""
    plain = Snapshot(
        sequence=1,
        boottime_ns=1000 * S_NS,
        wall_ns=WALL_NS,
        nodes=(node_row(),),
        workloads=(
            workload_row(),
            workload_row(2, IDLE, (Cell("cpu", "idle", 400 * J_UJ, 0.1),), cpu_ns=0, power_w=40.0),
        ),
        processes=(),
        sensors=(sensor_row(),),
        price=Price(intensity=Intensity(grams_per_kwh=900.0, provider="static", grid_zone="DE")),
        health=HEALTH,
        node_info={},
    )
    return replace(plain, **changes)


def rich_snapshot(**changes) -> Snapshot:
    """Fills every family of the catalogue: GPUs, an estimate, a failing sensor, processes, hostile names."""
    pod = Workload(
        kind="container",
        id="4f" * 32,
        name="trainer",
        pod_namespace="ml",
        pod_name="train-0",
        container_name="main",
        facts=(("runtime", "containerd"), ("pod_uid", "6f1c0e4a-0000-4000-8000-000000000001")),
    )
    hostile = Workload(
        kind="unit", id='/weird.slice/a\\x2db "c"\nd.service', name="<script>alert(1)</script>"
    )
    workloads = (
        workload_row(
            1,
            pod,
            (
                Cell("cpu", "dynamic", 600 * J_UJ, 0.15),
                Cell("gpu", "dynamic", 2_000_000_001, 0.5),
                Cell("dram", "idle", 1, 2.5e-10),
            ),
            cpu_ns=90 * S_NS + 1,
            power_w=260.0,
            embodied_g=28.0,
        ),
        workload_row(2, hostile, (Cell("cpu", "dynamic", 123_456_789, 0.03125),), power_w=12.5),
        workload_row(3, KERNEL, (Cell("cpu", "dynamic", J_UJ, 0.001),), cpu_ns=250_000_000, power_w=0.5),
        workload_row(4, IDLE, (Cell("cpu", "", 275_543_211, 0.06875),), cpu_ns=0, power_w=40.0),
        workload_row(5, UNATTRIBUTED, (Cell("cpu", "", 0, 0.0),), cpu_ns=0, power_w=0.0),
    )
    gpu = Zone(
        sensor="nvml",
        name="board",
        device="GPU-7f3a9c52-0000-4000-8000-000000000000",
        covers="gpu",
        attributes=(("model", "H200"), ("pci", "00000000:18:00.0"), ("index", "0"), ("driver", "570.86")),
    )
    estimate = Zone(
        sensor="estimate",
        name="cpu",
        device="",
        covers="cpu",
        method="estimated",
        uncertainty_ratio=0.4,
        attributes=(("microarchitecture", "sapphire-rapids"),),
    )
    psys = Zone(sensor="powercap", name="psys", device="intel-rapl:1", covers="")
    rich = snapshot(
        sequence=7,
        nodes=(
            node_row(expired_uj=5 * J_UJ, expired_g=0.00125, estimated=True, market_g=0.025, water_l=0.0001),
            node_row("dram", 1, emissions_g=2.5e-10, power_w=None, idle_power_w=None, idle_source=""),
            node_row("gpu", 2_000_000_001, emissions_g=0.5, power_w=200.0, idle_source="configured"),
        ),
        workloads=workloads,
        processes=(
            ProcessRow(
                pid=4242, comm="python3", kind="container", id=pod.id, energy_uj=J_UJ, emissions_g=0.00025
            ),
        ),
        sensors=(
            sensor_row(estimate),
            sensor_row(
                psys,
                up=False,
                power_w=None,
                read_errors={"enodata": 3, "eio": 1},
                wraps=2,
                dropped={"implausible": 1},
            ),
            sensor_row(gpu, energy_uj=2_000_000_001, power_w=200.0),
        ),
        price=Price(
            intensity=Intensity(
                grams_per_kwh=445.0,
                provider="table",
                grid_zone="WORLD",
                fallback=True,
                updated_ns=WALL_NS,
                flow="production",
                licence="CC BY 4.0, Ember",
                max_age_ns=21600 * S_NS,
            ),
            pue=1.2,
            market=Intensity(grams_per_kwh=30.0, provider="static"),
            wue_l_per_kwh=0.4,
        ),
        health=replace(
            HEALTH,
            config_reload_wall_ns=WALL_NS + 500_000_000,
            name_sources={
                "docker": SourceHealth(up=True, answers=3, errors={}),
                "kubelet": SourceHealth(up=False, answers=0, errors={"tls": 2}),
            },
            feeds=(
                FeedHealth(
                    role="intensity",
                    provider="energy-charts",
                    up=False,
                    last_success_ns=WALL_NS - 3600 * S_NS,
                    errors={"timeout": 2},
                ),
            ),
            journal_errors=1,
            journal_written_wall_ns=WALL_NS,
        ),
        node_info={"nodename": "node-1", "machine": "x86_64"},
        embodied_g=28.5,
        expired_embodied_g=0.5,
        budgets=(
            BudgetRow(
                name="node-month",
                period="month",
                limit_g=50_000.0,
                consumed_g=12_345.5,
                start_ns=WALL_NS,
                end_ns=WALL_NS + 31 * 86400 * S_NS,
                timezone="Europe/Berlin",
                scope="operational",
                selects="",
            ),
        ),
        outlook=Outlook(
            source=Intensity(grams_per_kwh=300.0, provider="energy-charts", grid_zone="DE"),
            generated_ns=WALL_NS,
            means={1: 290.0, 24: 250.5},
            windows=(
                Window(
                    duration_ns=7200 * S_NS,
                    start_ns=WALL_NS + 3600 * S_NS,
                    grams_per_kwh=150.0,
                    now_grams_per_kwh=300.0,
                ),
            ),
            state="red",
        ),
        boards=(
            BoardRow(
                device="GPU-7f3a9c52-0000-4000-8000-000000000000",
                idle_power_w=75.5,
                check_ratio=0.98,
                quality="mig-share",
                instances=(
                    MigRow(uuid="MIG-1", profile="1g.18gb", gpu_instance=7, compute_instance=0),
                    MigRow(uuid="MIG-2", profile="3g.71gb", gpu_instance=1, compute_instance=0),
                ),
            ),
        ),
    )
    return replace(rich, **changes)


def large_snapshot(workloads: int, components=("cpu", "dram"), sequence=1) -> Snapshot:
    """Containers with one dynamic cell per component each; values move with `sequence`."""
    rows = tuple(
        workload_row(
            uid,
            Workload(
                kind="container",
                id=f"{uid:064x}",
                name=f"app-{uid}",
                pod_namespace="default",
                pod_name=f"app-{uid}-5d4f8c7b9d-x2x7q",
                container_name="app",
                facts=(("runtime", "containerd"),),
            ),
            tuple(
                Cell(component, "dynamic", uid * 1_234_567 + sequence * 7_001, uid * 0.0123 + sequence * 1e-3)
                for component in components
            ),
            cpu_ns=uid * 10_000_001 + sequence,
            power_w=uid / 10,
        )
        for uid in range(1, workloads + 1)
    )
    return snapshot(workloads=rows, sequence=sequence)
