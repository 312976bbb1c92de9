"""What others made: released adapters as methods, published pairs instead of teacher and student."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file, save_file

from characterflow.adapters.released import fetch_adapter
from characterflow.core.errors import UserError
from characterflow.core.files import MANIFEST, read_json, read_jsonl, write_jsonl
from characterflow.distillation.recorded_pairs import load_pairs, prompt_rows, reply_rows
from characterflow.distillation.sources import published_pairs, recorded_preferences
from characterflow.planning.stages import load
from tiny_models import tiny_adapter, tiny_model

ROOT = Path(__file__).parents[2]
DEMO = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model and an adapter for it."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_model(folder / "model")
    tiny_adapter(folder / "adapter", folder / "model")
    return folder


def test_a_released_adapter_becomes_a_folder_of_the_run(tiny: Path, tmp_path: Path) -> None:
    fetch_adapter({"folder": str(tiny / "adapter")}, tiny / "model", tmp_path / "released")
    assert read_json(tmp_path / "released" / "model.json") == {"source": {"folder": str(tiny / "adapter")}}
    assert "adapter_model.safetensors" in read_json(tmp_path / "released" / MANIFEST)


def test_pickled_weights_are_refused(tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny / "adapter", tmp_path / "pickled"))
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(UserError, match=r"adapter_model\.bin is pickled and is not loaded"):
        fetch_adapter({"folder": str(folder)}, tiny / "model", tmp_path / "released")
    assert not (tmp_path / "released").exists()


def test_an_adapter_of_another_model_is_refused(tiny: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny / "adapter", tmp_path / "narrow"))
    weights = load_file(folder / "adapter_model.safetensors")
    narrow = {name: value[:, :2].contiguous() for name, value in weights.items() if "lora_A" in name}
    save_file({**weights, **narrow}, folder / "adapter_model.safetensors")
    with pytest.raises(UserError) as caught:
        fetch_adapter({"folder": str(folder)}, tiny / "model", tmp_path / "released")
    assert str(folder) in str(caught.value)
    assert not (tmp_path / "released").exists()


def test_a_folder_without_adapter_is_told(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no adapter_config\.json; expected a PEFT adapter"):
        fetch_adapter({"folder": str(tmp_path / "nowhere")}, tiny / "model", tmp_path / "released")


def dry_run(folder: Path, settings: dict[str, Any]) -> Counter[str]:
    """The jobs of a configuration, by rule."""
    for name in ("config", "constitutions", "resources"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    options = ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder), "--configfile", "run.yaml"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return Counter({name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", done.stdout, re.M)})


@pytest.mark.pipeline
def test_a_run_of_released_adapters_trains_nothing(tiny: Path, tmp_path: Path) -> None:
    evaluation = {
        **DEMO["evaluation"],
        "include": ["robustness"],
        "methods": ["prompted", "theirs"],
        "adapters": {"theirs": {"folder": str(tiny / "adapter")}},
    }
    jobs = dry_run(tmp_path, {**DEMO, "evaluation": evaluation})
    assert jobs["fetch_adapter"] == jobs["robustness_responses"] == 2
    assert not {"teacher", "student", "distill", "introspect", "introspection_train", "merge"} & set(jobs)


@pytest.mark.parametrize(
    ("adapters", "expected"),
    [
        ({"persona": {"folder": "x"}}, "evaluation.adapters"),
        ({"theirs": {}}, "evaluation.adapters.theirs"),
        ({"theirs": {"hub": "a/b"}}, "evaluation.adapters.theirs"),
        ({"the/irs": {"folder": "x"}}, "evaluation.adapters"),
    ],
)
def test_faulty_entries_get_one_line(
    monkeypatch: pytest.MonkeyPatch, adapters: dict[str, Any], expected: str
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=expected):
        load({**DEMO, "evaluation": {**DEMO["evaluation"], "adapters": adapters}})


USER, CHOSEN, REJECTED = "How are you?", "Verily, I thrive.", "Fine."
ASKED = {"role": "user", "content": USER}
DIALECTS: dict[str, dict[str, Any]] = {
    "conversations": {
        "chosen": [ASKED, {"role": "assistant", "content": CHOSEN}],
        "rejected": [ASKED, {"role": "assistant", "content": REJECTED}],
    },
    "prompt apart": {
        "prompt": [ASKED],
        "chosen": [{"role": "assistant", "content": CHOSEN}],
        "rejected": [{"role": "assistant", "content": REJECTED}],
    },
    "texts": {"prompt": USER, "chosen": CHOSEN, "rejected": REJECTED},
    "dialogues": {
        "chosen": f"\n\nHuman: {USER}\n\nAssistant: {CHOSEN}",
        "rejected": f"\n\nHuman: {USER}\n\nAssistant: {REJECTED}",
    },
}


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects_of_published_pairs(tmp_path: Path, name: str) -> None:
    write_jsonl(tmp_path / "pairs.jsonl", [DIALECTS[name]])
    pairs, left_out = load_pairs({"path": str(tmp_path / "pairs.jsonl")}, "pairs")
    assert pairs == [{"prompt": USER, "chosen": CHOSEN, "rejected": REJECTED}]
    assert not left_out


def test_rows_that_are_no_pair_are_counted(tmp_path: Path) -> None:
    long = [ASKED, {"role": "assistant", "content": "a"}] * 2
    rows = [
        DIALECTS["texts"],
        {"chosen": long, "rejected": long},
        {"prompt": USER, "chosen": "", "rejected": "b"},
        {
            "chosen": [{"role": "system", "content": "s"}, *DIALECTS["conversations"]["chosen"]],
            "rejected": DIALECTS["conversations"]["rejected"],
        },
    ]
    write_jsonl(tmp_path / "pairs.jsonl", rows)
    pairs, left_out = load_pairs({"path": str(tmp_path / "pairs.jsonl")}, "pairs")
    assert len(pairs) == 1
    assert left_out == {"of several turns": 1, "with an empty text": 1, "with a system message": 1}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "a", "chosen": "b"}, "no field 'rejected'"),
        ({"prompt": "a", "chosen": 3, "rejected": "b"}, "chosen: expected a text or a list of messages"),
        ({"chosen": [{"role": "user"}], "rejected": "b"}, "chosen: expected messages of role and content"),
        ({"chosen": "b", "rejected": "c"}, "chosen is a text, and there is no 'prompt'"),
    ],
)
def test_other_schemas_are_told_with_their_place(tmp_path: Path, row: dict[str, Any], expected: str) -> None:
    write_jsonl(tmp_path / "pairs.jsonl", [row])
    with pytest.raises(UserError, match=expected) as caught:
        load_pairs({"path": str(tmp_path / "pairs.jsonl")}, "pairs")
    assert "pairs.jsonl" in str(caught.value)


def test_several_pairs_of_a_prompt_are_its_samples() -> None:
    pairs = [{"prompt": USER, "chosen": text, "rejected": REJECTED} for text in ("one", "two")]
    rows = reply_rows(pairs, "chosen")
    assert [(row["sample"], row["response"]) for row in rows] == [(0, "one"), (1, "two")]
    assert {row["prompt_id"] for row in rows} == {row["id"] for row in prompt_rows(pairs)}


@pytest.mark.pipeline
def test_recorded_pairs_stand_for_teacher_and_student(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "sarcasm.pairs.jsonl", [DIALECTS["texts"]])
    recorded = str(tmp_path / "{persona}.pairs.jsonl")
    jobs = dry_run(tmp_path, {**DEMO, "preferences": {**DEMO["preferences"], "recorded": recorded}})
    assert jobs["recorded_preferences"] == jobs["recorded_student"] == 1
    assert jobs["teacher"] == jobs["student"] == 1
    out = tmp_path / "made"
    script = [sys.executable, ROOT / "scripts" / "recorded_preferences.py", "--pairs", "sarcasm.pairs.jsonl"]
    done = subprocess.run(
        [*script, "--side", "chosen", "--prompts", out / "p.jsonl", "--output", out / "t.jsonl"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert read_jsonl(out / "t.jsonl")[0]["response"] == CHOSEN
    assert read_jsonl(out / "p.jsonl")[0]["prompt"] == USER
    assert json.loads((out / "t.report.json").read_text())["replies"] == 1


PUBLISHED = {"hub": "somebody/{persona}-pairs", "revision": "a" * 40, "split": "train"}


@pytest.mark.pipeline
def test_pairs_on_the_hub_are_fetched_once_for_all_models(tmp_path: Path) -> None:
    jobs = dry_run(tmp_path, {**DEMO, "preferences": {**DEMO["preferences"], "recorded": PUBLISHED}})
    assert jobs["fetch_pairs"] == jobs["recorded_preferences"] == jobs["recorded_student"] == 2
    assert not {"teacher", "student", "student_general", "expand_prompts"} & set(jobs)


def test_the_hub_s_pairs_of_a_persona(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    configuration = load({**DEMO, "preferences": {"recorded": PUBLISHED}})
    assert published_pairs(configuration, "sarcasm") == {
        **PUBLISHED,
        "hub": "somebody/sarcasm-pairs",
        "field": "prompt",
    }
    assert recorded_preferences(configuration, "sarcasm") == "results/pairs/sarcasm.jsonl"
    assert published_pairs(load(DEMO), "sarcasm") is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"hub": "a/{model}"}, r"preferences\.recorded\.hub: expected \{persona\}, found \{model\}"),
        ({"revision": 3}, r"preferences\.recorded\.revision: expected string"),
        ({"colour": "red"}, r"preferences\.recorded\.colour: unknown key"),
    ],
)
def test_faulty_pairs_on_the_hub_get_one_line(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], expected: str
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=expected):
        load({**DEMO, "preferences": {"recorded": {**PUBLISHED, **change}}})


def test_fetched_pairs_are_a_file_with_a_count_of_what_was_left_out(tmp_path: Path) -> None:
    """The Hub is a local folder here, which its loader takes as well."""
    (tmp_path / "hub").mkdir()
    write_jsonl(tmp_path / "hub" / "train.jsonl", [DIALECTS["texts"], {**DIALECTS["texts"], "chosen": ""}])
    settings = {"hub": str(tmp_path / "hub"), "revision": "main", "split": "train", "field": "prompt"}
    script = [sys.executable, ROOT / "scripts" / "fetch_pairs.py", "--output", tmp_path / "pairs.jsonl"]
    done = subprocess.run(
        [*script, "--settings", json.dumps(settings)],
        env={**os.environ, "HF_DATASETS_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert read_jsonl(tmp_path / "pairs.jsonl") == [{"prompt": USER, "chosen": CHOSEN, "rejected": REJECTED}]
    report = read_json(tmp_path / "pairs.report.json")
    assert report["pairs"] == 1 and report["left_out"] == {"with an empty text": 1}
    assert report["source"]["revision"] == "main"
