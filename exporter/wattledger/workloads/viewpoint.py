"""What a cgroup path means when it is told from a cgroup namespace of the reader's own (pure).

The kernel tells paths from the root of the reader's namespace: one `/..` for each level from there up
to the common ancestor, then the way down (cgroup_path_ns in kernel/cgroup/cgroup.c,
kernfs_path_from_node in fs/kernfs/dir.c).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewpoint:
    """Where the reader's cgroup namespace begins in the hierarchy.

    Its root lies `depth` levels below the hierarchy's, and `names` are those levels from the top, None
    while they are not known. `within` is the hierarchy's root as the reader's namespace calls it
    where that shows but a part of what the namespace has (`/docker/0123`), else "".
    """

    depth: int = 0
    names: tuple[str, ...] | None = ()
    within: str = ""

    def resolve(self, path: str) -> str | None:
        """The path from the hierarchy's root of what the kernel calls `path`; None if it cannot be told.

        What has no more than the hierarchy's root in common with the reader is told without `names`.
        """
        if self.within:
            if path == self.within:
                return "/"
            return path.removeprefix(self.within) if path.startswith(f"{self.within}/") else None
        ups = levels_up(path)
        if ups == self.depth:
            return path[3 * ups :] or "/"
        if ups > self.depth or self.names is None:
            return None
        above = "/" + "/".join(self.names[: self.depth - ups])
        rest = path[3 * ups :]
        return above if rest in {"", "/"} else above + rest


HOST = Viewpoint()
"""The host's own namespace."""


def levels_up(path: str) -> int:
    """How many `/..` the path begins with."""
    ups = 0
    while path.startswith("/..", 3 * ups) and path[3 * ups + 3 : 3 * ups + 4] in {"", "/"}:
        ups += 1
    return ups


def viewpoint_of(mount_root: str) -> Viewpoint:
    """The viewpoint from which the hierarchy's own root is called `mount_root`."""
    ups = levels_up(mount_root)
    if mount_root == "/":
        return HOST
    if ups and len(mount_root) == 3 * ups:
        return Viewpoint(depth=ups, names=None)
    return Viewpoint(names=None, within=mount_root)
