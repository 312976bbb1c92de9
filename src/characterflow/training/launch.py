"""Start a training script on the GPUs that the job was given, a process a GPU, on one node or several.

    python -m characterflow.training.launch --gpus 8 --nodes 2 scripts/distill.py --model ...

On each node DeepSpeed's launcher starts the processes. Several nodes are those of the Slurm job around the
call; `srun` starts this module again on each. Raises UserError where the job has fewer GPUs or nodes.
"""

import argparse
import os
import socket
import subprocess
import sys
from collections.abc import Sequence

from characterflow.core.errors import UserError
from characterflow.core.job import BAD_INPUT
from characterflow.machine.devices import VISIBLE, claim_gpus, has_gpu

MODULE = "characterflow.training.launch"
FIRST_PORT, PORTS = 20000, 20000


def devices(count: int) -> list[str]:
    """The GPUs of this node to use: the first ones of those that the scheduler made visible.

    Raises UserError where fewer are visible.
    """
    if not os.environ.get(VISIBLE):
        return [str(number) for number in range(count)]
    visible = os.environ[VISIBLE].split(",")
    if len(visible) < count:
        raise UserError(
            f"{VISIBLE}={','.join(visible)}: the job was given {len(visible)} GPUs; expected {count}, as in "
            "the models file"
        )
    return visible[:count]


def hosts_of_job(count: int) -> list[str]:
    """The nodes of the Slurm job around this process; UserError without one, or with another number."""
    nodes = os.environ.get("SLURM_JOB_NODELIST")
    if not nodes:
        raise UserError(f"training.nodes: {count}: several nodes are those of a Slurm job; this is none")
    listed = subprocess.run(
        ["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True
    )
    hosts = listed.stdout.split()
    if len(hosts) != count:
        raise UserError(f"SLURM_JOB_NODELIST={nodes}: the job has {len(hosts)} nodes; expected {count}")
    return hosts


def address(host: str) -> str:
    """The address under which the other nodes reach a node."""
    found = subprocess.run(
        ["sinfo", "--noheader", "--nodes", host, "--format", "%o"], capture_output=True, text=True, check=True
    )
    return found.stdout.split()[0]


def free_port() -> int:
    """A port that no other training on this node has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def on_all_nodes(hosts: Sequence[str], gpus: int, script: Sequence[str]) -> list[str]:
    """The command that runs this module once on each node."""
    port = FIRST_PORT + int(os.environ["SLURM_JOB_ID"]) % PORTS
    count = str(len(hosts))
    step = ["srun", "--overlap", "--nodes", count, "--ntasks", count, "--ntasks-per-node", "1"]
    step += ["--cpu-bind", "none", "--kill-on-bad-exit", "1", sys.executable, "-m", MODULE]
    meeting = ["--hosts", *hosts, "--meet", address(hosts[0]), str(port), "--gpus", str(gpus)]
    return [*step, *meeting, "--", *script]


def on_this_node(
    hosts: Sequence[str], node: int, gpus: int, meeting: tuple[str, int], script: Sequence[str]
) -> list[str]:
    """The command that starts this node's processes, one a GPU."""
    from deepspeed.launcher.runner import encode_world_info

    others = [str(number) for number in range(gpus)]
    world = {host: devices(gpus) if number == node else others for number, host in enumerate(hosts)}
    return [
        *[sys.executable, "-u", "-m", "deepspeed.launcher.launch", "--no_local_rank"],
        *[f"--world_info={encode_world_info(world)}", f"--node_rank={node}"],
        *[f"--master_addr={meeting[0]}", f"--master_port={meeting[1]}"],
        *script,
    ]


def command(arguments: argparse.Namespace) -> list[str]:
    """What to run in this process's place."""
    if arguments.hosts:
        host, port = arguments.meet
        node = int(os.environ["SLURM_NODEID"])
        return on_this_node(arguments.hosts, node, arguments.gpus, (host, int(port)), arguments.script)
    if arguments.nodes > 1:
        return on_all_nodes(hosts_of_job(arguments.nodes), arguments.gpus, arguments.script)
    return on_this_node(["localhost"], 0, arguments.gpus, ("127.0.0.1", free_port()), arguments.script)


def main() -> None:
    """Parse the command line and become the launcher."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gpus", type=int, required=True, help="GPUs on each node")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--hosts", nargs="+", help="the nodes' names, on one of several nodes")
    parser.add_argument("--meet", nargs=2, metavar=("ADDRESS", "PORT"), help="where the processes meet")
    parser.add_argument("script", nargs=argparse.REMAINDER, help="the training script and its arguments")
    arguments = parser.parse_args()
    arguments.script = arguments.script[1:] if arguments.script[:1] == ["--"] else arguments.script
    claim_gpus(arguments.gpus)
    if not has_gpu():
        os.environ["DS_ACCELERATOR"] = "cpu"
    try:
        line = command(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    os.execvp(line[0], line)


if __name__ == "__main__":
    main()
