"""Slurm jobs that an earlier Snakemake left behind when it was killed."""

import getpass
import shutil
import subprocess
import time
from pathlib import Path

from characterflow.core.errors import UserError

MARK = "rule_"  # how the Slurm executor begins a job's comment
SECONDS_TO_END = 120


def left_behind(workdir: Path) -> dict[str, str]:
    """Running and waiting jobs that a Snakemake submitted from a folder: Slurm's id to rule and wildcards.

    Empty where there is no Slurm. Raises UserError where squeue fails.
    """
    if shutil.which("squeue") is None:
        return {}
    command = ["squeue", "--noheader", "--user", getpass.getuser(), "--format", "%i|%k|%Z"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"squeue: {done.stderr.strip() or f'exit status {done.returncode}'}")
    jobs = (line.split("|", 2) for line in done.stdout.splitlines())
    return {
        job: comment
        for job, comment, folder in jobs
        if comment.startswith(MARK) and Path(folder) == workdir.resolve()
    }


def cancel_left_behind(workdir: Path) -> list[str]:
    """Cancel those jobs, wait until they are gone, and return what they were.

    Two jobs would otherwise write the same output. What they had finished stays in part files and
    checkpoints. Raises UserError where they do not end.
    """
    jobs = left_behind(workdir)
    if not jobs:
        return []
    subprocess.run(["scancel", *jobs], check=True, capture_output=True)
    end = time.monotonic() + SECONDS_TO_END
    while left := left_behind(workdir).keys() & jobs.keys():
        if time.monotonic() > end:
            raise UserError(f"scancel: jobs {', '.join(sorted(left))} still run after {SECONDS_TO_END} s")
        time.sleep(1)
    return list(jobs.values())


def is_alone(workdir: Path) -> bool:
    """Whether no other Snakemake holds a lock on the folder; the running one has one pair of them."""
    return len(list((workdir / ".snakemake" / "locks").glob("*.input.lock"))) == 1
