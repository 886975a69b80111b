"""What `wattledger check` says of names: who knows them, and what keeps a source from answering."""

from __future__ import annotations

import shutil

from tests.cgroup_tree import CgroupHost
from wattledger.inspection import inspect
from wattledger.settings import NameSettings, Settings

ID = "4f" * 32


def names_of(settings):
    found = inspect(settings, 0.0, lambda _: None).findings
    return [(f.subject, f.status, f.why) for f in found if f.sensor == "names"]


def docker_host(tmp_path):
    """One docker container in a v2 tree, and Docker's own file about it."""
    host = CgroupHost(tmp_path)
    host.create("system.slice")
    host.create(f"system.slice/docker-{ID}.scope")
    folder = tmp_path / f"var/lib/docker/containers/{ID}"
    folder.mkdir(parents=True)
    (folder / "config.v2.json").write_text('{"Name": "/web", "Config": {"Image": "nginx"}}')
    return folder, Settings(paths=host.hostfs)


def test_a_source_that_knows_the_workloads_is_usable(tmp_path):
    _, settings = docker_host(tmp_path)
    assert names_of(settings) == [("docker", "usable", "knows 1 of the workloads here")]


def test_a_source_that_cannot_be_read_says_why(tmp_path):
    folder, settings = docker_host(tmp_path)
    (folder / "config.v2.json").write_text("{ not json")
    ((subject, status, why),) = names_of(settings)
    assert (subject, status) == ("docker", "failed")
    assert "config.v2.json" in why


def test_a_host_without_such_sources_says_that_ids_are_shown(tmp_path):
    folder, settings = docker_host(tmp_path)
    shutil.rmtree(folder.parent.parent)
    ((subject, status, why),) = names_of(settings)
    assert (subject, status) == ("sources", "absent")
    assert why.startswith("no source knows any of the 1 workloads")


def test_names_that_are_switched_off_are_said_to_be(tmp_path):
    _, settings = docker_host(tmp_path)
    off = Settings(paths=settings.paths, names=NameSettings(enabled=False))
    assert names_of(off) == [("sources", "absent", "switched off (names.enabled)")]
