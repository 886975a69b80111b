"""From a cgroup's path to the workload an operator would name.

The deepest container, pod, VM or job wins, and what it is nested in is remembered in its facts;
a unit or session counts only where none of those is above it. Everything below a workload that is
no workload of its own folds into it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..model import Workload
from . import owners
from .naming import label, unescape
from .owners import Claim

_OUTER_LIMIT = 3
_USER_SLICE = re.compile(r"user-(?P<uid>\d+)\.slice")
_USER_MANAGER = re.compile(r"user@(?P<uid>\d+)\.service")
_SESSION = re.compile(r"session-(?P<id>\w+)\.scope")
_PODMAN_POD = re.compile(r"[0-9a-f]{64}")
_UNIT = re.compile(r".+\.(?:service|scope|mount|socket|swap)")
_TOP_PARENTS = {
    *("docker", "kubepods", "libpod_parent", "lxc", "lxc.monitor", "lxc.payload", "machine"),
    *("htcondor", "nomad", "oar"),
}
_PARENTS_BELOW = {
    "burstable": "kubepods",
    "besteffort": "kubepods",
    "jobid": "pbs_jobs.service",
    "jobs": "pbs_jobs.service",
}


def identify(path: str) -> Workload | None:
    """The workload that owns the cgroup `path`, which is absolute as in /proc/PID/cgroup.

    None for a structural parent: a slice, `kubepods`, `docker` and so on group others and do no work.
    A cgroup that nothing is known about is a workload of kind `cgroup` with its path as id.
    Undecodable bytes may be surrogates (os.fsdecode).
    Ids and names are valid labels of at most 256 characters.
    """
    parts = [part for part in path.split("/") if part]
    claim: Claim | None = None
    user = ""
    for i, part in enumerate(parts):
        if claim is None or claim.kind == "unit":
            user = _user(part) or user
        inner = _owner(parts, i, claim)
        if inner is not None:
            claim = _nest(claim, inner, user)
        elif claim is None or _USER_MANAGER.fullmatch(claim.id):
            claim = _unit(parts, i, claim, user) or claim
    if claim is not None:
        return _workload(claim)
    return None if _structural(parts) else plain_cgroup(path)


def plain_cgroup(path: str) -> Workload:
    """The workload of kind `cgroup` for this path, whatever else it may be called."""
    return Workload(kind="cgroup", id=label(path))


def _owner(parts: Sequence[str], i: int, claim: Claim | None) -> Claim | None:
    within_pod = claim is not None and claim.kind == "pod"
    found = owners.pod(parts, i) or owners.container(parts, i) or owners.machine(parts, i)
    if within_pod and found is not None and found.kind == "unit":
        return None  # the pod's conmon: the pod pays
    if found is None and within_pod:
        return owners.pod_child(parts[i])
    return found or owners.job(parts, i)


def _nest(outer: Claim | None, inner: Claim, user: str) -> Claim:
    """`inner` with what is known from the claims around it."""
    if outer is not None and (outer.kind, outer.id) == (inner.kind, inner.id) and inner.kind != "container":
        return outer  # OAR names the job on two levels
    facts = dict(inner.facts)
    user = inner.user or (outer.user if outer else "") or user
    ident = inner.id
    if outer is not None:
        known = dict(outer.facts)
        if "pod_uid" not in facts and "pod_config_hash" not in facts:
            facts |= {key: known[key] for key in ("pod_uid", "pod_config_hash", "qos") if key in known}
        if outer.kind == "unit":
            if inner.kind == "container" and "qos" not in facts and not _USER_MANAGER.fullmatch(outer.id):
                facts["unit"] = outer.id
        else:
            if inner.local:
                ident = f"{outer.id}/{ident}"
            chain = known.get("outer", "").split()
            if outer.kind != "pod":
                chain = [*chain, f"{outer.kind}/{outer.id}"][-_OUTER_LIMIT:]
            if chain:
                facts["outer"] = " ".join(chain)
    return Claim(
        kind=inner.kind, id=ident, name=inner.name, facts=tuple(facts.items()), user=user, local=inner.local
    )


def _unit(parts: Sequence[str], i: int, manager: Claim | None, user: str) -> Claim | None:
    part = parts[i]
    if manager is not None:
        # init.scope is the user's service manager itself.
        if part == "init.scope" or not _UNIT.fullmatch(part):
            return None
        return _unit_claim(f"{manager.id}/{part.removeprefix('_')}", part, user)
    if owners.SLURM_SCOPE.fullmatch(part) or part == "pbs_jobs.service":
        return None
    if i and owners.SLURM_SCOPE.fullmatch(parts[i - 1]) and part == "system":
        return _unit_claim(parts[i - 1], parts[i - 1], user)
    session = _SESSION.fullmatch(part)
    if session and user:
        return Claim(kind="session", id=session["id"], user=user)
    return _unit_claim(part.removeprefix("_"), part, user) if _UNIT.fullmatch(part) else None


def _unit_claim(ident: str, unit: str, user: str) -> Claim:
    """A unit's id is its name as systemctl prints it; the name is the readable form where that differs."""
    readable = unescape(unit)
    return Claim(kind="unit", id=ident, name=readable if readable != unit else "", user=user)


def _user(part: str) -> str:
    match = _USER_SLICE.fullmatch(part) or _USER_MANAGER.fullmatch(part)
    return match["uid"] if match else ""


def _workload(claim: Claim) -> Workload:
    facts = [*claim.facts]
    if claim.user:
        facts.append(("user", claim.user))
    return Workload(
        kind=claim.kind,
        id=label(claim.id),
        name=label(claim.name),
        facts=tuple((key, label(value)) for key, value in facts),
    )


def _structural(parts: Sequence[str]) -> bool:
    part = parts[-1] if parts else ""
    above = parts[-2] if len(parts) > 1 else ""
    if part.endswith((".slice", ".partition")) or part == "pbs_jobs.service":
        return True
    if owners.SLURM_SCOPE.fullmatch(part) or (above == "libpod_parent" and _PODMAN_POD.fullmatch(part)):
        return True
    if part in _TOP_PARENTS and (len(parts) == 1 or above.endswith(".slice")):
        return True
    if part in _PARENTS_BELOW:
        return above == _PARENTS_BELOW[part]
    if len(parts) == 1:
        return bool(owners.SLURM_DIRECTORY.fullmatch(part))
    return bool(owners.SLURM_USER.fullmatch(part) and owners.SLURM_DIRECTORY.fullmatch(above))
