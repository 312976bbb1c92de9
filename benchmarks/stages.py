"""Where the time of a finished run went: generating, training, and everything else, a rule.

    python benchmarks/stages.py [--results results]

Read from what every run leaves: Snakemake's benchmark of each job (wall-clock seconds from the start of its
process to its end); the job's log, which ends each stretch of generating and a classifier's training with its
seconds; and training_log.jsonl with the seconds of an adapter's updates. The rest is imports, loading of
models, compiling, evaluation of held-out examples, writing. Jobs run side by side: job seconds add up to more
than the wall time, from the first job's start to the last one's end.
"""

import argparse
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from characterflow.core.errors import UserError
from characterflow.core.files import read_jsonl
from characterflow.planning.costs import benchmark_seconds
from characterflow.training.log import FILE as TRAINING_LOG

GENERATED = re.compile(r"^([\d:]{8}) .*: (\d+)/\2 .*, in (\d+) s$", re.M)
FINE_TUNED = re.compile(r"'train_runtime': '?([\d.]+)")
TRAININGS = {"distill": "distillation", "introspection_train": "introspection"}


@dataclass
class Seconds:
    """Of some jobs: their number, wall-clock seconds, and how many of these went into what is wanted."""

    jobs: int = 0
    whole: float = 0.0
    generating: float = 0.0
    training: float = 0.0

    @property
    def rest(self) -> float:
        return self.whole - self.generating - self.training

    def __add__(self, other: "Seconds") -> "Seconds":
        return Seconds(
            self.jobs + other.jobs,
            self.whole + other.whole,
            self.generating + other.generating,
            self.training + other.training,
        )


def stages(results: Path) -> dict[str, Seconds]:
    """Seconds a rule, the longest first. Raises UserError where no run has left its benchmarks."""
    folder = results / "benchmarks"
    found = defaultdict(Seconds)
    for path in sorted(folder.rglob("*.tsv")):
        rule, place = _job(path.relative_to(folder).with_suffix(""))
        found[rule] += _seconds(results, path, rule, place)
    if not found:
        raise UserError(f"{folder}: expected the benchmarks of a run")
    return dict(sorted(found.items(), key=lambda item: -item[1].whole))


def _job(path: Path) -> tuple[str, Path]:
    return path.parts[0], Path(*path.parts[1:])


def _seconds(results: Path, benchmark: Path, rule: str, place: Path) -> Seconds:
    log = (results / "logs" / rule / place).with_suffix(".log")
    text = log.read_text(encoding="utf-8") if log.is_file() else ""
    training = sum(float(seconds) for seconds in FINE_TUNED.findall(text))
    if rule in TRAININGS:
        rows = read_jsonl(results / place / TRAININGS[rule] / TRAINING_LOG)
        training += sum(row.get("seconds", 0.0) for row in rows)
    return Seconds(1, benchmark_seconds(benchmark), _generating(text), training)


def _generating(log: str) -> float:
    """Seconds in which something was generated, by what a log tells; stretches may overlap."""
    ends = [(datetime.strptime(clock, "%H:%M:%S"), int(taken)) for clock, _, taken in GENERATED.findall(log)]
    return _union([(end - timedelta(seconds=taken), end) for end, taken in ends]).total_seconds()


def _union(stretches: list[tuple[datetime, datetime]]) -> timedelta:
    covered, until = timedelta(), datetime.min
    for start, end in sorted(stretches):
        covered += max(end - max(start, until), timedelta())
        until = max(until, end)
    return covered


def wall_seconds(results: Path) -> float:
    """From the start of the first job to the end of the last, breaks included."""
    ended = {path: path.stat().st_mtime for path in (results / "benchmarks").rglob("*.tsv")}
    return max(ended.values()) - min(end - benchmark_seconds(path) for path, end in ended.items())


def main() -> None:
    """Print a line for each rule, and the sum."""
    layout = argparse.RawDescriptionHelpFormatter
    options = argparse.ArgumentParser(description=__doc__, formatter_class=layout)
    options.add_argument("--results", type=Path, default=Path("results"))
    results = options.parse_args().results
    try:
        found = stages(results)
    except UserError as error:
        sys.exit(f"error: {error}")
    print("rule | jobs | job seconds | generating | training | rest | rest of its time")
    for rule, spent in [*found.items(), ("total", sum(found.values(), Seconds()))]:
        figures = (spent.whole, spent.generating, spent.training, spent.rest)
        shown = " | ".join(f"{figure:.0f}" for figure in figures)
        print(f"{rule} | {spent.jobs} | {shown} | {spent.rest / spent.whole:.0%}")
    print(f"wall seconds: {wall_seconds(results):.0f}")


if __name__ == "__main__":
    main()
