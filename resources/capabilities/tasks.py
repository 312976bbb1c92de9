"""Custom tasks of lighteval: its own TruthfulQA, WinoGrande, HellaSwag, ARC and MMLU on small local sets.

Prompts and metrics are lighteval's; only the data differ. They were written for this repository in the
schemas of the public sets, so that the evaluation runs where the Hub cannot be reached. Scores on them
do not compare with scores on the public sets.
"""

import copy
from pathlib import Path

from lighteval.tasks import default_tasks
from lighteval.tasks.lighteval_task import LightevalTaskConfig

HERE = Path(__file__).resolve().parent
SUITE = "custom"


def local(task: LightevalTaskConfig, folder: str, name: str = "", **changes: object) -> LightevalTaskConfig:
    """A task of lighteval on the JSONL files of a folder, one a split."""
    own = copy.deepcopy(task)
    own.name = name or task.name
    own.suite = [SUITE]
    own.hf_repo, own.hf_subset = str(HERE / folder), "default"
    for key, value in changes.items():
        setattr(own, key, value)
    return own


def subject(name: str) -> LightevalTaskConfig:
    """A subject of MMLU; its examples lie in the split `validation`."""
    task = default_tasks.mmlu_abstract_algebra_leaderboard
    return local(task, f"mmlu/{name}", f"mmlu:{name}", few_shots_split="validation")


TASKS_TABLE = [
    local(default_tasks.truthfulqa_mc_leaderboard, "truthfulqa"),
    local(default_tasks.winogrande_leaderboard, "winogrande"),
    local(default_tasks.hellaswag_leaderboard, "hellaswag"),
    local(default_tasks.arc_challenge_leaderboard, "arc"),
    subject("arithmetic"),
    subject("geography"),
]
