"""Where on the host the folders of a container lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .rooted import Rooted

MountsOf = Callable[[str], Mapping[str, str]]
"""A container's id to the host's folders by where they are mounted in it; empty if it is unknown."""


class Place(NamedTuple):
    """A folder inside a root."""

    rooted: Rooted
    path: str


class Mounts:
    """Finds what a container keeps on volumes of its host, as kind and k3d keep the whole of /var.

    Links in a volume are followed inside that volume only.
    """

    def __init__(self, rooted: Rooted, sources: Sequence[MountsOf]) -> None:
        self._rooted = rooted
        self._sources = tuple(sources)

    def inside(self, containers: Sequence[str], path: str) -> list[Place]:
        """The folder `path` of the container `containers[-1]`.

        Empty if it lies on no volume or if that container runs in a container itself: the volumes of that
        are not where the host's runtime says. Raises ResolverError.
        """
        if len(containers) != 1:
            return []
        for source in self._sources:
            mounts = source(containers[0])
            above = [point for point in mounts if f"{path}/".startswith(f"{point.rstrip('/')}/")]
            if above:
                point = max(above, key=len)
                rest = path[len(point.rstrip("/")) :]
                return [Place(self._rooted.below(mounts[point]), rest or "/")]
        return []
