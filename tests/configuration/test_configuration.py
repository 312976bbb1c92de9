"""The configuration: defaults, and one clear line for every fault."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from characterflow.configuration.run import Configuration
from characterflow.configuration.yaml import read_yaml
from characterflow.core.errors import UserError
from characterflow.distillation.settings import distillation_settings, teacher_settings
from characterflow.distillation.sources import RECORDED, teacher_model
from characterflow.planning.stages import load

DEMO = Path("config/demo.yaml")


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])


def demo() -> dict[str, Any]:
    return yaml.safe_load(DEMO.read_text())


def fault(run: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        load(run, [str(DEMO)])
    message = str(caught.value)
    assert "\n" not in message
    return message


def put(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    run = demo()
    inner = run
    for key in path[:-1]:
        inner = inner.setdefault(key, {})
    inner[path[-1]] = value
    return run


def all_keys(value: dict[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, inner in value.items():
        yield (*prefix, key)
        if isinstance(inner, dict) and key != "filter":
            yield from all_keys(inner, (*prefix, key))


def complete() -> Configuration:
    return load(demo(), [str(DEMO)])


@pytest.mark.parametrize(
    "path", list(all_keys(yaml.safe_load((Path(__file__).parents[2] / DEMO).read_text())))
)
def test_every_key_misspelt_in_turn(path: tuple[str, ...]) -> None:
    run = demo()
    inner = run
    for key in path[:-1]:
        inner = inner[key]
    wrong = path[-1] + "x"
    inner[wrong] = inner.pop(path[-1])
    message = fault(run)
    assert message.startswith("config/demo.yaml: ")
    assert ".".join((*path[:-1], wrong)) in message or f"{'.'.join(path)}: missing" in message
    assert path[-1] in message


def test_every_key_of_the_schema_is_checked() -> None:
    run = copy.deepcopy(complete().run)
    for path in all_keys(run):
        changed = copy.deepcopy(run)
        inner = changed
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1] + "_x"] = inner[path[-1]]
        assert "unknown key" in fault(changed), path


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("distillation", "rank"), "x", "distillation.rank: expected integer, found 'x'"),
        (("distillation", "learning_rate"), "5e-5", "YAML wants a decimal point"),
        (("distillation", "learning_rate"), 0, "expected more than 0"),
        (("distillation", "betas"), [0.9], "expected at least 2 entries"),
        (("models",), [], "expected at least 1 entries"),
        (("models",), ["smolm2"], "no model 'smolm2' in config/models.yaml; did you mean 'smollm2'?"),
        (("teacher", "model"), "glm", "no model 'glm'"),
        (("personas",), ["../x"], "personas.0: expected a persona name"),
        (("personas",), ["evaluation"], "neither general nor evaluation"),
        (("personas",), ["sarcasm", "sarcasm"], "expected no entry twice"),
        (("merge", "method"), "cat", "expected one of exact, svd, linear"),
        (("introspection_data", "turns"), 3, "expected a multiple of 2"),
        (("prompts", "general"), {"hub": "a/b"}, "prompts.general.revision: missing"),
        (("prompts", "general"), {}, "expected path or hub with revision"),
        (("models_file",), "config/none.yaml", "config/none.yaml: no such file"),
    ],
)
def test_a_wrong_value_is_named(path: tuple[Any, ...], value: Any, expected: str) -> None:
    assert expected in fault(put(path, value))


def test_defaults_are_the_papers() -> None:
    run = load({"models": ["llama-3.1-8b"], "personas": ["sarcasm"]}).run
    distillation = {
        key: run["distillation"][key] for key in ("beta", "nll_weight", "kl_weight", "rank", "alpha")
    }
    assert distillation == {"beta": 0.1, "nll_weight": 0.1, "kl_weight": 0.001, "rank": 64, "alpha": 128}
    assert run["distillation"]["learning_rate"] == 5e-5
    assert run["distillation"]["betas"] == [0.9, 0.98]
    assert run["teacher"]["samples"] == 5
    assert run["student"]["sampling"]["repetition_penalty"] == 1.1
    assert run["introspection"]["max_length"] == 3072
    assert run["merge"] == {
        "method": "exact",
        "rank": 64,
        "weights": {"distillation": 1.0, "introspection": 0.25},
    }


def test_a_part_of_a_mapping_keeps_the_other_defaults() -> None:
    run = load(put(("student", "sampling"), {"max_tokens": 7}), [str(DEMO)]).run
    assert run["student"]["sampling"] == {
        "max_tokens": 7,
        "repetition_penalty": 1.1,
        "temperature": 0.7,
        "top_p": 0.95,
    }


def test_defaults_are_not_shared_between_runs() -> None:
    first = complete()
    first.run["merge"]["weights"]["distillation"] = 9
    assert complete().run["merge"]["weights"]["distillation"] == 1.0


def test_shipped_configurations_are_valid() -> None:
    for file in ("config/demo.yaml", "config/config.yaml"):
        load(read_yaml(Path(file)), [file])


def test_the_teacher_is_recorded_or_a_model() -> None:
    run = complete()
    assert teacher_settings(run, "sarcasm").engine.kind == "recorded"
    assert teacher_settings(run, "pirate").engine.kind == "vllm"
    without = load(put(("teacher", "unrecorded"), None), [str(DEMO)])
    with pytest.raises(UserError, match=r"resources/teacher/pirate\.jsonl: no such file; expected recorded"):
        teacher_settings(without, "pirate")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: [1\n", r"file.yaml:3: not valid YAML"),
        ("a: 1\na: 2\n", r"file.yaml:2: .*'a' occurs twice"),
        ("a: !!python/object/apply:os.getcwd []\n", r"file.yaml:1: not valid YAML"),
    ],
)
def test_bad_yaml_names_the_line(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "file.yaml").write_text(text)
    with pytest.raises(UserError, match=expected):
        read_yaml(tmp_path / "file.yaml")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"sorce": {}}, "m.sorce: unknown key; did you mean 'source'?"),
        ({}, "m.source: missing"),
        ({"source": {"hub": "a/b"}}, "m.source.revision: missing"),
        ({"source": {"hub": "ab", "revision": "x"}}, "m.source.hub: expected a text that matches"),
        ({"source": {"package": "a==1", "file": "f", "sha256": "x"}}, "m.source.sha256: expected a text"),
        ({"source": {"folder": "x"}, "gpus": -1}, "m.gpus: expected at least 0"),
        ({"source": {"folder": "x"}, "training": {"target_modules": "q"}}, "m.training.target_modules"),
    ],
)
def test_a_faulty_model_entry_is_named(tmp_path: Path, entry: dict[str, Any], expected: str) -> None:
    models = {**read_yaml(Path("config/models.yaml")), "m": entry}
    file = tmp_path / "models.yaml"
    file.write_text(yaml.safe_dump(models))
    with pytest.raises(UserError) as caught:
        load(put(("models_file",), str(file)), [str(DEMO)])
    assert str(caught.value).startswith(f"{file}: ")
    assert expected in str(caught.value)


def test_settings_of_a_training_stage() -> None:
    run = complete()
    settings = distillation_settings(run, "smollm2")
    assert settings.target_modules == "all-linear"
    assert settings.seed == 0
    assert teacher_model(run, "sarcasm") == RECORDED
