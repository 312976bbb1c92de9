"""Killing a workflow with SIGKILL at random moments, and checking what is left of the work.

A run is Snakemake in a session of its own. It is killed with all its jobs a random while after a rule
has started; then the run is unlocked and started again.
"""

import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file

from tiny_project import command, environment

RESUME = ("--rerun-incomplete", "--nolock", "all")
TIMED = ("training_log.jsonl", "training.csv")  # they hold seconds
STARTED = re.compile(r"^(?:local)?rule (\w+):")


@dataclass
class Damage:
    """What the kills met. rules: kills while each rule ran. lost: finished work that was gone afterwards."""

    rules: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return sum(self.rules.values())


def start(project: Path, *arguments: str) -> subprocess.Popen[str]:
    """Snakemake as the leader of a new session, its output line by line."""
    return subprocess.Popen(
        command(*arguments),
        cwd=project,
        env=environment(project),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill_during(project: Path, rule: str, delay: float) -> bool:
    """Start the workflow and kill all of it `delay` seconds after the rule began; False if it never began.

    A run that ends by itself is left as it is.
    """
    process = start(project, *RESUME)
    assert process.stdout
    for line in process.stdout:
        match = STARTED.match(line)
        if match and match[1] == rule:
            time.sleep(delay)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
            return True
    assert process.wait() == 0, f"the run failed before rule {rule} began"
    return False


def finished_work(project: Path) -> dict[str, set[str]]:
    """Finished rows of part files and updates of running trainings, by the output that they belong to."""
    results = project / "results"
    work: dict[str, set[str]] = {}
    for part in results.rglob(".*.part"):
        output = part.with_name(part.name.removeprefix(".").removesuffix(".part"))
        work[str(output)] = set(part.read_text(errors="replace").split("\n")[:-1])
    for state in results.rglob("*.unfinished/**/state.json"):
        output = next(parent for parent in state.parents if parent.name.endswith(".unfinished"))
        made = {f"update {n}" for n in range(1, json.loads(state.read_text())["step"] + 1)}
        work.setdefault(str(output.with_suffix("") / "manifest.json"), set()).update(made)
    return work


def lost_work(before: dict[str, set[str]], after: dict[str, set[str]]) -> list[str]:
    """Outputs that had finished work before, are not there now, and have less of it."""
    return [
        f"{output}: {len(rows - after.get(output, set()))} of {len(rows)}"
        for output, rows in before.items()
        if not Path(output).exists() and not rows <= after.get(output, set())
    ]


def kill_often(project: Path, rules: list[str], seconds: dict[str, float], kills: int, seed: int) -> Damage:
    """Kill the run again and again until there were so many kills; each rule in turn, at random moments.

    seconds: how long each rule takes undisturbed. When a rule is done already, the run starts from nothing.
    """
    generator = random.Random(seed)
    damage = Damage()
    before: dict[str, set[str]] = {}
    for rule in itertools.islice(itertools.cycle(rules), kills):
        delay = generator.uniform(0, seconds[rule] + 0.5)
        if not kill_during(project, rule, delay):
            before = {}
            shutil.rmtree(project / "results")
            assert kill_during(project, rule, delay)
        damage.rules[rule] = damage.rules.get(rule, 0) + 1
        after = finished_work(project)
        damage.lost += lost_work(before, after)
        before = after
    return damage


def differences(one: Path, other: Path, tolerance: float) -> list[str]:
    """Artifacts of two results folders that are not the same.

    Texts and tables byte for byte, weights within a tolerance; what holds seconds is left out.
    """
    found = []
    first, second = artifacts(one), artifacts(other)
    found += [f"{name}: in one run alone" for name in sorted(first.keys() ^ second.keys())]
    for name in sorted(first.keys() & second.keys()):
        if name.endswith(".safetensors"):
            weights, others = load_file(first[name]), load_file(second[name])
            same = weights.keys() == others.keys() and all(
                torch.allclose(weights[key], others[key], atol=tolerance, rtol=0) for key in weights
            )
        else:
            same = first[name].read_bytes() == second[name].read_bytes()
        found += [] if same else [f"{name}: differs"]
    return found


def artifacts(results: Path) -> dict[str, Path]:
    """What a run leaves that must not depend on how often it was killed."""
    return {
        path.relative_to(results).as_posix(): path
        for pattern in ("*.jsonl", "*.csv", "*.safetensors")
        for path in results.rglob(pattern)
        if path.name not in TIMED and not path.is_relative_to(results / "models")
    }


def durations(project: Path) -> dict[str, float]:
    """The longest job of each rule of a finished run, in seconds, in the order in which the rules began."""
    folder = project / "results" / "benchmarks"
    jobs = []
    for record in folder.rglob("*.tsv"):
        seconds = float(record.read_text().splitlines()[1].split("\t")[0])
        rule = record.relative_to(folder).parts[0].removesuffix(".tsv")
        jobs.append((record.stat().st_mtime - seconds, rule, seconds))
    longest: dict[str, float] = {}
    for _, rule, seconds in sorted(jobs):
        longest[rule] = max(seconds, longest.get(rule, 0))
    return longest
