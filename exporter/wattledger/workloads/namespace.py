"""Finds the root of the agent's own cgroup namespace in the host's tree.

A container, and in cgroup v2 every pod, has a cgroup namespace of its own. The mount table tells how
deep it lies, for the kernel writes a cgroup mount's root as it writes paths (cgroup_show_path in
kernel/cgroup/cgroup.c). Which of the cgroups at that depth it is, is told by the mount that the runtime made
inside the namespace: it begins at the namespace's root, and an inode is the same in every mount of a
hierarchy. Where that mount is hidden, the cgroup that lists the agent itself is looked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..hostfs import HostFS, read_bytes, read_whole
from .hierarchy import Hierarchy
from .mounts import cgroup_mounts
from .viewpoint import HOST, Viewpoint, viewpoint_of

_CHECK_NS = 30_000_000_000
_LONGEST_WAIT_NS = 3_600_000_000_000
_LIST_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class _Place:
    """A viewpoint, and the inode of the namespace's root where its names are known."""

    view: Viewpoint
    inode: int = 0


class CgroupNamespace:
    """From where the agent sees one hierarchy.

    A process cannot be put into another namespace, and its namespace stays where it was made when the
    process is moved to another cgroup. So what was found once holds; only v1 can rename a cgroup.
    """

    def __init__(self, hostfs: HostFS, hierarchy: Hierarchy) -> None:
        self.hierarchy = hierarchy
        self._procfs = hostfs.procfs
        self._place = self._find()
        self._due_ns = 0
        self._wait_ns = _CHECK_NS

    @property
    def view(self) -> Viewpoint:
        """What the paths in `/proc/PID/cgroup` are told from."""
        return self._place.view

    def path_of(self, membership: str) -> str | None:
        """The path in the hierarchy out of the text of `/proc/PID/cgroup`, None if it has none there."""
        return self.hierarchy.path_of(membership, self._place.view)

    def check(self, now_ns: int) -> None:
        """See every 30 s whether the namespace's root is where it was, and look for it if not.

        In vain, this is done at ever longer intervals, up to an hour, for it lists cgroups;
        what was known before is kept.
        """
        if not self._place.view.depth or now_ns < self._due_ns:
            return
        if not self._stands():
            found = self._find()
            if found.view.names is None:
                self._due_ns = now_ns + self._wait_ns
                self._wait_ns = min(2 * self._wait_ns, _LONGEST_WAIT_NS)
                return
            self._place = found
        self._wait_ns = _CHECK_NS
        self._due_ns = now_ns + _CHECK_NS

    def _stands(self) -> bool:
        names = self._place.view.names
        if names is None:
            return False
        try:
            return os.stat("/".join((self.hierarchy.root, *names))).st_ino == self._place.inode
        except OSError:
            return False

    def _find(self) -> _Place:
        root = self.hierarchy.root
        mounts = cgroup_mounts(self._procfs)
        mount_root = mounts.get(os.path.realpath(root))
        if mount_root is None:
            return _Place(HOST)
        view = viewpoint_of(mount_root)
        if not view.depth:
            return _Place(view)
        inodes = _own_roots(root, [point for point, seen in mounts.items() if seen == "/"])
        for names, inode in _cgroups_at(root, view.depth):
            if inode in inodes:
                return _Place(replace(view, names=names), inode)
        return self._find_by_pid(view)

    def _find_by_pid(self, view: Viewpoint) -> _Place:
        """Look for the cgroup that lists this process, which is some way below the namespace's root."""
        root = self.hierarchy.root
        try:
            membership = os.fsdecode(read_bytes(f"{self._procfs}/self/cgroup"))
        except OSError:
            return _Place(view)
        way = self.hierarchy.path_of(membership)
        if way is None:
            return _Place(view)
        tail = tuple(part for part in way.split("/") if part)
        own = b"%d" % os.getpid()
        for names, _ in _cgroups_at(root, view.depth + len(tail)):
            if names[view.depth :] != tail or own not in _pids("/".join((root, *names))):
                continue
            above = names[: view.depth]
            try:
                return _Place(replace(view, names=above), os.stat("/".join((root, *above))).st_ino)
            except OSError:
                break
        return _Place(view)


def _own_roots(root: str, mount_points: list[str]) -> set[int]:
    """The inodes of these mounts' roots, as far as they show the hierarchy that is mounted at `root`."""
    inodes = set()
    try:
        device = os.stat(root).st_dev
        for point in mount_points:
            status = os.stat(point)
            if status.st_dev == device:
                inodes.add(status.st_ino)
    except OSError:
        pass  # what is mounted may be hidden from the agent
    return inodes


def _cgroups_at(root: str, depth: int) -> Iterator[tuple[tuple[str, ...], int]]:
    """The names from the top, and the inode, of every cgroup at exactly this depth."""
    pending: list[tuple[str, ...]] = [()]
    while pending:
        above = pending.pop()
        try:
            with os.scandir("/".join((root, *above))) as entries:
                folders = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
                for entry in folders:
                    names = (*above, entry.name)
                    if len(names) < depth:
                        pending.append(names)
                    else:
                        yield names, entry.stat(follow_symlinks=False).st_ino
        except OSError:
            continue  # it ended meanwhile


def _pids(folder: str) -> set[bytes]:
    try:
        return set(read_whole(f"{folder}/cgroup.procs", _LIST_LIMIT).split())
    except OSError:
        return set()
