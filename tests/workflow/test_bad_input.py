"""Bad input of every kind: one clear line that says where, an exit status, and nothing written.

Each case is a file as somebody might hand it in and the command or script that reads it.
"""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from characterflow import command_line
from characterflow.core.files import file_digest
from tiny_models import tiny_adapter, tiny_model

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
BOMB = "".join(
    ["a0: &a0 [lol]\n", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))]
)
CONSTRUCTED = "!!python/object/apply:os.system ['touch constructed']"


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with an adapter, read only."""
    folder = tmp_path_factory.mktemp("material")
    tiny_model(folder / "model")
    tiny_adapter(folder / "adapter", folder / "model")
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the models file and one constitution."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "models.yaml").write_text((ROOT / "config" / "models.yaml").read_text())
    (tmp_path / "constitutions").mkdir()
    for name in ("sarcasm", "poeticism"):
        text = (ROOT / "constitutions" / f"{name}.yaml").read_text()
        (tmp_path / "constitutions" / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a command or a script (arguments as typed); the one line it ended with."""

    def call(*arguments: str | Path) -> str:
        words = [str(argument) for argument in arguments]
        before = snapshot(here)
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as stopped:
            if words[0] == "characterflow":
                command_line.main()
            else:
                runpy.run_path(str(SCRIPTS / words[0]), run_name="__main__")
        output = "".join(capfd.readouterr())
        assert stopped.value.code not in (0, None), output
        assert "Traceback" not in output
        assert snapshot(here) == before, "something was written"
        lines = [line for line in output.splitlines() if "error" in line]
        assert len(lines) == 1, output
        return lines[0]

    return call


def snapshot(folder: Path) -> dict[str, str]:
    """Every file below a folder with its digest, links and folders by name alone.

    Part files are left out: they are what a refused job keeps of its finished work.
    """
    return {
        str(path.relative_to(folder)): file_digest(path) if path.is_file() else ""
        for path in folder.rglob("*")
        if path.suffix != ".part"
    }


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def traits(questions: str = "['Is it late?']") -> str:
    return f"description: d\ntraits:\n  - trait: I am calm.\n    questions: {questions}\n"


CONSTITUTIONS = {
    "empty": (b"", "expected"),
    "binary": (bytes(range(256)), ":"),
    "latin-1": ("description: d\ntraits: [é]\n".encode("latin-1"), "UTF-8"),
    "utf-16": ("description: d\n".encode("utf-16"), "UTF-8"),
    "a list": (b"- a\n- b\n", "expected"),
    "a number": (b"42\n", "expected"),
    "no traits": (b"description: d\n", "traits"),
    "no trait in the list": (b"description: d\ntraits: []\n", "traits"),
    "traits as a text": (b"description: d\ntraits: calm\n", "traits"),
    "a trait without text": (b"description: d\ntraits:\n  - questions: [Is it late?]\n", "trait"),
    "a question that is a number": (traits("[7]").encode(), "question"),
    "a question that is a mapping": (traits("[{a: b}]").encode(), "question"),
    "a key twice": (traits().encode() + b"description: e\n", "description"),
    "an unknown key": (traits().encode() + b"traitz: []\n", "traitz"),
    "a tag that constructs": (f"description: {CONSTRUCTED}\n".encode(), "tag"),
    "a bomb of aliases": (BOMB.encode(), ""),
    "tabs": (b"description: d\ntraits:\n\t- trait: t\n", ""),
    "open quotes": (b'description: "d\n', ""),
    "too large": (b"description: d\n# " + b"x" * 1_100_000, "bytes"),
    "a control character": (traits('["Is it \\x07 late?"]').encode(), "question"),
}


@pytest.mark.parametrize("name", CONSTITUTIONS)
def test_constitution(here: Path, refused: Callable[..., str], name: str) -> None:
    content, expected = CONSTITUTIONS[name]
    path = write(here / "constitutions" / "odd.yaml", content)
    line = refused(
        "expand_prompts.py", "--constitution", path, "--output", here / "prompts.jsonl",
        "--settings", json.dumps({"prompts_per_trait": 1, "rounds": 1, "seed": 0}),
    )  # fmt: skip
    assert "odd.yaml" in line
    assert expected in line
    assert not (here / "constructed").exists()


CONFIGURATION: dict[str, tuple[str | bytes, str]] = {
    "empty": (b"", "config.yaml"),
    "binary": (bytes(range(128, 256)), "UTF-8"),
    "a list": ("- a\n", "expected keys and values"),
    "a text": ("hello\n", "expected keys and values"),
    "no models": ("personas: [sarcasm]\n", "models: missing"),
    "models as a text": ("models: smollm2\npersonas: [sarcasm]\n", "models: expected"),
    "no model in the list": ("models: []\npersonas: [sarcasm]\n", "models"),
    "a model twice": ("models: [smollm2, smollm2]\npersonas: [sarcasm]\n", "models"),
    "an unknown model": ("models: [gpt]\npersonas: [sarcasm]\n", "no model 'gpt'"),
    "a persona that climbs": ("models: [smollm2]\npersonas: [../../etc/passwd]\n", "personas"),
    "a persona with a shell in it": ("models: [smollm2]\npersonas: ['a;rm -rf x']\n", "personas"),
    "a persona with a wildcard": ("models: [smollm2]\npersonas: ['{model}']\n", "personas"),
    "a persona of a reserved name": ("models: [smollm2]\npersonas: [evaluation]\n", "personas"),
    "an unknown key": ("models: [smollm2]\npersonas: [sarcasm]\nsed: 1\n", "did you mean 'seed'"),
    "a text for a number": ("models: [smollm2]\npersonas: [sarcasm]\nseed: one\n", "seed: expected"),
    "a number below its range": ("models: [smollm2]\npersonas: [sarcasm]\nthreads: 0\n", "at least 1"),
    "a learning rate as YAML's text": (
        "models: [smollm2]\npersonas: [sarcasm]\ndistillation: {learning_rate: 1e-4}\n",
        "distillation.learning_rate",
    ),
    "not a number": (
        "models: [smollm2]\npersonas: [sarcasm]\ndistillation: {beta: .nan}\n",
        "distillation.beta",
    ),
    "infinite": (
        "models: [smollm2]\npersonas: [sarcasm]\nmerge: {weights: {introspection: .inf}}\n",
        "merge.weights.introspection",
    ),
    "a share of everything": (
        "models: [smollm2]\npersonas: [sarcasm]\nevaluation: {classifier: {test_share: 1}}\n",
        "evaluation.classifier.test_share",
    ),
    "a key twice": ("models: [smollm2]\npersonas: [sarcasm]\nseed: 1\nseed: 2\n", "config.yaml:4"),
    "a tag that constructs": (f"models: {CONSTRUCTED}\npersonas: [sarcasm]\n", "config.yaml:1"),
    "a tag of its own": ("models: !mine [smollm2]\npersonas: [sarcasm]\n", "config.yaml:1"),
    "a list as a key": ("? [a]\n: b\n", "config.yaml"),
    "not closed": ("models: [smollm2\npersonas: [sarcasm]\n", "config.yaml:"),
    "an empty section": ("models: [smollm2]\npersonas: [sarcasm]\nteacher:\n", "teacher"),
    "a data set with two sources": (
        "models: [smollm2]\npersonas: [sarcasm]\nevaluation: {prompts: {path: a, hub: b/c, revision: d}}\n",
        "evaluation.prompts",
    ),
    "a data set without a revision": (
        "models: [smollm2]\npersonas: [sarcasm]\nevaluation: {prompts: {hub: b/c}}\n",
        "evaluation.prompts",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGURATION)
def test_configuration(here: Path, refused: Callable[..., str], name: str) -> None:
    content, expected = CONFIGURATION[name]
    path = write(here / "config.yaml", content)
    assert expected in refused("characterflow", "plan", "--config", path)
    assert not (here / "constructed").exists()


HUB = {"hub": "a/b", "revision": "c"}
MODELS: dict[str, tuple[Any, str]] = {
    "no source": ({"smollm2": {}}, "smollm2.source: missing"),
    "nothing": ({"smollm2": None}, "smollm2: expected"),
    "two sources": ({"smollm2": {"source": {**HUB, "folder": "d"}}}, "smollm2.source"),
    "a wrong digest": (
        {"smollm2": {"source": {"package": "a==1", "file": "b", "sha256": "abc"}}},
        "smollm2.source.sha256",
    ),
    "a package without version": (
        {"smollm2": {"source": {"package": "a; rm -rf x", "file": "b", "sha256": "0" * 64}}},
        "smollm2.source.package",
    ),
    "a name that climbs": ({"../smollm2": {"source": HUB}}, "'../smollm2' is not a name"),
    "a reserved name": ({"tables": {"source": HUB}}, "'tables' is not a name"),
    "half a GPU": ({"smollm2": {"source": HUB, "gpus": 0.5}}, "smollm2.gpus"),
    "yes to foreign code as a text": (
        {"smollm2": {"source": HUB, "trust_remote_code": "yes please"}},
        "smollm2.trust_remote_code",
    ),
    "foreign code at a branch": (
        {"smollm2": {"source": HUB, "trust_remote_code": True}},
        "smollm2.source.revision: expected a commit",
    ),
    "an unknown key": ({"smollm2": {"source": HUB, "gpu": 1}}, "smollm2.gpu: unknown key"),
    "a key inside the endpoint": (
        {"smollm2": {"source": {"endpoint": "m", "api_key": "secret"}}},
        "smollm2.source.api_key: unknown key",
    ),
    "a list": ([1], "expected"),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_file(here: Path, refused: Callable[..., str], name: str) -> None:
    content, expected = MODELS[name]
    write(here / "config" / "models.yaml", yaml.safe_dump(content))
    path = write(here / "config.yaml", "models: [smollm2]\npersonas: [sarcasm]\n")
    line = refused("characterflow", "plan", "--config", path)
    assert "models.yaml" in line
    assert expected in line
    assert "secret" not in line


DATA_SETS: dict[str, tuple[str, str | bytes, str]] = {
    "empty": ("d.jsonl", "", "d.jsonl"),
    "blank lines": ("d.jsonl", "\n\n", "d.jsonl"),
    "binary": ("d.jsonl", bytes(range(256)), "d.jsonl"),
    "not JSON": ("d.jsonl", '{"prompt": "a"}\n{"prompt": \n', "d.jsonl:2"),
    "a list a line": ("d.jsonl", '["a"]\n', "d.jsonl:1"),
    "another field": ("d.jsonl", '{"question": "a"}\n', "prompt"),
    "a number as prompt": ("d.jsonl", '{"prompt": 3}\n', "prompt"),
    "nothing as prompt": ("d.jsonl", '{"prompt": null}\n', "prompt"),
    "a parquet that is none": ("d.parquet", b"PAR1 and no more", "d.parquet"),
    "an empty table": ("d.csv", "", "d.csv"),
    "a table without the column": ("d.csv", "a,b\n1,2\n", "prompt"),
    "another kind of file": ("d.pickle", b"\x80\x04.", "d.pickle"),
}


@pytest.mark.parametrize("name", DATA_SETS)
def test_data_set(here: Path, refused: Callable[..., str], name: str) -> None:
    file, content, expected = DATA_SETS[name]
    path = write(here / file, content)
    settings = {"dataset": {"path": str(path), "field": "prompt"}, "name": "prompts.general"}
    line = refused("general_prompts.py", "--output", here / "out.jsonl", "--settings", json.dumps(settings))
    assert expected in line


RECORDINGS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "no recorded responses"),
    "binary": (bytes(range(256)), "r.jsonl:"),
    "no response": ('{"prompt": "a"}\n', "r.jsonl:1: lacks the key 'response'"),
    "a blank response": ('{"prompt": "a", "response": " "}\n', "row 1: response"),
    "a list as response": ('{"prompt": "a", "response": ["b"]}\n', "row 1: response"),
    "other prompts": ('{"prompt": "a", "response": "b"}\n', "none of 1 replies is usable"),
}


@pytest.mark.parametrize("name", RECORDINGS)
def test_recorded_responses(here: Path, refused: Callable[..., str], name: str) -> None:
    content, expected = RECORDINGS[name]
    path = write(here / "r.jsonl", content)
    prompts = write(here / "prompts.jsonl", '{"id": "p", "prompt": "Is it late?"}\n')
    settings = {
        "engine": {"kind": "recorded", "file": str(path)},
        "name": "x",
        "reasoning": None,
        "samples": 1,
        "attempts": 1,
        "sampling": {},
        "seed": 0,
    }
    line = refused(
        "teacher.py", "--constitution", "constitutions/sarcasm.yaml", "--prompts", prompts,
        "--output", here / "teacher.jsonl", "--settings", json.dumps(settings),
    )  # fmt: skip
    assert expected in line


def cut(folder: Path, name: str, keep: int) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:keep])


def edit(folder: Path, **values: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
ADAPTERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no configuration": (lambda folder: (folder / CONFIG).unlink(), CONFIG),
    "a configuration cut short": (lambda folder: cut(folder, CONFIG, 20), CONFIG),
    "a list as configuration": (lambda folder: (folder / CONFIG).write_text("[]"), CONFIG),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), WEIGHTS),
    "weights cut short": (lambda folder: cut(folder, WEIGHTS, 2000), WEIGHTS),
    "weights of eight bytes": (lambda folder: cut(folder, WEIGHTS, 8), WEIGHTS),
    "empty weights": (lambda folder: cut(folder, WEIGHTS, 0), WEIGHTS),
    "pickled weights": (
        lambda folder: (folder / WEIGHTS).rename(folder / "adapter_model.bin"),
        WEIGHTS,
    ),
    "another method": (lambda folder: edit(folder, peft_type="IA3"), "LORA"),
    "a rank that is a text": (lambda folder: edit(folder, r="8"), CONFIG),
    "no alpha": (lambda folder: edit(folder, lora_alpha=None), CONFIG),
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapter(here: Path, material: Path, refused: Callable[..., str], name: str) -> None:
    import shutil

    spoil, expected = ADAPTERS[name]
    folder = Path(shutil.copytree(material / "adapter", here / "adapter"))
    spoil(folder)
    line = refused("characterflow", "fold", material / "model", folder, "--output", here / "folded")
    assert expected in line
    assert str(folder) in line


def test_a_link_that_leads_to_itself(here: Path, refused: Callable[..., str]) -> None:
    (here / "constitutions" / "loop.yaml").symlink_to("loop.yaml")
    line = refused(
        "expand_prompts.py", "--constitution", "constitutions/loop.yaml", "--output", here / "p.jsonl",
        "--settings", "{}",
    )  # fmt: skip
    assert "loop.yaml" in line


def test_a_folder_for_a_file(here: Path, refused: Callable[..., str]) -> None:
    assert "constitutions: " in refused("characterflow", "plan", "--config", here / "constitutions")


def test_settings_that_are_not_json(here: Path, refused: Callable[..., str]) -> None:
    assert "expected JSON" in refused("general_prompts.py", "--output", here / "o", "--settings", "{")
