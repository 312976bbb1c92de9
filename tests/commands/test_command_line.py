"""The command as a tool: its help, its exit status, and what the shell completes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from characterflow import command_line
from characterflow.command_line import GROUPS, app, main

COMMANDS = [name for names in GROUPS.values() for name in names]


def help_of(*command: str) -> str:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    return result.output


def test_every_command_stands_under_a_heading() -> None:
    text = help_of()
    registered = {name or callback.__name__ for name, callback in named()}
    assert registered == set(COMMANDS)
    places = [text.index(f"{heading}:") for heading in GROUPS]
    assert places == sorted(places)
    for command in COMMANDS:
        assert f"\n  {command} " in text
    assert "Exit status: 0 all is well" in text


def named() -> list:
    commands = [(command.name, command.callback) for command in app.registered_commands]
    return [*commands, *((group.name, None) for group in app.registered_groups)]


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "constitution"])
def test_every_command_has_examples(command: str) -> None:
    assert f"\n    characterflow {command}" in help_of(command)


def status(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["characterflow", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_exit_status(monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path) -> None:
    monkeypatch.chdir(root)
    assert status(monkeypatch, "constitution", "check", "constitutions/sarcasm.yaml") == 0
    (tmp_path / "empty.yaml").write_text("traits: []\n")
    assert status(monkeypatch, "constitution", "check", str(tmp_path / "empty.yaml")) == 1
    assert status(monkeypatch, "plan", "--config", "nowhere.yaml") == 2
    assert status(monkeypatch, "plan", "--no-such-option") == 2


def test_control_c_has_a_status_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line.plan, "load_files", stopped)
    assert status(monkeypatch, "plan") == 130


def completed(folder: Path, words: str) -> list[str]:
    """What bash would be offered for the last word."""
    environment = {
        **os.environ,
        "_CHARACTERFLOW_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    program = Path(sys.executable).with_name("characterflow")
    done = subprocess.run([program], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.split()


def test_the_shell_completes_commands_and_names(tmp_path: Path) -> None:
    for name in ("smollm2", "llama"):
        (tmp_path / "results/models" / name).mkdir(parents=True)
        (tmp_path / "results/models" / name / "config.json").write_text("{}")
    for persona in ("sarcasm", "poeticism"):
        (tmp_path / "results/smollm2" / persona / "persona").mkdir(parents=True)
        (tmp_path / "results/smollm2" / persona / "persona/adapter_config.json").write_text("{}")
    assert completed(tmp_path, "characterflow pr") == ["provenance"]
    assert completed(tmp_path, "characterflow chat s") == ["smollm2"]
    assert completed(tmp_path, "characterflow chat smollm2 --persona s") == ["sarcasm"]
