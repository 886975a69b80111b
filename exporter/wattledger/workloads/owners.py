r"""Path components that name a container, pod, VM or job.

Each matcher looks at one component of a cgroup path, knowing those above it. The shapes are what the
programs create; they were seen on hosts and in those programs' own test data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .naming import unescape

Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a component says about the cgroup and everything below it.

    `local` ids are unique only within the host or container that gave them (a name, not a hash).
    `user` is the owner's uid (or name) where the component or one above it tells.
    """

    kind: str
    id: str
    name: str = ""
    facts: Facts = ()
    user: str = ""
    local: bool = False


_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_POD = re.compile(
    r"(?:.*-)?pod(?P<uid>[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?"
    r"(?::(?P<runtime>[^:]+):(?P<container>[^:]+))?"
)
_CONTAINER = re.compile(r"(?:(?P<prefix>.+)[-_:])?(?P<id>[0-9a-f]{64})(?:\.scope)?")
_POD_CHILD = re.compile(r"[0-9a-f]{12,64}")
_RUNTIMES = {
    "docker": "docker",
    "cri-containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "cri-o",
    "libpod": "podman",
    "libpod-conmon": "podman",
    "libpod-payload": "podman",
}
_CRIO_MONITOR = "crio-conmon"
_LXC_DIRECTORIES = frozenset({"lxc", "lxc.payload", "lxc.monitor"})
_LXC = re.compile(r"lxc\.(?:payload|monitor)\.(?P<name>.+)")
_NSPAWN = re.compile(r"systemd-nspawn@(?P<name>.+)\.service")
_MACHINE = re.compile(r"machine-(?P<name>.+)\.scope")
_LIBVIRT_NAME = re.compile(r"(?P<driver>qemu|lxc)-(?:(?P<number>\d+)-)?(?P<name>.+)")
_LIBVIRT_DIRECTORY = re.compile(r"(?P<name>.+)\.libvirt-(?P<driver>qemu|lxc)")
_PROXMOX_VM = re.compile(r"(?P<id>\d+)\.scope")
SLURM_SCOPE = re.compile(r"(?:.+_)?slurmstepd\.scope")
SLURM_DIRECTORY = re.compile(r"slurm(?:_.+)?")
SLURM_USER = re.compile(r"uid_(?P<uid>\d+)")
_SLURM_JOB = re.compile(r"job_(?P<id>\w+)")
_OAR2 = re.compile(r"(?P<user>.+)_(?P<id>\d+)")
_OAR3 = re.compile(r"oar-u(?P<uid>\d+)-j(?P<id>\d+)(?:-s\d+)?\.(?:slice|scope)")
_NOMAD = re.compile(rf"(?P<alloc>{_UUID})\.(?P<task>.+?)(?:\.scope)?")
_CONDOR = re.compile(r"condor_.*?(?P<slot>slot\d+(?:_\d+)*)(?:@.*)?")


def container(parts: Sequence[str], i: int) -> Claim | None:
    """Docker, containerd, cri-o, podman and anything else that uses a 64 digit id; LXC kin; nspawn."""
    part, above = parts[i], parts[i - 1] if i else ""
    match = _CONTAINER.fullmatch(part)
    if match:
        prefix = match["prefix"] or ""
        if prefix == _CRIO_MONITOR:
            return Claim(kind="unit", id="crio-conmon.scope")
        if not prefix and above == "libpod_parent":
            return None  # a podman pod's directory
        runtime = _RUNTIMES.get(prefix, prefix) or ("docker" if above == "docker" else "")
        return Claim(kind="container", id=match["id"], facts=_runtime(runtime))
    match = _LXC.fullmatch(part)
    if match or above in _LXC_DIRECTORIES:
        return _named("container", match["name"] if match else part, "lxc")
    match = _NSPAWN.fullmatch(part)
    if match:
        return _named("container", unescape(match["name"]), "systemd-nspawn")
    return None


def machine(parts: Sequence[str], i: int) -> Claim | None:
    """Libvirt domains in either layout, Proxmox VMs, and what else registers with systemd-machined."""
    part, above = parts[i], parts[i - 1] if i else ""
    match = _MACHINE.fullmatch(unescape(part))
    if match:
        domain = _LIBVIRT_NAME.fullmatch(match["name"])
        return _domain(domain) if domain else _named("container", match["name"], "systemd-nspawn")
    match = _LIBVIRT_DIRECTORY.fullmatch(unescape(part))
    if match:
        domain = _LIBVIRT_NAME.fullmatch(match["name"])
        if domain:
            return _domain(domain)
        return _named("vm" if match["driver"] == "qemu" else "container", match["name"], "libvirt")
    match = _PROXMOX_VM.fullmatch(part)
    if match and above == "qemu.slice":
        return Claim(kind="vm", id=match["id"], facts=_runtime("qemu"), local=True)
    return None


def pod(parts: Sequence[str], i: int) -> Claim | None:
    """A Kubernetes pod, or the pod and container that one component names (mismatched cgroup drivers).

    A static pod's directory is named by the hash of its configuration, 32 digits; the API server
    knows it by another uid, so that one is `pod_config_hash`.
    """
    match = _POD.fullmatch(parts[i])
    if not match or not any("kubepods" in part for part in parts[: i + 1]):
        return None
    static = len(match["uid"]) == 32
    uid = match["uid"].replace("_", "-")
    facts: Facts = (
        ("pod_config_hash" if static else "pod_uid", uid),
        ("qos", _qos(parts[max(i - 1, 0) : i + 1])),
    )
    if match["container"]:
        runtime = _RUNTIMES.get(match["runtime"], match["runtime"])
        return Claim(kind="container", id=match["container"], facts=(("runtime", runtime), *facts))
    return Claim(kind="pod", id=uid, facts=facts)


def pod_child(part: str) -> Claim | None:
    """A container directly below a pod by its bare id, which need not have 64 digits there."""
    if _POD_CHILD.fullmatch(part):
        return Claim(kind="container", id=part)
    return None


def job(parts: Sequence[str], i: int) -> Claim | None:
    """Slurm, OAR, Nomad, HTCondor and PBS; the job, never its steps or tasks."""
    part = parts[i]
    for scheduler, matcher in _SCHEDULERS:
        found = matcher(part, parts[:i])
        if found:
            ident, name, user = found
            return Claim(kind="job", id=ident, name=name, facts=_runtime(scheduler), user=user, local=True)
    return None


_Found = tuple[str, str, str] | None


def _slurm(part: str, above: Sequence[str]) -> _Found:
    match = _SLURM_JOB.fullmatch(part)
    if not match or not above:
        return None
    if SLURM_SCOPE.fullmatch(above[-1]):
        return match["id"], "", ""
    user = SLURM_USER.fullmatch(above[-1])
    if user and len(above) > 1 and SLURM_DIRECTORY.fullmatch(above[-2]):
        return match["id"], "", user["uid"]
    return None


def _oar(part: str, above: Sequence[str]) -> _Found:
    match = _OAR3.fullmatch(part)
    if match:
        return match["id"], "", match["uid"]
    match = _OAR2.fullmatch(part)
    if match and above and above[-1] == "oar":
        return match["id"], "", match["user"]
    return None


def _nomad(part: str, above: Sequence[str]) -> _Found:
    match = _NOMAD.fullmatch(part)
    if match and any(parent in {"nomad", "nomad.slice"} for parent in above):
        task = unescape(match["task"])
        return f"{match['alloc']}.{task}", task, ""
    return None


def _condor(part: str, above: Sequence[str]) -> _Found:
    match = _CONDOR.fullmatch(unescape(part))
    if match:
        return match["slot"], "", ""
    if above and above[-1] == "htcondor":
        return unescape(part), "", ""
    return None


def _pbs(part: str, above: Sequence[str]) -> _Found:
    if len(above) > 1 and above[-2] == "pbs_jobs.service" and above[-1] in {"jobid", "jobs"}:
        return unescape(part), "", ""
    return None


_SCHEDULERS: tuple[tuple[str, Callable[[str, Sequence[str]], _Found]], ...] = (
    ("slurm", _slurm),
    ("oar", _oar),
    ("nomad", _nomad),
    ("htcondor", _condor),
    ("pbs", _pbs),
)


def _named(kind: str, name: str, runtime: str) -> Claim:
    return Claim(kind=kind, id=name, name=name, facts=_runtime(runtime), local=True)


def _domain(match: re.Match[str]) -> Claim:
    """A libvirt domain. Its number tells apart names that systemd-machined had to cut."""
    kind = "vm" if match["driver"] == "qemu" else "container"
    ident = match[0] if match["number"] else match["name"]
    return Claim(kind=kind, id=ident, name=match["name"], facts=_runtime("libvirt"), local=True)


def _runtime(name: str) -> Facts:
    return (("runtime", name),) if name else ()


def _qos(parts: Sequence[str]) -> str:
    text = "/".join(parts)
    return next((qos for qos in ("burstable", "besteffort") if qos in text), "guaranteed")
