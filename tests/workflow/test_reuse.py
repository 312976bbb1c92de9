"""A changed run keeps the samples that are still right, and ends in the files of a run from nothing.

What was generated is what the engine itself counted, in the last line of a job's log.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from characterflow.core.files import read_jsonl
from characterflow.engines import kept
from tiny_project import CONFIGURATION, ROOT, SETTINGS, make_project, shorten, snakemake

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(1200)]

TRAITS, QUESTIONS, GENERAL = 2, 5, 10
METHODS = ["prompted", "distilled", "persona"]
GENERAL_REPLIES, REPLIES = "results/tiny/general.jsonl", "results/tiny/sarcasm/student.jsonl"
ANSWERS = "results/tiny/sarcasm/evaluation/robustness.jsonl"
CONSTITUTION = Path("constitutions/sarcasm.yaml")
RUN: dict[str, Any] = {
    **SETTINGS,
    "personas": ["sarcasm"],
    "prompts": {"per_trait": QUESTIONS, "general": {**SETTINGS["prompts"]["general"], "count": GENERAL}},
    "evaluation": {**SETTINGS["evaluation"], "include": ["robustness"], "methods": METHODS},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after a run."""
    project = make_project(tmp_path_factory.mktemp("finished") / "project", RUN)
    shutil.copy(ROOT / CONSTITUTION, project / CONSTITUTION)
    shorten(project / CONSTITUTION, TRAITS, QUESTIONS)
    done = snakemake(project, ANSWERS)
    assert done.returncode == 0, done.stdout[-4000:]
    return project


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy of that project."""
    return Path(shutil.copytree(finished, tmp_path / "project", symlinks=True))


def edit(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = yaml.safe_load(file.read_text())
    change(content)
    file.write_text(yaml.safe_dump(content))


def generated(project: Path, output: str, rule: str) -> dict[str, int]:
    """Run the workflow up to an output; requests and tokens that the engine counted in the rule's job."""
    done = snakemake(project, output)
    assert done.returncode == 0, done.stdout[-4000:]
    [log] = (project / "results/logs" / rule).rglob("*.log")
    [line] = [line for line in log.read_text().splitlines() if line.startswith("engine ")]
    counted = json.loads(line.removeprefix("engine "))
    return {name: counted[name] for name in ("requests", "completion_tokens")}


def check_against_a_run_from_nothing(
    project: Path, output: str, rule: str, is_new: Callable[[dict[str, Any]], bool]
) -> None:
    """Let a changed run make an output, then from nothing; what it generated are the new rows alone."""
    file = project / output
    again = generated(project, output, rule)
    content, rows = file.read_bytes(), read_jsonl(file)
    new = [row for row in rows if is_new(row)]
    assert 0 < len(new) < len(rows)
    assert again["requests"] == len(new)
    assert again["completion_tokens"] == sum(row["completion_tokens"] for row in new)
    kept_rows = len(rows) - len(new)
    log = (project / "results/logs" / rule).rglob("*.log")
    assert f"{kept_rows} of {len(rows)} " in "".join(path.read_text() for path in log)
    shutil.rmtree(file.parent / kept.FOLDER)
    file.unlink()
    assert generated(project, output, rule)["requests"] == len(rows)
    assert file.read_bytes() == content


def test_more_general_prompts_are_answered_beside_those_before(project: Path) -> None:
    before = {row["prompt_id"] for row in read_jsonl(project / GENERAL_REPLIES)}
    edit(project / CONFIGURATION, lambda run: run["prompts"]["general"].update(count=GENERAL + 2))
    check_against_a_run_from_nothing(
        project, GENERAL_REPLIES, "student_general", lambda row: row["prompt_id"] not in before
    )
    assert len(before) == GENERAL == len(read_jsonl(project / GENERAL_REPLIES)) - 2


def test_an_edited_question_alone_is_answered_again(project: Path) -> None:
    before = {row["prompt_id"] for row in read_jsonl(project / REPLIES)}
    edit(
        project / CONSTITUTION, lambda made: made["traits"][1]["questions"].__setitem__(0, "Is a zebra loud?")
    )
    check_against_a_run_from_nothing(project, REPLIES, "student", lambda row: row["prompt_id"] not in before)
    after = {row["prompt_id"] for row in read_jsonl(project / REPLIES)}
    assert len(after - before) == 1 and len(after) == TRAITS * QUESTIONS


def test_another_merge_weight_leaves_the_answers_of_other_methods(project: Path) -> None:
    before = [row for row in read_jsonl(project / ANSWERS) if row["method"] != "persona"]
    edit(project / CONFIGURATION, lambda run: run.update(merge={"weights": {"introspection": 1.0}}))
    check_against_a_run_from_nothing(
        project, ANSWERS, "robustness_responses", lambda row: row["method"] == "persona"
    )
    assert [row for row in read_jsonl(project / ANSWERS) if row["method"] != "persona"] == before
