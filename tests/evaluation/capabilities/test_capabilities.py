"""General ability: the table from lighteval's results, others' results, figure, section, and a real run."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from characterflow.constitutions import reading
from characterflow.core.errors import UserError
from characterflow.core.files import read_json, write_json, write_jsonl
from characterflow.evaluation.capabilities import section as section_module
from characterflow.evaluation.capabilities.figures import differences
from characterflow.evaluation.capabilities.settings import Task, data_settings, measured_methods
from characterflow.evaluation.capabilities.summary import (
    AVERAGE,
    OWN,
    others,
    read_scores,
    table,
    task_of,
)
from characterflow.evaluation.figures import save
from characterflow.evaluation.intervals import adjusted
from characterflow.evaluation.tables import write_table
from characterflow.planning.stages import jobs, load, load_files
from tiny_models import tiny_adapter, tiny_model
from tiny_project import MODELS, SETTINGS, make_project, snakemake

TASKS = [
    Task("leaderboard|winogrande", 5, "acc"),
    Task("leaderboard|mmlu", 5, "acc"),
    Task("leaderboard|truthfulqa:mc", 0, "truthfulqa_mc2"),
]
QUESTIONS = 200
PYTHON = Path(__file__).parents[3] / ".venv-capabilities" / "bin" / "python"


def record(file: Path, rights: dict[tuple[str, str], np.ndarray]) -> Path:
    """Results of lighteval and the scores beside them. rights: (task, metric) -> a score a question."""
    rows = [
        {"task": task, "example": str(number), "metric": metric, "value": float(value)}
        for (task, metric), values in rights.items()
        for number, value in enumerate(values)
    ]
    results: dict[str, dict[str, float]] = {}
    for (task, metric), values in rights.items():
        results.setdefault(task, {})[metric] = float(np.mean(values))
    write_json(file, {"results": {**results, "all": {"acc": 0.5}}, "packages": {"lighteval": "0.11.0"}})
    pd.DataFrame(rows).to_parquet(file.with_suffix(".parquet"))
    return file


def answers(seed: int, worse: int = 0) -> dict[tuple[str, str], np.ndarray]:
    """Right and wrong answers to every benchmark; of WinoGrande so many right ones became wrong."""
    dice = np.random.default_rng(seed)
    winogrande = (np.arange(QUESTIONS) % 4 > 0).astype(float)
    winogrande[np.flatnonzero(winogrande)[:worse]] = 0.0
    return {
        ("leaderboard|winogrande|5", "acc"): winogrande,
        ("leaderboard|mmlu:algebra|5", "acc"): (np.arange(100) % 2).astype(float),
        ("leaderboard|mmlu:law|5", "acc"): np.ones(50),
        ("leaderboard|truthfulqa:mc|0", "truthfulqa_mc1"): np.array([0.0, 1.0] * 25),
        ("leaderboard|truthfulqa:mc|0", "truthfulqa_mc2"): dice.uniform(size=50),
    }


def measured(folder: Path) -> pd.DataFrame:
    """The table of a base, a persona that is the base, and one that lost on WinoGrande."""
    files = [
        ("base", "base", record(folder / "base.json", answers(0))),
        ("sarcasm", "persona", record(folder / "same.json", answers(0))),
        ("humor", "persona", record(folder / "worse.json", answers(0, worse=40))),
    ]
    return table([read_scores("tiny", persona, method, file) for persona, method, file in files], TASKS)


def row(rows: pd.DataFrame, **wanted: Any) -> pd.Series:
    """The only row with these values."""
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def test_values_errors_and_means_over_subjects(tmp_path: Path) -> None:
    rows = measured(tmp_path)
    winogrande = row(rows, persona="base", task="winogrande")
    assert winogrande["value"] == pytest.approx(0.75) and winogrande["n"] == QUESTIONS
    assert winogrande["standard_error"] == pytest.approx(np.sqrt(0.75 * 0.25 / (QUESTIONS - 1)))
    assert winogrande["value_low"] < 0.75 < winogrande["value_high"] and winogrande["few_shots"] == 5
    mmlu = row(rows, persona="base", task="mmlu")
    assert mmlu["value"] == pytest.approx((0.5 + 1.0) / 2) and mmlu["n"] == 150
    assert mmlu["standard_error"] == pytest.approx(np.sqrt(0.25 / 99) / 2)
    assert set(rows.loc[rows["task"] == "truthfulqa:mc", "metric"]) == {"truthfulqa_mc1", "truthfulqa_mc2"}
    assert rows.groupby("task")["headline"].sum().to_dict() == {
        AVERAGE: 0,
        "mmlu": 3,
        "truthfulqa:mc": 3,
        "winogrande": 3,
    }


def test_an_interval_holds_what_a_share_can_be(tmp_path: Path) -> None:
    right, subjects = np.array([1.0] + [0.0] * 9), ("algebra", "law")
    scores = {(f"leaderboard|mmlu:{subject}|5", "acc"): right for subject in subjects}
    base = read_scores("tiny", "base", "base", record(tmp_path / "base.json", scores))
    mmlu = table([base], [task for task in TASKS if task.title == "mmlu"]).iloc[0]
    assert mmlu["value"] - 1.96 * mmlu["standard_error"] < 0
    assert mmlu["value_low"] == 0
    assert mmlu["value_high"] == pytest.approx(mmlu["value"] + 1.96 * mmlu["standard_error"], abs=1e-4)


def test_a_loss_is_flagged_and_a_copy_of_the_base_is_not(tmp_path: Path) -> None:
    rows = measured(tmp_path)
    lost = row(rows, persona="humor", task="winogrande")
    assert lost["difference"] == pytest.approx(-0.2) and lost["lost"] and lost["pairing"] == "paired"
    assert -0.27 < lost["difference_low"] < -0.2 < lost["difference_high"] < -0.13
    assert rows["lost"].sum() == 1
    same = row(rows, persona="sarcasm", task="winogrande")
    assert same["difference"] == 0 and same["difference_low"] < 0 < same["difference_high"]
    assert row(rows, persona="humor", task=AVERAGE)["difference"] == pytest.approx(-0.2 / 3)
    assert rows.loc[rows["persona"] == "base", "difference"].isna().all()


def test_the_interval_is_bonett_and_price_s() -> None:
    gained, lost, n = 3, 9, 40
    normal = adjusted(np.array([1.0] * gained + [-1.0] * lost + [0.0] * (n - gained - lost)))
    more, less = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    assert normal.value == pytest.approx(more - less)
    assert normal.standard_error == pytest.approx(np.sqrt((more + less - (more - less) ** 2) / (n + 2)))


def test_the_interval_covers_the_true_difference() -> None:
    dice = np.random.default_rng(0)
    covered = []
    for _ in range(1000):
        normal = adjusted(dice.choice([1.0, -1.0, 0.0], p=[0.05, 0.15, 0.8], size=30))
        covered.append(abs(normal.value + 0.1) <= 1.96 * normal.standard_error)
    assert 0.93 < np.mean(covered) < 0.99


def test_many_comparisons_make_a_loss_harder_to_call(tmp_path: Path) -> None:
    base = read_scores("tiny", "base", "base", record(tmp_path / "base.json", answers(0)))
    worse = read_scores("tiny", "humor", "persona", record(tmp_path / "worse.json", answers(0, worse=6)))
    alone = table([base, worse], TASKS[:1])
    among = table(
        [base, worse, *(read_scores("tiny", f"p{i}", "persona", base.file) for i in range(9))], TASKS
    )
    first, second = (row(rows, persona="humor", task="winogrande") for rows in (alone, among))
    assert first["lost"] and first["p"] == second["p"] == first["p_adjusted"] < second["p_adjusted"]
    assert not second["lost"]


def test_results_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    base = read_scores("tiny", "base", "base", record(tmp_path / "base.json", answers(0)))
    fewer = {key: values[:-1] for key, values in answers(0).items()}
    other = read_scores("tiny", "humor", "persona", record(tmp_path / "fewer.json", fewer))
    with pytest.raises(UserError, match=r"fewer\.json: leaderboard\|winogrande: other questions"):
        table([base, other], TASKS)
    with pytest.raises(
        UserError, match=r"leaderboard\|arc\|25: expected the metric acc; there are no results"
    ):
        table([base], [Task("leaderboard|arc", 25, "acc")])
    with pytest.raises(UserError, match="expected the metric f1; found acc"):
        table([base], [Task("leaderboard|winogrande", 5, "f1")])
    edited = read_json(tmp_path / "base.json")
    edited["results"]["leaderboard|winogrande|5"]["acc"] = 0.9
    write_json(tmp_path / "base.json", edited)
    with pytest.raises(UserError, match=r"acc is 0\.9; its questions say 0\.75"):
        read_scores("tiny", "base", "base", tmp_path / "base.json")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("leaderboard|arc:challenge|25", ("arc:challenge", 25)),
        ("winogrande|5", ("winogrande", 5)),
        ("mmlu", ("mmlu", None)),
    ],
)
def test_names_of_tasks(name: str, expected: tuple[str, int | None]) -> None:
    assert task_of(name) == expected


PUBLISHED = [
    {"model": "owl-7b", "task": "leaderboard|winogrande|5", "mean": 0.7, "se": 0.01},
    {"model": "owl-7b", "task": "mmlu", "mean": 0.6, "se": 0.03},
    {"model": "owl-7b-grumpy", "task": "leaderboard|winogrande|5", "mean": 0.62, "se": 0.01},
    {"model": "owl-7b-grumpy", "task": "mmlu", "mean": 0.59, "se": 0.03},
]


def test_others_results_stand_beside_with_unpaired_intervals(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "published.jsonl", PUBLISHED)
    rows = others(tmp_path / "published.jsonl")
    lost = row(rows, persona="grumpy", task="winogrande")
    assert lost["model"] == "owl-7b" and lost["source"] == "published.jsonl" and lost["pairing"] == "unpaired"
    half = 1.959964 * np.hypot(0.01, 0.01)
    assert (lost["difference_low"], lost["difference_high"]) == pytest.approx((-0.08 - half, -0.08 + half))
    assert lost["lost"] and not row(rows, persona="grumpy", task="mmlu")["lost"]
    assert row(rows, persona="base", task="mmlu")["standard_error"] == 0.03
    assert row(rows, persona="grumpy", task=AVERAGE)["difference"] == pytest.approx(-0.045)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"mean": "high"}, "row 1: mean: expected a number from 0 to 1, found 'high'"),
        ({"se": -1}, "row 1: se: expected a number from 0 to 1, found -1"),
        ({"model": ""}, "row 1: model: expected a name, found ''"),
    ],
)
def test_faulty_rows_of_others_are_told(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    write_jsonl(tmp_path / "published.jsonl", [{**PUBLISHED[0], **change}])
    with pytest.raises(UserError, match=expected):
        others(tmp_path / "published.jsonl")


def test_a_number_that_stands_twice_is_told(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "published.jsonl", [PUBLISHED[0], PUBLISHED[0]])
    with pytest.raises(UserError, match=r"row 2: owl-7b has leaderboard\|winogrande\|5 twice"):
        others(tmp_path / "published.jsonl")


def whole_table(folder: Path) -> pd.DataFrame:
    """Own results with others' beside them, as the rule writes them."""
    write_jsonl(folder / "published.jsonl", PUBLISHED)
    tables = [measured(folder), others(folder / "published.jsonl")]
    return pd.concat([part.dropna(axis="columns", how="all") for part in tables], ignore_index=True)


def test_the_figure_has_a_panel_a_benchmark_and_a_row_a_model(tmp_path: Path) -> None:
    figure = differences(whole_table(tmp_path))
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["winogrande", "mmlu", "truthfulqa:mc", "", "", ""]
    assert [figure.axes[i].get_ylabel() for i in (0, 3)] == ["tiny", "owl-7b\n(published.jsonl)"]
    save(figure, tmp_path / "capabilities.svg")
    assert "lost more than noise" in (tmp_path / "capabilities.svg").read_text()


def test_the_section_says_what_was_lost(tmp_path: Path) -> None:
    write_table(whole_table(tmp_path), tmp_path / "tables" / "capabilities.csv")
    settings = {"custom_tasks": "mine.py"}
    found = section_module.section(tmp_path, {"evaluation": {"capabilities": settings}})
    same, lost = found.findings
    assert same.text.startswith("No loss beyond noise on any benchmark.") and same.shown is False
    assert lost.text.startswith("Lost more than noise on winogrande −20.0 points (95% interval −")
    assert lost.value.startswith("−6.7 (")
    assert "published.jsonl" in found.about
    assert "mine.py" in found.warnings[0] and found.warnings[1].startswith(
        "Only 50 questions of truthfulqa:mc"
    )


def test_the_benchmarks_are_the_paper_s_by_default(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.chdir(root)
    configuration = load_files([Path("config/config.yaml")])
    assert "capabilities" in configuration.run["evaluation"]["include"]
    assert data_settings(configuration).tasks == [
        "leaderboard|truthfulqa:mc|0",
        "leaderboard|winogrande|5",
        "leaderboard|hellaswag|10",
        "leaderboard|arc:challenge|25",
        "leaderboard|mmlu|5",
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"tasks": [{"task": "mmlu", "few_shots": 5, "metric": "acc"}]},
            r"tasks\.0\.task: expected suite\|task",
        ),
        ({"custom_tasks": "nowhere.py"}, r"custom_tasks: nowhere\.py: no such file"),
        ({"others": "nowhere.jsonl"}, r"others: nowhere\.jsonl: no such file"),
        ({"tasks": [{"task": "a|b", "few_shots": 5, "metric": "acc"}] * 2}, "tasks: b occurs twice"),
    ],
)
def test_faulty_settings_get_one_line(
    monkeypatch: pytest.MonkeyPatch, root: Path, change: dict[str, Any], expected: str
) -> None:
    monkeypatch.chdir(root)
    run = yaml.safe_load(Path("config/demo.yaml").read_text())
    evaluation = {**run["evaluation"], "include": ["capabilities"], "capabilities": change}
    with pytest.raises(UserError, match=expected):
        load({**run, "evaluation": evaluation})


def test_only_the_base_is_nothing_to_compare(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.chdir(root)
    run = yaml.safe_load(Path("config/demo.yaml").read_text())
    evaluation = {**run["evaluation"], "include": ["capabilities"], "methods": ["prompted"]}
    with pytest.raises(UserError, match="expected persona or a name of"):
        measured_methods(load({**run, "evaluation": evaluation}))


def test_the_plan_counts_questions(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.chdir(root)
    run = yaml.safe_load(Path("config/config.yaml").read_text())
    task = {"task": "leaderboard|mmlu", "few_shots": 5, "metric": "acc"}
    settings = {"tasks": [task], "max_samples": 10}
    evaluation = {"include": ["capabilities"], "capabilities": settings}
    configuration = load({**run, "models": ["llama-3.1-8b"], "personas": ["humor"], "evaluation": evaluation})
    found = {
        job.rule: job
        for job in jobs(configuration, {"humor": reading.load(Path("constitutions/humor.yaml"))})
    }
    assert found["capabilities"].asked.requests == 57 * 10 * 4
    assert found["base_capabilities"].read_tokens == found["capabilities"].asked.prompt_tokens > 0


@pytest.fixture(scope="session")
def lighteval() -> Path:
    """The interpreter of lighteval's environment, which `make capabilities-environment` makes."""
    if not PYTHON.exists():
        pytest.fail(f"{PYTHON}: no such file; make capabilities-environment makes it")
    return PYTHON


@pytest.mark.slow
def test_a_run_measures_base_and_personas(lighteval: Path, tmp_path: Path) -> None:
    """The rules on tiny models, with lighteval, on the repository's own questions and without any network."""
    demo = yaml.safe_load((Path(__file__).parents[3] / "config" / "demo-capabilities.yaml").read_text())
    project_settings = {**SETTINGS, "personas": ["sarcasm"]}
    tiny_model(tmp_path / "base")
    tiny_adapter(tmp_path / "adapter", tmp_path / "base")
    project_settings["evaluation"] = {
        **SETTINGS["evaluation"],
        "include": ["capabilities"],
        "methods": ["theirs"],
        "adapters": {"theirs": {"folder": str(tmp_path / "adapter")}},
        "capabilities": {**demo["evaluation"]["capabilities"], "max_samples": 5, "python": str(lighteval)},
    }
    project = make_project(tmp_path / "project", project_settings, MODELS)
    target = "results/figures/capabilities.svg"
    done = snakemake(project, target, variables={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")})
    assert done.returncode == 0, done.stdout[-4000:]
    rows = pd.read_csv(project / "results" / "tables" / "capabilities.csv")
    assert set(rows["source"]) == {OWN} and set(rows["method"]) == {"base", "theirs"}
    headlines = rows[rows["headline"]]
    assert headlines.groupby("task")["n"].first().to_dict() == {
        "arc:challenge": 5,
        "hellaswag": 5,
        "mmlu": 10,
        "truthfulqa:mc": 5,
        "winogrande": 5,
    }
    compared = headlines[headlines["method"] == "theirs"]
    assert (compared["difference_low"] <= compared["difference"]).all()
    folded = project / "results" / "tiny" / "sarcasm" / "evaluation" / "capabilities" / "theirs.json"
    assert read_json(folded)["packages"]["lighteval"] == "0.11.0"
    assert (project / target).read_text().startswith("<?xml")


@pytest.mark.slow
def test_what_lighteval_cannot_do_is_one_line(lighteval: Path, tmp_path: Path, root: Path) -> None:
    for task, expected in (
        ("custom|nothing|5", "error: evaluation.capabilities.tasks: Cannot find task custom|nothing"),
        ("leaderboard|winogrande|5", "error: evaluation.capabilities: the data sets cannot be had ("),
    ):
        settings = {"tasks": [task], "custom_tasks": "resources/capabilities/tasks.py"}
        command = [lighteval, "scripts/capabilities_data.py", "--output", tmp_path / "data.json"]
        command += ["--log", tmp_path / "log"]
        done = subprocess.run(
            [*command, "--settings", json.dumps(settings)],
            cwd=root,
            env={
                **os.environ,
                "PYTHONPATH": str(root / "src"),
                "HF_HUB_OFFLINE": "1",
                "HF_HOME": str(tmp_path),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2 and expected in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1
