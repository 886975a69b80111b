"""The cgroups of one hierarchy as the agent knows them.

The kernel keeps the link count of a cgroup's directory at 2 plus the number of its child
directories (kernfs_refresh_inode in fs/kernfs/inode.c), so one stat tells whether there is
anything new to list. A file system that does not count (btrfs and overlay say 1) is listed.
"""

from __future__ import annotations

import errno
import os

from ..hostfs import read_bytes
from ..model import Workload
from .hierarchy import Hierarchy
from .identity import identify, plain_cgroup
from .roster import Roster

_GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.ENOTDIR, errno.ESRCH})
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_NO_FD = -1
_UNKNOWN = -1


class Node:
    """One cgroup.

    `read` says that its own usage is read; a cgroup that folds into the workload above it is not.
    `up` is the nearest cgroup above that is read (the root in the end).
    `raw` is the usage file as last read and `value_ns` what of it is accounted for;
    `debt_ns` is what its children were credited with before it was seen here.
    `workload` is None while its use is nobody's (structural), `fertile` once it had children.
    """

    __slots__ = (
        "alive", "children", "claim", "debt_ns", "depth", "fd", "fertile", "inode", "links", "parent",
        "path", "raw", "read", "structural", "up", "value_ns", "workload",
    )  # fmt: skip

    def __init__(self, path: str, parent: Node | None) -> None:
        self.path = path
        self.parent = parent
        self.depth: int = parent.depth + 1 if parent else 0
        self.children: dict[str, Node] = {}
        self.up: Node | None = None
        self.claim: tuple[str, str] | None = None
        self.workload: Workload | None = None
        self.structural = True
        self.fertile = False
        self.alive = True
        self.read = False
        self.fd = _NO_FD
        self.raw = b""
        self.value_ns = 0
        self.debt_ns = 0
        self.inode = 0
        self.links = 2


class CgroupTree:
    """Tracks cgroups and holds a descriptor of each usage file, up to `fd_budget` of them."""

    def __init__(self, hierarchy: Hierarchy, roster: Roster, *, fd_budget: int) -> None:
        self.hierarchy = hierarchy
        self.root = Node("", None)
        self.nodes: dict[Node, None] = {self.root: None}
        self.levels: list[dict[Node, None]] = []
        self.fresh: list[Node] = []
        self._unread: list[Node] = []
        self._roster = roster
        self._usage_file = hierarchy.usage_file
        self._fd_budget = fd_budget
        self._fds = 0
        self._root_fd = os.open(hierarchy.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Give back every descriptor; the tree cannot be used after it."""
        for node in self.nodes:
            self._close(node)
        if self._root_fd >= 0:
            os.close(self._root_fd)
            self._root_fd = _NO_FD

    def check(self, node: Node, *, relist: bool = False) -> None:
        """Compare one cgroup with its directory.

        It is listed if its link count moved (or `relist`), and dropped if gone or made anew.
        """
        pending = [node]
        while pending:
            node = pending.pop()
            if not node.alive:
                continue
            try:
                status = os.stat(node.path or ".", dir_fd=self._root_fd)
            except OSError as error:
                if error.errno in _GONE and node.parent is not None:
                    self.remove(node)
                continue
            if node.parent is not None and node.inode not in {0, status.st_ino}:
                self.remove(node)
                node, relist = node.parent, True
            else:
                node.inode = status.st_ino
            if relist or status.st_nlink < 2 or status.st_nlink != node.links:
                listed = self._list(node)
                pending.extend(listed or ())
                # As it was before the listing: what came in between is found next time.
                seen = listed is not None and node.inode == status.st_ino
                node.links = status.st_nlink if seen else _UNKNOWN
            relist = False

    def sweep(self) -> None:
        """Check every cgroup."""
        stat, root_fd = os.stat, self._root_fd
        for node in list(self.nodes):
            try:
                status = stat(node.path or ".", dir_fd=root_fd)
            except OSError:
                self.check(node)
                continue
            if status.st_nlink != node.links or status.st_ino != node.inode or node.links < 2:
                self.check(node)

    def retry(self) -> None:
        """Find those anew that could not be opened for want of descriptors or memory."""
        unread, self._unread = self._unread, []
        for node in unread:
            if node.alive and node.parent is not None:
                self.remove(node)
                self.check(node.parent)

    def _list(self, node: Node) -> list[Node] | None:
        """Bring the children up to date with the directory; returns the new ones, None if it failed."""
        path = os.path.join(self.hierarchy.root, node.path) if node.path else self.hierarchy.root
        try:
            with os.scandir(path) as entries:
                names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            return None
        for name in node.children.keys() - set(names):
            self.remove(node.children[name])
        return [self._add(node, name) for name in names if name not in node.children]

    def _add(self, parent: Node, name: str) -> Node:
        node = Node(f"{parent.path}/{name}" if parent.path else name, parent)
        node.up = parent if parent.read or parent is self.root else parent.up
        parent.children[name] = node
        parent.fertile = True
        self.nodes[node] = None
        found = identify(f"/{node.path}")
        plain = found is not None and found.kind == "cgroup"
        node.structural = found is None
        if found is not None and not plain:
            node.claim = found.key
            if parent.claim == found.key:
                return node
        try:
            self._open(node)
        except OSError as error:
            if error.errno in _PASSING:
                self._unread.append(node)
            return node
        node.read = True
        while len(self.levels) <= node.depth:
            self.levels.append({})
        self.levels[node.depth][node] = None
        self.fresh.append(node)
        if found is not None and (not plain or self.populated(node)):
            node.workload = self._roster.retain(found)
        return node

    def _open(self, node: Node) -> None:
        """Open a usage file and hold on to it if the budget allows; raises OSError."""
        fd = os.open(f"{node.path}/{self._usage_file}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._root_fd)
        if self._fds < self._fd_budget:
            node.fd = fd
            self._fds += 1
        else:
            os.close(fd)

    def _close(self, node: Node) -> None:
        if node.fd != _NO_FD:
            os.close(node.fd)
            node.fd = _NO_FD
            self._fds -= 1

    def remove(self, node: Node) -> None:
        """Forget a cgroup and everything below it; their debts pass to the one above."""
        if node.parent is not None and node.path:
            node.parent.children.pop(node.path.rpartition("/")[2], None)
            node.parent.links = _UNKNOWN  # a birth in its place would leave the count as it was
        doomed = [node]
        for dead in doomed:
            doomed.extend(dead.children.values())
        for dead in reversed(doomed):
            dead.alive = False
            dead.children = {}
            self.nodes.pop(dead, None)
            self._close(dead)
            if dead.read:
                self.levels[dead.depth].pop(dead, None)
                if dead.up is not None:
                    dead.up.debt_ns += dead.debt_ns
            if dead.workload is not None:
                self._roster.release(dead.workload)

    def usage(self, node: Node) -> bytes | None:
        """Read one usage file the long way, b"" on a passing failure, None if the cgroup is gone."""
        try:
            if node.fd == _NO_FD and self._fds >= self._fd_budget:
                return read_bytes(f"{self.hierarchy.root}/{node.path}/{self._usage_file}", 64)
            if node.fd == _NO_FD:
                self._open(node)
            return os.pread(node.fd, 64, 0)
        except OSError as error:
            return None if error.errno in _GONE else b""

    def populated(self, node: Node) -> bool:
        """True if processes live in this very cgroup."""
        try:
            return bool(read_bytes(f"{self.hierarchy.root}/{node.path}/cgroup.procs", 64))
        except OSError as error:
            # A threaded cgroup refuses to list processes; it exists to hold threads.
            return error.errno == errno.EOPNOTSUPP

    def promote(self, node: Node) -> Workload | None:
        """Make a workload of a cgroup that used CPU time by itself, None if that was its former children."""
        if (node.structural or node.fertile) and not self.populated(node):
            return None
        node.workload = self._roster.retain(plain_cgroup(f"/{node.path}"))
        return node.workload

    def owner(self, path: str) -> Node:
        """The cgroup of this path, or the nearest known one above it."""
        node = self.root
        for name in path.split("/"):
            if name:
                child = node.children.get(name)
                if child is None:
                    break
                node = child
        return node if node.read or node is self.root else node.up or self.root
