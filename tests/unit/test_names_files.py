"""Containers, pods and users get their names from files of the host."""

from __future__ import annotations

import pytest

from tests.host_copies import copy_host
from tests.name_hosts import CGROUPS, describe, fixture, write_podman_database


@pytest.mark.parametrize("name", CGROUPS)
def test_every_resolver_on_every_fixture_host(name, tmp_path, golden):
    """What each source knows of each workload of a host, and nothing it does not know."""
    root = fixture(name)
    if name == "names-podman":
        root = copy_host(name, tmp_path)
        write_podman_database(root / "var/lib/containers/storage/db.sql")
    golden(f"{name}.txt", describe(root, CGROUPS[name]))
