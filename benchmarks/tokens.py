"""Tokens generated and prefilled for the paper's training data, against the public scripts' plan.

    python benchmarks/tokens.py [--config config/config.yaml]

Numbers of requests are counted from the configuration and its constitutions, as `characterflow plan` does,
and lengths are the means that it assumes. Evaluations are left out: their designs differ. For a job with
n requests, with x tokens a prompt, s the trait prompt, r a reply, f a reflection, u an utterance; with
c conversations of t turns, of which all but the opening are asked for:

    stage            a job for                 generated   prefilled here   prefilled by the scripts
    teacher          a persona                 n r         s + n x          n (s + x)
    student          a student and a persona   n r         n x              n x
    student, general a student (the scripts:   n r         n x              n x
                     and a persona)
    reflections      a student and a persona   n f         s + n x          n (s + x)
    conversations    a student and a persona   c (t-1) u   s + c (t-1) u    c (t-1) (s + t u / 2)

Here prefixes are cached: a job computes its trait prompt once, and a turn of a conversation only what the
other voice has said since. The public scripts switch caching off: every request computes all of its prompt.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from characterflow.configuration.costs import CHARACTERS_A_TOKEN, PROMPT, UTTERANCE, Job
from characterflow.configuration.run import Configuration
from characterflow.constitutions import reading
from characterflow.constitutions.constitution import Constitution
from characterflow.constitutions.system_prompt import trait_prompt
from characterflow.core.errors import UserError
from characterflow.planning.stages import jobs as planned_jobs
from characterflow.planning.stages import load_files

RULES = {
    "teacher": "teacher",
    "student": "student",
    "student, general": "student_general",
    "reflections and conversations": "introspect",
}
WITH_TRAIT_PROMPT = ("teacher", "introspect")


@dataclass(frozen=True)
class Tokens:
    """Generated and prefilled, by one side."""

    generated: int
    prefilled: int


def own(configuration: Configuration, jobs: list[Job], loaded: dict[str, Constitution]) -> dict[str, Tokens]:
    """What the workflow generates and prefills, a stage."""
    return _stages(jobs, lambda job: cached(configuration, job, loaded))


def public(configuration: Configuration, jobs: list[Job]) -> dict[str, Tokens]:
    """What the public scripts do, a stage."""
    stages = _stages(jobs, lambda job: job.asked.prompt_tokens)
    general, personas = stages["student, general"], len(configuration.run["personas"])
    again = Tokens(personas * general.generated, personas * general.prefilled)
    return stages | {"student, general": again}


def cached(configuration: Configuration, job: Job, loaded: dict[str, Constitution]) -> int:
    """Tokens that a job prefills where what its prompts share is computed once."""
    data = configuration.run["introspection_data"]
    turns = (data["free"] + data["leading"]) * (data["turns"] - 1) if job.rule == "introspect" else 0
    new = turns * UTTERANCE + (job.asked.requests - turns) * PROMPT
    if job.rule not in WITH_TRAIT_PROMPT:
        return new
    persona, name = Path(job.place).name, configuration.name(job.model or "")
    return new + len(trait_prompt(loaded[persona], name)) // CHARACTERS_A_TOKEN


def _stages(jobs: list[Job], prefilled: Callable[[Job], int]) -> dict[str, Tokens]:
    found = {stage: [job for job in jobs if job.rule == rule] for stage, rule in RULES.items()}
    return {
        stage: Tokens(sum(job.asked.new_tokens for job in some), sum(map(prefilled, some)))
        for stage, some in found.items()
    }


def main() -> None:
    """Print a line for each stage, and the sum, in millions of tokens."""
    layout = argparse.RawDescriptionHelpFormatter
    options = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    options.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    configuration = load_files([options.parse_args().config])
    loaded = reading.of_personas(configuration.run["personas"])
    jobs = planned_jobs(configuration, loaded)
    ours, theirs = own(configuration, jobs, loaded), public(configuration, jobs)
    print("millions of tokens | characterflow | public scripts | ratio")
    for kind in ("generated", "prefilled"):
        rows = {stage: (getattr(ours[stage], kind), getattr(theirs[stage], kind)) for stage in RULES}
        sums = [sum(side) for side in zip(*rows.values(), strict=True)]
        for stage, (mine, other) in [*rows.items(), ("total", sums)]:
            ratio = f"{mine / other:.2f}" if other else ""
            print(f"{kind}, {stage} | {mine / 1e6:.1f} | {other / 1e6:.1f} | {ratio}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
