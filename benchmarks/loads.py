"""How often a model is loaded in the paper's run: this workflow's jobs against the public scripts' processes.

    python benchmarks/loads.py [--config config/config.yaml]

The workflow's figures are counted from its jobs, as `characterflow plan` lists them. The public scripts'
follow from how they are called (M students, P personas), for the stages that both have:

    teacher          1        one process plays all personas
    student          M        one process a student
    distillation     2 M P    OpenRLHF's train_dpo holds the policy and a reference
    introspection data  3 M P    self_reflection, and self_interaction with and without --leading
    introspection    M P      train_sft, on the distilled model
    preferences      3 M (P + 1)    a process for each condition, of every persona and of the base
    coherence        1        one judge for all

Where theirs is lower, one process serves all personas: an edited constitution then reruns them all.
"""

import argparse
import sys
from pathlib import Path

from characterflow.configuration.run import Configuration
from characterflow.constitutions import reading
from characterflow.core.errors import UserError
from characterflow.planning.stages import jobs as planned_jobs
from characterflow.planning.stages import load_files

TRAINING = ("distill", "introspection_train")
RULES = {
    "teacher": ("teacher",),
    "student": ("student", "student_general"),
    "distillation": ("distill",),
    "introspection data": ("introspect",),
    "introspection": ("introspection_train",),
    "preferences": ("preference_trials", "base_preference_trials"),
    "coherence": ("coherence_verdicts",),
}


def public(models: int, personas: int) -> dict[str, int]:
    """Loads of the public scripts, a stage."""
    return {
        "teacher": 1,
        "student": models,
        "distillation": 2 * models * personas,
        "introspection data": 3 * models * personas,
        "introspection": models * personas,
        "preferences": 3 * models * (personas + 1),
        "coherence": 1,
    }


def own(configuration: Configuration) -> dict[str, int]:
    """Loads of the workflow, a stage; a stage that the run has not is left out."""
    jobs = planned_jobs(configuration, reading.of_personas(configuration.run["personas"]))
    loads = {
        stage: sum(max(job.loads, job.rule in TRAINING) for job in jobs if job.rule in rules)
        for stage, rules in RULES.items()
    }
    return {stage: count for stage, count in loads.items() if count}


def main() -> None:
    """Print a line for each stage, and the sum."""
    layout = argparse.RawDescriptionHelpFormatter
    options = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    options.add_argument("--config", type=Path, default=Path("config/config.yaml"))
    configuration = load_files([options.parse_args().config])
    counted = own(configuration)
    theirs = public(len(configuration.run["models"]), len(configuration.run["personas"]))
    print("stage | characterflow | public scripts | ratio")
    for stage, count in counted.items():
        print(f"{stage} | {count} | {theirs[stage]} | {count / theirs[stage]:.2f}")
    mine, other = sum(counted.values()), sum(theirs[stage] for stage in counted)
    print(f"total | {mine} | {other} | {mine / other:.2f}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
