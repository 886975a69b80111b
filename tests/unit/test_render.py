"""The exposition: what is written for a snapshot, to the character."""

from __future__ import annotations

import random
import shutil
import subprocess
from dataclasses import replace
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.snapshots import (
    HEALTH,
    large_snapshot,
    node_row,
    rich_snapshot,
    sensor_row,
    snapshot,
    workload_row,
)
from wattledger.carbon.live.fetch import REASONS
from wattledger.counters import Outcome
from wattledger.exposition.catalogue import FAMILIES, STANDARD
from wattledger.exposition.family import MAX_LABELS
from wattledger.exposition.own import OwnProcess, build_labels
from wattledger.exposition.render import Renderer
from wattledger.exposition.values import joules, number, seconds
from wattledger.model import J_UJ, FeedHealth, Workload, Zone
from wattledger.snapshot import Cell

BUILD = {"version": "0.1.0", "revision": "", "python_version": "3.11.2"}
OWN = {
    "process_cpu_seconds_total": 1.25,
    "process_resident_memory_bytes": 45_000_000.0,
    "process_virtual_memory_bytes": 300_000_000.0,
    "process_start_time_seconds": 1_767_225_500.0,
    "process_open_fds": 12.0,
    "process_max_fds": 1024.0,
    "python_gc_uncatalogued": 1.0,
}


def text_of(shot, renderer=None) -> str:
    return (renderer or Renderer(BUILD)).render(shot, openmetrics=False).decode()


def samples_of(text: str) -> dict:
    """Values by name and labels; two samples of one series are an error."""
    found = {}
    for family in parse_text(text):
        for sample in family.samples:
            key = (sample.name.removeprefix("wattledger_"), frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def lines_of(text: str, name: str) -> list[str]:
    return [
        line for line in text.splitlines() if line.startswith((f"wattledger_{name}{{", f"wattledger_{name} "))
    ]


def counted(text: str, name: str) -> list[str]:
    """The lines of a counter that has counted something."""
    return [line for line in lines_of(text, name) if not line.endswith(" 0")]


def test_the_text_format_of_a_rich_snapshot(golden):
    body = Renderer(BUILD).render(rich_snapshot(), openmetrics=False, own=OWN).decode()
    golden("exposition.txt", body)


def test_openmetrics_of_a_rich_snapshot_passes_the_strict_parser(golden):
    body = Renderer(BUILD).render(rich_snapshot(), openmetrics=True, own=OWN).decode()
    golden("exposition.openmetrics", body)
    families = {family.name: family for family in parse_openmetrics(body)}
    assert families["wattledger_node_energy_joules"].type == "counter"
    assert families["wattledger_node_energy_joules"].unit == "joules"
    assert families["wattledger_build"].type == "info"
    assert "process_cpu_seconds" in families


def test_promtool_accepts_the_text_format():
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    body = Renderer(BUILD).render(rich_snapshot(), openmetrics=False, own=OWN)
    done = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_the_rich_snapshot_fills_every_family_of_the_catalogue():
    body = Renderer(BUILD).render(rich_snapshot(), openmetrics=False, own=OWN).decode()
    declared = [line.split()[2] for line in body.splitlines() if line.startswith("# TYPE")]
    assert declared == [family.sample_name for family in FAMILIES]


def test_both_formats_hold_the_same_samples():
    renderer = Renderer(BUILD)
    text = renderer.render(rich_snapshot(), openmetrics=False, own=OWN).decode()
    openmetrics = renderer.render(rich_snapshot(), openmetrics=True, own=OWN).decode()

    def plain(body):
        return [line for line in body.splitlines() if not line.startswith("#")]

    assert plain(text) == plain(openmetrics)
    assert openmetrics.endswith("\n# EOF\n")


@pytest.mark.parametrize(
    ("energy_uj", "text"),
    [
        (0, "0"),
        (1, "0.000001"),
        (99, "0.000099"),
        (100, "0.0001"),
        (1_500_000, "1.5"),
        (123_456_789, "123.456789"),
        (9_007_199_254_740_993, "9007199254.740993"),
        (10**21 - 1, "1000000000000000.0"),
        (10**22 - 1, "9999999999999999.999999"),
        (-1_500_000, "-1.5"),
    ],
)
def test_microjoules_become_joules_exactly_and_without_exponent(energy_uj, text):
    assert joules(energy_uj) == text


def test_nanoseconds_become_seconds_without_exponent():
    assert [seconds(ns) for ns in (0, 1, 1_500_000_000, 10**24)] == [
        "0",
        "0.000000001",
        "1.5",
        "1000000000000000",
    ]


def test_a_float_is_written_without_exponent_and_what_is_no_number_not_at_all():
    assert number(2.5e-10) == "0.00000000025"
    assert number(1e17) == "100000000000000000"
    assert [number(value) for value in (float("nan"), float("inf"), -float("inf"))] == [None, None, None]


def test_an_unknown_value_is_an_absent_sample():
    shot = snapshot(
        nodes=(node_row(power_w=None, idle_power_w=None),), sensors=(sensor_row(up=False, power_w=None),)
    )
    text = text_of(shot)
    assert "node_power_watts" not in text
    assert "node_idle_power_watts" not in text
    assert lines_of(text, "sensor_up") == [
        'wattledger_sensor_up{sensor="powercap",zone_name="package-0",device="intel-rapl:0"} 0'
    ]


def test_a_time_that_never_came_is_absent():
    health = replace(HEALTH, last_success_wall_ns=0, config_reload_wall_ns=0)
    text = text_of(snapshot(health=health))
    assert "last_success_timestamp" not in text
    assert "reload_success_timestamp" not in text
    assert "intensity_updated_timestamp" not in text


def test_workload_lines_leave_empty_labels_out():
    assert lines_of(text_of(snapshot()), "workload_energy_joules_total") == [
        (
            'wattledger_workload_energy_joules_total{kind="unit",id="/system.slice/nginx.service",'
            'name="nginx",component="cpu",mode="dynamic"} 600.0'
        ),
        'wattledger_workload_energy_joules_total{kind="idle",component="cpu",mode="idle"} 400.0',
    ]


def test_cells_come_in_the_order_of_components_however_they_were_booked():
    cells = [Cell(c, m, 1, 0.0) for c in ("cpu", "dram", "gpu", "other") for m in ("dynamic", "idle")]
    expected = lines_of(
        text_of(snapshot(workloads=(workload_row(cells=tuple(cells)),))), "workload_energy_joules_total"
    )
    random.Random(1).shuffle(cells)
    shuffled = lines_of(
        text_of(snapshot(workloads=(workload_row(cells=tuple(cells)),))), "workload_energy_joules_total"
    )
    assert shuffled == expected
    assert [line.split("component=")[1].split('"')[1] for line in expected[::2]] == [
        "cpu",
        "dram",
        "gpu",
        "other",
    ]


def test_rendering_twice_gives_the_same_bytes_whatever_was_rendered_between():
    renderer = Renderer(BUILD)
    first = text_of(rich_snapshot(), renderer)
    text_of(snapshot(workloads=()), renderer)
    assert text_of(rich_snapshot(), renderer) == first == text_of(rich_snapshot())


def test_label_text_is_kept_only_for_workloads_of_the_last_snapshot():
    renderer = Renderer(BUILD)
    text_of(large_snapshot(50), renderer)
    text_of(large_snapshot(3), renderer)
    assert sorted(renderer._series) == [1, 2, 3]


def test_a_workload_gets_a_new_series_with_a_new_uid():
    """A restarted unit has the same path but another uid: its label text is its own."""
    renderer = Renderer(BUILD)
    text_of(snapshot(workloads=(workload_row(1, Workload(kind="unit", id="/a")),)), renderer)
    text = text_of(snapshot(workloads=(workload_row(2, Workload(kind="unit", id="/b")),)), renderer)
    assert 'id="/b"' in text
    assert 'id="/a"' not in text


def test_facts_cannot_break_the_exposition():
    """Invalid and repeated names are left out, and no series has more labels than the limit."""
    facts = (
        ("0bad", "x"),
        ("__reserved", "x"),
        ("with-dash", "x"),
        ("kind", "other"),
        ("user", "ann"),
        ("user", "bob"),
        *((f"fact_{index}", "x") for index in range(20)),
    )
    full = dict.fromkeys(("kind", "id", "name", "pod_namespace", "pod_name", "container_name"), "x")
    text = text_of(snapshot(workloads=(workload_row(workload=Workload(**full, facts=facts)),)))
    (family,) = [one for one in parse_text(text) if one.name == "wattledger_workload_info"]
    labels = family.samples[0].labels
    assert labels["kind"] == "x"
    assert labels["user"] == "ann"
    assert len(labels) == MAX_LABELS
    assert not {"0bad", "__reserved", "with-dash"} & set(labels)


def test_what_utf8_or_the_lexer_cannot_carry_is_replaced():
    workload = Workload(kind="unit", id="/a\udcff\x00b", name='q"\\\n')
    text = text_of(snapshot(workloads=(workload_row(workload=workload),)))
    assert 'id="/a\ufffd\ufffdb"' in text
    assert 'name="q\\"\\\\\\n"' in text


def test_counts_of_a_sensor_are_summed_over_its_zones():
    zones = [
        Zone(sensor="powercap", name=f"package-{n}", device=f"intel-rapl:{n}", covers="cpu") for n in (0, 1)
    ]
    rows = tuple(
        sensor_row(zone, read_errors={"eio": 1, "enodata": n}, wraps=2, dropped={"reset": 3})
        for n, zone in enumerate(zones, 1)
    )
    text = text_of(snapshot(sensors=rows))
    assert counted(text, "sensor_read_errors_total") == [
        'wattledger_sensor_read_errors_total{sensor="powercap",reason="eio"} 2',
        'wattledger_sensor_read_errors_total{sensor="powercap",reason="enodata"} 3',
    ]
    assert lines_of(text, "sensor_wraps_total") == ['wattledger_sensor_wraps_total{sensor="powercap"} 4']
    assert counted(text, "sensor_dropped_intervals_total") == [
        'wattledger_sensor_dropped_intervals_total{sensor="powercap",reason="reset"} 6'
    ]


def test_what_may_be_counted_later_is_there_from_the_start_as_zero():
    """Else `increase()` would not see the first of its kind."""
    zone = Zone(sensor="perf", name="package-0", device="package-0", covers="cpu")
    feed = FeedHealth(role="intensity", provider="eco2mix", up=True, last_success_ns=1, errors={"tls": 2})
    text = text_of(snapshot(sensors=(sensor_row(zone),), health=replace(HEALTH, feeds=(feed,))))
    dropped = set(get_args(Outcome)) - {"first", "advanced", "wrapped"} | {"gone"}
    assert set(lines_of(text, "sensor_dropped_intervals_total")) == {
        f'wattledger_sensor_dropped_intervals_total{{sensor="perf",reason="{reason}"}} 0'
        for reason in dropped
    }
    assert 'wattledger_sensor_read_errors_total{sensor="perf",reason="eio"} 0' in text
    errors = lines_of(text, "carbon_source_errors_total")
    assert len(errors) == len(REASONS)
    assert counted(text, "carbon_source_errors_total") == [
        'wattledger_carbon_source_errors_total{role="intensity",provider="eco2mix",reason="tls"} 2'
    ]


@pytest.mark.parametrize("flag", ["estimated", "fallback"])
def test_an_intensity_says_whether_it_is_estimated_and_whether_a_fallback(flag):
    """Each by itself."""
    shot = rich_snapshot()
    plain = replace(shot.price.intensity, estimated=False, fallback=False)
    intensity = replace(plain, **{flag: True})
    text = text_of(replace(shot, price=replace(shot.price, intensity=intensity)))
    told = {
        name: lines_of(text, f"grid_carbon_intensity_{name}")[0][-1] for name in ("estimated", "fallback")
    }
    assert told == {"estimated": "0", "fallback": "0"} | {flag: "1"}


def test_a_market_based_intensity_says_whether_it_is_a_fallback():
    """Apart from that of the grid, which may be live meanwhile."""
    shot = rich_snapshot()
    for fallback in (False, True):
        market = replace(shot.price.market, fallback=fallback)
        text = text_of(replace(shot, price=replace(shot.price, market=market)))
        (line,) = lines_of(text, "market_carbon_intensity_fallback")
        assert line.endswith(" 1" if fallback else " 0")


def test_a_gpu_of_two_zones_is_their_sum_and_has_no_power_unless_both_have():
    zones = [Zone(sensor="nvml", name=name, device="GPU-1", covers="gpu") for name in ("core", "memory")]
    rows = (
        sensor_row(zones[0], energy_uj=10 * J_UJ, power_w=5.0),
        sensor_row(zones[1], energy_uj=J_UJ, power_w=None),
    )
    text = text_of(snapshot(sensors=rows))
    assert lines_of(text, "gpu_energy_joules_total") == [
        'wattledger_gpu_energy_joules_total{gpu_uuid="GPU-1"} 11.0'
    ]
    assert lines_of(text, "gpu_power_watts") == []


def test_every_joule_of_the_node_is_in_a_workload_series_or_expired():
    rows = samples_of(text_of(snapshot(nodes=(node_row(energy_uj=1010 * J_UJ, expired_uj=10 * J_UJ),))))

    def total(name):
        return sum(value for (sample, _), value in rows.items() if sample == name)

    booked = total("workload_energy_joules_total") + total("workload_expired_energy_joules")
    assert booked == total("node_energy_joules_total") == 1010.0


def test_own_process_metrics_are_those_of_the_catalogue():
    values = OwnProcess().values()
    assert set(values) == {family.sample_name for family in STANDARD}
    assert values["process_resident_memory_bytes"] > 1_000_000


def test_own_process_metrics_are_what_the_reference_client_reads():
    """prometheus_client lists the descriptors and so counts the one it lists them with."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    theirs = {sample.name: sample.value for metric in registry.collect() for sample in metric.samples}
    ours = OwnProcess().values()
    assert ours.keys() == theirs.keys()
    for name in ("process_start_time_seconds", "process_max_fds"):
        assert ours[name] == theirs[name]
    assert ours["process_open_fds"] == theirs["process_open_fds"] - 1
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes"):
        assert ours[name] == pytest.approx(theirs[name], rel=0.1, abs=0.05)


def test_build_labels_name_the_version():
    assert build_labels("abc123")["revision"] == "abc123"
    assert set(build_labels()) == {"version", "revision", "python_version"}


def test_a_signal_of_percentiles_shows_no_grams():
    """WattTime's index ranks moments: the best start and the state are told, no intensity and no saving."""
    known = rich_snapshot()
    signal = replace(known.outlook, unit="percentile", means={})
    text = Renderer({}).render(replace(known, outlook=signal), openmetrics=False).decode()
    assert "wattledger_grid_best_window_start_timestamp_seconds{" in text
    assert 'wattledger_grid_signal{state="red"} 1' in text
    assert "grid_best_window_grams" not in text
    assert "savings" not in text
