"""What every script does around its work."""

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from characterflow.core.errors import UserError
from characterflow.core.job import on_success, parser, progress, run

def main(arguments):
    on_success(lambda: progress("cleaned up"))
    print("chatter")
    progress("working")
    if arguments.settings.get("fail") == "user":
        raise UserError("data.jsonl:3: lacks\\n the key 'id'")
    if arguments.settings.get("fail") == "bug":
        raise ValueError("no\\nidea")

run(main, parser("x").parse_args())
"""


def call(tmp_path: Path, settings: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "stage.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), "--settings", settings, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def told(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines on the terminal, without their time."""
    return [line.split(" ", 1)[1] for line in done.stderr.splitlines()]


def test_progress_reaches_terminal_and_log_and_chatter_the_log_alone(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "stage.log"
    done = call(tmp_path, "{}", "--log", str(path))
    assert done.returncode == 0
    assert told(done) == ["stage: working", "stage: cleaned up"]
    log = path.read_text()
    assert "chatter" in log
    assert "stage: working" in log


def test_progress_says_which_job_speaks(tmp_path: Path) -> None:
    for log, label in [
        ("results/logs/a_rule/llama-3.1-8b/sarcasm.log", "a_rule llama-3.1-8b/sarcasm"),
        ("results/logs/a_rule.log", "a_rule"),
        ("logs/run/results/logs/a_rule/tiny.log", "a_rule tiny"),
        ("elsewhere.log", "stage"),
    ]:
        done = call(tmp_path, "{}", "--log", str(tmp_path / log))
        assert told(done) == [f"{label}: working", f"{label}: cleaned up"]


def test_bad_input_is_one_line_and_status_2(tmp_path: Path) -> None:
    done = call(tmp_path, '{"fail": "user"}')
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("stage: error: data.jsonl:3: lacks the key 'id'")
    assert "Traceback" not in done.stderr
    assert "cleaned up" not in done.stderr


def test_a_bug_is_one_line_on_the_terminal_and_a_traceback_in_the_log(tmp_path: Path) -> None:
    done = call(tmp_path, '{"fail": "bug"}', "--log", str(tmp_path / "stage.log"))
    assert done.returncode == 1
    assert "ValueError: no (traceback in" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in (tmp_path / "stage.log").read_text()


def test_settings_that_are_no_json_are_refused(tmp_path: Path) -> None:
    done = call(tmp_path, "{oops")
    assert done.returncode == 2
    assert "argument --settings: expected JSON" in done.stderr
