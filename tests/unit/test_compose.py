"""deploy/compose: one command that runs everything, on the loopback and without privilege."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command_line import REPOSITORY
from tests.go_module import module_folder
from tests.promtool import needs_promtool, promtool
from wattledger import __version__
from wattledger.cli.group import wattledger
from wattledger.cli.load import load_settings

FOLDER = REPOSITORY / "deploy/compose"
SETTINGS = FOLDER / "wattledger/wattledger.yaml"
PROVISIONING = REPOSITORY / "grafana/provisioning"
COMPOSE_GO = "github.com/compose-spec/compose-go/v2@v2.9.0"
"""The reference implementation of the Compose specification, which carries its schema."""

OUTSIDE = {"HOME": "/nonexistent", "PATH": "/usr/bin:/bin:/usr/local/bin:/usr/sbin:/sbin"}
SERVICES = ("wattledger", "demo", "prometheus", "alertmanager", "grafana")


@functools.cache
def compose() -> dict[str, Any]:
    """compose.yaml, with its anchors resolved."""
    document: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return document


def service(name: str) -> dict[str, Any]:
    """One of its services."""
    found: dict[str, Any] = compose()["services"][name]
    return found


def mounts(name: str) -> dict[str, tuple[str, str]]:
    """Source and options of a service's volumes by their place in the container."""
    parts = [volume.split(":") for volume in service(name).get("volumes", [])]
    return {target: (source, ",".join(options)) for source, target, *options in parts}


def test_the_services() -> None:
    """The agent without any choice, the demo by its profile."""
    assert tuple(compose()["services"]) == SERVICES
    assert service("demo")["profiles"] == ["demo"]
    assert all("profiles" not in service(name) for name in SERVICES if name != "demo")


def test_valid_by_the_specification() -> None:
    """The Compose specification's schema accepts the file, and refuses a misspelt key."""
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((module_folder(COMPOSE_GO) / "schema/compose-spec.json").read_text())
    validator = jsonschema.Draft7Validator(schema)
    validator.validate(compose())
    wrong = {**compose(), "services": {"demo": {**service("demo"), "readonly": True}}}
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(wrong)


@pytest.mark.skipif(shutil.which("podman") is None, reason="no podman on PATH (apt-get install podman)")
@pytest.mark.parametrize(
    ("flags", "expected"), [((), set(SERVICES) - {"demo"}), (("--profile=demo",), set(SERVICES))]
)
def test_podman_compose_reads_it(flags: tuple[str, ...], expected: set[str]) -> None:
    """podman-compose understands the file, and starts the demo with its profile only."""
    pytest.importorskip("podman_compose")
    command = [sys.executable, "-m", "podman_compose", "-f", str(FOLDER / "compose.yaml"), *flags]
    done = subprocess.run(
        [*command, "config", "--services"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=OUTSIDE,
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == expected


@pytest.mark.parametrize("name", SERVICES)
def test_loopback_only(name: str) -> None:
    """No port is open beyond this machine."""
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in service(name).get("ports", []))
    assert service(name).get("network_mode") is None


@pytest.mark.parametrize("name", SERVICES)
def test_confined(name: str) -> None:
    """No service is privileged, has a capability, gains one or writes to its root."""
    found = service(name)
    assert found["cap_drop"] == ["ALL"]
    assert found["read_only"] is True
    own_label = ["label=disable"] if name == "wattledger" else []
    assert found["security_opt"] == ["no-new-privileges:true", *own_label]
    assert not {"privileged", "cap_add", "devices"} & set(found)


@pytest.mark.parametrize("name", SERVICES)
def test_pinned(name: str) -> None:
    """Every image has a full version; ours is the agent's own."""
    image = service(name)["image"]
    assert re.fullmatch(r"[a-z.]+(/[a-z]+)+:v?\d+\.\d+\.\d+", image)
    if name in {"wattledger", "demo"}:
        assert image == f"ghcr.io/wattledger/wattledger:{__version__}"
        assert (FOLDER / service(name)["build"]["context"] / service(name)["build"]["dockerfile"]).is_file()


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted(name: str) -> None:
    """Files of the repository exist and are read-only, data lies in named volumes, the host is read-only."""
    for target, (source, options) in mounts(name).items():
        if source.startswith("."):
            assert (FOLDER / source).exists(), source
            # Relabelled where SELinux asks for it; the agent is not confined by it.
            assert options == ("ro" if name == "wattledger" else "ro,z"), target
        elif source.startswith("/"):
            assert options.split(",")[0] == "ro", target
        else:
            assert source in compose()["volumes"]


def test_the_agents_flags_and_settings() -> None:
    """The agent takes its flags, and its settings file as it is and with the line that is a comment."""
    for name in ("wattledger", "demo"):
        word, *flags = service(name)["command"]
        wattledger.commands[word].make_context(word, flags)
    given = service("wattledger")["environment"]
    mounted = mounts("wattledger")
    assert given["WATTLEDGER_CONFIG_FILE"] == "/etc/wattledger/wattledger.yaml"
    assert (FOLDER / mounted["/etc/wattledger"][0] / "wattledger.yaml") == SETTINGS
    inside = {name: value for name, value in given.items() if name.startswith("WATTLEDGER_PATH_")}
    assert {*inside.values(), given["WATTLEDGER_STORAGE_PATH"], "/etc/wattledger"} == set(mounted)
    here = {name: mounted[value][0] for name, value in inside.items()}  # as on this host
    settings = load_settings({}, {**given, **here, "WATTLEDGER_CONFIG_FILE": str(SETTINGS)})
    assert settings.carbon.pue == 1.0
    assert (settings.paths.procfs, settings.paths.rootfs) == ("/proc", "/")


def test_keys_of_providers_are_taken_from_outside() -> None:
    """For each role that can have one, and empty where none is given."""
    passed = {name: text for name, text in service("wattledger")["environment"].items() if "KEY" in name}
    assert passed == {
        f"WATTLEDGER_CARBON_{role}_KEY": f"${{WATTLEDGER_CARBON_{role}_KEY:-}}"
        for role in ("INTENSITY", "MARKET", "SIGNAL")
    }


def test_the_commented_intensity_works(tmp_path: Path) -> None:
    """Taking the comment sign away from the intensity gives settings that are accepted."""
    text = (SETTINGS).read_text()
    file = tmp_path / "wattledger.yaml"
    file.write_text(text.replace("  # intensity:", "  intensity:"))
    settings = load_settings({"config.file": str(file)}, {})
    assert settings.carbon.intensity.grid_zone == "DE"


@needs_promtool
def test_promtool_accepts_prometheus_configuration(tmp_path: Path) -> None:
    """Together with the rules, where they are mounted."""
    for target, (source, _) in mounts("prometheus").items():
        if source.startswith("."):
            place = tmp_path / Path(target).relative_to("/etc/prometheus")
            place.parent.mkdir(exist_ok=True)
            shutil.copy(FOLDER / source, place)
    done = promtool("check", "config", tmp_path / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("rules found") == 2


def test_prometheus_asks_services_that_exist() -> None:
    """Every target is a service's name and port."""
    config = yaml.safe_load((FOLDER / "prometheus/prometheus.yml").read_text())
    text = json.dumps([config["scrape_configs"], config["alerting"]])
    hosts = set(re.findall(r"([a-z]+):\d{4,5}", text)) - {"localhost"}
    assert hosts == {"wattledger", "demo", "alertmanager"}


@pytest.mark.skipif(
    shutil.which("amtool") is None, reason="no amtool on PATH (apt-get install prometheus-alertmanager)"
)
def test_amtool_accepts_alertmanagers_configuration() -> None:
    """Its own check finds nothing wrong."""
    file = FOLDER / "alertmanager/alertmanager.yml"
    done = subprocess.run(
        ["amtool", "check-config", file], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_cause_is_one_message() -> None:
    """Alerts that go with another are held back as docs/alerts.md shows it."""
    page = (REPOSITORY / "docs/alerts.md").read_text()
    (block,) = re.findall(r"^```yaml\n# alertmanager.yml\n(.*?)^```$", page, re.M | re.S)
    ours = yaml.safe_load((FOLDER / "alertmanager/alertmanager.yml").read_text())
    assert ours["inhibit_rules"] == yaml.safe_load(block)["inhibit_rules"]


def test_grafana_is_provisioned() -> None:
    """It finds Prometheus and the dashboards where compose.yaml puts them."""
    source = yaml.safe_load((PROVISIONING / "datasources/wattledger.yaml").read_text())["datasources"][0]
    assert source["url"] == "${PROMETHEUS_URL}"
    url = service("grafana")["environment"]["PROMETHEUS_URL"]
    assert url == "http://prometheus:9090"
    provider = yaml.safe_load((PROVISIONING / "dashboards/wattledger.yaml").read_text())["providers"][0]
    assert mounts("grafana")[provider["options"]["path"]] == ("../../grafana/dashboards", "ro,z")
    assert mounts("grafana")["/etc/grafana/provisioning"] == ("../../grafana/provisioning", "ro,z")
