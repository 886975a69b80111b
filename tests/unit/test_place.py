"""What `wattledger check` advises depends on where the agent runs."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.powercap_tree import PowercapTree
from tests.unprivileged import as_nobody
from wattledger.clock import ManualClock
from wattledger.hostfs import HostFS
from wattledger.sensors.place import ON_HOST, Place, find_place
from wattledger.sensors.powercap import GRANT_READ, Powercap
from wattledger.sensors.registry import COLLECTORS, build_sensors
from wattledger.settings import SensorSettings, Settings

POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
SUPERUSER = os.geteuid() == 0


def denied_tree(look):
    """What somebody who is not root makes of a host whose counter only root may read."""
    root = Path(tempfile.mkdtemp())
    try:
        root.chmod(0o755)
        tree = PowercapTree(root / "host")
        tree.add_zone("intel-rapl:0", "package-0").break_(errno.EACCES)
        hostfs = HostFS.at(str(tree.root))
        return as_nobody(lambda: look(hostfs))
    finally:
        shutil.rmtree(root)


@pytest.mark.parametrize("mark", ["run/.containerenv", ".dockerenv"])
def test_runtimes_leave_a_mark(tmp_path, mark):
    """Podman's or Docker's file in the root of the agent, not of the host, says that it is a container."""
    assert find_place(HostFS(), str(tmp_path), {}).kind == "host"
    (tmp_path / mark).parent.mkdir(exist_ok=True)
    (tmp_path / mark).write_text("")
    assert find_place(HostFS(), str(tmp_path), {}) == Place("container", SUPERUSER)


def test_kubernetes_tells_by_the_environment(tmp_path):
    """Every pod is told where the API is, whether its runtime leaves a mark or not."""
    assert find_place(HostFS(), str(tmp_path), POD) == Place("pod", SUPERUSER)
    (tmp_path / ".dockerenv").write_text("")
    assert find_place(HostFS(), str(tmp_path), POD).kind == "pod"


def test_a_hosts_root_elsewhere_tells_of_a_container(tmp_path):
    """Other runtimes leave nothing, but the agent in one of them is told where the host is."""
    assert find_place(HostFS(rootfs="/host/root"), str(tmp_path), {}).kind == "container"


def test_a_recorded_host_is_nobodys_container(tmp_path):
    """A recording is judged as the host it is of, wherever it is looked at."""
    (tmp_path / "proc").mkdir()
    (tmp_path / ".dockerenv").write_text("")
    assert find_place(HostFS.at(str(tmp_path)), str(tmp_path), POD) == ON_HOST


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Place("container"), ["--user 0:0", "--cap-drop all"]),
        (Place("pod"), ["runAsUser: 0", "drop: [ALL]"]),
        (Place("container", superuser=True), ["--userns host", "label=disable"]),
        (Place("pod", superuser=True), ["hostUsers: true", "spc_t"]),
    ],
)
def test_denied_counters_come_with_what_grants_them_there(place, words):
    """uid 0 without a capability in a container; for uid 0 that is denied, the host's own."""
    (denied,) = denied_tree(lambda hostfs: Powercap(hostfs, ManualClock(), place).probe().findings)
    assert denied.status == "denied"
    assert [word for word in words if word not in denied.fix] == []
    assert "systemctl" not in denied.fix
    assert len(denied.fix.splitlines()) == 2


def test_on_the_host_nothing_changes():
    """The service's own commands, for files and for capabilities."""
    assert ON_HOST.to_read(GRANT_READ) == GRANT_READ
    assert ON_HOST.to_hold("PERFMON", "on the host") == "on the host"
    assert Place("host", superuser=True).to_read("on the host") == "on the host"


def test_a_capability_is_added_to_uid_0():
    """No runtime gives one to another user."""
    container, pod = (Place(kind).to_hold("SYS_PTRACE", "sudo") for kind in ("container", "pod"))
    assert "--user 0:0 --cap-drop all --cap-add SYS_PTRACE" in container
    assert "{runAsUser: 0, capabilities: {drop: [ALL], add: [SYS_PTRACE]}}" in pod


def test_the_collectors_are_told_where_they_are(monkeypatch):
    """As in a pod: what is found on the machine is advised by the sensor that is denied."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")

    def look(hostfs):
        alone = {collector.name: collector.name == "powercap" for collector in COLLECTORS}
        settings = Settings(paths=replace(hostfs, procfs="/proc"), sensors=SensorSettings(enabled=alone))
        (sensor,) = build_sensors(settings, ManualClock())
        return sensor.probe().findings

    (denied,) = denied_tree(look)
    assert "securityContext: {runAsUser: 0" in denied.fix
