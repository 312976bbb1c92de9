"""The command line: starting, checking, watching and importing constitutions."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from characterflow.command_line import app, main
from characterflow.commands.constitution import check_at_each_save
from characterflow.constitutions.reading import load
from characterflow.core.errors import UserError

GOOD = (Path(__file__).parents[2] / "constitutions" / "humor.yaml").read_text()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "constitutions").mkdir()
    return tmp_path / "constitutions"


def invoke(*arguments: object):
    return CliRunner().invoke(app, ["constitution", *map(str, arguments)])


def status_and_error(monkeypatch, capsys, *arguments: object) -> tuple[int, str]:
    """Through main(), as the installed command runs."""
    monkeypatch.setattr(sys, "argv", ["characterflow", "constitution", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code, capsys.readouterr().err


def test_new_writes_the_template_once(folder, monkeypatch, capsys):
    result = invoke("new", "stoic")
    assert result.exit_code == 0
    path = folder / "stoic.yaml"
    assert "The constitution of stoic" in path.read_text()
    assert "characterflow constitution check --watch constitutions/stoic.yaml" in result.output
    path.write_text("mine")
    code, error = status_and_error(monkeypatch, capsys, "new", "stoic")
    assert (code, error) == (2, "error: constitutions/stoic.yaml: is already there, and is not overwritten\n")
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", ["Stoic", "../stoic", "a/b", ""])
def test_new_refuses_names(folder, monkeypatch, capsys, name):
    code, error = status_and_error(monkeypatch, capsys, "new", name)
    assert code == 2
    assert error.startswith(f"error: the name {name!r} does not fit a path")
    assert list(folder.iterdir()) == []


def test_check_takes_all_by_default(folder):
    (folder / "calm.yaml").write_text(GOOD)
    result = invoke("check")
    assert (result.exit_code, result.output) == (
        0,
        "constitutions/calm.yaml: fine (10 traits, 50 questions)\n",
    )


def test_check_exit_codes(folder):
    good, warned, wrong = folder / "calm.yaml", folder / "brief.yaml", folder / "wrong.yaml"
    good.write_text(GOOD)
    warned.write_text("description: x\ntraits:\n  - trait: I nod.\n    questions: [Why so]\n")
    wrong.write_text("description: x\ntraits: []\n")
    assert invoke("check", good).exit_code == 0
    result = invoke("check", warned)
    assert result.exit_code == 0
    assert f"warning {warned}:3: 1 trait(s); about 10" in result.output
    result = invoke("check", good, warned, wrong)
    assert result.exit_code == 1
    assert f"error {wrong}:2: traits: expected at least one trait" in result.output
    assert f"{wrong}: 1 to mend, 0 to consider" in result.output
    result = invoke("check", folder / "none.yaml", good)
    assert result.exit_code == 2
    assert f"error {folder}/none.yaml: no such file" in result.output
    assert f"{good}: fine" in result.output


def test_check_without_constitutions(folder, monkeypatch, capsys):
    assert status_and_error(monkeypatch, capsys, "check") == (
        2,
        "error: constitutions/: expected constitutions, found no .yaml file\n",
    )


def test_watch_checks_again_at_each_save(folder, capsys):
    path, other = folder / "calm.yaml", folder / "other.yaml"
    path.write_text("traits")
    steps = iter([lambda: path.write_text(GOOD), lambda: None, lambda: other.write_text(GOOD), other.unlink])

    def pause():
        step = next(steps, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    check_at_each_save(lambda: [path, other], pause)
    lines = [line for line in capsys.readouterr().out.split("\n") if not line.startswith("--")]
    assert lines == [
        f"error {path}:1: a constitution: expected the keys description, traits, research_object, "
        "adjectives, found a text",
        f"{path}: 1 to mend, 0 to consider",
        f"error {other}: no such file",
        f"{path}: fine (10 traits, 50 questions)",
        f"{other}: fine (10 traits, 50 questions)",
        f"error {other}: no such file",
        "",
        "",
    ]


def public(folder: Path, name: str, lines: bool) -> Path:
    path = folder / name
    traits = [
        {
            "trait": f"I {verb}.",
            "questions": ["What’s new?" if verb == "sing" else f"Tell me {verb[::-1]} facts"],
        }
        for verb in ("sing", "walk")
    ]
    if lines:
        traits[0]["additional_questions"] = ["It rains.", "“Maybe” is a word: discuss # it"]
        path.write_text("".join(json.dumps(trait) + "\n" for trait in traits))
    else:
        path.write_text(json.dumps(traits, indent=4, ensure_ascii=False))
    return path


def test_import_list(folder, tmp_path):
    result = invoke("import", public(tmp_path, "Singer.txt", lines=False), "--name", "singer")
    assert result.exit_code == 0, result.output
    constitution = load(folder / "singer.yaml")
    assert constitution.description == "Imported from Singer.txt."
    assert [trait.text for trait in constitution.traits] == ["I sing.", "I walk."]
    assert constitution.traits[0].questions == ("What’s new?",)
    assert "write a description" in result.output


def test_import_lines_with_prompts(folder, tmp_path):
    output = tmp_path / "elsewhere" / "bard.yaml"
    result = invoke("import", public(tmp_path, "singer.jsonl", lines=True), "--output", output)
    assert result.exit_code == 0, result.output
    assert load(output).traits[0].prompts == ("It rains.", "“Maybe” is a word: discuss # it")
    assert load(output).traits[1].prompts == ()


def test_import_refusals(folder, tmp_path, monkeypatch, capsys):
    source = public(tmp_path, "singer.txt", lines=False)
    assert invoke("import", source).exit_code == 0
    before = (folder / "singer.yaml").read_text()
    code, error = status_and_error(monkeypatch, capsys, "import", source)
    assert (code, error) == (
        2,
        "error: constitutions/singer.yaml: is already there, and is not overwritten\n",
    )
    assert (folder / "singer.yaml").read_text() == before
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"trait": "I sing."}\n')
    code, error = status_and_error(monkeypatch, capsys, "import", wrong)
    assert (code, error) == (2, f"error: {wrong}:1: expected questions, found no such key\n")
    code, error = status_and_error(monkeypatch, capsys, "import", source, "--name", "A b")
    assert code == 2
    code, error = status_and_error(monkeypatch, capsys, "import", source, "--name", "a", "--output", "b.yaml")
    assert (code, error) == (2, "error: --output b.yaml: expected a file named a.yaml, as the persona\n")


def test_import_tells_what_it_leaves_out(folder, tmp_path):
    source = tmp_path / "singer.txt"
    source.write_text('[{"trait": "I sing.", "questions": ["A b", ""], "tags": 1}]')
    output = invoke("import", source).output
    assert f"note: {source}: line 1: left out of questions: an empty text" in output
    assert f"note: {source}: line 1: the key 'tags' is not read" in output


@pytest.mark.parametrize("command", ["new", "check", "import"])
def test_help_has_examples(command):
    output = invoke(command, "--help").output
    assert "Example" in output
    assert f"  characterflow constitution {command} " in output


def test_the_command_starts_fast_and_light():
    heavy = "{'torch', 'transformers', 'datasets', 'pyarrow', 'numpy', 'pandas'}"
    modules = "sys, characterflow.command_line, characterflow.prompts.datasets"
    code = f"import {modules}; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_user_error_is_one_line():
    assert str(UserError("a\n  b")) == "a b"
