"""Podman's containers are called what podman calls them, now."""

from __future__ import annotations

import json
import shutil
import sqlite3

import pytest

from tests.host_copies import copy_host
from tests.name_hosts import host_resolvers, ident, outcome, subject, write_podman_database
from wattledger.workloads.names.base import NotYet

INDEX = "var/lib/containers/storage/overlay-containers/containers.json"
DATABASE = "var/lib/containers/storage/db.sql"
WEB = subject(f"/machine.slice/libpod-{ident('p-web')}.scope")


@pytest.fixture
def host(tmp_path):
    """A host with root's store and two users'."""
    return copy_host("names-podman", tmp_path)


def rewrite(path, content):
    """As podman writes: a new file takes the place of the old."""
    new = path.with_name(f".tmp-{path.name}")
    new.write_text(content)
    new.rename(path)


def test_a_rename_is_seen(host):
    """The index is read again when its file changed."""
    podman = host_resolvers(host)["podman"]
    assert podman.resolve(WEB).name == "web"
    rewrite(host / INDEX, (host / INDEX).read_text().replace('["web"]', '["www"]'))
    assert podman.resolve(WEB).name == "www"


def test_a_file_that_did_not_change_is_not_read_again(host):
    """Inode, size and times the same: the parsed table is the same object."""
    podman = host_resolvers(host)["podman"]
    assert podman.resolve(WEB).name == "web"
    store = next(iter(podman._stores.values()))
    tables = {id(index.get()) for index in store._indexes}
    podman.resolve(WEB)
    assert {id(index.get()) for index in store._indexes} == tables


def test_a_container_that_is_not_listed_yet(host):
    """Expected while there is a store, nobody's where there is none."""
    podman = host_resolvers(host)["podman"]
    new = subject(f"/machine.slice/libpod-{ident('new')}.scope")
    with pytest.raises(NotYet):
        podman.resolve(new)
    entries = json.loads((host / INDEX).read_text())
    rewrite(host / INDEX, json.dumps([*entries, {"id": ident("new"), "names": ["new"]}]))
    assert podman.resolve(new).name == "new"
    shutil.rmtree(host / "var/lib/containers")
    assert podman.resolve(new) is None


def test_a_broken_index_recovers(host):
    """An error lasts as long as the broken file."""
    podman = host_resolvers(host)["podman"]
    good = (host / INDEX).read_text()
    rewrite(host / INDEX, good[:100])
    assert [outcome(podman, WEB) for _ in range(3)] == ["error parse"] * 3
    rewrite(host / INDEX, good)
    assert podman.resolve(WEB).name == "web"


def test_containers_without_an_image_are_in_the_database_only(host):
    """`podman run --rootfs` leaves no entry in containers.json."""
    podman = host_resolvers(host)["podman"]
    chroot = subject(f"/machine.slice/libpod-{ident('p-rootfs')}.scope")
    assert outcome(podman, chroot) == "not yet"
    write_podman_database(host / DATABASE)
    assert podman.resolve(chroot).name == "chroot"


def test_a_rename_in_the_database_is_seen(host):
    """The database is copied again when it changed."""
    write_podman_database(host / DATABASE)
    podman = host_resolvers(host)["podman"]
    chroot = subject(f"/machine.slice/libpod-{ident('p-rootfs')}.scope")
    assert podman.resolve(chroot).name == "chroot"
    connection = sqlite3.connect(host / DATABASE)
    connection.execute("UPDATE ContainerConfig SET Name = 'jail' WHERE Name = 'chroot'")
    connection.commit()
    connection.close()
    assert podman.resolve(chroot).name == "jail"


def test_the_database_is_left_alone(host):
    """Reading it makes no journal and no lock beside it and takes none in it."""
    write_podman_database(host / DATABASE)
    writer = sqlite3.connect(host / DATABASE, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    podman = host_resolvers(host)["podman"]
    assert podman.resolve(subject(f"/machine.slice/libpod-{ident('p-rootfs')}.scope")).name == "chroot"
    writer.execute("UPDATE ContainerConfig SET Name = 'x' WHERE Name = 'chroot'")
    writer.execute("COMMIT")
    writer.close()
    assert not list((host / DATABASE).parent.glob("db.sql?*"))


def test_only_allowed_labels_become_facts(host):
    """The compose project, not what else is on the container."""
    write_podman_database(host / DATABASE)
    names = host_resolvers(host)["podman"].resolve(subject(f"/machine.slice/libpod-{ident('p-pod')}.scope"))
    assert dict(names.facts) == {
        "runtime": "podman",
        "image": "localhost/shop/api:7",
        "compose_project": "shop",
    }


def test_users_do_not_see_each_others_stores(host):
    """A container of alice's is not looked for in bob's store, though it lists the same id."""
    path = host / "scratch/bob/containers/vfs-containers/containers.json"
    rewrite(path, json.dumps([{"id": ident("p-alice"), "names": ["not yours"]}]))
    podman = host_resolvers(host)["podman"]
    mine = subject(f"/user.slice/user-1000.slice/session-1.scope/libpod-{ident('p-alice')}")
    assert podman.resolve(mine).name == "notebook"


def test_roots_containers_keep_their_names_in_a_users_session(host):
    """A user's store cannot rename what root's store knows."""
    path = host / "home/alice/.local/share/containers/storage/overlay-containers/containers.json"
    rewrite(path, json.dumps([{"id": ident("p-web"), "names": ["renamed"]}]))
    session = subject(f"/user.slice/user-1000.slice/session-1.scope/libpod-{ident('p-web')}")
    assert host_resolvers(host)["podman"].resolve(session).name == "web"


def test_a_graph_root_set_by_the_administrator(host):
    """`graphroot` moves root's store, `rootless_storage_path` that of users who configured none."""
    (host / "etc/containers/storage.conf").write_text(
        '[storage]\ndriver = "vfs"\ngraphroot = "/srv/containers"\n'
        'rootless_storage_path = "/srv/users/$USER/$UID"\n'
    )
    for source, target in (
        ("var/lib/containers/storage/overlay-containers", "srv/containers/vfs-containers"),
        ("home/alice/.local/share/containers/storage", "srv/users/alice/1000"),
    ):
        (host / target).parent.mkdir(parents=True)
        (host / source).rename(host / target)
    podman = host_resolvers(host)["podman"]
    assert podman.resolve(WEB).name == "web"
    mine = subject(f"/user.slice/user-1000.slice/session-1.scope/libpod-{ident('p-alice')}")
    assert podman.resolve(mine).name == "notebook"


def test_containers_of_cri_o_are_not_podmans(tmp_path):
    """cri-o keeps its containers in the same index, under names that are none."""
    host = copy_host("names-crio", tmp_path)
    assert host_resolvers(host)["podman"].resolve(subject(f"/kubepods/x/{ident('o-router')}")) is None


def test_podman_in_a_container_with_a_volume_for_its_store(tmp_path):
    """As CI runners have it: found through the outer container's volumes."""
    host = copy_host("names-kind", tmp_path)
    volume = next((host / "var/lib/docker/volumes").glob("*/_data/log/pods")).parent.parent
    index = volume / "lib/containers/storage/overlay-containers/containers.json"
    index.parent.mkdir(parents=True)
    index.write_text(json.dumps([{"id": ident("job"), "names": ["build"]}]))
    podman = host_resolvers(host)["podman"]
    outer = f"/system.slice/docker-{ident('kind-node')}.scope"
    assert podman.resolve(subject(f"{outer}/libpod-{ident('job')}")).name == "build"
    with pytest.raises(NotYet):
        podman.resolve(subject(f"{outer}/libpod-{ident('other')}"))


def test_podman_in_a_container_without_such_a_volume_is_not_waited_for(host):
    """Its store cannot be seen; but with the host's socket in it, what it starts is in the host's store."""
    podman = host_resolvers(host)["podman"]
    outer = f"/system.slice/docker-{ident('stranger')}.scope"
    assert podman.resolve(subject(f"{outer}/libpod-{ident('other')}")) is None
    assert podman.resolve(subject(f"{outer}/libpod-{ident('p-web')}")).name == "web"
