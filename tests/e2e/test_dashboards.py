"""Every query of every dashboard against a real Prometheus with the demo fleet and our recording rules.

The rules are those that are shipped, with shorter windows: minutes and hours become seconds, so that a fleet
that is a minute old has them all.
Beside the fleet there is one target where everything happens: it serves the golden exposition, which has
every family of the catalogue, with counters that grow.
"""

from __future__ import annotations

import http.server
import re
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.agent_process import REPOSITORY, AgentProcess, Scrape
from tests.dashboard_queries import Asked, panels, queries, query_of
from tests.dashboard_tables import frame, merged
from tests.prometheus_server import (
    PrometheusServer,
    Sample,
    import_openmetrics,
    needs_prometheus,
    scrape_config,
)

NODES = tuple(f"node-{number:02d}" for number in range(1, 9))
RULES = REPOSITORY / "deploy/prometheus/wattledger.rules.yml"
GOLDEN = REPOSITORY / "tests/golden/exposition.txt"
SHORTER = {"5m": "30s", "30m": "40s", "1h": "60s", "6h": "60s", "1d": "60s"}
RATE_INTERVAL = "30s"
RANGE_S = 60
STEP_S = 10

pytestmark = [pytest.mark.e2e, needs_prometheus]


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The demo, what its agents said themselves at the start and the end of a time, and the Prometheus."""

    prometheus: PrometheusServer
    before: dict[str, Scrape]
    after: dict[str, Scrape]
    began: float
    ended: float
    answers: dict[tuple[str, str], int] = field(default_factory=dict)

    def ask(self, asked: Asked, **variables: str) -> int:
        """How many series a query gives for the time between start and end."""
        everything = {"cluster": ".*", "job": ".+", "instance": ".+", "namespace": ".*", "budget": ".+"}
        span = {"__rate_interval": RATE_INTERVAL, "__range": f"{round(self.ended - self.began)}s"}
        query = asked.filled(**everything | span | variables)
        if asked.target["instant"]:
            return len(self.prometheus.query(query, at=self.ended))
        return len(self.prometheus.query_range(query, self.began + RANGE_S / 2, self.ended, STEP_S))

    def samples(self, asked: Asked, instance: str = ".+") -> list[Sample]:
        """What a query gives of the demo at the end."""
        everything = {"cluster": ".*", "job": "wattledger", "namespace": ".*", "budget": ".+"}
        span = {"__rate_interval": RATE_INTERVAL, "__range": f"{round(self.ended - self.began)}s"}
        return self.prometheus.query(asked.filled(instance=instance, **everything | span), at=self.ended)

    def value(self, asked: Asked, at: float | None = None, **variables: str) -> float:
        """The one value of an instant query, at the end by default."""
        span = {"__rate_interval": RATE_INTERVAL, "__range": f"{round(self.ended - self.began)}s"}
        query = asked.filled(**{"cluster": ".*", "job": "wattledger", "instance": ".+"} | span | variables)
        return self.prometheus.value(query, at=self.ended if at is None else at)


def shorter_rules(folder: Path) -> Path:
    """The recording rules, evaluated often and over short windows."""
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        group["interval"] = "3s"
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"\[(\w+)\]", lambda match: f"[{SHORTER[match[1]]}]", rule["expr"])
    file = folder / "rules.yml"
    file.write_text(yaml.safe_dump(rules))
    return file


def growing(text: str, seconds: float) -> str:
    """The golden exposition after some time: each counter grew by a thousandth of itself, and 1, a second."""

    def grown(line: str) -> str:
        series, _, value = line.rpartition(" ")
        if line.startswith("#") or not series.split("{")[0].endswith("_total"):
            return line
        return f"{series} {float(value) + seconds * (1 + abs(float(value)) / 1000)}"

    return "".join(f"{grown(line)}\n" for line in text.splitlines())


@contextmanager
def everything_happens() -> Iterator[str]:
    """Serve every family of the catalogue; gives the address."""
    text, began = GOLDEN.read_text(), time.monotonic()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = growing(text, time.monotonic() - began).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def scrape_all(demo: AgentProcess) -> dict[str, Scrape]:
    """What every node of the demo says at this moment."""
    return {node: Scrape.of_text(demo.get(f"/nodes/{node}/metrics").body.decode()) for node in NODES}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("dashboards")
        demo = stack.enter_context(AgentProcess(f"--nodes={len(NODES)}", folder=folder, command="demo"))
        address = stack.enter_context(everything_happens())
        scrapes = [
            {
                "job_name": "wattledger",
                "scrape_interval": "1s",
                "scrape_timeout": "1s",
                "http_sd_configs": [{"url": f"{demo.url}/sd", "refresh_interval": "1s"}],
            },
            scrape_config(
                address,
                job="everything",
                metric_relabel_configs=[{"target_label": "cluster", "replacement": "north"}],
            ),
        ]
        prometheus = stack.enter_context(
            PrometheusServer(
                folder / "prometheus", scrape_configs=scrapes, rule_files=[str(shorter_rules(folder))]
            )
        )
        # The panels that add up take one value a minute: there is one in whatever minute the time begins.
        for recorded in ("node_energy_joules", "node_emissions_grams"):
            prometheus.wait_for(f"count(instance:wattledger_{recorded}:rate5m offset 3s) == {len(NODES) + 1}")
        prometheus.wait_for("count(namespace:wattledger_workload_energy_joules:rate5m offset 3s) > 1")
        began, before = time.time(), scrape_all(demo)
        prometheus.wait_for(f"vector(time()) > {began + RANGE_S}", timeout_s=RANGE_S + 30)
        prometheus.wait_for("count(instance:wattledger_node_energy_joules:rate1d) > 0")
        ended, after = time.time(), scrape_all(demo)
        prometheus.wait_for(f"min(timestamp(wattledger_build_info)) > {ended}")
        yield Fleet(prometheus=prometheus, before=before, after=after, began=began, ended=ended)


def test_every_query_gives_data_from_the_demo_fleet(fleet):
    """A panel that can be empty says when, and gives data where the thing happens."""
    empty = [asked for asked in queries() if not fleet.ask(asked, job="wattledger")]
    unexplained = [str(asked) for asked in empty if not asked.may_be_empty]
    never = [str(asked) for asked in empty if not fleet.ask(asked)]
    print(f"{len(list(queries()))} queries, {len(empty)} of them empty in the demo:", *empty, sep="\n")
    assert unexplained == []
    assert never == []


def test_a_value_stands_in_one_row_of_its_table(fleet):
    """Grafana joins rows by the labels they share, and gives a value to every row that it fits."""
    tables = [(title, panel) for title, panel in panels() if panel["type"] == "table"]
    assert len(tables) >= 12
    for title, panel in tables:
        asked = [a for a in queries() if (a.dashboard, a.panel["title"]) == (title, panel["title"])]
        answers = [fleet.samples(one) for one in asked]
        letters = [one.target["refId"] for one in asked]
        rows = merged([frame(letter, samples) for letter, samples in zip(letters, answers, strict=True)])
        shown = {letter: sum(f"Value #{letter}" in row for row in rows) for letter in letters}
        given = {letter: len(samples) for letter, samples in zip(letters, answers, strict=True)}
        assert shown == given, (title, panel["title"])


def test_errors_that_do_not_happen_are_not_drawn(fleet):
    """The counters of all reasons are there from the start; only what grows is a line."""
    reads = query_of("Node", "Reads without a value")
    assert fleet.ask(reads, job="wattledger", instance="node-01") == 0
    assert fleet.ask(reads, job="wattledger", instance="node-04") == 1
    assert fleet.ask(query_of("Exporter health", "Workloads beyond the series limit"), job="wattledger") == 0


def test_a_legend_is_short_and_names_its_workload(fleet):
    """An id of 64 digits is cut to 12; a job keeps its number."""
    for board in ("Node", "GPU"):
        panel = "Workloads" if board == "Node" else "Users of the boards"
        ids = [sample.labels.get("id", "") for sample in fleet.samples(query_of(board, panel), "node-01")]
        assert any(len(one) == 12 for one in ids)
        assert max(map(len, ids)) < 64
        assert any(one.isdigit() and len(one) < 12 for one in ids)


def test_virtual_machines_have_their_cost_beside_jobs(fleet):
    """In all four columns."""
    columns = [one for one in queries() if one.panel["title"] == "Jobs and virtual machines"]
    assert len(columns) == 4
    for column in columns:
        assert {sample.labels["kind"] for sample in fleet.samples(column, "node-01")} == {"job", "vm"}


def test_the_node_dashboard_shows_each_node(fleet):
    """With GPU or without, measured or estimated: what is empty says so."""
    empty = [
        f"{asked} on {node}"
        for asked in queries()
        if asked.dashboard == "Wattledger / Node"
        for node in NODES
        if not asked.may_be_empty and not fleet.ask(asked, job="wattledger", instance=node)
    ]
    assert empty == []


def test_everything_works_where_the_cluster_is_known(fleet):
    """A chosen cluster gives its nodes, and only those."""
    nodes = query_of("Fleet", "Nodes")
    assert fleet.value(nodes, job=".+", cluster="north") == 1
    assert fleet.value(nodes, job=".+") == len(NODES) + 1
    unknown = query_of("Fleet", "Power")
    assert fleet.ask(unknown, cluster="south") == 0


@pytest.mark.parametrize("node", NODES)
def test_a_node_shows_the_energy_and_emissions_that_its_agent_booked(fleet, node):
    """By the agents' own counters at the start and the end, within three seconds of a minute."""
    for panel, family, unit in (
        ("Energy", "wattledger_node_energy_joules_total", 3.6e6),
        ("Emissions", "wattledger_node_emissions_grams_total", 1.0),
    ):
        grown = sum(fleet.after[node].select(family).values()) - sum(
            fleet.before[node].select(family).values()
        )
        shown = fleet.value(query_of("Node", panel), instance=node) * unit
        assert shown == pytest.approx(grown, rel=3 / RANGE_S), panel


def test_the_components_of_a_node_add_up_to_its_power(fleet):
    """Stacked, the components reach what the first panel says, and idle, dynamic and unattributed do too."""
    span = {"__rate_interval": RATE_INTERVAL, "__range": f"{RANGE_S}s"}
    chosen = {"cluster": ".*", "job": "wattledger", "instance": "node-01"} | span
    power = fleet.value(query_of("Node", "Power"), instance="node-01")
    components = fleet.prometheus.query(
        query_of("Node", "Power by component").filled(**chosen), at=fleet.ended
    )
    shares = [
        fleet.value(query_of("Node", "Idle against dynamic", index), instance="node-01") for index in range(3)
    ]
    workloads = sum(
        sample.value
        for index in range(2)
        for sample in fleet.prometheus.query(
            query_of("Node", "Workloads", index).filled(**chosen), at=fleet.ended
        )
    )
    assert sum(sample.value for sample in components) == pytest.approx(power)
    assert sum(shares) == pytest.approx(power, rel=0.02)
    assert workloads == pytest.approx(power)


def test_the_fleet_draws_what_its_nodes_draw(fleet):
    """Recorded power of all nodes against their counters at that moment, and against what agents booked."""
    shown = fleet.value(query_of("Fleet", "Power"))
    recorded = 'timestamp(instance:wattledger_node_energy_joules:rate5m{job="wattledger"})'
    (moment,) = {sample.value for sample in fleet.prometheus.query(recorded, at=fleet.ended)}
    nodes = sum(fleet.value(query_of("Node", "Power"), at=moment, instance=node) for node in NODES)
    booked = sum(
        sum(fleet.after[node].select("wattledger_node_energy_joules_total").values())
        - sum(fleet.before[node].select("wattledger_node_energy_joules_total").values())
        for node in NODES
    ) / (fleet.ended - fleet.began)
    assert shown == pytest.approx(nodes, rel=0.01)
    assert shown == pytest.approx(booked, rel=0.25)
    counted = fleet.value(query_of("Fleet", "Nodes"))
    assert counted == len(NODES)


def test_what_went_wrong_is_counted(fleet):
    """One node lost a meter, one has an estimate only, one is over budget, one prices with a fallback."""
    assert fleet.value(query_of("Fleet", "Budgets exceeded")) >= 1
    assert fleet.value(query_of("Fleet", "On a fallback intensity")) == 1
    assert fleet.value(query_of("Fleet", "Targets that do not answer")) == 0
    assert fleet.value(query_of("Exporter health", "Nodes without recorded series")) == 0
    assert fleet.value(query_of("Fleet", "Lost sensors")) == 1
    assert fleet.value(query_of("Node", "Lost sensors"), instance="node-04") == 1
    assert fleet.value(query_of("Node", "Largest uncertainty"), instance="node-03") >= 0.3
    assert fleet.value(query_of("Fleet", "Estimated share")) > 0


def test_a_budget_is_held_against_its_plan_and_its_pace(tmp_path):
    """At noon 600 g of 1 kg are used: 60 % of the limit, half of the day gone, and 1.2 kg to come."""
    noon = 1_700_049_600 - 86_400 // 2
    labels = '{job="wattledger",instance="a",budget="day",period="day"}'
    constants = {
        "wattledger_budget_limit_grams": 1000,
        "wattledger_budget_period_start_timestamp_seconds": noon - 43_200,
        "wattledger_budget_period_end_timestamp_seconds": noon + 43_200,
    }
    times = range(noon - 43_200, noon + 1, 300)
    lines = [f"{name}{labels} {value} {time}" for name, value in constants.items() for time in times]
    lines += [f"wattledger_budget_consumed_grams{labels} {600 * n / 144} {at}" for n, at in enumerate(times)]
    data = import_openmetrics(iter(lines), tmp_path)
    variables = {"cluster": ".*", "job": ".+", "instance": ".+", "budget": ".+"}
    with PrometheusServer(tmp_path / "prometheus", data=data) as prometheus:
        used, passed, consumed, limit, projected, share, ends = (
            prometheus.value(
                query_of("Carbon and budgets", "Budgets", index).filled(**variables), at=noon + 1
            )
            for index in range(7)
        )
    assert (used, consumed, limit) == (0.6, 600, 1000)
    assert passed == pytest.approx(0.5, abs=1e-4)
    assert projected == pytest.approx(1200, rel=1e-3)
    assert share == pytest.approx(1.2, rel=1e-3)
    assert ends == 1000 * (noon + 43_200)


def test_recorded_power_is_integrated_exactly(tmp_path):
    """Two nodes at 100 W for an hour are 0.2 kWh, at 400 g/kWh 80 g; also when asked exactly on a minute."""
    end = 1_700_000_400
    lines = []
    for name, value in (
        ("instance:wattledger_node_energy_joules:rate5m", 100.0),
        ("instance:wattledger_node_emissions_grams:rate5m", 100.0 * 400 / 3.6e6),
    ):
        for node in ("a", "b"):
            series = f'{name}{{job="wattledger",instance="{node}"}}'
            lines += [f"{series} {value} {second}" for second in range(end - 3600, end + 60, 60)]
    data = import_openmetrics(iter(lines), tmp_path)
    variables = {"cluster": ".*", "job": ".+", "instance": ".+", "__range": "1h"}
    with PrometheusServer(tmp_path / "prometheus", data=data) as prometheus:
        for at in (end, end + 1, end + 59):
            energy = prometheus.value(query_of("Fleet", "Energy").filled(**variables), at=at)
            grams = prometheus.value(query_of("Fleet", "Emissions").filled(**variables), at=at)
            assert energy == pytest.approx(0.2)
            assert grams == pytest.approx(80)
