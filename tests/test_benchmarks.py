"""The benchmarks run from end to end on models too small for their figures to mean anything."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


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
