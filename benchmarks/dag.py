"""The time of a dry run for many models and personas, with all evaluations.

    python benchmarks/dag.py [--sizes 3x11 10x33 10x100]

Each size is a run of its own in a temporary folder: so many students (copies of the paper's) and so many
personas (copies of a constitution of the repository), nothing made yet. The paper's run should stay below
10 s, and 10 x 100 below 90 s.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
STUDENT, CONSTITUTION = "llama-3.1-8b", "sarcasm"
FOLDERS = ("rules", "scripts", "src", "resources", "profiles")


def make_run(folder: Path, models: int, personas: int) -> None:
    """A copy of the workflow whose configuration has so many models and personas."""
    for name in FOLDERS:
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "Snakefile", folder)
    shutil.copytree(ROOT / "config", folder / "config")
    (folder / "constitutions").mkdir()
    run = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    entries = yaml.safe_load((ROOT / "config/models.yaml").read_text())
    run["models"] = [f"student-{number}" for number in range(models)]
    run["personas"] = [f"persona-{number}" for number in range(personas)]
    entries |= dict.fromkeys(run["models"], entries[STUDENT])
    for persona in run["personas"]:
        text = (ROOT / "constitutions" / f"{CONSTITUTION}.yaml").read_text()
        (folder / "constitutions" / f"{persona}.yaml").write_text(text)
    (folder / "config/config.yaml").write_text(yaml.safe_dump(run))
    (folder / "config/models.yaml").write_text(yaml.safe_dump(entries))


def dry_run(folder: Path) -> tuple[int, float]:
    """The number of jobs, and seconds."""
    command = [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--cores", "2"]
    command += ["--configfile", "config/config.yaml"]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(done.stderr)
    found = re.search(r"^total +(\d+)$", done.stdout + done.stderr, re.M)
    if not found:
        sys.exit(f"no number of jobs in what Snakemake printed:\n{done.stdout}{done.stderr}")
    return int(found[1]), seconds


def size(text: str) -> tuple[int, int]:
    """Models and personas of a size such as 3x11."""
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"expected MODELSxPERSONAS, such as 3x11, found {text!r}")
    models, personas = text.split("x")
    return int(models), int(personas)


def main() -> None:
    """Print a line for each size."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--sizes", type=size, nargs="+", default=[(3, 11), (10, 33), (10, 100)])
    print("models x personas | jobs | seconds | milliseconds a job")
    for models, personas in options.parse_args().sizes:
        with tempfile.TemporaryDirectory() as name:
            make_run(Path(name), models, personas)
            jobs, seconds = dry_run(Path(name))
        print(f"{models} x {personas} | {jobs} | {seconds:.1f} | {1000 * seconds / jobs:.1f}", flush=True)


if __name__ == "__main__":
    main()
