"""A real Slurm on loopback: a real job's energy under its number, its owner and its name.

The prolog and the epilog are those of docs/slurm.md, with another folder.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.agent_process import REPOSITORY, AgentProcess
from tests.slurm_cluster import SlurmCluster, needs_slurm
from wattledger.clock import SystemClock
from wattledger.hostfs import HostFS
from wattledger.workloads.identity import identify
from wattledger.workloads.names.base import Subject
from wattledger.workloads.names.rooted import Rooted
from wattledger.workloads.names.slurm import SlurmNames
from wattledger.workloads.names.slurm_gpus import GpuSlot, read_gpu_jobs
from wattledger.workloads.names.users import Passwd
from wattledger.workloads.scan import HostWorkloads

pytestmark = [pytest.mark.e2e, needs_slurm]

ENERGY = "wattledger_workload_energy_joules_total"
EXPIRED = "wattledger_workload_expired_energy_joules"
NODE = "wattledger_node_energy_joules_total"
PAGE = REPOSITORY / "docs/slurm.md"
DOCUMENTED_FOLDER = "/run/slurm-jobs"
WAIT_S = 60

BUSY_HALF = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 0.02"
SCRIPT = f"""\
srun --overlap --job-name=other /bin/sh -c 'while :; do {BUSY_HALF}; done' &
while :; do {BUSY_HALF}; done
"""


class Job(NamedTuple):
    """A running job: its number, and its cgroup's folder."""

    id: str
    folder: Path

    @property
    def subject(self) -> Subject:
        path = "/" + "/".join(self.folder.parts[-3:])
        workload = identify(path)
        assert workload is not None
        return Subject(workload=workload, cgroup=str(self.folder))

    @property
    def cpu_s(self) -> float:
        """What the kernel counted for the job."""
        return int((self.folder / "cpuacct.usage").read_text()) / 1e9


@pytest.fixture(scope="module")
def folder():
    """Where the prolog writes; readable by the jobs' owners, unlike pytest's own folders."""
    path = Path(tempfile.mkdtemp(prefix="wattledger-jobs-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def cluster(folder):
    prolog, epilog = (
        script.replace(DOCUMENTED_FOLDER, str(folder))
        for script in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    )
    with SlurmCluster(prolog=prolog, epilog=epilog) as cluster:
        yield cluster


@pytest.fixture
def job(cluster):
    """A batch job of nobody's with a step that calls itself otherwise, both about half busy."""
    ident = cluster.submit(SCRIPT, "--gpus=1", name="train gpt", account="physics", user="nobody")
    try:
        folder = cluster.folder_of(ident)
        wait_for(lambda: any(folder.glob("step_0/task_0/cgroup.procs")), cluster)
        yield Job(ident, folder)
    finally:
        cluster.cancel(ident)


def wait_for(condition, cluster):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, cluster.log()
        time.sleep(0.1)


def names_of(job, **folders):
    rooted = Rooted("/")
    return SlurmNames(HostFS(), rooted, Passwd(rooted), **folders).resolve(job.subject)


def test_the_scan_finds_the_job_as_one_workload(cluster, job):
    """Batch script and step together are job/NUMBER, and it used CPU time."""
    source = HostWorkloads(HostFS(), SystemClock())
    born = [workload for workload in source.scan().born if workload.key == ("job", job.id)]
    assert len(born) == 1
    before_s = job.cpu_s
    wait_for(lambda: job.cpu_s > before_s + 0.2, cluster)
    assert source.scan().cpu_ns[born[0]] >= 200_000_000


def test_its_processes_tell_who_it_is(job):
    """The step's environment has the step's own name in place of the job's."""
    names = names_of(job)
    assert names.name == "train gpt"
    assert dict(names.facts) == {
        "account": "physics",
        "partition": "debug",
        "user": "nobody",
        "uid": "65534",
    }


def test_the_documented_prolog_tells_who_it_is_and_its_gpu(job, folder):
    """This release's prolog does not know the job's name, which still comes from the environment."""
    written = (folder / "names" / job.id).read_text().splitlines()
    assert "SLURM_JOB_ACCOUNT=physics" in written
    assert "SLURM_JOB_USER=nobody" in written
    names = names_of(job, job_folder=f"{folder}/names", gpu_folder=f"{folder}/gpus")
    assert names.name == "train gpt"
    assert dict(names.facts)["gpus"] == "0"
    assert read_gpu_jobs(Rooted("/"), f"{folder}/gpus") == {job.id: (GpuSlot(0),)}


def test_the_documented_epilog_leaves_nothing_behind(cluster, folder):
    """Two jobs have a GPU each; the end of one removes its file and its GPU's, and not the other's."""
    jobs = []
    gpus = Rooted(str(folder))
    try:
        for name in ("first", "second"):
            jobs.append(cluster.submit("sleep 600", "--gpus=1", name=name, account="a", user="nobody"))
        first, second = jobs
        wait_for(lambda: len(read_gpu_jobs(gpus, "gpus")) == 2, cluster)
        assert read_gpu_jobs(gpus, "gpus") == {first: (GpuSlot(0),), second: (GpuSlot(1),)}
        cluster.cancel(first)
        wait_for(lambda: first not in read_gpu_jobs(gpus, "gpus"), cluster)
        assert not (folder / "names" / first).exists()
        assert (folder / "names" / second).exists()
        assert read_gpu_jobs(gpus, "gpus") == {second: (GpuSlot(1),)}
    finally:
        for job in jobs:
            cluster.cancel(job)
    wait_for(lambda: not list((folder / "gpus").iterdir()), cluster)


def test_the_agent_shows_the_jobs_energy_under_its_name(cluster, job, tmp_path):
    """Number, name and owner on one set of series; what all workloads have is what the node drew."""
    labels = {"kind": "job", "id": job.id}
    with AgentProcess("--sampling.interval=1s", folder=tmp_path) as agent:
        before_s = job.cpu_s
        scrape = agent.scrape()

        def shown():
            nonlocal scrape
            scrape = agent.scrape()
            return scrape.sum(ENERGY, **labels) > 0

        wait_for(shown, cluster)
        wait_for(lambda: shown() and job.cpu_s > before_s + 1, cluster)
        after_s = job.cpu_s
    for key in scrape.select(ENERGY, **labels):
        assert scrape.labels[key]["name"] == "train gpt"
    cpu = scrape.select(ENERGY, **labels, component="cpu", mode="dynamic")
    assert len(cpu) == 1
    info = scrape.labels[next(iter(scrape.select("wattledger_workload_info", **labels)))]
    expected = {"user": "nobody", "uid": "65534", "account": "physics", "partition": "debug"}
    assert info.items() >= expected.items()
    assert 0 < scrape.value("wattledger_workload_cpu_seconds_total", **labels) <= after_s
    workloads_uj = scrape.sum_uj(ENERGY) + scrape.sum_uj(EXPIRED)
    assert workloads_uj == scrape.sum_uj(NODE)


def test_the_page_names_the_folder_that_its_scripts_write():
    """A prolog for one folder and a setting for another would say nothing."""
    text = PAGE.read_text()
    assert text.count(f"folder={DOCUMENTED_FOLDER}\n") == 2
    assert f"job_folder: {DOCUMENTED_FOLDER}/names" in text
    assert f"gpu_folder: {DOCUMENTED_FOLDER}/gpus" in text
