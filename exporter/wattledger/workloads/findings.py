"""What `wattledger check` says about the sources of workload usage."""

from __future__ import annotations

from ..hostfs import HostFS, read_text, reason_of
from ..model import Finding
from .cputime import ProcessTimes
from .hierarchy import Hierarchy

_SENSOR = "workloads"


def diagnose(hostfs: HostFS, hierarchy: Hierarchy | None, times: ProcessTimes) -> list[Finding]:
    """Which hierarchy is used, whether all of it is seen, and how single processes are read."""
    findings = [_cgroups(hostfs, hierarchy), _process_clock(hostfs, times), _proc(hostfs)]
    if hierarchy is not None:
        findings.insert(1, _namespace(hostfs, hierarchy))
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


def _namespace(hostfs: HostFS, hierarchy: Hierarchy) -> Finding:
    subject = "cgroup namespace"
    if not hierarchy.complete:
        return Finding(
            sensor=_SENSOR,
            subject=subject,
            status="denied",
            why=f"{hierarchy.root} is not the root of the hierarchy: "
            "only the agent's own part of the host is seen",
            fix="start the container with --cgroupns=host and -v /sys/fs/cgroup:/sys/fs/cgroup:ro",
        )
    try:
        outside = any(line.split(":", 2)[-1].startswith("/..") for line in _membership(hostfs))
    except OSError:
        outside = False
    if outside:
        return Finding(
            sensor=_SENSOR,
            subject=subject,
            status="ignored",
            why="the agent is in a private cgroup namespace: workloads are complete, "
            "but single processes cannot be matched to them",
            fix="start the container with --cgroupns=host",
        )
    return Finding(sensor=_SENSOR, subject=subject, status="usable", why="the whole hierarchy is seen")


def _membership(hostfs: HostFS) -> list[str]:
    return read_text(f"{hostfs.procfs}/1/cgroup").splitlines()


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
        fix="start the container with --pid=host",
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
