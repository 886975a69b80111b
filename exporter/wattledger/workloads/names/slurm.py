"""Names of Slurm jobs: from a folder that a prolog writes, and from the jobs' own processes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from ...hostfs import HostFS
from .answers import answer, fact
from .base import Names, NotYet, Subject
from .members import Members, Process
from .rooted import Rooted
from .slurm_gpus import read_gpu_jobs
from .users import Passwd

JOB_FILE_LIMIT = 1 << 16
KEYS: Mapping[str, str] = {
    "SLURM_JOB_NAME": "name",
    "SLURM_JOB_ACCOUNT": "account",
    "SLURM_JOB_PARTITION": "partition",
    "SLURM_JOB_USER": "user",
}
"""What is taken from a job's file or environment, and what it is called here."""

_JOB_ID = "SLURM_JOB_ID"
_STEP_DAEMON = "slurmstepd"
_JOB = re.compile(r"\w+")
_UID = re.compile(r"/uid_(?P<uid>[0-9]{1,10})/job_\w+")


class SlurmNames:
    """Resolver `slurm` for the jobs of this node.

    `job_folder` has a file per job, called by the job's id, with lines such as `SLURM_JOB_NAME=train`.
    `gpu_folder` follows dcgm-exporter's convention. Both lie below the root of `rooted`.
    What the folder says comes before the environment: that one belongs to the job's owner, who may change it.
    The uid comes from the cgroup or the owner of the job's processes, and its login name from `passwd`.
    """

    name = "slurm"

    def __init__(
        self,
        hostfs: HostFS,
        rooted: Rooted,
        passwd: Passwd,
        *,
        job_folder: str | None = None,
        gpu_folder: str | None = None,
    ) -> None:
        self._rooted = rooted
        self._passwd = passwd
        self._members = Members(hostfs)
        self._job_folder = job_folder
        self._gpu_folder = gpu_folder

    def resolve(self, subject: Subject) -> Names | None:
        """The job's name, with user, uid, account, partition and GPUs as facts; None for other workloads.

        Raises NotYet while a job runs nothing but Slurm's own processes, ResolverError if a folder that was
        configured cannot be read. Environments that may not be read are simply not known.
        """
        workload = subject.workload
        if workload.kind != "job" or fact(workload, "runtime") != self.name:
            return None
        job = workload.id.rpartition("/")[2]
        if not _JOB.fullmatch(job):
            return None
        written = self._from_folder(job)
        gpus = self._gpus(job)
        tasks = self._tasks(subject.cgroup)
        started = self._from_environment(job, tasks)
        told = "name" in written or started is not None or any(task.uid for task in tasks)
        if not told and os.path.isdir(subject.cgroup):  # where nobody is any more, nobody comes
            raise NotYet
        uid = _uid(subject, tasks)
        account = self._passwd.of(uid) if uid else None
        found = {**(started or {}), **({"user": account.name} if account else {}), **written}
        name = found.pop("name", "")
        return answer(name=name, facts={**found, "uid": uid, "gpus": gpus})

    def _tasks(self, cgroup: str) -> list[Process]:
        """The job's processes; those of the batch step first, for `srun -J` renames the job for its step."""
        if not cgroup:
            return []
        found = {task.pid: task for task in self._members.of(f"{cgroup}/step_batch")}
        for task in self._members.of(cgroup):
            found.setdefault(task.pid, task)
        return [task for task in found.values() if task.comm != _STEP_DAEMON]

    def _from_folder(self, job: str) -> dict[str, str]:
        if self._job_folder is None:
            return {}
        try:
            content = self._rooted.read(f"{self._job_folder}/{job}", JOB_FILE_LIMIT)
        except FileNotFoundError:
            return {}
        found: dict[str, str] = {}
        for line in content.decode("utf-8", "surrogateescape").splitlines():
            key, equals, value = line.partition("=")
            if equals and value and key in KEYS:
                found.setdefault(KEYS[key], value)
        return found

    def _gpus(self, job: str) -> str:
        if self._gpu_folder is None:
            return ""
        return ",".join(map(str, read_gpu_jobs(self._rooted, self._gpu_folder).get(job, ())))

    def _from_environment(self, job: str, tasks: list[Process]) -> dict[str, str] | None:
        """What a process started for this very job was given; None if none such may be read."""
        for task in tasks:
            environment = self._members.environment(task.pid, (_JOB_ID, *KEYS))
            if environment is not None and environment.pop(_JOB_ID, "") == job:
                return {KEYS[key]: value for key, value in environment.items() if value}
        return None


def _uid(subject: Subject, tasks: list[Process]) -> str:
    """The job's owner: named by a v1 cgroup, else whoever runs its tasks; Slurm's own helpers run as root."""
    match = _UID.search(subject.cgroup)
    if match:
        return match["uid"]
    known = fact(subject.workload, "user")
    if known.isascii() and known.isdecimal():
        return known
    uids = [task.uid for task in tasks]
    return str(next((uid for uid in uids if uid), uids[0])) if uids else ""
