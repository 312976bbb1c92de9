"""The cost of a run: planned by hand-computed numbers, measured from a results folder."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from characterflow.command_line import main
from characterflow.configuration.costs import Job
from characterflow.configuration.run import Configuration
from characterflow.constitutions import reading
from characterflow.constitutions.constitution import Constitution
from characterflow.constitutions.system_prompt import trait_prompt
from characterflow.core.errors import UserError
from characterflow.planning.costs import (
    RuleCost,
    dominant,
    measured,
    models_without_throughput,
    planned,
    total,
)
from characterflow.planning.stages import jobs, load, load_files
from characterflow.report.settings import report_settings

DEMO_JOBS = {
    "fetch_model": 2,
    "expand_prompts": 2,
    "general_prompts": 1,
    "evaluation_prompts": 1,
    "disjoint_prompts": 2,
    "teacher": 2,
    "student_general": 1,
    "student": 2,
    "preference_pairs": 2,
    "distill": 2,
    "introspect": 2,
    "introspection_dataset": 2,
    "introspection_train": 2,
    "merge": 2,
    "preference_prompts": 1,
    "preference_design": 1,
    "base_preference_trials": 1,
    "base_preference_verdicts": 1,
    "base_preference_ratings": 1,
    "preference_trials": 2,
    "preference_verdicts": 2,
    "preference_ratings": 2,
    "preferences_tables": 1,
    "preferences_figures": 1,
    "base_robustness_responses": 1,
    "robustness_responses": 2,
    "steering_vectors": 2,
    "steering_strength": 2,
    "steered_responses": 2,
    "classifier": 1,
    "robustness_tables": 1,
    "coherence_verdicts": 2,
    "coherence_tables": 1,
    "coherence_figures": 1,
    "robustness_figures": 1,
    "training_tables": 1,
    "training_figures": 1,
    "report": 1,
}
# One small model, two personas with ten traits of five questions each, in numbers easy to multiply.
SMALL: dict[str, Any] = {
    "models": ["smollm2"],
    "personas": ["sarcasm", "poeticism"],
    "prompts": {
        "per_trait": 5,
        "general": {"path": "resources/prompts/general.jsonl", "field": "prompt", "count": 50},
    },
    "teacher": {"model": "recorded", "samples": 1, "sampling": {"max_tokens": 96}},
    "student": {"samples": 1, "sampling": {"max_tokens": 64}},
    "distillation": {"max_length": 256, "rank": 64},
    "introspection_data": {
        "reflections": 3,
        "free": 6,
        "leading": 6,
        "turns": 4,
        "reflection_sampling": {"max_tokens": 80},
        "conversation_sampling": {"max_tokens": 48},
    },
    "introspection": {"max_length": 512, "epochs": 2},
    "judge": {"model": "smollm2"},
    "evaluation": {
        "include": ["robustness", "coherence"],
        "methods": ["prompted", "steered", "distilled", "persona"],
        "robustness": {"attacked_prompts": 5, "continuation_turns": 2},
        "steering": {
            "prompts": 16,
            "sampling": {"max_tokens": 32},
            "search": {"strengths": [0.2, 0.4], "prompts": 10},
        },
        "coherence": {"prompts": 10},
        "prompts": {"path": "resources/prompts/evaluation.jsonl", "field": "prompt", "count": 90},
        "sampling": {"max_tokens": 48},
        "classifier": {"model": "minilm", "epochs": 4, "test_share": 0.5, "max_tokens": 64},
    },
}


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.chdir(root)


def loaded(configuration: Configuration) -> dict[str, Constitution]:
    return {
        name: reading.load(Path("constitutions", f"{name}.yaml")) for name in configuration.run["personas"]
    }


def jobs_of(configuration: Configuration) -> list[Job]:
    return jobs(configuration, loaded(configuration))


def plan_of(configuration: Configuration) -> dict[str, RuleCost]:
    return {cost.rule: cost for cost in planned(configuration, jobs_of(configuration))}


def test_demo_has_the_jobs_of_the_workflow() -> None:
    costs = plan_of(load_files([Path("config/demo.yaml")]))
    assert {rule: cost.jobs for rule, cost in costs.items()} == DEMO_JOBS


@pytest.mark.pipeline
@pytest.mark.parametrize("name", ["demo", "mini-paper", "config"])
def test_jobs_are_those_that_snakemake_would_run(tmp_path: Path, root: Path, name: str) -> None:
    for folder in ("config", "constitutions", "resources"):
        (tmp_path / folder).symlink_to(root / folder)
    snakemake = Path(sys.executable).with_name("snakemake")
    options = ["--snakefile", str(root / "Snakefile"), "--directory", str(tmp_path), "--quiet", "rules"]
    config = ["--configfile", f"config/{name}.yaml"]
    done = subprocess.run(
        [str(snakemake), "-n", *options, *config], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    wanted = {
        rule: int(jobs) for rule, jobs in re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M)
    }
    wanted = {rule: count for rule, count in wanted.items() if rule not in ("all", "total")}
    costs = plan_of(load_files([root / "config" / f"{name}.yaml"]))
    assert {rule: cost.jobs for rule, cost in costs.items()} == wanted


def test_requests_and_tokens_of_a_small_run() -> None:
    costs = plan_of(load(SMALL))
    figures = {
        rule: (cost.requests, cost.new_tokens, cost.trained_tokens, cost.loads)
        for rule, cost in costs.items()
        if cost.requests or cost.trained_tokens
    }
    asked = 90 + 5 * 8 + 5 * 2
    assert figures == {
        "student_general": (50, 50 * 64, 0, 1),
        "student": (2 * 50, 2 * 50 * 64, 0, 2),
        "distill": (0, 0, 2 * 100 * ((40 + 96) + (40 + 64)), 0),
        "introspect": (2 * (30 + 12 * 3), 2 * (30 * 80 + 36 * 48), 0, 2),
        "introspection_train": (0, 0, 2 * 2 * (30 * (40 + 80) + 12 * (40 + 4 * 48)), 0),
        "base_robustness_responses": (asked, asked * 48, 0, 1),
        "robustness_responses": (2 * 3 * asked, 2 * 3 * asked * 48, 0, 2),
        "steering_vectors": (2 * 16, 2 * 16 * 32, 0, 2),
        "steering_strength": (2 * 3 * 10, 2 * 3 * 10 * 48, 0, 2),
        "steered_responses": (2 * asked, 2 * asked * 48, 0, 2),
        "classifier": (0, 0, 4 * 90 * 9 * 48 // 2, 0),
        "coherence_verdicts": (2 * 2 * 3 * 10, 2 * 2 * 3 * 10 * 2, 0, 2),
    }
    assert all(cost.new_tokens == cost.most_new_tokens for cost in costs.values())


def test_prompts_of_a_conversation_hold_the_traits_and_the_history() -> None:
    configuration = load({**SMALL, "personas": ["sarcasm"]})
    system = len(trait_prompt(loaded(configuration)["sarcasm"], "SmolLM")) // 4
    conversation = 3 * system + 48 * (1 + 2 + 3)
    assert plan_of(configuration)["introspect"].prompt_tokens == 30 * (system + 40) + 12 * conversation


def test_hours_follow_from_the_throughput() -> None:
    costs, speed = plan_of(load(SMALL)), load(SMALL).models["smollm2"]["throughput"]
    trained, generated = speed["trained_tokens_per_second"], speed["generated_tokens_per_second"]
    assert costs["distill"].cpu_hours == pytest.approx((48000 / trained + 2 * 30) / 3600)
    assert costs["student"].cpu_hours == pytest.approx((6400 / generated + 2 * 30) / 3600)
    assert costs["classifier"].cpu_hours == pytest.approx((77760 / 1000 + 30) / 3600)
    assert (
        costs["teacher"].cpu_hours
        == costs["training_figures"].cpu_hours
        == total(costs.values()).gpu_hours
        == 0
    )


def test_disk_is_near_what_the_demo_leaves() -> None:
    """Seen: the model 538 MB, the encoder 91 MB, an adapter of rank 64 78 MB, the exact merge twice that."""
    costs = plan_of(load(SMALL))
    assert costs["fetch_model"].gigabytes == pytest.approx(0.629, rel=0.05)
    assert costs["distill"].gigabytes == pytest.approx(2 * 0.078, rel=0.1)
    assert costs["merge"].gigabytes == pytest.approx(4 * 0.078, rel=0.1)


def test_paper_configuration_is_plausible() -> None:
    configuration = load_files([Path("config/config.yaml")])
    costs = plan_of(configuration)
    assert costs["distill"].jobs == costs["introspect"].jobs == 3 * 11
    assert costs["fetch_model"].jobs == 3 + 1 + 1
    assert costs["teacher"].requests == 11 * (10 * 50 + 1330) * 5
    assert costs["teacher"].most_new_tokens == 3 * 4096 * costs["teacher"].requests
    assert costs["teacher"].gpu_hours == pytest.approx(
        4 * (11 * 120 + costs["teacher"].new_tokens / 4000) / 3600
    )
    assert costs["introspect"].requests == 33 * (10 * 1000 + 2000 * 9)
    assert costs["expand_prompts"].requests == 11 * 10 * 2
    whole = total(costs.values())
    assert whole.jobs == 638
    assert 50 < whole.gpu_hours < 500
    assert 250 < whole.gigabytes < 500
    assert whole.new_tokens < whole.most_new_tokens
    assert models_without_throughput(configuration, jobs_of(configuration)) == []


def test_a_data_set_without_a_count_is_read(tmp_path: Path) -> None:
    file = tmp_path / "prompts.csv"
    file.write_text("prompt\nWhat now?\nWhat now?\nWhy?\n")
    configuration = load({**SMALL, "prompts": {"per_trait": 5, "general": {"path": str(file)}}})
    assert plan_of(configuration)["student_general"].requests == 2


def test_an_endpoint_costs_requests_and_no_hours(tmp_path: Path) -> None:
    models = tmp_path / "models.yaml"
    own = Path("config/models.yaml").read_text()
    models.write_text(own + "far:\n  source: {endpoint: far/away}\n  gpus: 0\n")
    configuration = load({**SMALL, "models_file": str(models), "teacher": {"model": "far", "samples": 2}})
    costs = plan_of(configuration)
    assert costs["teacher"].requests == 2 * 2 * 100
    assert (costs["teacher"].loads, costs["teacher"].cpu_hours, costs["fetch_model"].jobs) == (0, 0, 2)


def test_throughput_left_open_is_assumed_and_named(tmp_path: Path) -> None:
    models = tmp_path / "models.yaml"
    models.write_text(re.sub(r"\n  throughput: .*", "", Path("config/models.yaml").read_text()))
    configuration = load({**SMALL, "models_file": str(models)})
    assert models_without_throughput(configuration, jobs_of(configuration)) == ["minilm", "smollm2"]
    assert plan_of(configuration)["student"].cpu_hours == pytest.approx((6400 / 100 + 2 * 30) / 3600)


def test_guesses_are_no_part_of_what_a_model_is() -> None:
    configuration = load(SMALL)
    assert configuration.entry("smollm2").keys().isdisjoint({"throughput", "parameters"})
    assert "throughput" not in report_settings(configuration).models["smollm2"]


def test_dominant_rule_is_named() -> None:
    costs = [RuleCost("a", cpu_hours=9.0), RuleCost("b", gpu_hours=3.0), RuleCost("c", gpu_hours=1.0)]
    assert dominant(costs) == "b dominates: 3 of 4 GPU hours, 75%"
    assert dominant([RuleCost("a", cpu_hours=1.0)]) == "a dominates: 1 of 1 CPU hours, 100%"
    assert dominant([RuleCost("a")]) == ""


# Measured.


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def benchmark(results: Path, job: str, *seconds: float) -> None:
    rows = "".join(f"{value}\t0:00:00\t1.0\n" for value in seconds)
    write(results / "benchmarks" / f"{job}.tsv", "s\th:m:s\tmax_rss\n" + rows)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    benchmark(folder, "general_prompts", 0.9)
    benchmark(folder, "student/smollm2/sarcasm", 90.0)
    benchmark(folder, "distill/smollm2/sarcasm", 300.0, 60.0)
    benchmark(folder, "student/another-model/sarcasm", 1e6)
    replies = [{"id": "a", "completion_tokens": 10}, {"id": "b", "completion_tokens": 32}, {"id": "c"}]
    write(folder / "smollm2/sarcasm/student.jsonl", "".join(json.dumps(row) + "\n" for row in replies))
    log = [{"split": "train", "tokens": 500}, {"split": "evaluation"}, {"split": "train", "tokens": 400}]
    write(
        folder / "smollm2/sarcasm/distillation/training_log.jsonl",
        "".join(json.dumps(row) + "\n" for row in log),
    )
    write(folder / "smollm2/sarcasm/distillation/adapter_model.safetensors", "x" * 1000)
    return folder


def test_measured_figures(results: Path) -> None:
    configuration = load({**SMALL, "results": str(results)})
    costs = {cost.rule: cost for cost in measured(configuration, jobs_of(configuration))}
    assert list(costs) == ["general_prompts", "student", "distill"]
    assert (costs["student"].jobs, costs["student"].new_tokens) == (1, 42)
    assert costs["student"].cpu_hours == pytest.approx(90 / 3600)
    assert costs["distill"].trained_tokens == 900
    assert costs["distill"].cpu_hours == pytest.approx(0.1)
    files = (results / "smollm2/sarcasm/distillation").iterdir()
    assert costs["distill"].gigabytes == pytest.approx(sum(file.stat().st_size for file in files) / 1e9)


def test_broken_benchmark_is_told_in_one_line(results: Path) -> None:
    configuration = load({**SMALL, "results": str(results)})
    path = results / "benchmarks/student/smollm2/sarcasm.tsv"
    path.write_text("s\th:m:s\nsoon\t\n")
    with pytest.raises(UserError, match=f"^{re.escape(str(path))}: expected a benchmark of Snakemake"):
        measured(configuration, jobs_of(configuration))


# The command.


def status_and_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[Any, str, str]:
    """Through main(), as the installed command runs."""
    monkeypatch.setattr(sys, "argv", ["characterflow", "plan", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    captured = capsys.readouterr()
    return caught.value.code, captured.out, captured.err


def test_the_command_prints_plan_and_measure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], results: Path, tmp_path: Path
) -> None:
    (tmp_path / "small.yaml").write_text(json.dumps(SMALL))
    (tmp_path / "mine.yaml").write_text(json.dumps({"results": str(results), "student": {"samples": 2}}))
    arguments = [f"--config={tmp_path / name}.yaml" for name in ("small", "mine")]
    code, output, _ = status_and_output(monkeypatch, capsys, *arguments)
    rows = {line.split()[0]: line.split()[1:] for line in output.splitlines() if line}
    assert code == 0
    assert rows["student"][:2] == ["2", "200"]
    assert rows["student"][-3:] == ["1", "42", "0.03"]
    assert rows["merge"] == ["2", "0.33"]
    assert rows["total"][0] == "44"
    assert "distill dominates: " in output
    assert max(map(len, output.splitlines())) < 160


def test_the_command_tells_bad_input_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    missing, listed = tmp_path / "missing.yaml", tmp_path / "list.yaml"
    listed.write_text("- models\n")
    for path, told in (
        (missing, f"error: {missing}: no such file\n"),
        (listed, f"error: {listed}: expected keys and values, found list\n"),
    ):
        assert status_and_output(monkeypatch, capsys, "--config", str(path)) == (2, "", told)
