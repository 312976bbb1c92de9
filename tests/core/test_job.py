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


def test_progress_reaches_terminal_and_log_and_chatter_the_log_alone(tmp_path: Path) -> None:
    done = call(tmp_path, "{}", "--log", str(tmp_path / "logs" / "stage.log"), "--label", "stage x")
    assert done.returncode == 0
    assert [line.split(" ", 1)[1] for line in done.stderr.splitlines()] == [
        "stage x: working",
        "stage x: cleaned up",
    ]
    log = (tmp_path / "logs" / "stage.log").read_text()
    assert "chatter" in log
    assert "stage x: working" in log


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
