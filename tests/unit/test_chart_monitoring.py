"""What the chart makes for the Prometheus operator and for Grafana's sidecar."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command_line import REPOSITORY
from tests.helm_chart import (
    CHART,
    VALUE_SETS,
    needs_helm,
    of_kind,
    one,
    operator_schema,
    refusal_of,
    render,
    value_set,
)
from tests.promtool import needs_promtool, promtool

LARGEST_ANNOTATION_BYTES = 262_144
"""What all annotations of an object may hold together (Kubernetes, `TotalAnnotationSizeLimitB`)."""

CUSTOM = "monitoring.coreos.com/"
SPEC_FIELDS = {
    "ServiceMonitor": {
        "jobLabel",
        "namespaceSelector",
        "selector",
        "endpoints",
        "sampleLimit",
        "labelLimit",
    },
    "PodMonitor": {
        "jobLabel",
        "namespaceSelector",
        "selector",
        "podMetricsEndpoints",
        "sampleLimit",
        "labelLimit",
    },
    "PrometheusRule": {"groups"},
    "ScrapeConfig": {"jobName", "scrapeInterval", "scrapeTimeout", "httpSDConfigs"},
}
"""Fields of each kind's `spec` that the operator documents (its API reference), among those we use."""

pytestmark = needs_helm


def rules_of(name: str) -> dict[str, list[dict[str, Any]]]:
    """The rules that a value set installs, by group."""
    groups = one(render(name), "PrometheusRule")["spec"]["groups"]
    return {group["name"]: group["rules"] for group in groups}


def alerts_of(name: str) -> list[dict[str, Any]]:
    """The alerts among them."""
    return [rule for rules in rules_of(name).values() for rule in rules if "alert" in rule]


def shipped() -> dict[str, list[dict[str, Any]]]:
    """The rules under deploy/prometheus, by group."""
    files = sorted(REPOSITORY.glob("deploy/prometheus/wattledger.*.yml"))
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return {group["name"]: group["rules"] for group in groups}


@pytest.mark.parametrize("name", VALUE_SETS)
def test_custom_resources_have_only_known_fields(name: str) -> None:
    """Every field of a monitor, rule or scrape configuration is one that the operator documents."""
    for document in render(name):
        if document["apiVersion"].startswith(CUSTOM):
            assert set(document["spec"]) <= SPEC_FIELDS[document["kind"]]


@pytest.mark.parametrize(
    "name", [name for name in VALUE_SETS if name in {"operator", "pod-monitor", "demo", "web-config"}]
)
def test_custom_resources_pass_the_operators_schema(name: str) -> None:
    """The operator's own definitions accept them, with no unknown field at any depth."""
    jsonschema = pytest.importorskip("jsonschema")
    found = [d for d in render(name) if d["apiVersion"].startswith(CUSTOM)]
    assert found
    for document in found:
        jsonschema.Draft202012Validator(operator_schema(document["kind"])).validate(document)


def test_the_operators_schema_can_refuse() -> None:
    """A misspelt field below an endpoint is found."""
    jsonschema = pytest.importorskip("jsonschema")
    monitor = one(render("operator"), "ServiceMonitor")
    monitor["spec"]["endpoints"][0]["intervall"] = "15s"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(operator_schema("ServiceMonitor")).validate(monitor)


def test_a_service_monitor_finds_the_service() -> None:
    """It selects the labels and the port that the service has, and names targets by their node."""
    documents = render("operator")
    monitor, service = one(documents, "ServiceMonitor"), one(documents, "Service")
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["wattledger"]}
    endpoint = monitor["spec"]["endpoints"][0]
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "wattledger"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert (monitor["spec"]["sampleLimit"], monitor["spec"]["labelLimit"]) == (20000, 40)


def test_a_pod_monitor_finds_the_pods() -> None:
    """It selects the labels and the port that the pods have, where there is no service."""
    documents = render("pod-monitor")
    monitor, template = one(documents, "PodMonitor"), one(documents, "DaemonSet")["spec"]["template"]
    assert of_kind(documents, "Service") == []
    assert monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    endpoint = monitor["spec"]["podMetricsEndpoints"][0]
    assert endpoint["port"] in {port["name"] for port in template["spec"]["containers"][0]["ports"]}
    assert monitor["metadata"]["namespace"] == "monitoring"


@needs_promtool
@pytest.mark.parametrize(
    ("name", "kind", "key"),
    [("operator", "ServiceMonitor", "endpoints"), ("pod-monitor", "PodMonitor", "podMetricsEndpoints")],
)
def test_a_node_keeps_its_series_when_its_pod_is_replaced(
    name: str, kind: str, key: str, tmp_path: Path
) -> None:
    """Of the labels that the operator gives to a target, only its node's name tells it from others."""
    operators = {"namespace": "wattledger", "container": "wattledger", "endpoint": "metrics"}
    pods = [("node-7", "wattledger-old", "10.0.0.1"), ("node-7", "wattledger-new", "10.0.0.2")]
    job = {
        "job_name": "wattledger",
        "static_configs": [
            {
                "targets": [f"{address}:19190"],
                "labels": operators | {"__meta_kubernetes_pod_node_name": node, "pod": pod},
            }
            for node, pod, address in pods
        ],
        "relabel_configs": [
            {re.sub(r"([A-Z])", r"_\1", field).lower(): value for field, value in relabeling.items()}
            for relabeling in one(render(name), kind)["spec"][key][0]["relabelings"]
        ],
    }
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump({"scrape_configs": [job]}))
    done = promtool("check", "service-discovery", "--timeout=1s", file, "wattledger")
    assert done.returncode == 0, done.stdout + done.stderr
    found = [
        {label: value for label, value in target["labels"].items() if not label.startswith("__")}
        for target in json.loads(done.stdout)
    ]
    assert found == [operators | {"job": "wattledger", "instance": "node-7"}] * 2


def test_agents_with_tls_and_a_password_are_asked_so() -> None:
    """By HTTPS, with the password and the authority that the values name; otherwise neither is there."""
    endpoint = one(render("web-config"), "ServiceMonitor")["spec"]["endpoints"][0]
    assert endpoint["scheme"] == "https"
    assert endpoint["tlsConfig"]["serverName"] == "wattledger"
    assert endpoint["basicAuth"]["password"] == {"name": "wattledger-scrape", "key": "password"}
    plain = {"webConfig": {"secretName": "web", "tls": False}, "podMonitor": {"enabled": True}}
    for values, kind, endpoints in (
        (value_set("operator"), "ServiceMonitor", "endpoints"),
        (plain, "PodMonitor", "podMetricsEndpoints"),
    ):
        endpoint = one(render(values), kind)["spec"][endpoints][0]
        assert endpoint.keys().isdisjoint({"scheme", "tlsConfig", "basicAuth"})


@pytest.mark.parametrize(
    ("kind", "key"), [("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")]
)
def test_alerts_know_the_agents_by_their_job(kind: str, key: str) -> None:
    """Whatever the chart is called, the job is one that the alert on agents that are down looks at."""
    (rule,) = [a for a in alerts_of("operator") if a["alert"] == "WattledgerAgentDown"]
    job = re.compile(re.findall(r'job=~"(.+?)"', rule["expr"])[0])
    enabled = {kind[0].lower() + kind[1:]: {"enabled": True}}
    for name in ("", "our-wattledger", "energy"):
        documents = render({**enabled, "nameOverride": name})
        spec = one(documents, kind)["spec"]
        found = one(documents, "DaemonSet")["spec"]["template"]["metadata"]["labels"][spec["jobLabel"]]
        for relabeling in spec[key][0]["relabelings"]:
            if relabeling.get("targetLabel") == "job":
                found = relabeling["replacement"]
        assert job.fullmatch(found)


def test_metrics_are_asked_where_the_settings_serve_them() -> None:
    """A path of the operator's own is that of the monitor too."""
    values = {"config": {"web": {"telemetry_path": "/power"}}, "serviceMonitor": {"enabled": True}}
    assert one(render(values), "ServiceMonitor")["spec"]["endpoints"][0]["path"] == "/power"


def test_simulated_nodes_are_found_by_discovery() -> None:
    """Several nodes share an address, so they come from /sd and from no monitor."""
    documents = render("demo")
    assert of_kind(documents, "ServiceMonitor") == []
    config = one(documents, "ScrapeConfig")["spec"]["httpSDConfigs"][0]
    service = one(documents, "Service")
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    assert config["url"] == f"http://{host}:{service['spec']['ports'][0]['port']}/sd"
    single = {"demo": {"enabled": True, "nodes": 1}, "serviceMonitor": {"enabled": True}}
    assert one(render(single), "ServiceMonitor")["spec"]["endpoints"][0]["path"] == "/metrics"


def test_the_rules_are_those_that_are_shipped() -> None:
    """Without any option, group by group and rule by rule."""
    groups = one(render({"prometheusRule": {"enabled": True}}), "PrometheusRule")["spec"]["groups"]
    assert {group["name"]: group["rules"] for group in groups} == shipped()


def test_alerts_can_be_left_out_and_judged_anew() -> None:
    """An alert by name, a severity by the alert's name, labels on all, recording rules as they were."""
    alerts = alerts_of("operator")
    everything = [rule["alert"] for rules in shipped().values() for rule in rules if "alert" in rule]
    assert [a["alert"] for a in alerts] == [a for a in everything if a != "WattledgerEstimatedOnly"]
    assert all(alert["labels"]["team"] == "platform" for alert in alerts)
    severities = {alert["alert"]: alert["labels"]["severity"] for alert in alerts}
    assert severities["WattledgerAgentDown"] == "critical"
    assert severities["WattledgerAgentAbsent"] != "critical"
    assert rules_of("operator")["wattledger-node"] == shipped()["wattledger-node"]


def test_groups_can_be_left_out() -> None:
    """Without budgets and recording rules, the alerts about the account remain."""
    assert list(rules_of("pod-monitor")) == ["wattledger-account"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"disabledAlerts": ["WattledgerAgentsDown"]},
            "no alert is named WattledgerAgentsDown; there are Watt",
        ),
        (
            {"severities": {"AgentDown": "critical"}},
            "no alert is named AgentDown; there are WattledgerBudget",
        ),
        ({"disabledGroups": ["budgets"]}, "disabledGroups: no group is named budgets; there are wattledger-"),
    ],
)
def test_a_name_that_no_rule_has_is_refused(given: dict[str, object], told: str) -> None:
    """Instead of leaving an alert on that somebody meant to switch off."""
    assert told in refusal_of({"prometheusRule": {"enabled": True, **given}})


@needs_promtool
@pytest.mark.parametrize("name", ["operator", "pod-monitor"])
def test_promtool_accepts_the_rules(name: str, tmp_path: Path) -> None:
    """What the operator would write into a rule file."""
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump(one(render(name), "PrometheusRule")["spec"]))
    done = promtool("check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dashboards() -> None:
    """Each is a ConfigMap that the sidecar finds, in the folder that is wanted, with the file unchanged."""
    files = sorted(CHART.glob("files/dashboards/*.json"))
    if not files:
        pytest.skip("no dashboard is there yet")
    maps = {
        next(iter(d["data"])): d
        for d in of_kind(render("operator"), "ConfigMap")
        if "grafana_dashboard" in d["metadata"]["labels"]
    }
    assert set(maps) == {file.name for file in files}
    for file in files:
        found = maps[file.name]
        assert found["metadata"]["namespace"] == "monitoring"
        assert found["metadata"]["annotations"]["grafana_folder"] == "Wattledger"
        assert json.loads(found["data"][file.name]) == json.loads(file.read_text())
        assert len(json.dumps(found)) < LARGEST_ANNOTATION_BYTES, "kubectl apply keeps it in an annotation"
