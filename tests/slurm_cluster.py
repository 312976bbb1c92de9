"""A Slurm of one node on the loopback interface, with GPUs that are only names, all of it in one folder."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PACKAGES = ("slurm-wlm", "munge")
PROGRAMS = ("slurmctld", "slurmd", "munged")
GPU_KIND = "h100"
NODE = socket.gethostname().split(".")[0]

SLURM_CONF = """\
ClusterName=test
SlurmctldHost={node}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmctldPort={control}
SlurmdPort={daemon}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1,sched_min_interval=0,requeue_delay=1
GresTypes=gpu
ReturnToService=2
SlurmdParameters=config_overrides
MinJobAge=600
KillWait=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MailProg=/bin/true
AccountingStorageType=accounting_storage/none
NodeName={node} NodeAddr=127.0.0.1 Sockets=1 CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory={memory} \
Gres=gpu:{kind}:{gpus} State=UNKNOWN
PartitionName=cpu Nodes={node} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={node} MaxTime=INFINITE State=UP
PartitionName=urgent Nodes={node} MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def install() -> str:
    """Install Slurm where it is missing; why it cannot be had, or "" when it is there."""
    search = os.environ["PATH"] + ":/usr/sbin:/sbin"
    if all(shutil.which(name, path=search) for name in PROGRAMS):
        return "" if os.geteuid() == 0 else "its daemons want root here"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return f"{', '.join(PACKAGES)} are missing, and installing them takes root and apt-get"
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES]
    for command in (["apt-get", "update", "-qq"], install):
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return f"{' '.join(command)}: {done.stderr.strip()[-500:]}"
    return ""


@dataclass
class Cluster:
    """The daemons of one cluster; everything they write lies in `folder`. GPUs are character devices."""

    folder: Path
    cpus: int = 8
    memory: int = 200_000  # MB, as the scheduler believes
    gpus: int = 4
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start munge, the controller and the node's daemon, and wait until a job runs."""
        for name in ("state", "spool", "munge", "devices", "bin"):
            (self.folder / name).mkdir(parents=True)
        self._configure()
        self._start_munge()
        self._run("slurmctld")
        self._wait("the controller", lambda: "UP" in self.output("scontrol", "ping"))
        self._run("slurmd")
        self._wait("the node", lambda: "idle" in self.output("sinfo", "-h", "-o", "%T"))
        self.output("srun", "-p", "gpu", "--gpus=1", "--mem=10", "true")

    def stop(self) -> None:
        """Cancel all jobs and end the daemons, each by the process id that it wrote."""
        if "SLURM_CONF" in self.environment:
            self.output("scancel", "--user", "root")
        for name in ("slurmd.pid", "slurmctld.pid", "munge/pid"):
            _end(self.folder / name)

    def output(self, *command: str) -> str:
        """What a command of Slurm prints, "" where it fails."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        return done.stdout if done.returncode == 0 else ""

    def jobs(self, *states: str) -> dict[str, str]:
        """Ids of the jobs in these states, with the rule and the wildcards of each."""
        lines = self.output("squeue", "-h", "-t", ",".join(states), "-o", "%i|%k").splitlines()
        return dict(line.split("|", 1) for line in lines)

    def _configure(self) -> None:
        ports = _free_ports(2)
        values = {"control": ports[0], "daemon": ports[1], "node": NODE, "kind": GPU_KIND}
        values |= {name: getattr(self, name) for name in ("folder", "cpus", "memory", "gpus")}
        (self.folder / "slurm.conf").write_text(SLURM_CONF.format(**values))
        devices = [self.folder / "devices" / f"gpu{number}" for number in range(self.gpus)]
        for device in devices:
            os.mknod(device, 0o620 | 0o020000, os.makedev(1, 3))
        lines = [f"NodeName={NODE} Name=gpu Type={GPU_KIND} File={device}\n" for device in devices]
        (self.folder / "gres.conf").write_text("".join(lines))
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        path = f"{self.folder / 'bin'}:/usr/sbin:{os.environ['PATH']}"
        self.environment = {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}
        # Inside a job the executor takes SLURM_CONF out of the environment before it calls srun.
        srun = self.folder / "bin" / "srun"
        srun.write_text(f'#!/bin/sh\nexport SLURM_CONF={self.folder}/slurm.conf\nexec /usr/bin/srun "$@"\n')
        srun.chmod(0o755)

    def _start_munge(self) -> None:
        munge = self.folder / "munge"
        self.folder.chmod(0o755)
        munge.chmod(0o755)
        (munge / "key").write_bytes(os.urandom(1024))
        (munge / "key").chmod(0o400)
        files = [f"--{name}-file={munge / name.split('-')[0]}" for name in ("key", "pid", "log", "seed")]
        self._run("munged", "--force", *files, f"--socket={munge / 'socket'}")

    def _run(self, *command: str) -> None:
        subprocess.run(command, env=self.environment, check=True, capture_output=True, timeout=60)

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not ready():
            if time.monotonic() > end:
                logs = "".join(path.read_text()[-2000:] for path in self.folder.glob("*.log"))
                raise TimeoutError(f"{what} of Slurm is not ready after a minute:\n{logs}")
            time.sleep(0.2)


def _end(pid_file: Path) -> None:
    """End the process whose id a file holds, with force after ten seconds."""
    if not pid_file.is_file() or not pid_file.read_text().strip():
        return
    pid = int(pid_file.read_text())
    for signal in (15, 9):
        try:
            os.kill(pid, signal)
            for _ in range(100):
                os.kill(pid, 0)
                time.sleep(0.1)
        except ProcessLookupError:
            return


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
