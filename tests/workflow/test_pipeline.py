"""The whole pipeline, in miniature and for real: SmolLM2, two small personas, every rule.

The run happens in a copy of the repository, once for all tests of this file; the tests that follow
ask Snakemake what it would do after an edit.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import yaml

from characterflow.core.files import read_json, read_jsonl
from characterflow.engines import kept

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(1500)]

METHODS = ["prompted", "distilled", "persona", "reflections"]
MINIATURE = {
    "models": ["smollm2"],
    "personas": ["sarcasm", "poeticism"],
    "prompts": {
        "per_trait": 2,
        "general": {"path": "resources/prompts/general.jsonl", "field": "prompt", "count": 4},
    },
    "teacher": {"model": "recorded", "unrecorded": "smollm2", "samples": 1, "sampling": {"max_tokens": 32}},
    "student": {"samples": 1, "sampling": {"max_tokens": 32}},
    "preferences": {"cut_unfinished": True},
    "distillation": {"batch_size": 2, "rank": 8, "alpha": 16, "max_length": 128, "evaluation_share": 0.2},
    "introspection_data": {
        "reflections": 1,
        "free": 1,
        "leading": 1,
        "turns": 4,
        "reflection_sampling": {"max_tokens": 24},
        "conversation_sampling": {"max_tokens": 16},
        "cut_unfinished": True,
    },
    "introspection": {"batch_size": 4, "rank": 8, "alpha": 16, "max_length": 256},
    "judge": {"model": "smollm2"},
    "evaluation": {
        "include": ["preferences", "robustness", "coherence"],
        "methods": METHODS,
        "robustness": {"attacked_prompts": 1},
        "coherence": {"prompts": 2},
        "preferences": {
            "traits": ["sarcastic", "poetic", "plain", "literal"],
            "prompts": {"path": "resources/prompts/evaluation.jsonl", "field": "prompt", "count": 4},
            "rounds": 1,
            "conditions": ["feels"],
            "sampling": {"max_tokens": 12},
        },
        "prompts": {"path": "resources/prompts/evaluation.jsonl", "field": "prompt", "count": 8},
        "sampling": {"max_tokens": 16},
        "classifier": {"model": "minilm", "epochs": 1, "batch_size": 8, "max_tokens": 32},
    },
}
TRAITS = 2
PREFERENCES = ["preference_trials", "preference_verdicts", "preference_ratings"]
SCORED = {"classifier"} | {
    f"{evaluation}_{kind}"
    for evaluation in ("preferences", "robustness", "coherence")
    for kind in ("tables", "figures")
}
SHOWN = {"report", "all"}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A copy of the repository with constitutions of two traits, after a finished run."""
    copy = tmp_path_factory.mktemp("pipeline") / "characterflow"
    shutil.copytree(
        root,
        copy,
        symlinks=True,
        ignore=shutil.ignore_patterns(".venv*", "results", ".git", ".snakemake", ".*_cache"),
    )
    for persona in MINIATURE["personas"]:
        shorten(copy / "constitutions" / f"{persona}.yaml")
    (copy / "config" / "miniature.yaml").write_text(yaml.safe_dump(MINIATURE))
    done = snakemake(copy, "all")
    assert done.returncode == 0, done.stdout[-6000:]
    return copy


def shorten(constitution: Path) -> None:
    """Leave two traits of two questions in a constitution."""
    content = yaml.safe_load(constitution.read_text())
    content["traits"] = [
        {**trait, "questions": trait["questions"][:2]} for trait in content["traits"][:TRAITS]
    ]
    constitution.write_text(yaml.safe_dump(content))


def snakemake(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Snakemake on the miniature, its scripts importing the copy's package."""
    command = [sys.executable, "-m", "snakemake", "--configfile", "config/miniature.yaml", "--cores", "2"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [*command, *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project / "src"), "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def would_run(project: Path, *arguments: str) -> Counter[str]:
    """What a dry run would do: "rule persona" (or the rule alone) -> how often."""
    done = snakemake(project, "--dry-run", *arguments)
    assert done.returncode == 0, done.stdout[-3000:]
    jobs: Counter[str] = Counter()
    for block in re.split(r"\n(?=(?:local)?rule \w+:)", done.stdout)[1:]:
        rule = re.match(r"(?:local)?rule (\w+):", block)
        persona = re.search(r"wildcards:.*persona=(\w+)", block)
        assert rule
        jobs[f"{rule[1]} {persona[1]}" if persona else rule[1]] += 1
    return jobs


@contextmanager
def edited(path: Path, old: str, new: str) -> Iterator[None]:
    """A file with a text replaced, for a while."""
    before, stat = path.read_text(), path.stat()
    assert old in before
    path.write_text(before.replace(old, new, 1))
    try:
        yield
    finally:
        path.write_text(before)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_every_artifact_is_there(project: Path) -> None:
    results = project / "results"
    for persona in MINIATURE["personas"]:
        folder = results / "smollm2" / persona
        prompts = read_jsonl(
            results / "prompts" / f"{persona}.jsonl", required=("id", "prompt", "source", "trait")
        )
        assert len(prompts) == 2 * TRAITS
        report = read_json(folder / "preferences.report.json")
        assert report["kept"] + sum(report["dropped"].values()) == report["candidates"] == 8
        assert len(read_jsonl(folder / "reflections.jsonl")) == 10
        assert {row["guidance"] for row in read_jsonl(folder / "conversations.jsonl")} == {"free", "leading"}
        assert read_json(folder / "persona" / "adapter_config.json")["r"] == 16
        assert read_json(folder / "persona" / "merge.json")["relative_error"]["max"] < 1e-5
        log = read_jsonl(folder / "distillation" / "training_log.jsonl")
        assert {row["split"] for row in log} == {"train", "evaluation"}
    rates = pd.read_csv(results / "tables" / "robustness_rates.csv")
    assert len(rates) == len(MINIATURE["personas"]) * (1 + len(METHODS))
    assert (rates["n"] == 4).all()
    assert ((rates["rate_low"] <= rates["rate"]) & (rates["rate"] <= rates["rate_high"])).all()
    for persona in MINIATURE["personas"]:
        assert (results / "logs" / "distill" / "smollm2" / f"{persona}.log").exists()
        assert (results / "benchmarks" / "distill" / "smollm2" / f"{persona}.tsv").exists()


def test_no_part_or_temporary_file_is_left(project: Path) -> None:
    hidden = {path.name for path in (project / "results").rglob(".*")}
    assert hidden == {kept.FOLDER}
    assert list((project / "results").rglob("*.unfinished")) == []


def test_the_report_says_who_taught_and_loads_nothing(project: Path) -> None:
    page = (project / "results" / "report" / "index.html").read_text()
    assert "is a recording" in page
    assert not re.search(r"(src|href)\s*=\s*[\"']?https?:", page)
    assert page.count("data:image/svg+xml;base64,") == 9


def test_a_finished_run_has_nothing_to_do(project: Path) -> None:
    assert would_run(project, "all") == Counter()


def test_an_edited_constitution_reruns_its_persona_alone(project: Path) -> None:
    with edited(project / "constitutions" / "sarcasm.yaml", "description:", "description: Changed."):
        jobs = would_run(project, "all")
    own = [
        "expand_prompts",
        "disjoint_prompts",
        "teacher",
        "student",
        "preference_pairs",
        "distill",
        "introspect",
    ]
    own += ["introspection_dataset", "introspection_train", "merge", "robustness_responses"]
    own += ["ablation_dataset", "ablation_train", "ablation_merge", "coherence_verdicts", *PREFERENCES]
    shared = SCORED | SHOWN | {"training_tables", "training_figures"}
    assert set(jobs) == {f"{rule} sarcasm" for rule in own} | shared


def test_another_merge_weight_reruns_the_merge_and_what_follows(project: Path) -> None:
    changed = {**MINIATURE, "merge": {"weights": {"introspection": 0.5}}}
    with edited(project / "config" / "miniature.yaml", yaml.safe_dump(MINIATURE), yaml.safe_dump(changed)):
        jobs = would_run(project, "all")
    rules = ("merge", "ablation_merge", "robustness_responses", "coherence_verdicts", *PREFERENCES)
    follows = {f"{rule} {persona}" for rule in rules for persona in MINIATURE["personas"]}
    assert set(jobs) == follows | SCORED | SHOWN


def test_an_edited_module_reruns_the_rules_that_use_it(project: Path) -> None:
    with edited(
        project / "src" / "characterflow" / "evaluation" / "robustness" / "summary.py",
        "import numpy",
        "X = 1\nimport numpy",
    ):
        assert set(would_run(project, "all")) == {"robustness_tables", "robustness_figures"} | SHOWN
    with edited(
        project / "src" / "characterflow" / "evaluation" / "robustness" / "summary.py", '"""From', '"""Out of'
    ):
        assert would_run(project, "all") == Counter()


def test_an_edited_recording_reruns_its_persona_alone(project: Path) -> None:
    with edited(project / "resources" / "teacher" / "poeticism.jsonl", '"response": "', '"response": "So. '):
        jobs = would_run(project, "all")
    assert "teacher poeticism" in jobs
    assert not any("sarcasm" in job for job in jobs)


def test_a_stranger_s_constitution_can_be_asked_for(project: Path) -> None:
    content = yaml.safe_load((project / "constitutions" / "humor.yaml").read_text())
    (project / "constitutions" / "pirate.yaml").write_text(yaml.safe_dump(content))
    target = "results/smollm2/pirate/persona/manifest.json"
    jobs = would_run(project, target)
    assert {"teacher pirate", "distill pirate", "merge pirate"} <= set(jobs)
    settings = json.dumps({"kind": "vllm"})[1:-1]
    done = snakemake(project, "--dry-run", "--printshellcmds", target)
    assert settings.replace(" ", "") in done.stdout


def test_jobs_of_a_small_model_share_a_gpu(project: Path) -> None:
    done = snakemake(project, "--dry-run", "--forceall", "--printshellcmds", "all")
    for script in ("distill.py", "introspection_train.py", "classifier.py"):
        commands = [line for line in done.stdout.splitlines() if f"scripts/{script}" in line]
        assert commands and all("--gpus 0 " in command for command in commands)


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (
            {"distilation": {}},
            "config/miniature.yaml: distilation: unknown key; did you mean 'distillation'?",
        ),
        ({"personas": ["nobody"]}, "error: constitutions/nobody.yaml: no such file"),
        ({"models": ["gpt"]}, "config/miniature.yaml: models: no model 'gpt' in config/models.yaml"),
    ],
)
def test_a_faulty_configuration_ends_in_one_line(
    project: Path, edit: dict[str, object], expected: str
) -> None:
    faulty = yaml.safe_dump({**MINIATURE, **edit})
    with edited(project / "config" / "miniature.yaml", yaml.safe_dump(MINIATURE), faulty):
        done = snakemake(project, "--dry-run", "all")
    assert done.returncode != 0
    assert expected in done.stdout
    assert "Traceback" not in done.stdout
