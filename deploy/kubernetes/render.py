#!/usr/bin/env python3
"""Writes what is made from other files: the chart's rules and dashboards, and the plain manifests.

    deploy/kubernetes/render.py           # write them
    deploy/kubernetes/render.py --check   # only say what would change; exit status 1 if anything would

Rendering needs `helm` (version 3 or 4) on PATH or in $HELM, or else the Python package helm-python-sdk, which
has Helm as a library.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
CHART = Path(__file__).resolve().parent / "helm/wattledger"
MANIFESTS = Path(__file__).resolve().parent / "manifests"
KUBE_VERSION = "1.34.0"

_MONITORED = {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "wattledger.yaml": ("The agent on every node.", {}),
    "wattledger-operator.yaml": (
        "The agent on every node, scraped and judged by the Prometheus operator.",
        _MONITORED,
    ),
    "wattledger-nvidia.yaml": (
        "The agent on every node, all of which have NVIDIA's toolkit.",
        {"nvidia": {"enabled": True}},
    ),
    "wattledger-demo.yaml": ("Five simulated nodes.", {"demo": {"enabled": True}}),
}
_HELM_ONLY = ("helm.sh/chart", "app.kubernetes.io/managed-by", "checksum/config")
_ORDER = (
    "Namespace",
    "NetworkPolicy",
    "ServiceAccount",
    "ConfigMap",
    "ClusterRole",
    "ClusterRoleBinding",
    "Service",
)


class RenderError(Exception):
    """The chart cannot be rendered with these values; the message is Helm's."""


def engine() -> str:
    """What renders here: the path of `helm`, or "helm-python-sdk", or "" where there is neither."""
    helm = os.environ.get("HELM") or shutil.which("helm")
    if helm:
        return helm
    return "helm-python-sdk" if importlib.util.find_spec("helm_python") else ""


def render(
    values: Mapping[str, Any], *, kube_version: str = KUBE_VERSION, with_hooks: bool = True
) -> list[dict[str, Any]]:
    """The objects of a release `wattledger` in the namespace `wattledger`, sorted by kind and name.

    The library in place of `helm` takes the Kubernetes version that it was built for, whatever is asked.
    Raises RenderError, also where there is no engine.
    """
    tool = engine()
    if not tool:
        raise RenderError("neither helm is on PATH nor the Python package helm-python-sdk installed")
    texts = _by_library(values) if tool == "helm-python-sdk" else [_by_command(tool, values, kube_version)]
    documents = [document for text in texts for document in yaml.safe_load_all(text) if document]
    if not with_hooks:
        documents = [document for document in documents if not _is_hook(document)]
    return sorted(documents, key=_place)


def _by_command(helm: str, values: Mapping[str, Any], kube_version: str) -> str:
    command = [
        helm,
        "template",
        "wattledger",
        str(CHART),
        "--namespace=wattledger",
        f"--kube-version={kube_version}",
    ]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(dict(values), file)
        file.flush()
        done = subprocess.run(  # noqa: S603 - the operator's own helm
            [*command, f"--values={file.name}"], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise RenderError(done.stderr.strip())
    return done.stdout


def notes(values: Mapping[str, Any]) -> str:
    """What Helm says after an installation; raises RenderError, also without the library."""
    if importlib.util.find_spec("helm_python") is None:
        raise RenderError("the Python package helm-python-sdk is not installed")
    (text,) = (text for path, text in _files(values).items() if path.endswith("/NOTES.txt"))
    return text


def _by_library(values: Mapping[str, Any]) -> list[str]:
    return [text for path, text in _files(values).items() if path.endswith(".yaml")]


def _files(values: Mapping[str, Any]) -> Mapping[str, str]:
    import helm_python  # noqa: PLC0415 - not needed where there is a helm

    try:
        with helm_python.Chart.load(CHART) as chart:
            chart.validate_schema(dict(values))
            files: Mapping[str, str] = chart.render(dict(values), name="wattledger", namespace="wattledger")
    except helm_python.HelmError as error:
        raise RenderError(str(error)) from error
    return files


def _is_hook(document: Mapping[str, Any]) -> bool:
    return "helm.sh/hook" in document["metadata"].get("annotations", {})


def _place(document: Mapping[str, Any]) -> tuple[int, str, str]:
    kind = document["kind"]
    return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER), kind, document["metadata"]["name"])


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, and lists indented below their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def dump(documents: Sequence[Any]) -> str:
    """Documents as YAML that reads well."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


def plain_manifests() -> Iterator[tuple[Path, str]]:
    """The manifests for those who do not use Helm, without its labels and hooks."""
    for name, (title, values) in VARIANTS.items():
        documents = render({**values, "namespace": {"create": True}}, with_hooks=False)
        for document in documents:
            _forget_helm(document)
        head = f"# {title}\n# Made from the chart by deploy/kubernetes/render.py; do not edit.\n"
        yield MANIFESTS / name, head + dump(documents)


def _forget_helm(node: Any) -> None:
    if isinstance(node, dict):
        for label in _HELM_ONLY:
            node.pop(label, None)
        for value in node.values():
            _forget_helm(value)
    elif isinstance(node, list):
        for value in node:
            _forget_helm(value)


def copies() -> Iterator[tuple[Path, str]]:
    """The rules and dashboards that the chart carries."""
    for source in sorted(REPOSITORY.glob("deploy/prometheus/wattledger.*.yml")):
        yield CHART / "files/rules" / source.name, source.read_text(encoding="utf-8")
    for source in sorted(REPOSITORY.glob("grafana/dashboards/*.json")):
        yield CHART / "files/dashboards" / source.name, source.read_text(encoding="utf-8")


def strays() -> list[Path]:
    """Files of the chart whose source is gone."""
    wanted = {path for path, _ in copies()}
    there = [*CHART.glob("files/rules/*.yml"), *CHART.glob("files/dashboards/*.json")]
    return sorted(path for path in there if path not in wanted)


def chart_version() -> tuple[Path, str]:
    """Chart.yaml with the agent's version."""
    agent = (REPOSITORY / "exporter/wattledger/__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', agent, re.MULTILINE)
    if found is None:
        raise RenderError("exporter/wattledger/__init__.py has no __version__")
    path = CHART / "Chart.yaml"
    text = re.sub(r'(?m)^appVersion: ".*"$', f'appVersion: "{found[1]}"', path.read_text(encoding="utf-8"))
    return path, re.sub(r"(?m)(ghcr\.io/wattledger/wattledger:).+$", rf"\g<1>{found[1]}", text)


def main() -> int:
    """Write or compare everything; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if something would change"
    )
    check = parser.parse_args().check
    stale = list(strays())
    for path in [] if check else stale:
        path.unlink()
    try:
        # The copies first: the manifests are made from them.
        for path, text in [chart_version(), *copies()]:
            stale += _settle(path, text, check=check)
        for path, text in plain_manifests():
            stale += _settle(path, text, check=check)
    except RenderError as error:
        sys.stderr.write(f"render.py: {error}\n")
        return 2
    for path in stale:
        sys.stdout.write(f"{path.relative_to(REPOSITORY)}: {'out of date' if check else 'written'}\n")
    return 1 if check and stale else 0


def _settle(path: Path, text: str, *, check: bool) -> list[Path]:
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return []
    if not check:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [path]


if __name__ == "__main__":
    sys.exit(main())
