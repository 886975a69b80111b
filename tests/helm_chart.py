"""The Helm chart, rendered by Helm with the value sets that it carries under ci/."""

from __future__ import annotations

import copy
import functools
import importlib.util
import json
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.command_line import REPOSITORY
from tests.go_module import module_folder

CHART = REPOSITORY / "deploy/kubernetes/helm/wattledger"
VALUE_SETS = tuple(sorted(path.name.removesuffix("-values.yaml") for path in CHART.glob("ci/*-values.yaml")))
OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
"""Whose custom resources the chart makes, as a Go module."""


def _load_renderer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render", REPOSITORY / "deploy/kubernetes/render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


renderer = _load_renderer()
needs_helm = pytest.mark.skipif(
    not renderer.engine(), reason="neither helm on PATH nor the Python package helm-python-sdk"
)


def value_set(name: str) -> dict[str, Any]:
    """The values of `ci/NAME-values.yaml`."""
    values: dict[str, Any] | None = yaml.safe_load((CHART / f"ci/{name}-values.yaml").read_text())
    return values or {}


@functools.cache
def _rendered(values: str) -> str:
    return json.dumps(renderer.render(json.loads(values)))


def render(values: dict[str, Any] | str = "default") -> list[dict[str, Any]]:
    """The objects that the chart makes of values, or of a value set by its name; rendered once."""
    values = value_set(values) if isinstance(values, str) else values
    documents: list[dict[str, Any]] = json.loads(_rendered(json.dumps(values, sort_keys=True)))
    return documents


def refusal_of(values: dict[str, Any]) -> str:
    """What Helm says of values that the chart refuses."""
    with pytest.raises(renderer.RenderError) as caught:
        renderer.render(values)
    return str(caught.value)


def one(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The only object of a kind that is no test of Helm's."""
    found = of_kind(documents, kind)
    assert len(found) == 1, f"{len(found)} of {kind}"
    return found[0]


def of_kind(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The objects of a kind, without Helm's tests."""
    return [
        d
        for d in documents
        if d["kind"] == kind and "helm.sh/hook" not in d["metadata"].get("annotations", {})
    ]


def pod_specs(documents: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod's specification, Helm's tests included, with its object's name."""
    for document in documents:
        name = f"{document['kind']} {document['metadata']['name']}"
        if document["kind"] == "Pod":
            yield name, document["spec"]
        elif "template" in document.get("spec", {}):
            yield name, document["spec"]["template"]["spec"]


def agent(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """The agent's pod specification."""
    spec: dict[str, Any] = one(documents, "DaemonSet")["spec"]["template"]["spec"]
    return spec


def environment_of(container: dict[str, Any]) -> dict[str, str]:
    """What a process in the container finds, with the references to the node's name and address filled in."""
    known = {"NODE_NAME": "node-7", "HOST_IP": "10.0.0.7"}
    return {
        entry["name"]: re.sub(r"\$\((\w+)\)", lambda name: known[name[1]], entry["value"])
        for entry in container["env"]
        if "value" in entry
    }


@functools.cache
def operator_schema(kind: str) -> dict[str, Any]:
    """The operator's own schema of a kind, with unknown fields refused, as the API server does.

    Skips the test where the operator's module cannot be had through `go`.
    """
    folder = module_folder(OPERATOR)
    plural = kind.lower() + "s"
    crd = yaml.safe_load(
        (folder / f"example/prometheus-operator-crd/monitoring.coreos.com_{plural}.yaml").read_text()
    )
    schema = copy.deepcopy(crd["spec"]["versions"][-1]["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    _close(schema)
    return schema


def _close(schema: Any) -> None:
    if isinstance(schema, dict):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        if schema.get("x-kubernetes-int-or-string"):
            schema.pop("type", None)
        for value in schema.values():
            _close(value)
    elif isinstance(schema, list):
        for value in schema:
            _close(value)
