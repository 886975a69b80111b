"""What there is to add to the names of system containers: LXC, LXD, Incus and systemd-nspawn."""

from __future__ import annotations

import re
import shlex

from .answers import answer, fact
from .base import Names, ResolverError, Subject
from .rooted import Rooted

_DAEMONS = ("var/lib/incus", "var/lib/lxd", "var/snap/lxd/common/lxd")
_LXC = "var/lib/lxc"
_NSPAWN = "var/lib/machines"
_OS_RELEASE = ("etc/os-release", "usr/lib/os-release")
_LIMIT = 1 << 16
_HOST_NAME = re.compile(rb"^[ \t]*lxc\.(?:uts\.name|utsname)[ \t]*=[ \t]*(\S+)[ \t]*$", re.MULTILINE)


class MachineNames:
    """Resolver `machines`; the cgroup tells the container's name already.

    Incus and LXD put the project before the name with an underscore, which neither may contain, unless it is
    the default project; a name is taken apart only if one of the two daemons has such a container.
    A container that has just a number (Proxmox) gets the host name of its configuration.
    The fact `os` is what the container's own os-release says.
    """

    name = "machines"

    def __init__(self, rooted: Rooted) -> None:
        self._rooted = rooted

    def resolve(self, subject: Subject) -> Names | None:
        """Project and instance, and the operating system where its files are at hand; else None."""
        runtime = fact(subject.workload, "runtime")
        full = subject.workload.id
        if subject.workload.kind != "container" or "/" in full:
            return None  # within another container the host's files say nothing about it
        if runtime == "systemd-nspawn":
            return answer(facts={"os": self._os(f"{_NSPAWN}/{full}")})
        if runtime != "lxc":
            return None
        for daemon in _DAEMONS:
            folder = f"{daemon}/containers/{full}"
            if self._there(folder):
                project, _, instance = full.rpartition("_")
                return answer(
                    name=instance, facts={"project": project or "default", "os": self._os(f"{folder}/rootfs")}
                )
        name = self._host_name(full) if full.isdecimal() else ""
        return answer(name=name, facts={"os": self._os(f"{_LXC}/{full}/rootfs")})

    def _there(self, path: str) -> bool:
        """Whether a container's folder or the link to it is there; where it leads does not matter."""
        try:
            self._rooted.readlink(path)
        except FileNotFoundError:
            return False
        except ResolverError as error:
            return error.reason == "einval"  # there, and no link
        return True

    def _host_name(self, ident: str) -> str:
        match = _HOST_NAME.search(_read(self._rooted, f"{_LXC}/{ident}/config"))
        return match[1].decode("utf-8", "surrogateescape") if match else ""

    def _os(self, root: str) -> str:
        """PRETTY_NAME of os-release(5); links in the container lead nowhere out of it."""
        container = self._rooted.below(root)
        for path in _OS_RELEASE:
            for line in _read(container, path).decode("utf-8", "replace").splitlines():
                key, _, value = line.partition("=")
                if key == "PRETTY_NAME":
                    return _unquote(value)
        return ""


def _read(rooted: Rooted, path: str) -> bytes:
    """A file that is nice to have, b"" when it is not to be had."""
    try:
        return rooted.read(path, _LIMIT)
    except (FileNotFoundError, ResolverError):
        return b""


def _unquote(value: str) -> str:
    try:
        return " ".join(shlex.split(value))
    except ValueError:
        return ""
