"""Whatever the names and numbers, what a parser reads back is what the snapshot holds."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.snapshots import node_row, sensor_row, snapshot, workload_row
from wattledger.exposition.render import Renderer
from wattledger.exposition.values import joules, number, seconds
from wattledger.model import COMPONENTS, Workload, Zone
from wattledger.snapshot import Cell

# Surrogates and NUL are replaced, which a unit test shows.
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=12)
HOSTILE = st.one_of(TEXT, st.text('\\"\n{},= #é\u2028', max_size=8))
COUNT = st.integers(min_value=0, max_value=10**26)
GRAMS = st.floats(min_value=0, max_value=1e12, allow_nan=False)
CELLS = st.lists(
    st.tuples(st.sampled_from(COMPONENTS), st.sampled_from(("dynamic", "idle", "")), COUNT, GRAMS),
    unique_by=lambda cell: cell[:2],
    max_size=6,
)
WORKLOADS = st.lists(
    st.tuples(
        HOSTILE,
        HOSTILE,
        HOSTILE,
        HOSTILE,
        st.lists(
            st.tuples(st.sampled_from(("user", "image", "unit")), HOSTILE), unique_by=lambda fact: fact[0]
        ),
        COUNT,
        CELLS,
    ),
    unique_by=lambda workload: workload[:2],
    max_size=5,
)


def nearest(count: int, unit: int) -> float:
    return float(Fraction(count, unit))


def expected_of(rows) -> dict:
    """What the workload series of the rows must parse to."""
    found = {}
    for row in rows:
        workload = row.workload
        identity = {
            name: getattr(workload, name)
            for name in ("kind", "id", "name", "pod_namespace", "pod_name", "container_name")
        }

        def key(name, identity=identity, **more):
            labels = {**identity, **more}
            return (f"wattledger_workload_{name}", frozenset((k, v) for k, v in labels.items() if v))

        found[key("cpu_seconds_total")] = nearest(row.cpu_ns, 10**9)
        found[key("info", **dict(workload.facts))] = 1.0
        for cell in row.cells:
            where = {"component": cell.component, "mode": cell.mode}
            found[key("energy_joules_total", **where)] = nearest(cell.energy_uj, 10**6)
            found[key("emissions_grams_total", **where)] = cell.emissions_g
    return found


def parsed(families) -> dict:
    found = {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


@settings(deadline=None)
@given(WORKLOADS)
def test_parsing_gives_the_workloads_back(drawn):
    rows = tuple(
        workload_row(
            uid,
            Workload(kind=kind, id=path, name=name, pod_namespace=namespace, facts=tuple(facts)),
            tuple(Cell(*cell) for cell in cells),
            cpu_ns=cpu_ns,
        )
        for uid, (kind, path, name, namespace, facts, cpu_ns, cells) in enumerate(drawn)
    )
    renderer = Renderer({})
    shot = snapshot(workloads=rows)
    expected = expected_of(rows)
    for openmetrics, parse in ((False, parse_text), (True, parse_openmetrics)):
        families = parse(renderer.render(shot, openmetrics=openmetrics).decode())
        workloads = [one for one in families if one.name.startswith("wattledger_workload")]
        kept = [one for one in workloads if "expired" not in one.name]
        assert parsed(kept) == expected


@settings(deadline=None)
@given(HOSTILE, HOSTILE, COUNT, st.dictionaries(HOSTILE.filter(bool), st.integers(0, 10**9), max_size=3))
def test_parsing_gives_nodes_and_sensors_back(name, device, energy_uj, errors):
    zone = Zone(sensor="powercap", name=name, device=device, covers="")
    shot = snapshot(
        nodes=(node_row(energy_uj=energy_uj),),
        sensors=(sensor_row(zone, energy_uj=energy_uj, read_errors=errors),),
        workloads=(),
    )
    found = parsed(parse_openmetrics(Renderer({}).render(shot, openmetrics=True).decode()))
    labels = {"sensor": "powercap", "zone_name": name, "device": device}
    key = frozenset((k, v) for k, v in labels.items() if v)
    assert found["wattledger_sensor_energy_joules_total", key] == nearest(energy_uj, 10**6)
    assert found["wattledger_node_energy_joules_total", frozenset({("component", "cpu")})] == nearest(
        energy_uj, 10**6
    )
    for reason, count in errors.items():
        key = frozenset({("sensor", "powercap"), ("reason", reason)})
        assert found["wattledger_sensor_read_errors_total", key] == count


@given(st.integers(min_value=-(10**30), max_value=10**30))
def test_counts_are_written_to_the_nearest_double_without_exponent(count):
    for text, unit in ((joules(count), 10**6), (seconds(count), 10**9)):
        assert float(text) == nearest(count, unit)
        assert set(text) <= set("-.0123456789")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_written_so_that_they_parse_back_without_exponent(value):
    text = number(value)
    assert float(text) == value
    assert set(text) <= set("-.0123456789")
