"""A real Slurm of one node on this machine, on loopback, with everything it writes in one folder.

    with SlurmCluster() as cluster:
        job = cluster.submit("sleep 60", name="train", account="physics", user="nobody")
        cluster.folder_of(job)  # its cgroup

Mark such a test with `@needs_slurm`: it is skipped, with the reason, where Slurm cannot run.
munged, slurmctld and slurmd are started in the foreground and ended by their pids; jobs left over are
cancelled first, and the cgroups that Slurm leaves behind are removed.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ports import free_port
from wattledger.hostfs import HostFS
from wattledger.workloads.hierarchy import find_hierarchy

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
GPUS = 2
"""How many the node claims to have: device files like /dev/null, for Slurm looks at no more than that."""
TIMEOUT_S = 60.0

CONFIGURATION = """\
ClusterName=wattledger
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
MpiDefault=none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/cgroup
JobAcctGatherFrequency=task=5
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MailProg=/bin/true
KillWait=1
GresTypes=gpu
{more}
NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=debug Nodes={node} Default=YES MaxTime=INFINITE State=UP
"""


def missing_slurm() -> str:
    """Why no Slurm can be run here, or ""."""
    if os.geteuid() != 0:
        return "only root can run jobs of others in cgroups"
    missing = [program for program in PROGRAMS if _find(program) is None]
    if missing:
        return f"no {', '.join(missing)} on PATH (apt-get install {' '.join(PACKAGES)})"
    hierarchy = find_hierarchy(HostFS())
    if hierarchy is None or hierarchy.version != 1:
        return "CPU time is not told by a v1 cgroup hierarchy; elsewhere slurmd wants systemd"
    if not os.access(hierarchy.root, os.W_OK):
        return f"no cgroup can be made under {hierarchy.root}"
    return ""


def _find(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


needs_slurm = pytest.mark.skipif(bool(missing_slurm()), reason=missing_slurm())


class SlurmCluster:
    """Controller and node of a cluster; `prolog` and `epilog` are scripts that slurmd runs as root."""

    def __init__(self, *, prolog: str = "", epilog: str = "") -> None:
        self._scripts = {"Prolog": prolog, "Epilog": epilog}
        self._processes: list[subprocess.Popen[bytes]] = []
        self.folder = Path()
        self.node = f"wattledger-{os.getpid()}"
        self.cgroup = f"slurm_{self.node}"  # as the plugin for v1 calls it, in every hierarchy it uses

    def __enter__(self) -> SlurmCluster:
        self.folder = Path(tempfile.mkdtemp(prefix="wattledger-slurm-"))
        try:
            self._configure()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._processes:
                self._end_jobs()
        finally:
            for process in reversed(self._processes):
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(10)
            self._processes.clear()
            _remove_cgroups(self.cgroup)
            shutil.rmtree(self.folder, ignore_errors=True)

    def submit(self, script: str, *options: str, name: str, account: str, user: str) -> str:
        """Start a batch job of a user, with more of sbatch's options; returns its id as soon as it runs."""
        path = self.folder / "job.sh"
        path.write_text(f"#!/bin/sh\n{script}\n")
        said = self.run(
            *("sbatch", "--parsable", f"--uid={user}", f"--gid={pwd.getpwnam(user).pw_gid}"),
            *(f"--job-name={name}", f"--account={account}", "--output=/dev/null", "--chdir=/"),
            *(*options, str(path)),
        )
        job = said.split(";")[0]
        self._wait(f"job {job} to run", lambda: self.run("squeue", "-h", "-j", job, "-o", "%T") == "RUNNING")
        return job

    def folder_of(self, job: str) -> Path:
        """The job's folder in the hierarchy that tells CPU time, once its batch step runs in it."""
        hierarchy = find_hierarchy(HostFS())
        assert hierarchy is not None

        def found() -> list[Path]:
            return list(Path(hierarchy.root, self.cgroup).glob(f"uid_*/job_{job}"))

        self._wait(f"a cgroup of job {job}", lambda: bool(found()))
        return found()[0]

    def cancel(self, job: str) -> None:
        """End a job and wait until it is gone."""
        self.run("scancel", job)
        self._wait(f"the end of job {job}", lambda: job not in self.run("squeue", "-h", "-o", "%A").split())

    def run(self, program: str, *arguments: str) -> str:
        """One of Slurm's commands against this cluster; raises RuntimeError when it fails."""
        done = subprocess.run(
            [program, *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed: {done.stderr}\n{self.log()}")
        return done.stdout.strip()

    def log(self) -> str:
        """The last lines of what the daemons said."""
        parts = [f"--- {path.name}\n{_tail(path)}" for path in sorted(self.folder.glob("*.log"))]
        return "\n".join(parts)

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        return kept | {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def _configure(self) -> None:
        self.folder.chmod(0o755)  # the jobs' owners are to reach munge's socket and their scripts
        for name in ("state", "spool"):
            (self.folder / name).mkdir(mode=0o755)
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        more: list[str] = []
        for setting, script in self._scripts.items():
            if script:
                path = self.folder / setting.lower()
                path.write_text(script)
                path.chmod(0o755)
                more.append(f"{setting}={path}")
        configuration = CONFIGURATION.format(
            host=socket.gethostname(),
            folder=self.folder,
            controller_port=free_port(),
            node_port=free_port(),
            node=self.node,
            cpus=os.cpu_count(),
            gpus=GPUS,
            more="\n".join(more),
        )
        (self.folder / "slurm.conf").write_text(configuration)
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
        for gpu in range(GPUS):
            os.mknod(self.folder / f"gpu{gpu}", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        (self.folder / "gres.conf").write_text(f"Name=gpu File={self.folder}/gpu[0-{GPUS - 1}]\n")

    def _start(self) -> None:
        folder, configuration = self.folder, self.folder / "slurm.conf"
        self._spawn(
            *("munged", "--foreground", "--force", f"--key-file={folder}/munge.key"),
            *(f"--socket={folder}/munge.socket", f"--pid-file={folder}/munged.pid"),
            *(f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"),
        )
        self._wait("munged", (folder / "munge.socket").exists)
        self._spawn("slurmctld", "-D", "-c", "-f", str(configuration))
        self._spawn("slurmd", "-D", "-N", self.node, "-f", str(configuration))
        self._wait("an idle node", self._idle)

    def _idle(self) -> bool:
        try:
            return self.run("sinfo", "-h", "-o", "%T") == "idle"
        except RuntimeError:
            return False  # the controller does not answer yet

    def _spawn(self, program: str, *arguments: str) -> None:
        path = _find(program)
        assert path is not None
        with (self.folder / f"{program}.log").open("wb") as log:
            process = subprocess.Popen(
                [path, *arguments],
                env=self._environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._processes.append(process)

    def _end_jobs(self) -> None:
        left = self.run("squeue", "-h", "-o", "%A").split()
        if left:
            self.run("scancel", *left)
            self._wait("the end of all jobs", lambda: not self.run("squeue", "-h", "-o", "%A"))

    def _wait(self, what: str, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while not until():
            ended = [process.args for process in self._processes if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"waited in vain for {what}; ended: {ended}\n{self.log()}")
            time.sleep(0.1)


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-15:])


def _remove_cgroups(name: str) -> None:
    """Remove what Slurm leaves of its cgroups, and end the processes of jobs that outlived it."""
    base = Path(HostFS().cgroupfs)
    deadline = time.monotonic() + 10
    for top in [folder / name for folder in base.iterdir() if (folder / name).is_dir()]:
        while top.is_dir() and time.monotonic() < deadline:
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    for pid in Path(folder, "cgroup.procs").read_text().split():
                        os.kill(int(pid), signal.SIGKILL)
                    os.rmdir(folder)
            if top.is_dir():
                time.sleep(0.05)
