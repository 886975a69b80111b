"""What `wattledger check` says about the sources of workload usage."""

from __future__ import annotations

from ..hostfs import HostFS, read_text, reason_of
from ..model import Finding
from .cputime import ProcessTimes
from .hierarchy import Hierarchy
from .namespace import CgroupNamespace
from .viewpoint import Viewpoint

_SENSOR = "workloads"


def diagnose(hostfs: HostFS, namespace: CgroupNamespace | None, times: ProcessTimes) -> list[Finding]:
    """Which hierarchy is used, whether all of it is seen, and how single processes are read."""
    hierarchy = namespace.hierarchy if namespace is not None else None
    findings = [_cgroups(hostfs, hierarchy), _process_clock(hostfs, times), _proc(hostfs)]
    if namespace is not None:
        findings.insert(1, _namespace(hostfs, namespace.hierarchy, namespace.view))
    return findings


def _cgroups(hostfs: HostFS, hierarchy: Hierarchy | None) -> Finding:
    if hierarchy is None:
        return Finding(
            sensor=_SENSOR,
            subject="cgroups",
            status="absent",
            why=f"neither cgroup v2 nor v1 cpuacct is mounted under {hostfs.cgroupfs}: "
            "all CPU time goes to the kernel and the cgroup /",
            fix=f"mount -t cgroup2 none {hostfs.cgroupfs}",
        )
    which = "v1 cpuacct" if hierarchy.version == 1 else "v2"
    if hierarchy.version == 2 and hierarchy.root != hostfs.cgroupfs:
        which = "v2 beside v1 (hybrid)"
    return Finding(
        sensor=_SENSOR, subject="cgroups", status="usable", why=f"cgroup {which} at {hierarchy.root}"
    )  # fmt: skip


def _namespace(hostfs: HostFS, hierarchy: Hierarchy, view: Viewpoint) -> Finding:
    subject = "cgroup namespace"
    if not hierarchy.complete:
        return Finding(
            sensor=_SENSOR,
            subject=subject,
            status="denied",
            why=f"{hierarchy.root} is not the root of the hierarchy: "
            "only the agent's own part of the host is seen",
            fix="start the container with -v /sys:/host/sys:ro and the agent with --path.sysfs=/host/sys "
            "(Kubernetes: hostPath /sys), or start the container with --cgroupns=host",
        )
    if view.names is None or (not view.depth and _tells_above(hostfs, hierarchy)):
        return Finding(
            sensor=_SENSOR,
            subject=subject,
            status="ignored",
            why="the agent is in a private cgroup namespace, and it is not known where that begins: "
            "workloads are complete, but processes beside the agent's own cgroup cannot be matched to them",
            fix="mount nothing of the host over /sys/fs/cgroup of the container, "
            "or start it with --cgroupns=host",
        )
    why = "the whole hierarchy is seen"
    if view.depth:
        why += f", from a private cgroup namespace at /{'/'.join(view.names)}"
    return Finding(sensor=_SENSOR, subject=subject, status="usable", why=why)


def _tells_above(hostfs: HostFS, hierarchy: Hierarchy) -> bool:
    """True if the first process's cgroup is not within what the agent's own namespace contains."""
    try:
        membership = read_text(f"{hostfs.procfs}/1/cgroup")
    except OSError:
        return False
    return bool(membership) and hierarchy.path_of(membership) is None


def _process_clock(hostfs: HostFS, times: ProcessTimes) -> Finding:
    if times.by_clock:
        return Finding(
            sensor=_SENSOR,
            subject="process clock",
            status="usable",
            why="processes are read by their CPU clock, in nanoseconds",
        )
    return Finding(
        sensor=_SENSOR,
        subject="process clock",
        status="absent",
        why=f"{hostfs.procfs} shows another pid namespace: processes are read from stat, "
        "in steps of 10 ms and at twenty times the cost",
        fix="start the container with --pid=host (Kubernetes: hostPID: true)",
    )


def _proc(hostfs: HostFS) -> Finding:
    try:
        read_text(f"{hostfs.procfs}/1/stat", 64)
    except OSError as error:
        return Finding(
            sensor=_SENSOR,
            subject="processes of others",
            status="denied",
            why=f"{hostfs.procfs}/1/stat cannot be read ({reason_of(error)}), as with hidepid: "
            "kernel threads and other users' processes are not told apart; workloads are complete",
            fix="run the agent as root, or in the group that the gid= option of /proc names",
        )
    return Finding(
        sensor=_SENSOR,
        subject="processes of others",
        status="usable",
        why="processes of other users can be read",
    )
