"""What is added to the names of LXC, Incus, LXD and nspawn containers."""

from __future__ import annotations

import os

import pytest

from tests.host_copies import HOSTS
from tests.name_hosts import outcome
from wattledger.model import Workload
from wattledger.workloads.identity import identify
from wattledger.workloads.names.base import Names, Subject
from wattledger.workloads.names.machines import MachineNames
from wattledger.workloads.names.rooted import Rooted

CGROUPS = (
    "/lxc.payload.dev_web",
    "/lxc.monitor.dev_web",
    "/lxc.payload.db",
    "/lxc.payload.ci_runner-1/init.scope",
    "/lxc.payload.mail_1",
    "/lxc/101/ns",
    "/machine.slice/systemd-nspawn@forge.service/payload",
    "/machine.slice/machine-forge.scope/payload",
    "/lxc.payload.unknown_1",
    "/lxc.payload.db/lxc.payload.dev_web",
    "/system.slice/nginx.service",
)


def machines(root):
    return MachineNames(Rooted(str(root)))


def question(path):
    return Subject(workload=identify(path))


def test_containers_of_a_host(golden):
    """Two projects' and the default project's, a plain name with an underscore, a number, and nspawn.

    The link in mail_1's root means a file of its own, which is not there, and not the host's os-release.
    What runs inside another container is not looked up among the host's.
    """
    resolver = machines(HOSTS / "names-lxc")
    lines = [f"{path}: {outcome(resolver, question(path)) or 'nothing'}\n" for path in CGROUPS]
    golden("names-lxc.txt", "".join(lines))


def test_runtimes_of_others_are_passed_over(tmp_path):
    resolver = machines(tmp_path)
    for runtime in ("docker", "libvirt", "podman"):
        workload = Workload(kind="container", id="dev_web", facts=(("runtime", runtime),))
        assert resolver.resolve(Subject(workload=workload)) is None


@pytest.mark.parametrize("daemon", ["var/lib/incus", "var/lib/lxd", "var/snap/lxd/common/lxd"])
def test_the_project_is_split_off_where_a_daemon_knows_the_container(tmp_path, daemon):
    """Without its folder an underscore is part of the name."""
    assert machines(tmp_path).resolve(question("/lxc.payload.dev_web")) is None
    (tmp_path / daemon / "containers/dev_web").mkdir(parents=True)
    names = machines(tmp_path).resolve(question("/lxc.payload.dev_web"))
    assert names == Names(name="web", facts=(("project", "dev"),))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n', "Debian GNU/Linux 13 (trixie)"),
        ("NAME=x\nPRETTY_NAME=Arch\n", "Arch"),
        ("PRETTY_NAME='it'\\''s'\n", "it's"),
        ('PRETTY_NAME="unfinished\n', ""),
        ("NAME=x\n", ""),
        ("", ""),
    ],
)
def test_os_release_is_read_like_a_shell_would(tmp_path, text, shown):
    folder = tmp_path / "var/lib/machines/forge/etc"
    folder.mkdir(parents=True)
    (folder / "os-release").write_text(text)
    names = machines(tmp_path).resolve(question("/machine.slice/systemd-nspawn@forge.service"))
    assert (dict(names.facts)["os"] if names else "") == shown


def test_an_os_release_that_is_none_costs_only_itself(tmp_path):
    """A FIFO is not waited for."""
    folder = tmp_path / "var/lib/incus/containers/dev_web/rootfs/etc"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "os-release")
    names = machines(tmp_path).resolve(question("/lxc.payload.dev_web"))
    assert names == Names(name="web", facts=(("project", "dev"),))
