"""Where this folder is on PYTHONPATH, every Python process notes which lines of a project it runs.

LINES_TRACED: a folder, for one file a process: a JSON list of [file, line].
"""

import atexit
import json
import os
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

LINES = Path(os.environ["LINES_TRACED"])
# A script that is run by a relative path is named by that.
OWN = ("scripts/", *(f"{Path.cwd() / name}/" for name in ("scripts", "src")))
run: set[tuple[str, int]] = set()


def called(frame: FrameType, event: str, argument: Any) -> Any:
    """Follow the project's own functions."""
    return line if frame.f_code.co_filename.startswith(OWN) else None


def line(frame: FrameType, event: str, argument: Any) -> Any:
    """Note a line."""
    run.add((frame.f_code.co_filename, frame.f_lineno))
    return line


def write() -> None:
    """Leave what was noted."""
    (LINES / f"{os.getpid()}.json").write_text(json.dumps(sorted(run)))


atexit.register(write)
threading.settrace(called)
sys.settrace(called)
