"""The Helm chart: what it makes of its value sets, and what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command_line import REPOSITORY
from tests.helm_chart import (
    CHART,
    VALUE_SETS,
    agent,
    environment_of,
    needs_helm,
    of_kind,
    one,
    pod_specs,
    refusal_of,
    render,
    renderer,
    value_set,
)
from wattledger import __version__
from wattledger.cli.flags import given
from wattledger.cli.group import wattledger
from wattledger.cli.load import load_settings
from wattledger.settings import Settings

KUBERNETES = ("1.25", "1.29", "1.33", "1.36", "1.37")
BEFORE_RECURSIVE_READ_ONLY = ("1.25", "1.29")
MANIFESTS = tuple(renderer.VARIANTS)
NATIVE = re.compile(r"v1|apps/v1|(rbac\.authorization|networking)\.k8s\.io/v1")

pytestmark = needs_helm


def settings_in(documents: list[dict[str, Any]], folder: Path) -> Settings:
    """What the agent would make of its container's flags, environment and settings file.

    `/host` and the folder of the settings file are put into `folder`.
    """
    container = agent(documents)["containers"][0]
    settings = next(d for d in of_kind(documents, "ConfigMap") if d["metadata"]["name"] == "wattledger")
    (folder / "wattledger.yaml").write_text(settings["data"]["wattledger.yaml"])
    for mount in container["volumeMounts"]:
        if mount["mountPath"].startswith("/host/"):
            Path(f"{folder}{mount['mountPath']}").mkdir(parents=True)
    word, *flags = container["args"]
    environ = {
        name: re.sub(r"^/host/", f"{folder}/host/", value).replace("/etc/wattledger/config/", f"{folder}/")
        for name, value in environment_of(container).items()
    }
    command = wattledger.commands[word]
    return load_settings(given(command.make_context(word, flags).params), environ)


def test_there_are_value_sets_enough() -> None:
    """Six at least, one of them the defaults."""
    assert len(VALUE_SETS) >= 6
    assert value_set("default") == {}


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", VALUE_SETS)
def test_valid_for_kubernetes(name: str, version: str) -> None:
    """Every object passes the strict schema of old and new versions: no unknown field, no wrong type."""
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    values = value_set(name)
    if version in BEFORE_RECURSIVE_READ_ONLY:  # the library renders for one version, whatever is asked
        values["recursiveReadOnly"] = "Disabled"
    checked = 0
    for document in render(values):
        if NATIVE.fullmatch(document["apiVersion"]):
            kubernetes_validate.validate(document, version, strict=True)
            checked += 1
    assert checked >= 2


def test_the_schemas_can_refuse() -> None:
    """A misspelt field of the DaemonSet is found."""
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    daemon_set = one(render(), "DaemonSet")
    daemon_set["spec"]["template"]["spec"]["hostPid"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(daemon_set, "1.36", strict=True)


@pytest.mark.parametrize("name", VALUE_SETS)
def test_no_privilege(name: str) -> None:
    """No pod is privileged, may become so, has a capability or writes to its root, whatever the values."""
    specs = list(pod_specs(render(name)))
    assert specs
    for where, spec in specs:
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert not spec.get("hostIPC"), where
        assert not spec.get("initContainers"), where
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security.get("privileged", False) is False, where
            assert security["allowPrivilegeEscalation"] is False, where
            assert security["readOnlyRootFilesystem"] is True, where
            assert security["capabilities"] == {"drop": ["ALL"]}, where
            assert "command" not in container or container["command"][0] == "/usr/bin/python3", where


@pytest.mark.parametrize("name", VALUE_SETS)
def test_the_host_is_read_only(name: str) -> None:
    """Nothing of the host can be written but the folder of the state."""
    for where, spec in pod_specs(render(name)):
        host = {volume["name"] for volume in spec.get("volumes", []) if "hostPath" in volume}
        for mount in spec["containers"][0].get("volumeMounts", []):
            if mount["name"] in host and mount["name"] != "state":
                assert mount.get("readOnly") is True, f"{where}: {mount}"


@pytest.mark.parametrize("name", VALUE_SETS)
def test_no_right_and_no_token_unless_asked(name: str) -> None:
    """Only names from the kubelet bring a token and a ClusterRole, of one verb on one thing."""
    documents = render(name)
    tokens = [spec["automountServiceAccountToken"] for _, spec in pod_specs(documents)]
    roles = [d for d in documents if d["apiVersion"].startswith("rbac.")]
    if name == "kubelet-names":
        assert tokens == [True, False]  # the agent, and the test of Helm
        assert one(documents, "ClusterRole")["rules"] == [
            {"apiGroups": [""], "resources": ["nodes/pods"], "verbs": ["get"]}
        ]
        assert one(documents, "ClusterRoleBinding")["subjects"] == [
            {"kind": "ServiceAccount", "name": "wattledger", "namespace": "wattledger"}
        ]
    else:
        assert tokens == [False] * len(tokens)
        assert roles == []


@pytest.mark.parametrize("name", [name for name in VALUE_SETS if name != "demo"])
def test_the_agent_takes_its_settings(name: str, tmp_path: Path) -> None:
    """Flags, environment and settings file of the pod are such as the agent accepts."""
    settings = settings_in(render(name), tmp_path)
    assert settings.paths.procfs == f"{tmp_path}/host/proc"
    assert settings.paths.sysfs == f"{tmp_path}/host/sys"
    assert settings.paths.cgroupfs == f"{tmp_path}/host/sys/fs/cgroup"
    assert settings.web.listen_addresses == (":19190",)


def test_settings_and_keys_reach_the_agent(tmp_path: Path) -> None:
    """Large numbers stay whole, and a key's Secret is the file that the settings name."""
    documents = render("carbon")
    settings = settings_in(documents, tmp_path)
    assert settings.attribution.series_limit == 1_000_000
    assert [budget.name for budget in settings.budgets] == ["node-month", "ml-day"]
    assert settings.carbon.intensity.key_file == "/etc/wattledger/keys/intensity/token"
    spec = agent(documents)
    mount = next(m for m in spec["containers"][0]["volumeMounts"] if m["name"] == "key-intensity")
    volume = next(v for v in spec["volumes"] if v["name"] == "key-intensity")
    assert mount == {"name": "key-intensity", "mountPath": "/etc/wattledger/keys/intensity", "readOnly": True}
    assert volume["secret"] == {
        "secretName": "electricity-maps",
        "defaultMode": 0o400,
        "items": [{"key": "token", "path": "token"}],
    }


@pytest.mark.parametrize(
    "config", [None, {"carbon": None}, {"carbon": {"intensity": None}}, {"web": None}], ids=json.dumps
)
def test_settings_whose_lines_are_all_commented_out(config: dict[str, Any] | None, tmp_path: Path) -> None:
    """A key without a value counts as not given, as it does for the agent."""
    values = {"config": config, "serviceMonitor": {"enabled": True}}
    assert settings_in(render(values), tmp_path).carbon.intensity.provider is None
    assert "priced with the world average" in renderer.notes(values)


def test_a_change_of_settings_rolls_the_pods() -> None:
    """The pods carry a checksum of the settings."""

    def checksum(config: dict[str, Any]) -> str:
        template = one(render({"config": config}), "DaemonSet")["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/config"])

    assert checksum({}) == checksum({})
    assert checksum({}) != checksum({"carbon": {"pue": 1.3}})


def test_names_from_the_kubelet(tmp_path: Path) -> None:
    """The kubelet of the pod's own node is asked, by its address and under its name."""
    kubelet = settings_in(render("kubelet-names"), tmp_path).names.kubelet
    assert kubelet.url == "https://10.0.0.7:10250"
    assert kubelet.server_name == "node-7"
    assert kubelet.labels == ("app.kubernetes.io/name", "team")


def test_names_from_files_of_the_host() -> None:
    """Two folders by default, the whole root where wanted, and no look-up at all without either."""

    def mounts(values: dict[str, Any]) -> dict[str, str]:
        spec = agent(render(values))
        paths = {v["name"]: v["hostPath"]["path"] for v in spec["volumes"] if "hostPath" in v}
        return {
            mount["mountPath"]: paths[mount["name"]]
            for mount in spec["containers"][0]["volumeMounts"]
            if mount["mountPath"].startswith("/host/root")
        }

    assert mounts({}) == {
        "/host/root/var/log/containers": "/var/log/containers",
        "/host/root/var/log/pods": "/var/log/pods",
    }
    assert mounts({"hostNames": {"wholeRoot": True}}) == {"/host/root": "/"}
    assert mounts({"hostNames": {"enabled": False}}) == {}
    without = agent(render({"hostNames": {"enabled": False}}))["containers"][0]
    assert environment_of(without)["WATTLEDGER_NAMES"] == "false"
    assert "WATTLEDGER_NAMES" not in environment_of(agent(render())["containers"][0])


def test_a_look_around_in_the_pod_sees_what_the_agent_sees() -> None:
    """`wattledger check`, run in the container without a flag, has the agent's paths, settings and state."""
    container = agent(render("web-config"))["containers"][0]
    assert container["args"] == ["run"]
    found = environment_of(container)
    assert {name.removeprefix("WATTLEDGER_"): value for name, value in found.items()} == {
        "CONFIG_FILE": "/etc/wattledger/config/wattledger.yaml",
        "PATH_PROCFS": "/host/proc",
        "PATH_SYSFS": "/host/sys",
        "PATH_ROOTFS": "/host/root",
        "STORAGE_PATH": "/var/lib/wattledger",
        "WEB_LISTEN_ADDRESS": ":19190",
        "WEB_CONFIG_FILE": "/etc/wattledger/web/web-config.yml",
    }


def test_state_outlives_the_pod() -> None:
    """By default on the host; where wanted with the pod, or nowhere."""

    def state(values: dict[str, Any]) -> Any:
        spec = agent(render(values))
        volumes = [v for v in spec["volumes"] if v["name"] == "state"]
        path = environment_of(spec["containers"][0]).get("WATTLEDGER_STORAGE_PATH")
        assert path == ("/var/lib/wattledger" if volumes else None)
        return volumes

    assert state({}) == [
        {"name": "state", "hostPath": {"path": "/var/lib/wattledger", "type": "DirectoryOrCreate"}}
    ]
    assert state({"state": {"type": "emptyDir"}}) == [{"name": "state", "emptyDir": {}}]
    assert state({"state": {"type": "none"}}) == []


def test_the_agent_is_on_every_node_and_sees_its_processes() -> None:
    """uid 0, the host's pids, and no taint that keeps pods from being scheduled keeps it away."""
    spec = agent(render())
    assert spec["securityContext"]["runAsUser"] == 0
    assert spec["hostPID"] is True
    assert spec["hostNetwork"] is False
    assert spec["tolerations"] == [{"operator": "Exists", "effect": "NoSchedule"}]
    container = spec["containers"][0]
    assert container["livenessProbe"]["httpGet"] == {"path": "/-/healthy", "port": "metrics"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/-/ready", "port": "metrics"}


def test_the_agent_is_bounded_in_memory_and_never_throttled() -> None:
    """A limit of CPU time would hold samples up; at an upgrade, nine nodes of ten keep their agent."""
    daemon_set = one(render(), "DaemonSet")["spec"]
    resources = agent(render())["containers"][0]["resources"]
    assert resources["limits"].keys() == {"memory"}
    assert resources["requests"].keys() == {"cpu", "memory"}
    assert daemon_set["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": "10%"}


def test_nvidia() -> None:
    """Boards come through the toolkit: its runtime class, and of the driver only what NVML needs."""
    spec = agent(render("gpu"))
    environment = {entry["name"]: entry.get("value") for entry in spec["containers"][0]["env"]}
    assert spec["runtimeClassName"] == "nvidia"
    assert environment["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert environment["NVIDIA_DRIVER_CAPABILITIES"] == "utility"
    assert "runtimeClassName" not in agent(render())


def test_the_demo_touches_no_host() -> None:
    """One Deployment of an unprivileged user without any volume of the host, and no DaemonSet."""
    documents = render("demo")
    spec = one(documents, "Deployment")["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert not any("hostPath" in volume for volume in spec["volumes"])
    assert not spec.get("hostPID")
    assert of_kind(documents, "DaemonSet") == []
    arguments = spec["containers"][0]["args"]
    wattledger.commands[arguments[0]].make_context("demo", arguments[1:])


def test_image_by_tag_and_by_digest() -> None:
    """The agent's own version by default; a digest wins."""
    assert agent(render())["containers"][0]["image"] == f"ghcr.io/wattledger/wattledger:{__version__}"
    digest = value_set("hardened")["image"]["digest"]
    assert agent(render("hardened"))["containers"][0]["image"] == f"ghcr.io/wattledger/wattledger@{digest}"


def test_network_policy() -> None:
    """Only those named may scrape, and the agent may ask nobody."""
    policy = one(render("hardened"), "NetworkPolicy")["spec"]
    assert policy["ingress"][0]["ports"] == [{"port": "metrics", "protocol": "TCP"}]
    assert policy["ingress"][0]["from"] == value_set("hardened")["networkPolicy"]["from"]
    assert policy["egress"] == []
    assert policy["policyTypes"] == ["Ingress", "Egress"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"sate": {"type": "none"}}, "'sate' not allowed"),
        ({"state": {"type": "disk"}}, "/state/type"),
        ({"port": 80}, "/port"),
        ({"kubelet": {"url": "http://x"}}, "/kubelet/url"),
        ({"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}, "scraped twice"),
        ({"serviceMonitor": {"enabled": True}, "service": {"enabled": False}}, "needs service.enabled"),
        ({"webConfig": {"secretName": "web"}, "demo": {"enabled": True}}, "webConfig is for the agents"),
        ({"webConfig": {"secret": "web"}}, "'secret' not allowed"),
        ({"recursiveReadOnly": "yes"}, "/recursiveReadOnly"),
        ({"kubelet": {"enabled": True}, "serviceAccount": {"create": False}}, "serviceAccount.name"),
    ],
)
def test_refused(values: dict[str, Any], said: str) -> None:
    """A value that is misspelt or cannot work is an error of the installation, not of the pods."""
    assert said in refusal_of(values)


def emptied() -> dict[str, dict[str, Any]]:
    """Values of which one is null, by its path: the two upper levels of values.yaml."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in yaml.safe_load((CHART / "values.yaml").read_text()).items():
        found[key] = {key: None}
        if isinstance(value, dict):
            found |= {f"{key}.{below}": {key: {below: None}} for below in value}
    return found


@pytest.mark.parametrize(("path", "values"), emptied().items(), ids=emptied())
def test_a_value_that_is_emptied_gives_valid_objects_or_is_called_missing(
    path: str, values: dict[str, Any]
) -> None:
    """As when all below a key is commented out: Helm takes the default away with it."""
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    documents, refusal = [], ""
    try:
        documents = render(values)
    except renderer.RenderError as error:
        refusal = str(error)
    assert documents or f"missing property '{path.rpartition('.')[2]}'" in refusal
    for document in documents:
        if NATIVE.fullmatch(document["apiVersion"]):
            kubernetes_validate.validate(document, KUBERNETES[-1], strict=True)


@pytest.mark.skipif(renderer.engine() == "helm-python-sdk", reason="the library has one Kubernetes version")
def test_old_kubelets_need_consent() -> None:
    """nodes/proxy, which runs commands in every pod, is never granted without being named."""
    old = {"kubelet": {"enabled": True}}
    with pytest.raises(renderer.RenderError, match=r"kubelet\.access=proxy"):
        renderer.render(old, kube_version="1.32.9")
    consented = renderer.render({"kubelet": {"enabled": True, "access": "proxy"}}, kube_version="1.32.9")
    assert one(consented, "ClusterRole")["rules"][0]["resources"] == ["nodes/proxy"]


def test_every_value_has_a_schema() -> None:
    """The schema knows every key of values.yaml, at every depth that it describes, and no other."""

    def compare(values: dict[str, Any], schema: dict[str, Any], path: str) -> None:
        known = schema.get("properties")
        if known is None:
            return
        assert set(known) - {"global"} == set(values), path
        for key, value in values.items():
            if isinstance(value, dict):
                compare(value, known[key], f"{path}.{key}")

    compare(
        yaml.safe_load((CHART / "values.yaml").read_text()),
        json.loads((CHART / "values.schema.json").read_text()),
        "values",
    )


def test_extra_manifests_are_templates() -> None:
    """They are rendered beside the chart's own objects, whether mappings or text."""
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-text'}"
    names = {d["metadata"]["name"] for d in render({"extraManifests": [text]}) if d["kind"] == "ConfigMap"}
    assert names == {"wattledger", "wattledger-text"}
    assert "own-authority" in {d["metadata"]["name"] for d in render("carbon")}


def test_nothing_that_is_made_is_out_of_date() -> None:
    """Rules, dashboards and plain manifests are what deploy/kubernetes/render.py writes."""
    script = REPOSITORY / "deploy/kubernetes/render.py"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr + "run deploy/kubernetes/render.py"


@pytest.mark.parametrize("name", MANIFESTS)
def test_plain_manifests(name: str) -> None:
    """They bring their namespace, labelled for Pod Security, and nothing of Helm."""
    text = (REPOSITORY / "deploy/kubernetes/manifests" / name).read_text()
    documents = list(yaml.safe_load_all(text))
    assert documents[0]["kind"] == "Namespace"
    level = "restricted" if name == "wattledger-demo.yaml" else "privileged"
    assert documents[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == level
    assert "helm.sh" not in text
    assert "Helm" not in text


def test_chart_metadata() -> None:
    """What Artifact Hub shows is well-formed, and the chart installs the agent's version."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__
    listed = {
        name.removeprefix("artifacthub.io/"): yaml.safe_load(text)
        for name, text in chart["annotations"].items()
    }
    assert listed["license"] == "Apache-2.0"
    assert listed["images"][0]["image"] == f"ghcr.io/wattledger/wattledger:{__version__}"
    assert all(link.keys() == {"name", "url"} for link in listed["links"])
    assert listed["changes"]
