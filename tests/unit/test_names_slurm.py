"""Who a Slurm job is, from the prolog's folder, the GPU folder and the job's own processes."""

from __future__ import annotations

import os

import pytest

from tests.cgroup_subjects import describe, subjects
from tests.cgroup_tree import CgroupHost
from tests.host_copies import HOSTS
from tests.unprivileged import as_nobody
from wattledger.hostfs import HostFS
from wattledger.model import Workload
from wattledger.workloads.names.base import NotYet, ResolverError, Subject
from wattledger.workloads.names.members import PIDS, Members
from wattledger.workloads.names.rooted import Rooted
from wattledger.workloads.names.slurm import SlurmNames
from wattledger.workloads.names.slurm_gpus import GpuSlot, read_gpu_jobs
from wattledger.workloads.names.users import Passwd

FOLDERS = {"job_folder": "/run/slurm/jobs", "gpu_folder": "/run/slurm/gpus"}


def slurm(root, **folders):
    rooted = Rooted(str(root))
    return SlurmNames(HostFS.at(str(root)), rooted, Passwd(rooted), **folders)


def test_jobs_of_a_v1_host(golden):
    """The batch step's name, not that of `srun -J`; the folder before the environment; uids without accounts.

    4824888's owner claims another account and user in the environment; the prolog knows better.
    4824889's environment may not be read, 4824890 has only a step daemon so far.
    """
    root = HOSTS / "names-slurm-v1"
    golden("names-slurm-v1.txt", describe(root / "sys/fs/cgroup/cpuacct", [slurm(root, **FOLDERS)]))


def test_jobs_of_a_v2_host_with_several_steps(golden):
    """The owner is who runs the tasks, for the path does not say; Slurm's helpers there run as root.

    9 has only its extern step, which is Slurm's; 10's process was started for another job; 11 is root's.
    """
    root = HOSTS / "names-slurm-v2"
    golden("names-slurm-v2.txt", describe(root / "sys/fs/cgroup", [slurm(root)]))


class SlurmHost(CgroupHost):
    """A v2 host with job 7 and a process of it."""

    JOB = "system.slice/slurmstepd.scope/job_7"

    def __init__(self, root):
        super().__init__(root)
        self.task = f"{self.JOB}/step_0/user/task_0"
        self.create(self.task)
        self.subject = Subject(
            workload=Workload(kind="job", id="7", facts=(("runtime", "slurm"),)),
            cgroup=str(self.tree / self.JOB),
        )

    def start(self, pid, environ, *, uid=1000, comm="python3"):
        folder = self.proc / str(pid)
        folder.mkdir()
        (folder / "status").write_text(f"Name:\t{comm}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")
        (folder / "environ").write_bytes(environ)
        self.populate(self.task, *map(int, filter(str.isdecimal, os.listdir(self.proc))))

    def write_job(self, text):
        (self.root / "jobs").mkdir(exist_ok=True)
        (self.root / "jobs/7").write_text(text)

    def resolve(self, **folders):
        return slurm(self.root, **folders).resolve(self.subject)


@pytest.fixture
def host(tmp_path):
    return SlurmHost(tmp_path)


def test_other_workloads_are_passed_over(host):
    """Other schedulers' jobs and everything else."""
    resolver = slurm(host.root)
    for workload in (
        Workload(kind="job", id="7", facts=(("runtime", "pbs"),)),
        Workload(kind="container", id="7", facts=(("runtime", "slurm"),)),
        Workload(kind="job", id="7"),
    ):
        assert resolver.resolve(Subject(workload=workload)) is None


def test_an_environment_shows_nothing_but_the_known_keys(host):
    """Tokens and the like never leave the process's environment."""
    host.start(5, b"AWS_SECRET=x\0SLURM_JOB_ID=7\0SLURM_JOB_NAME=a\0SLURM_JOB_UID=3\0SLURM_JOB_NAMES=y\0")
    names = host.resolve()
    assert names.name == "a"
    assert names.facts == (("uid", "1000"),)


def test_hostile_values_become_labels(host):
    """Line breaks, bytes that are no UTF-8 and 100,000 characters: sanitised and 256 at most."""
    host.start(5, b"SLURM_JOB_ID=7\0SLURM_JOB_NAME=a\nb\xff\0SLURM_JOB_ACCOUNT=" + b"x" * 100_000 + b"\0")
    names = host.resolve()
    assert names.name.startswith("a\ufffdb\ufffd~")
    assert len(dict(names.facts)["account"]) == 256


def test_a_job_waits_until_a_task_of_it_runs(host):
    """No process, then only the step daemon: not yet. Then the task itself."""
    with pytest.raises(NotYet):
        host.resolve()
    host.start(4, b"PATH=/usr/bin\0", uid=0, comm="slurmstepd")
    with pytest.raises(NotYet):
        host.resolve()
    host.start(5, b"SLURM_JOB_ID=7\0SLURM_JOB_NAME=a\0")
    assert host.resolve().name == "a"


def test_what_a_prolog_wrote_needs_no_process(host):
    host.write_job("SLURM_JOB_NAME=early\nSLURM_JOB_USER=bob\n")
    names = host.resolve(job_folder="/jobs")
    assert (names.name, names.facts) == ("early", (("user", "bob"),))


def test_a_prolog_that_does_not_know_the_name_leaves_it_to_the_environment(host):
    """The rest of what it says holds; while no process tells the name yet, the job waits for one."""
    host.write_job("SLURM_JOB_ACCOUNT=chemistry\n")
    with pytest.raises(NotYet):
        host.resolve(job_folder="/jobs")
    host.start(5, b"SLURM_JOB_ID=7\0SLURM_JOB_NAME=a\0SLURM_JOB_ACCOUNT=forged\0")
    names = host.resolve(job_folder="/jobs")
    assert (names.name, dict(names.facts)["account"]) == ("a", "chemistry")


def test_a_job_that_is_gone_is_not_waited_for(host):
    """What the prolog said is all there will be."""
    host.write_job("SLURM_JOB_ACCOUNT=chemistry\n")
    host.remove(host.JOB)
    assert host.resolve(job_folder="/jobs").facts == (("account", "chemistry"),)
    assert host.resolve() is None


def test_a_folder_without_this_job_leaves_it_to_the_environment(host):
    host.start(5, b"SLURM_JOB_ID=7\0SLURM_JOB_NAME=a\0")
    assert host.resolve(job_folder="/not/there", gpu_folder="/not/there").name == "a"


def test_a_broken_job_file_is_said(host):
    """A file beyond 64 KiB, a FIFO, a link that leads out: an error each, and nothing is waited for."""
    host.start(5, b"SLURM_JOB_ID=7\0SLURM_JOB_NAME=a\0")
    path = host.root / "jobs/7"
    host.write_job("SLURM_JOB_NAME=x\n" * 5000)
    with pytest.raises(ResolverError, match="jobs/7") as caught:
        host.resolve(job_folder="/jobs")
    assert caught.value.reason == "too_large"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ResolverError) as caught:
        host.resolve(job_folder="/jobs")
    assert caught.value.reason == "not_regular"


def test_job_ids_are_no_paths(host):
    """Whatever a path component says after `job_`, it names a file in the folder or none."""
    host.write_job("SLURM_JOB_NAME=x\n")
    workload = Workload(kind="job", id="../jobs/..", facts=(("runtime", "slurm"),))
    assert slurm(host.root, job_folder="/jobs").resolve(Subject(workload=workload)) is None


def test_a_job_in_a_container_is_known_by_its_own_number(host):
    """The id says where it runs; the job's number comes last."""
    host.write_job("SLURM_JOB_NAME=inner\n")
    workload = Workload(kind="job", id="abc/7", facts=(("runtime", "slurm"),))
    assert slurm(host.root, job_folder="/jobs").resolve(Subject(workload=workload)).name == "inner"


def test_gpus_by_index_and_mig_instance():
    """Two jobs share instance 2 of GPU 1; file names that are no GPU and empty files say nothing."""
    gpus = read_gpu_jobs(Rooted(str(HOSTS / "names-slurm-v1")), "/run/slurm/gpus")
    assert gpus == {
        "4824888": (GpuSlot(0), GpuSlot(1, 2), GpuSlot(1, 10)),
        "4824887": (GpuSlot(1, 2),),
    }
    assert list(map(str, gpus["4824888"])) == ["0", "1.2", "1.10"]


def test_one_unreadable_gpu_file_does_not_hide_the_others(tmp_path):
    """A FIFO, a folder and a dangling link among them; too many files are an error."""
    os.mkfifo(tmp_path / "0")
    (tmp_path / "1").mkdir()
    (tmp_path / "2").symlink_to("nowhere")
    (tmp_path / "3").write_text(" 7 \n7\n")
    assert read_gpu_jobs(Rooted(str(tmp_path)), "/") == {"7": (GpuSlot(3),)}
    for i in range(2000):
        (tmp_path / f"x{i}").touch()
    with pytest.raises(ResolverError) as caught:
        read_gpu_jobs(Rooted(str(tmp_path)), "/")
    assert caught.value.reason == "too_large"


def test_a_cgroup_of_thousands_is_looked_at_in_part(host):
    """256 processes at most, and those outside the agent's pid namespace (0) or gone are none."""
    for pid in range(10, 10 + PIDS + 50):
        host.start(pid, b"")
    host.populate(host.task, 0, 1, *range(10, 10 + PIDS + 50))
    found = Members(host.hostfs).of(host.subject.cgroup)
    assert [process.pid for process in found] == list(range(10, 10 + PIDS))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else afterwards")
def test_without_privilege_the_owner_is_still_known():
    """Another user's environment is closed to nobody, silently; `status` is open, so the uid is known."""
    pid = os.getpid()
    members = Members(HostFS())
    assert members.environment(pid, ["PATH"]) is not None
    assert as_nobody(lambda: members.environment(pid, ["PATH"])) is None


def test_a_real_process_tells_its_environment():
    """Of this very process, as the kernel shows it."""
    found = Members(HostFS()).environment(os.getpid(), ["PATH", "NOT_THERE"])
    assert found.keys() == {"PATH"}


def test_every_job_of_the_fixtures_is_asked_about():
    """Four on the first host, five on the second."""
    counts = [
        len(subjects(HOSTS / "names-slurm-v1/sys/fs/cgroup/cpuacct")),
        len(subjects(HOSTS / "names-slurm-v2/sys/fs/cgroup")),
    ]
    assert counts == [4, 5]
