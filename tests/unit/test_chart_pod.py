"""How the chart's pods are asked, and how little of the host they can write."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.command_line import REPOSITORY
from tests.helm_chart import agent, needs_helm, one, render, renderer, value_set

pytestmark = needs_helm


def test_what_lies_below_a_read_only_mount_is_so_too() -> None:
    """The mounts under /proc and /sys, cgroups among them, unless it is turned off."""

    def recursive(values: dict[str, Any]) -> dict[str, Any]:
        mounts = agent(render(values))["containers"][0]["volumeMounts"]
        return {
            mount["mountPath"]: mount.get("recursiveReadOnly") for mount in mounts if "proc" in mount["name"]
        }

    assert recursive({}) == {"/host/proc": "IfPossible"}
    assert recursive({"recursiveReadOnly": "Enabled"}) == {"/host/proc": "Enabled"}
    assert recursive({"recursiveReadOnly": "Disabled"}) == {"/host/proc": None}


@pytest.mark.skipif(renderer.engine() == "helm-python-sdk", reason="the library has one Kubernetes version")
def test_old_versions_have_no_recursive_read_only() -> None:
    """Before 1.31 the field is left out, and refused where it was demanded."""
    for mount in agent(renderer.render({}, kube_version="1.30.9"))["containers"][0]["volumeMounts"]:
        assert "recursiveReadOnly" not in mount
    with pytest.raises(renderer.RenderError, match=r"Kubernetes 1\.31"):
        renderer.render({"recursiveReadOnly": "Enabled"}, kube_version="1.30.9")


@pytest.mark.parametrize(
    ("web", "liveness", "readiness"),
    [
        ({}, {"tcpSocket": {"port": "metrics"}}, {"tcpSocket": {"port": "metrics"}}),
        (
            {"authentication": False},
            {"httpGet": {"path": "/-/healthy", "port": "metrics", "scheme": "HTTPS"}},
            {"httpGet": {"path": "/-/ready", "port": "metrics", "scheme": "HTTPS"}},
        ),
        (
            {"authentication": False, "tls": False},
            {"httpGet": {"path": "/-/healthy", "port": "metrics"}},
            {"httpGet": {"path": "/-/ready", "port": "metrics"}},
        ),
    ],
    ids=["password", "tls", "limits"],
)
def test_probes_go_by_the_web_config(web: dict, liveness: dict, readiness: dict) -> None:
    """By HTTPS under TLS, and without a request where a password or certificate would be asked for."""
    container = agent(render({"webConfig": {"secretName": "web", **web}}))["containers"][0]
    times = {"periodSeconds", "timeoutSeconds", "failureThreshold"}
    assert {k: v for k, v in container["livenessProbe"].items() if k not in times} == liveness
    assert {k: v for k, v in container["readinessProbe"].items() if k not in times} == readiness


def test_the_page_shows_values_that_work() -> None:
    """Every block of values on the page is accepted, and that of TLS is the value set of the chart."""
    page = (REPOSITORY / "docs/kubernetes.md").read_text()
    blocks = [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```$", page, re.M | re.S)]
    assert len(blocks) >= 6
    for block in blocks:
        assert agent(render(block))
    assert value_set("web-config") in blocks
    (policy,) = [block["networkPolicy"] for block in blocks if "networkPolicy" in block]
    assert one(render({"networkPolicy": policy}), "NetworkPolicy")["spec"]["egress"] == policy["egress"]


def test_the_web_config_is_a_whole_secret() -> None:
    """The file and what it names beside it, readable by uid 0 only; a file that is renewed arrives."""
    spec = agent(render("web-config"))
    (volume,) = [each for each in spec["volumes"] if each["name"] == "web"]
    (mount,) = [each for each in spec["containers"][0]["volumeMounts"] if each["name"] == "web"]
    assert volume["secret"] == {"secretName": "wattledger-web", "defaultMode": 0o400}
    assert mount == {"name": "web", "mountPath": "/etc/wattledger/web", "readOnly": True}
    (test,) = [d for d in render("web-config") if d["kind"] == "Pod"]
    assert test["spec"]["containers"][0]["command"][-2:] == ["wattledger", "19190"]
