"""A broken file costs only the names that are in it."""

from __future__ import annotations

import os
import sqlite3

import pytest

from tests.host_copies import copy_host
from tests.name_hosts import PODS, host_resolvers, ident, outcome, subject, write_podman_database
from wattledger.workloads.names.base import ResolverError
from wattledger.workloads.names.podman_store import read_database

DOCKER = "var/lib/docker/containers/{}/config.v2.json"
CONTAINERD = "run/containerd/io.containerd.runtime.v2.task/k8s.io/{}/config.json"
PODMAN = "var/lib/containers/storage/overlay-containers/containers.json"
DATABASE = "var/lib/containers/storage/db.sql"


def make_fifo(path):
    os.mkfifo(path)


def make_huge(path):
    with open(path, "wb") as file:
        file.truncate(50_000_000)


def make_circle(path):
    path.symlink_to(path.name)


def make_folder(path):
    path.mkdir()


def write(content):
    return lambda path: path.write_bytes(content)


UNREADABLE = {
    "fifo": (make_fifo, "not_regular"),
    "folder": (make_folder, "not_regular"),
    "50 MB": (make_huge, "too_large"),
    "circle": (make_circle, "eloop"),
}
UNPARSABLE = {
    "junk": write(bytes(range(256)) * 16),
    "cut short": write(b'{"Name": "/we'),
    "empty": write(b""),
    "null": write(b"null"),
    "another shape": write(b'[{"Name": 1}]'),
    "a number as name": write(
        b'{"Name": 1, "names": 1, "annotations": {"io.kubernetes.cri.container-type": 1}}'
    ),
    "not UTF-8": write(b'{"Name": "\xff\xfe", "annotations": {"a": "\xff"}, "x": "\xff"}'),
    "half a character": write(b'{"Name": "\\ud800", "annotations": {"a": "\\ud800"}}'),
    "a deep hole": write(b'{"x": ' + b"[" * 200_000),
    "a list as object": write(b'{"Config": [], "annotations": []}'),
}
BROKEN = {
    **UNREADABLE,
    **{name: (make, "parse") for name, make in UNPARSABLE.items()},
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_of_docker_costs_one_name(kind, tmp_path):
    """Each container has its own file, so the others keep their names."""
    root = copy_host("names-docker", tmp_path)
    make, reason = BROKEN[kind]
    path = root / DOCKER.format(ident("web"))
    path.unlink()
    make(path)
    docker = host_resolvers(root)["docker"]
    assert outcome(docker, subject(f"/docker/{ident('web')}")) == f"error {reason}"
    assert "name=shop-api-1" in outcome(docker, subject(f"/docker/{ident('shop-api')}"))


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_spec_costs_one_name(kind, tmp_path):
    """The same for the bundles of containerd."""
    root = copy_host("names-containerd", tmp_path)
    make, reason = BROKEN[kind]
    path = root / CONTAINERD.format(ident("c-web"))
    path.unlink()
    make(path)
    oci = host_resolvers(root)["oci"]
    assert outcome(oci, subject(f"{PODS}/cri-containerd-{ident('c-web')}.scope")) == f"error {reason}"
    assert "container_name=pause" in outcome(oci, subject(f"{PODS}/cri-containerd-{ident('c-pause')}.scope"))


@pytest.mark.parametrize("kind", [*UNREADABLE, "junk", "cut short", "empty", "null", "a deep hole"])
def test_a_broken_index_of_podman_costs_what_only_it_knows(kind, tmp_path):
    """Containers in the other index, in the database and in users' stores keep their names."""
    root = copy_host("names-podman", tmp_path)
    make, reason = BROKEN[kind]
    (root / PODMAN).unlink()
    make(root / PODMAN)
    write_podman_database(root / DATABASE)
    resolvers = host_resolvers(root)
    said = {
        word: outcome(resolvers["podman"], subject(f"{parent}/libpod-{ident(word)}"))
        for word, parent in {
            "p-web": "/machine.slice",
            "p-rm": "/machine.slice",
            "p-pod": "/machine.slice",
            "p-bob": "/user.slice/user-1001.slice/session-7.scope",
        }.items()
    }
    assert said["p-web"] == f"error {reason}"
    assert [word for word, text in said.items() if text.startswith("name=")] == ["p-rm", "p-pod", "p-bob"]


def test_a_broken_database_costs_what_only_it_knows(tmp_path):
    """What containers.json knows is still told, without labels."""
    root = copy_host("names-podman", tmp_path)
    (root / DATABASE).write_bytes(b"SQLite format 3\0" + b"\xff" * 8000)
    podman = host_resolvers(root)["podman"]
    assert outcome(podman, subject(f"/machine.slice/libpod-{ident('p-pod')}")).startswith("name=shop-api [")
    assert outcome(podman, subject(f"/machine.slice/libpod-{ident('p-rootfs')}")) == "error parse"


@pytest.mark.parametrize("kind", UNREADABLE)
def test_an_unreadable_passwd_costs_the_names_of_users(kind, tmp_path):
    """Without it a uid is just a number to whoever asks, and root's containers are found as ever."""
    root = copy_host("names-podman", tmp_path)
    make, reason = UNREADABLE[kind]
    (root / "etc/passwd").unlink()
    make(root / "etc/passwd")
    resolvers = host_resolvers(root)
    alice = subject(f"/user.slice/user-1000.slice/session-1.scope/libpod-{ident('p-alice')}")
    assert outcome(resolvers["users"], alice) == f"error {reason}"
    assert "name=web" in outcome(resolvers["podman"], subject(f"/machine.slice/libpod-{ident('p-web')}"))


def test_lines_of_passwd_that_are_no_accounts_are_skipped(tmp_path):
    """Junk, comments, NIS marks and huge numbers do not hide the account below them."""
    root = copy_host("names-users", tmp_path)
    accounts = (root / "etc/passwd").read_bytes()
    (root / "etc/passwd").write_bytes(
        b"\xff\x00\n+::::::\n# x\na:b\nx:x:-1:0:::\ny:x:" + b"9" * 5000 + b":0:::\n" + accounts
    )
    users = host_resolvers(root)["users"]
    assert outcome(users, subject("/user.slice/user-1000.slice/session-1.scope")) == "[user=alice] [uid=1000]"


def test_the_first_of_two_accounts_with_one_uid_counts(tmp_path):
    """As for getpwuid(3)."""
    root = copy_host("names-users", tmp_path)
    with open(root / "etc/passwd", "a", encoding="utf-8") as file:
        file.write("alias:x:1000:1000::/home/alias:/bin/sh\n")
    users = host_resolvers(root)["users"]
    assert outcome(users, subject("/user.slice/user-1000.slice/session-1.scope")) == "[user=alice] [uid=1000]"


def test_a_new_account_is_seen(tmp_path):
    """passwd is read again after a change."""
    root = copy_host("names-users", tmp_path)
    users = host_resolvers(root)["users"]
    carol = subject("/oar/carol_78")
    assert outcome(users, carol) == ""
    with open(root / "etc/passwd", "a", encoding="utf-8") as file:
        file.write("carol:x:1002:1002::/home/carol:/bin/sh\n")
    assert outcome(users, carol) == "[user=carol] [uid=1002]"


def test_a_file_outside_the_root_gives_no_name(tmp_path):
    """A link to a perfectly good file outside the root leads nowhere."""
    root = copy_host("names-docker", tmp_path)
    path = root / DOCKER.format(ident("web"))
    path.rename(tmp_path / "outside.json")
    path.symlink_to(tmp_path / "outside.json")
    docker = host_resolvers(root)["docker"]
    assert outcome(docker, subject(f"/docker/{ident('web')}")) == "not yet"
    path.unlink()
    path.symlink_to("/etc/moved.json")
    (tmp_path / "outside.json").rename(root / "etc/moved.json")
    assert "name=web" in outcome(docker, subject(f"/docker/{ident('web')}"))


@pytest.mark.parametrize(
    "content", [b"{}", b'{"Name": "", "Config": null, "annotations": null, "mounts": null}']
)
def test_missing_keys_give_what_is_left(content, tmp_path):
    """A file without a name is no error, it names nothing."""
    docker = copy_host("names-docker", tmp_path)
    (docker / DOCKER.format(ident("web"))).write_bytes(content)
    web = subject(f"/docker/{ident('web')}")
    assert outcome(host_resolvers(docker)["docker"], web) == "[runtime=docker]"
    containerd = copy_host("names-containerd", tmp_path)
    (containerd / CONTAINERD.format(ident("c-web"))).write_bytes(content)
    assert (
        outcome(host_resolvers(containerd)["oci"], subject(f"{PODS}/cri-containerd-{ident('c-web')}.scope"))
        == ""
    )


def test_values_are_labels(tmp_path):
    """Control characters are replaced and texts end at 256 characters."""
    root = copy_host("names-docker", tmp_path)
    (root / DOCKER.format(ident("web"))).write_text(
        '{"Name": "/we\\nb\\u0000", "Config": {"Image": "' + "i" * 10_000 + '"}}'
    )
    names = host_resolvers(root)["docker"].resolve(subject(f"/docker/{ident('web')}"))
    assert names.name.startswith("we\ufffdb\ufffd~")
    assert len(dict(names.facts)["image"]) == 256


def test_a_broken_configuration_of_docker_is_an_error_of_docker(tmp_path):
    """dockerd would not start with it; the other sources go on."""
    root = copy_host("names-docker", tmp_path)
    (root / "etc/docker").mkdir()
    (root / "etc/docker/daemon.json").write_text("{")
    resolvers = host_resolvers(root)
    alice = subject(
        f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ident('alice-db')}.scope"
    )
    assert outcome(resolvers["docker"], alice) == "error parse"
    assert outcome(resolvers["users"], alice) == "[user=alice] [uid=1000]"


@pytest.mark.parametrize(
    "content", [b"[storage", b"[storage]\ngraphroot = 3\n", b"\xff", b"x = " + b"[" * 100_000]
)
def test_a_broken_storage_configuration_is_an_error_of_podman(content, tmp_path):
    """Every kind of wrong TOML has the reason `parse`."""
    root = copy_host("names-podman", tmp_path)
    (root / "etc/containers/storage.conf").write_bytes(content)
    podman = host_resolvers(root)["podman"]
    assert outcome(podman, subject(f"/machine.slice/libpod-{ident('p-web')}")) == "error parse"


def database_with(script):
    connection = sqlite3.connect(":memory:")
    connection.executescript("CREATE TABLE PodConfig(ID TEXT, Name TEXT, JSON TEXT);" + script)
    data = connection.serialize()
    connection.close()
    return data


def test_a_database_that_computes_for_ever_is_given_up():
    """The database may be a user's: a view in place of the table may not run without end."""
    data = database_with(
        """
        CREATE VIEW ContainerConfig AS
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
        SELECT i AS ID, i AS Name, i AS JSON, NULL AS PodID FROM n WHERE i < 0;
        """
    )
    with pytest.raises(ResolverError) as caught:
        read_database(data)
    assert caught.value.reason == "parse"


def test_a_database_that_grows_when_read_is_given_up():
    """A few bytes on disk may not become gigabytes in memory."""
    data = database_with(
        """
        CREATE TABLE ContainerConfig(
            ID TEXT, Name TEXT, PodID TEXT, JSON TEXT AS (CAST(zeroblob(8000000) AS TEXT))
        );
        INSERT INTO ContainerConfig(ID, Name) VALUES ('a', 'a'), ('b', 'b'), ('c', 'c');
        INSERT INTO ContainerConfig(ID, Name) VALUES ('d', 'd'), ('e', 'e');
        """
    )
    with pytest.raises(ResolverError) as caught:
        read_database(data)
    assert caught.value.reason == "too_large"


def test_a_database_in_write_ahead_mode_is_read():
    """Its main file has everything up to the last checkpoint."""
    data = bytearray(
        database_with(
            "CREATE TABLE ContainerConfig(ID TEXT, Name TEXT, PodID TEXT, JSON TEXT);"
            "INSERT INTO ContainerConfig VALUES ('a', 'web', NULL, '{}'), ('b', NULL, NULL, '{}');"
            "INSERT INTO ContainerConfig VALUES (x'ff', 'c', 'p', 'junk');"
        )
    )
    data[18:20] = b"\x02\x02"
    assert [container.name for container in read_database(bytes(data)).values()] == ["web", "c"]


@pytest.mark.parametrize("data", [b"junk" * 1000, database_with("")])
def test_a_file_that_is_no_database_of_podman_is_an_error(data):
    """Neither junk nor another program's database."""
    with pytest.raises(ResolverError) as caught:
        read_database(data)
    assert caught.value.reason == "parse"


def test_a_database_that_was_just_created_is_empty():
    """The file exists before its first table."""
    assert read_database(b"") == {}
