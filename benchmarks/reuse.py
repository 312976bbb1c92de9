"""How much is generated again after a change, in the demo: tokens by vLLM's count, over those of a full run.

    python benchmarks/reuse.py [--dtype float32]

Two changes: ten more general prompts (prompts.general.count 50 to 60), which the rule student_general
answers, and one edited question of one trait of the persona sarcasm, for the rule student. Each rule runs
before the change, after it, and once more from nothing; the two files after the change are compared byte for
byte. It happens in a temporary folder, with the demo's model (taken from its package) and its settings but
for the dtype: in float32 what is generated does not depend on which requests share a batch.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from dag import FOLDERS, ROOT

from characterflow.core.files import read_jsonl
from characterflow.engines import kept

PERSONA, MODEL = "sarcasm", "smollm2"
MORE_PROMPTS = 60
QUESTION = "Is the floor still there if I close my eyes?"
CONFIGURATION, CONSTITUTION = Path("config/demo.yaml"), Path(f"constitutions/{PERSONA}.yaml")
OUTPUTS = {
    "student_general": Path("results", MODEL, "general.jsonl"),
    "student": Path("results", MODEL, PERSONA, "student.jsonl"),
}


def make_demo(folder: Path, dtype: str) -> None:
    """A copy of the workflow whose models compute in that type."""
    for name in FOLDERS:
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "Snakefile", folder)
    for name in ("config", "constitutions"):
        shutil.copytree(ROOT / name, folder / name)
    models = folder / "config/models.yaml"
    entries = yaml.safe_load(models.read_text())
    entries[MODEL]["dtype"] = dtype
    models.write_text(yaml.safe_dump(entries))


def change(folder: Path) -> None:
    """Ask for more general prompts, and edit the first question of the first trait."""
    run = yaml.safe_load((folder / CONFIGURATION).read_text())
    run["prompts"]["general"]["count"] = MORE_PROMPTS
    (folder / CONFIGURATION).write_text(yaml.safe_dump(run))
    constitution = yaml.safe_load((folder / CONSTITUTION).read_text())
    constitution["traits"][0]["questions"][0] = QUESTION
    (folder / CONSTITUTION).write_text(yaml.safe_dump(constitution))


def run_workflow(folder: Path) -> dict[str, int]:
    """Make the outputs; tokens that the engine of each rule's job generated."""
    targets = map(str, OUTPUTS.values())
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all", "--", *targets]
    done = subprocess.run(command, cwd=folder, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        sys.exit("error: the workflow failed")
    return {rule: generated(folder / "results/logs" / rule) for rule in OUTPUTS}


def generated(logs: Path) -> int:
    """Tokens that the engine of a rule's only job counted."""
    [log] = logs.rglob("*.log")
    [line] = [line for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("engine ")]
    counted: dict[str, Any] = json.loads(line.removeprefix("engine "))
    return counted.get("completion_tokens", 0)


def forget(folder: Path) -> dict[str, Path]:
    """Move the outputs away, remove what is kept of them; where they are now."""
    moved = {}
    for rule, output in OUTPUTS.items():
        moved[rule] = (folder / output).rename(folder / f"{rule}.jsonl")
        shutil.rmtree((folder / output).parent / kept.FOLDER)
    return moved


def main() -> None:
    """Print a line for each rule."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--dtype", default="float32")
    dtype = options.parse_args().dtype
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_demo(folder, dtype)
        run_workflow(folder)
        change(folder)
        again = run_workflow(folder)
        before = forget(folder)
        whole = run_workflow(folder)
        print("rule | generated again | from nothing | share | rows that differ | same bytes")
        for rule, output in OUTPUTS.items():
            same = before[rule].read_bytes() == (folder / output).read_bytes()
            pairs = list(zip(read_jsonl(before[rule]), read_jsonl(folder / output), strict=True))
            differ = f"{sum(one != other for one, other in pairs)} of {len(pairs)}"
            share = f"{again[rule] / whole[rule]:.3f}"
            print(f"{rule} | {again[rule]} | {whole[rule]} | {share} | {differ} | {'yes' if same else 'no'}")


if __name__ == "__main__":
    main()
