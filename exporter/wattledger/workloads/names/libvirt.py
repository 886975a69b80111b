"""Names of virtual machines: from libvirt's files and from qemu's command line."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ...hostfs import HostFS
from .answers import answer, fact
from .base import Names, NotYet, ResolverError, Subject
from .libvirt_xml import Domain, read_domain
from .members import Members
from .parsed import Parsed
from .qemu_command import Guest, read_guest
from .rooted import MIB, Rooted

RUNNING = "run/libvirt/qemu"
DEFINED = "etc/libvirt/qemu"
DOMAINS = 2000
_SUFFIX = ".xml"
_RUNTIMES = frozenset({"libvirt", "qemu"})
_MACHINE = re.compile(r"qemu-(?P<number>[0-9]+)-(?P<name>.+)")


class LibvirtNames:
    """Resolver `libvirt` for the domains of this host, and for any other qemu that says its name.

    libvirt drops characters from a domain's name and cuts it before it names the cgroup, so a domain is
    found by the number in its cgroup and by the name and uuid on qemu's command line.
    """

    name = "libvirt"

    def __init__(self, hostfs: HostFS, rooted: Rooted) -> None:
        self._rooted = rooted
        self._members = Members(hostfs)
        self._running: dict[str, Parsed[Domain]] = {}

    def resolve(self, subject: Subject) -> Names | None:
        """The domain's own name, with uuid, title and OpenStack's names as facts; None for other workloads.

        Raises NotYet while there is neither a file nor a process of it, ResolverError if there are files
        that cannot be read and no process tells the name.
        """
        workload = subject.workload
        if workload.kind != "vm" or fact(workload, "runtime") not in _RUNTIMES:
            return None
        guest = self._guest(subject.cgroup)
        domain: Domain | None = None
        # One in a container is known to that container's libvirt; another qemu to none.
        if "/" not in workload.id and fact(workload, "runtime") == "libvirt":
            try:
                domain = self._domain(workload.id, guest)
            except ResolverError:
                if guest is None:
                    raise
        if domain is not None:
            return answer(
                name=domain.name,
                facts={
                    "uuid": domain.uuid,
                    "title": domain.title,
                    "display_name": domain.display_name,
                    "project": domain.project,
                },
            )
        if guest is not None:
            return answer(name=guest.name, facts={"uuid": guest.uuid})
        if subject.cgroup:
            raise NotYet
        return None

    def _guest(self, cgroup: str) -> Guest | None:
        for process in self._members.of(cgroup):
            guest = read_guest(self._members.command(process.pid))
            if guest is not None:
                return guest
        return None

    def _domain(self, machine: str, guest: Guest | None) -> Domain | None:
        """The domain's file: of the running ones, else the definition; raises ResolverError."""
        match = _MACHINE.fullmatch(machine)
        number = match["number"] if match else ""
        likely = guest.name if guest and guest.name else match["name"] if match else machine
        domain = self._load(RUNNING, likely)
        if domain is None or not _is(domain, number, guest):
            domain = self._search(number, guest)
        if domain is None and (guest or not number):  # else the name may be what is left of another one
            domain = self._load(DEFINED, likely)
            return domain if domain is not None and _is(domain, "", guest) else None
        return domain

    def _search(self, number: str, guest: Guest | None) -> Domain | None:
        """Look through the running domains for a number; a broken file does not hide the others."""
        for name in self._running_names() if number else ():
            try:
                domain = self._load(RUNNING, name)
            except ResolverError:
                continue
            if domain is not None and _is(domain, number, guest):
                return domain
        return None

    def _running_names(self) -> Iterable[str]:
        try:
            entries = self._rooted.listdir(RUNNING, DOMAINS)
        except FileNotFoundError:
            entries = []
        names = {entry.removesuffix(_SUFFIX) for entry in entries if entry.endswith(_SUFFIX)}
        self._running = {name: file for name, file in self._running.items() if name in names}
        return sorted(names)

    def _load(self, folder: str, name: str) -> Domain | None:
        if "/" in name:
            return None
        if folder != RUNNING:
            return Parsed(self._rooted, f"{folder}/{name}{_SUFFIX}", read_domain, MIB).get()
        file = self._running.get(name)
        if file is None:
            file = Parsed(self._rooted, f"{folder}/{name}{_SUFFIX}", read_domain, MIB)
            if len(self._running) < DOMAINS:
                self._running[name] = file
        return file.get()


def _is(domain: Domain, number: str, guest: Guest | None) -> bool:
    """Whether a file is about the domain of this number that runs as this guest, each as far as known."""
    if number and domain.number != number:
        return False
    if guest and guest.uuid and domain.uuid:
        return guest.uuid.lower() == domain.uuid.lower()
    return True
