"""All benchmarks one after the other: every figure of docs/performance.md, each beside its baseline.

    python benchmarks/run.py [--results results]

What it takes: the finished demo, whose stages are told, whose model generates and is trained, on whose pairs,
and a machine that does nothing else meanwhile. A benchmark that fails says why, and the others go on.
"""

import argparse
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def commands(results: Path) -> dict[str, list[str]]:
    """Arguments of each benchmark's script, the quick ones first."""
    model = str(results / "models" / "smollm2")
    pairs = str(results / "smollm2" / "sarcasm" / "preferences.jsonl")
    small = ["--pairs", "8", "--updates", "1", "--batch-size", "4"]
    return {
        "tokens": [],
        "loads": [],
        "stages": ["--results", str(results)],
        "dag": [],
        "reuse": [],
        "generation": ["--model", model],
        "training": ["--model", model, "--data", pairs, "--tasks", "dpo", "sft", *small],
    }


def main() -> None:
    """Run them; the exit status is 1 where one has failed."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--results", type=Path, default=Path("results"))
    failed = []
    for name, given in commands(options.parse_args().results).items():
        print(f"\n## {name}: python benchmarks/{name}.py {' '.join(given)}".rstrip(), flush=True)
        done = subprocess.run([sys.executable, str(FOLDER / f"{name}.py"), *given], check=False)
        if done.returncode:
            failed.append(name)
    if failed:
        sys.exit(f"error: failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
