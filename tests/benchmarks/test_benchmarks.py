"""The benchmarks run from end to end on models too small for their figures to mean anything."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from characterflow.adapters import files as adapters
from characterflow.adapters import folding
from characterflow.configuration.costs import REFLECTION, REPLY, UTTERANCE
from characterflow.constitutions.reading import load
from characterflow.core.files import write_jsonl
from characterflow.engines.generation import Report
from characterflow.introspection.samples import REFLECTION_PROMPTS
from characterflow.planning.stages import load_files


@pytest.mark.slow
def test_training_is_compared_with_both_baselines(root: Path, tmp_path: Path) -> None:
    options = ["--random-model", "tiny", "--pairs", "4", "--updates", "2", "--batch-size", "2", "--rank", "4"]
    done = subprocess.run(
        [sys.executable, root / "benchmarks" / "training.py", *options, "--tasks", "dpo", "sft"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    *table, last = done.stdout.splitlines()
    results = json.loads(last)
    for task, lines in (("dpo", table[:5]), ("sft", table[5:])):
        assert lines[0].startswith(task)
        ours = results[task]["characterflow"]
        for side, line in zip(("openrlhf", "trl"), lines[3:], strict=True):
            ratios = [
                f"{ours[key] / results[task][side][key]:.2f}"
                for key in ("tokens_per_second", "peak_memory_bytes")
            ]
            assert line.split()[0] == side
            assert [line.split()[2], line.split()[-1]] == ratios
    assert list(tmp_path.iterdir()) == []


def test_random_models_have_adapters_that_fit(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(root / "benchmarks")
    made = importlib.import_module("random_model")
    model = made.random_model("tiny", "float32", tmp_path / "model")
    adapter = adapters.load(made.random_adapter(model, 4, 0, tmp_path / "adapter"))
    folding.check_fit(model, adapter)
    assert len(adapter.factors) == 2 * 7
    assert adapters.highest_rank(adapter.folder) == 4


def run_benchmark(root: Path, name: str, *options: object) -> subprocess.CompletedProcess[str]:
    """Run a benchmark of the repository."""
    return subprocess.run(
        [sys.executable, f"benchmarks/{name}.py", *map(str, options)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
    )


def table(text: str) -> dict[str, list[str]]:
    """The cells of each line, by its first one."""
    rows = [line.split(" | ") for line in text.splitlines() if " | " in line]
    return {name: cells for name, *cells in rows}


def small_run(root: Path, folder: Path) -> Path:
    """A configuration of two students and two personas whose numbers can be counted by hand."""
    run = yaml.safe_load((root / "config/config.yaml").read_text())
    run["models"] = run["models"][:2]
    run["personas"] = ["sarcasm", "humor"]
    run["prompts"]["general"] = {
        "hub": "nobody/nothing",
        "revision": "main",
        "field": "prompt",
        "count": 1000,
    }
    run["introspection_data"] = {"reflections": 1, "free": 100, "leading": 50, "turns": 6}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(run))
    return path


def test_tokens_are_counted_for_both_sides(root: Path, tmp_path: Path) -> None:
    done = run_benchmark(root, "tokens", "--config", small_run(root, tmp_path))
    assert done.returncode == 0, done.stderr
    rows = table(done.stdout)
    samples = load_files([root / "config/config.yaml"]).run["student"]["samples"]
    once = 2 * 1000 * samples * REPLY / 1e6
    assert rows["generated, student, general"] == [f"{once:.1f}", f"{2 * once:.1f}", "0.50"]
    assert rows["generated, teacher"][2] == rows["generated, student"][2] == "1.00"
    for kind in ("generated", "prefilled"):
        for side in (0, 1):
            parts = [float(cells[side]) for name, cells in rows.items() if name.startswith(f"{kind}, ")]
            *stages, total = parts
            assert total == pytest.approx(sum(stages), abs=0.3)
    utterances = 2 * 2 * 150 * 5 * UTTERANCE / 1e6
    reflections = 2 * 2 * len(REFLECTION_PROMPTS) * REFLECTION / 1e6
    both = f"{utterances + reflections:.1f}"
    assert rows["generated, reflections and conversations"] == [both, both, "1.00"]
    here, there, ratio = map(float, rows["prefilled, reflections and conversations"])
    assert here == pytest.approx(utterances, abs=0.1)
    assert there > 3 * utterances
    assert ratio == pytest.approx(here / there, abs=0.02)


def finished_job(results: Path, rule: str, place: str, seconds: float, log: str) -> None:
    benchmark = results / "benchmarks" / rule / f"{place}.tsv"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text(f"s\th:m:s\n{seconds}\t0:00:00\n")
    path = results / "logs" / rule / f"{place}.log"
    path.parent.mkdir(parents=True)
    path.write_text(log)


def test_stages_tell_generating_and_training_from_the_rest(root: Path, tmp_path: Path) -> None:
    finished_job(
        tmp_path,
        "introspect",
        "small/sarcasm",
        100,
        "10:00:00 introspect small/sarcasm: 10 of 30 reflections found from an interrupted run\n"
        "10:00:05 introspect small/sarcasm: 20/30 reflections, 2.50 a second, 4 s left\n"
        "10:00:10 introspect small/sarcasm: 30/30 reflections, 2.00 a second, in 10 s\n"
        "10:01:00 introspect small/sarcasm: 5/5 conversations, 0.10 a second, in 50 s\n"
        "10:01:00 introspect small/sarcasm: 4/4 at the same time, 0.10 a second, in 40 s\n",
    )
    finished_job(tmp_path, "distill", "small/sarcasm", 50, "")
    rows = [{"seconds": 10.5}, {"split": "evaluation"}, {"seconds": 9.5}]
    write_jsonl(tmp_path / "small/sarcasm/distillation/training_log.jsonl", rows)
    finished_job(tmp_path, "classifier", "small", 25, "{'train_runtime': '15', 'epoch': '1'}\n")
    done = run_benchmark(root, "stages", "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    found = table(done.stdout)
    assert found["introspect"] == ["1", "100", "60", "0", "40", "40%"]
    assert found["distill"] == ["1", "50", "0", "20", "30", "60%"]
    assert found["classifier"] == ["1", "25", "0", "15", "10", "40%"]
    assert found["total"] == ["3", "175", "60", "35", "80", "46%"]


def test_stages_reads_what_generating_prints(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = Report("replies", 3, 1)
    report.finished()
    report.finished()
    monkeypatch.syspath_prepend(root / "benchmarks")
    [(_, count, seconds)] = importlib.import_module("stages").GENERATED.findall(capsys.readouterr().err)
    assert (count, seconds) == ("3", "0")


def test_stages_of_no_run_are_one_clear_line(root: Path, tmp_path: Path) -> None:
    done = run_benchmark(root, "stages", "--results", tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path}/benchmarks: expected the benchmarks of a run\n"


def test_reuse_changes_a_copy_of_the_demo(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(root / "benchmarks")
    reuse = importlib.import_module("reuse")
    reuse.make_demo(tmp_path, "float32")
    monkeypatch.chdir(tmp_path)
    before = load_files([reuse.CONFIGURATION])
    traits = load(reuse.CONSTITUTION).traits
    reuse.change(tmp_path)
    after = load_files([reuse.CONFIGURATION])
    assert before.models["smollm2"]["dtype"] == "float32"
    counts = [run.run["prompts"]["general"]["count"] for run in (before, after)]
    assert counts == [50, 60]
    changed = load(reuse.CONSTITUTION).traits
    assert [old == new for old, new in zip(traits, changed, strict=True)] == [False] + [True] * 9
    assert changed[0].questions == (reuse.QUESTION, *traits[0].questions[1:])


def test_all_benchmarks_are_run_by_one_command(root: Path) -> None:
    """benchmarks/run.py names every script of its folder, but what takes an hour and needs no results."""
    others = {"run", "random_model", "first_minutes"}
    scripts = {path.stem for path in (root / "benchmarks").glob("*.py")} - others
    text = (root / "benchmarks" / "run.py").read_text()
    assert scripts == {name for name in scripts if f'"{name}": [' in text}
