"""A cgroup's path names its workload."""

from __future__ import annotations

import pytest

from wattledger.workloads.hierarchy import Hierarchy
from wattledger.workloads.identity import identify
from wattledger.workloads.naming import label, unescape

A = "4f7d6e1c" * 8
B = "0b9a8c7d" * 8
UID = "2c9f8a79-5391-454b-88cb-86190881cb96"
UID_ = UID.replace("-", "_")
STATIC = "d76e26fba3bf2bfd215eb29011d55250"

PODS = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_}.slice"
KIND = (
    "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice"
    f"/kubelet-kubepods-burstable-pod{UID_}.slice"
)
USER = "/user.slice/user-1000.slice/user@1000.service"
ALLOC = "0d5f0a5e-9d1b-3f4c-8e21-7b1c2d3e4f50"

WORKLOADS = [
    # docker
    (f"/docker/{A}", "container", A, "", {"runtime": "docker"}),
    (f"/system.slice/docker-{A}.scope", "container", A, "", {"runtime": "docker"}),
    (f"/system.slice/docker-{A}.scope/init.scope", "container", A, "", {"runtime": "docker"}),
    (f"/system.slice/docker-{A}.scope/system.slice/ssh.service", "container", A, "", {"runtime": "docker"}),
    (f"/ecs/3b1f/{A}", "container", A, "", {}),
    (f"{USER}/user.slice/docker-{A}.scope", "container", A, "", {"runtime": "docker", "user": "1000"}),
    (f"/docker/{A}/docker/{B}", "container", B, "", {"runtime": "docker", "outer": f"container/{A}"}),
    (f"/system.slice/nerdctl-{A}.scope", "container", A, "", {"runtime": "containerd"}),
    # Kubernetes, cgroupfs driver
    (f"/kubepods/burstable/pod{UID}", "pod", UID, "", {"pod_uid": UID, "qos": "burstable"}),
    (f"/kubepods/burstable/pod{UID}/{A}", "container", A, "", {"pod_uid": UID, "qos": "burstable"}),
    (f"/kubepods/besteffort/pod{UID}/{A}", "container", A, "", {"pod_uid": UID, "qos": "besteffort"}),
    (f"/kubepods/pod{UID}/{A}", "container", A, "", {"pod_uid": UID, "qos": "guaranteed"}),
    (
        f"/kubepods/besteffort/pod{STATIC}/{A}", "container", A, "",
        {"pod_config_hash": STATIC, "qos": "besteffort"},
    ),
    (f"/kubepods/pod{UID}/crio-{A}", "container", A, "",
     {"runtime": "cri-o", "pod_uid": UID, "qos": "guaranteed"}),
    (f"/kubepods/pod{UID}/crio-conmon-{A}", "pod", UID, "", {"pod_uid": UID, "qos": "guaranteed"}),
    # Kubernetes, systemd driver
    (PODS, "pod", UID, "", {"pod_uid": UID, "qos": "burstable"}),
    (f"{PODS}/crio-{A}.scope", "container", A, "", {"runtime": "cri-o", "pod_uid": UID, "qos": "burstable"}),
    (f"{PODS}/crio-{A}.scope/container", "container", A, "",
     {"runtime": "cri-o", "pod_uid": UID, "qos": "burstable"}),
    (f"{PODS}/crio-conmon-{A}.scope", "pod", UID, "", {"pod_uid": UID, "qos": "burstable"}),
    (f"{PODS}/docker-{A}.scope", "container", A, "",
     {"runtime": "docker", "pod_uid": UID, "qos": "burstable"}),
    (
        f"/kubepods.slice/kubepods-pod{UID_}.slice/cri-containerd-{A}.scope", "container", A, "",
        {"runtime": "containerd", "pod_uid": UID, "qos": "guaranteed"},
    ),
    (
        f"/system.slice/containerd.service/kubepods-besteffort-pod{UID_}.slice:cri-containerd:{A}",
        "container", A, "", {"runtime": "containerd", "pod_uid": UID, "qos": "besteffort"},
    ),
    (f"/system.slice/crio-conmon-{A}.scope", "unit", "crio-conmon.scope", "", {}),
    # a kubelet inside a container (kind), and a container inside its pod
    (
        f"{KIND}/cri-containerd-{A}.scope", "container", A, "",
        {"runtime": "containerd", "pod_uid": UID, "qos": "burstable"},
    ),
    (
        f"/system.slice/docker-{B}.scope{KIND}", "pod", UID, "",
        {"pod_uid": UID, "qos": "burstable", "outer": f"container/{B}"},
    ),
    (
        f"/system.slice/docker-{B}.scope{KIND}/cri-containerd-{A}.scope", "container", A, "",
        {"runtime": "containerd", "pod_uid": UID, "qos": "burstable", "outer": f"container/{B}"},
    ),
    (f"/system.slice/docker-{B}.scope/kubelet.slice", "container", B, "", {"runtime": "docker"}),
    (
        f"{PODS}/cri-containerd-{B}.scope/docker/{A}", "container", A, "",
        {"runtime": "docker", "pod_uid": UID, "qos": "burstable", "outer": f"container/{B}"},
    ),
    (
        f"/kubepods/besteffort/pod{STATIC}/{B}/kubepods/pod{UID}", "pod", UID, "",
        {"pod_uid": UID, "qos": "guaranteed", "outer": f"container/{B}"},
    ),
    # podman
    (f"/machine.slice/libpod-{A}.scope", "container", A, "", {"runtime": "podman"}),
    (f"/machine.slice/libpod-{A}.scope/container", "container", A, "", {"runtime": "podman"}),
    (f"/machine.slice/libpod-conmon-{A}.scope", "container", A, "", {"runtime": "podman"}),
    (f"/machine.slice/machine-libpod_pod_{B}.slice/libpod-{A}.scope", "container", A, "",
     {"runtime": "podman"}),
    (
        f"{USER}/user.slice/libpod-{A}.scope/container", "container", A, "",
        {"runtime": "podman", "user": "1000"},
    ),
    (f"/system.slice/web.service/libpod-payload-{A}", "container", A, "",
     {"runtime": "podman", "unit": "web.service"}),
    (f"{USER}/app.slice/web.service/libpod-payload-{A}", "container", A, "",
     {"runtime": "podman", "unit": "user@1000.service/web.service", "user": "1000"}),
    (f"/libpod_parent/libpod-{A}", "container", A, "", {"runtime": "podman"}),
    (f"/libpod_parent/{B}/libpod-{A}", "container", A, "", {"runtime": "podman"}),
    ("/libpod_parent/conmon", "cgroup", "/libpod_parent/conmon", "", {}),
    # LXC, LXD, Incus, Proxmox
    ("/lxc.payload.web", "container", "web", "web", {"runtime": "lxc"}),
    ("/lxc.payload.web/system.slice/nginx.service", "container", "web", "web", {"runtime": "lxc"}),
    ("/lxc.monitor.web", "container", "web", "web", {"runtime": "lxc"}),
    ("/lxc/web", "container", "web", "web", {"runtime": "lxc"}),
    ("/lxc/101/ns", "container", "101", "101", {"runtime": "lxc"}),
    ("/lxc.monitor/101", "container", "101", "101", {"runtime": "lxc"}),
    ("/lxc.payload.team_web", "container", "team_web", "team_web", {"runtime": "lxc"}),
    ("/lxc.payload.a/lxc.payload.a", "container", "a/a", "a", {"runtime": "lxc", "outer": "container/a"}),
    (f"/lxc.payload.a/docker/{A}", "container", A, "", {"runtime": "docker", "outer": "container/a"}),
    ("/qemu.slice/104.scope", "vm", "104", "", {"runtime": "qemu"}),
    # nspawn, libvirt
    ("/machine.slice/systemd-nspawn@my\\x2dbox.service/payload", "container", "my-box", "my-box",
     {"runtime": "systemd-nspawn"}),
    ("/machine.slice/machine-box.scope/payload", "container", "box", "box", {"runtime": "systemd-nspawn"}),
    ("/machine.slice/machine-qemu\\x2d3\\x2dfedora.scope/libvirt/vcpu0", "vm", "qemu-3-fedora", "fedora",
     {"runtime": "libvirt"}),
    ("/machine.slice/machine-qemu\\x2d12\\x2dweb\\x2d1.scope/libvirt/emulator", "vm", "qemu-12-web-1",
     "web-1", {"runtime": "libvirt"}),
    ("/machine/fedora.libvirt-qemu/emulator", "vm", "fedora", "fedora", {"runtime": "libvirt"}),
    ("/machine/qemu-3-fedora.libvirt-qemu/vcpu1", "vm", "qemu-3-fedora", "fedora", {"runtime": "libvirt"}),
    ("/machine/lxc-4-box.libvirt-lxc", "container", "lxc-4-box", "box", {"runtime": "libvirt"}),
    # batch systems
    ("/system.slice/slurmstepd.scope/job_1320003", "job", "1320003", "", {"runtime": "slurm"}),
    ("/system.slice/slurmstepd.scope/job_1320003/step_0/user/task_0", "job", "1320003", "",
     {"runtime": "slurm"}),
    ("/system.slice/slurmstepd.scope/job_7/step_extern", "job", "7", "", {"runtime": "slurm"}),
    ("/system.slice/n1_slurmstepd.scope/job_7/step_batch/user", "job", "7", "", {"runtime": "slurm"}),
    ("/system.slice/slurmstepd.scope/system", "unit", "slurmstepd.scope", "", {}),
    ("/slurm/uid_1000/job_4824887/step_0/task_0", "job", "4824887", "", {"runtime": "slurm", "user": "1000"}),
    ("/slurm_n1/uid_1000/job_5/step_batch", "job", "5", "", {"runtime": "slurm", "user": "1000"}),
    (f"/slurm/uid_1000/job_5/step_0/libpod-{A}", "container", A, "",
     {"runtime": "podman", "outer": "job/5", "user": "1000"}),
    ("/oar/alice_77", "job", "77", "", {"runtime": "oar", "user": "alice"}),
    ("/oar.slice/oar-u1000.slice/oar-u1000-j45670.slice/oar-u1000-j45670-s13320.scope", "job", "45670", "",
     {"runtime": "oar", "user": "1000"}),
    (f"/nomad.slice/share.slice/{ALLOC}.web.scope", "job", f"{ALLOC}.web", "web", {"runtime": "nomad"}),
    (f"/nomad.slice/reserve.slice/{ALLOC}.web.scope", "job", f"{ALLOC}.web", "web", {"runtime": "nomad"}),
    (f"/nomad/{ALLOC}.web", "job", f"{ALLOC}.web", "web", {"runtime": "nomad"}),
    ("/htcondor/condor_var_lib_condor_execute_slot1", "job", "slot1", "", {"runtime": "htcondor"}),
    ("/htcondor/condor_var_lib_condor_execute_slot1_1@host", "job", "slot1_1", "", {"runtime": "htcondor"}),
    ("/system.slice/htcondor/condor_var_lib_condor_execute_slot1_23@host", "job", "slot1_23", "",
     {"runtime": "htcondor"}),
    ("/pbs_jobs.service/jobid/123.server", "job", "123.server", "", {"runtime": "pbs"}),
    ("/pbs_jobs.service/jobs/124.server", "job", "124.server", "", {"runtime": "pbs"}),
    # systemd
    ("/system.slice/nginx.service", "unit", "nginx.service", "", {}),
    ("/system.slice/nginx.service/worker", "unit", "nginx.service", "", {}),
    ("/system.slice/_cpu.service", "unit", "cpu.service", "", {}),
    ("/system.slice/system-foo.slice/foo@inst.service", "unit", "foo@inst.service", "", {}),
    ("/system.slice/foo@a\\x2db.service", "unit", "foo@a\\x2db.service", "foo@a-b.service", {}),
    ("/system.slice/run-u5.scope", "unit", "run-u5.scope", "", {}),
    ("/init.scope", "unit", "init.scope", "", {}),
    ("/user.slice/user-118.slice/session-18.scope", "session", "18", "", {"user": "118"}),
    ("/user.slice/user-118.slice/session-c2.scope", "session", "c2", "", {"user": "118"}),
    (f"{USER}/app.slice/web.service", "unit", "user@1000.service/web.service", "", {"user": "1000"}),
    (f"{USER}/init.scope", "unit", "user@1000.service", "", {"user": "1000"}),
    (f"{USER}/app.slice", "unit", "user@1000.service", "", {"user": "1000"}),
    ("/user.slice/user-1000.slice/user-runtime-dir@1000.service", "unit", "user-runtime-dir@1000.service", "",
     {"user": "1000"}),
    # nothing known
    ("/batch/night", "cgroup", "/batch/night", "", {}),
    ("/my.slice/thing", "cgroup", "/my.slice/thing", "", {}),
    ("/", "cgroup", "/", "", {}),
]  # fmt: skip

STRUCTURAL = [
    "/system.slice", "/system.slice/system-foo.slice", "/user.slice/user-1000.slice", "/machine.slice",
    "/kubepods", "/kubepods/burstable", "/kubepods/besteffort", "/kubepods.slice/kubepods-burstable.slice",
    "/docker", "/lxc", "/lxc.payload", "/lxc.monitor", "/machine", "/libpod_parent", f"/libpod_parent/{B}",
    f"/machine.slice/machine-libpod_pod_{B}.slice", "/qemu.slice", "/nomad", "/nomad.slice/share.slice",
    "/oar",
    "/oar.slice/oar-u1000.slice", "/htcondor", "/system.slice/htcondor", "/pbs_jobs.service",
    "/pbs_jobs.service/jobid", "/pbs_jobs.service/jobs", "/slurm", "/slurm_n1", "/slurm/uid_1000",
    "/system.slice/slurmstepd.scope", "/system.slice/n1_slurmstepd.scope",
]  # fmt: skip


@pytest.mark.parametrize(("path", "kind", "ident", "name", "facts"), WORKLOADS)
def test_path_names_its_workload(path, kind, ident, name, facts):
    """Every shape of path that container engines, batch systems and systemd make is recognised."""
    workload = identify(path)
    assert workload is not None
    assert (workload.kind, workload.id, workload.name) == (kind, ident, name)
    assert dict(workload.facts) == facts


@pytest.mark.parametrize("path", STRUCTURAL)
def test_structural_parents_are_no_workload(path):
    """What only groups others does no work of its own."""
    assert identify(path) is None


def test_outer_containers_are_bounded():
    """However deep the nesting, three containers around the innermost are remembered."""
    ids = [f"{n:064x}" for n in range(9)]
    workload = identify("".join(f"/docker/{ident}" for ident in ids))
    assert workload.id == ids[-1]
    assert dict(workload.facts)["outer"].split() == [f"container/{ident}" for ident in ids[-4:-1]]


def test_names_that_are_not_utf8_stay_apart():
    """Two undecodable names give two valid, different ids."""
    first, second = (identify(f"/odd/\udcff{end}").id for end in ("\udc80", "\udc81"))
    assert first != second
    assert first.encode("utf-8").decode("utf-8") == first


def test_overlong_paths_are_cut_but_stay_apart():
    """An id has at most 256 characters; equal beginnings do not merge."""
    first, second = (identify("/" + "deep/" * 400 + end).id for end in ("a", "b"))
    assert len(first) == len(second) == 256
    assert first != second


def test_newlines_do_not_reach_labels():
    """Control characters are replaced, so an id is one line."""
    assert "\n" not in identify("/a\nb").id
    assert label("a\nb").startswith("a\ufffdb~")


def test_escapes_are_undone_as_utf8():
    r"""`\x2d` is a hyphen, and the bytes of one character may be escaped one by one."""
    assert unescape("a\\x2db") == "a-b"
    assert unescape("caf\\xc3\\xa9") == "café"
    assert unescape("plain") == "plain"


def hierarchy(version):
    return Hierarchy(version=version, root="/x", complete=True, memory_root="", cpu_root="")


@pytest.mark.parametrize(
    ("version", "text", "path"),
    [
        (2, "0::/system.slice/a.service\n", "/system.slice/a.service"),
        (2, "9:name=systemd:/b\n2:cpu,cpuacct:/c\n0::/d:e\n", "/d:e"),
        (1, "9:name=systemd:/b\n2:cpu,cpuacct:/c\n0::/\n", "/c"),
        (1, "3:cpuacct:/docker/x\n1:cpu:/\n0::/\n", "/docker/x"),
        (1, "0::/\n", None),
        (2, "0::/../../system.slice/a.service\n", None),
        (2, "0::/gone (deleted)\n", "/gone"),
        (2, "", None),
    ],
)
def test_membership_file_gives_the_path_in_the_hierarchy_in_use(version, text, path):
    """Of /proc/PID/cgroup the line of the hierarchy in use counts; other namespaces have no path."""
    assert hierarchy(version).path_of(text) == path
