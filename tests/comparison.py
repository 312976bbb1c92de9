"""Whether changed code makes the same artifacts: a script's jobs, run again on inputs of a finished run."""

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from changed_code import Place, changed_places, mark, reached
from characterflow.core.files import MANIFEST, canonical_json, read_json, read_jsonl
from characterflow.core.meaning import code_files
from wide_project import Jobs, run

SAME, CHANGED = "same", "changed"
# What is code: the rest of a project is its input.
CODE = ("Snakefile", "rules", "scripts", "src", "config/schemas")
# Below the results; they hold times.
LEFT_OUT = {"logs", "benchmarks"}
# By the end of a record's name, its fields that differ between two runs of the same code, or that tell of the
# run and not of the artifact.
PASSING = {
    "training.json": ("configuration", "packages", "peak_memory_bytes"),
    "training_log.jsonl": ("seconds",),
    "merge.json": ("configuration",),
    "steering.json": ("configuration",),
    "strength.json": ("configuration",),
    ".report.json": ("engine",),
}


@dataclass(frozen=True)
class Base:
    """A repository's code, a project after a run with it, and what each script made in that run."""

    source: Path
    project: Path
    jobs: Jobs


@dataclass(frozen=True)
class Comparison:
    """What new code did in a script's jobs.

    different: files that are not what they were. failure: what Snakemake says where a job failed. reached:
    places of changed code, as texts, that the jobs went through.
    """

    different: list[str] = field(default_factory=list)
    failure: str = ""
    reached: set[str] = field(default_factory=set)


def changes(base: Base, root: Path, scripts: Iterable[str]) -> dict[str, list[Place]]:
    """For each script the places of code that is new or changed since the base in the repository `root`."""
    files = {
        name: {path.relative_to(root).as_posix() for path in code_files(root / "scripts" / f"{name}.py")}
        for name in scripts
    }
    places = changed_places(base.source, root, set().union(*files.values()))
    return {name: [place for place in places if place.file in own] for name, own in files.items()}


def compare(base: Base, root: Path, script: str, places: Iterable[Place], work: Path) -> Comparison:
    """Run a script's jobs with the code of the repository `root` on the inputs that they had.

    places: of changed code, to tell which are reached. work: a folder for the run, which stays where the
    files are not the same.
    """
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(base.project, work, symlinks=True)
    put_code(root, work)
    mark(work, places)
    for configuration, outputs in base.jobs[script].items():
        # These jobs and no others: by time stamps, which the copy keeps, nothing else is stale.
        done = run(work, configuration, "--rerun-triggers", "mtime", "--force", *outputs)
        if done.returncode:
            return Comparison(failure=first_error(done.stdout))
    different = differences(base.project / "results", work / "results")
    found = Comparison(different, reached=reached(work))
    if not found.different:
        shutil.rmtree(work)
    return found


def put_code(root: Path, project: Path) -> None:
    """Give a project the code of a repository, and leave what it works on."""
    for name in CODE:
        old, new = project / name, root / name
        if new.is_dir():
            shutil.rmtree(old)
            shutil.copytree(new, old, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(new, old)


def differences(before: Path, after: Path) -> list[str]:
    """Files of two folders of results that one of them lacks, or that do not say the same in both."""
    old, new = (dict(_artifacts(folder)) for folder in (before, after))
    other = {name for name in old.keys() & new.keys() if _content(old[name]) != _content(new[name])}
    return sorted((old.keys() ^ new.keys()) | other)


def _artifacts(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in folder.rglob("*"):
        relative = path.relative_to(folder)
        if path.is_file() and not LEFT_OUT & set(relative.parts):
            yield relative.as_posix(), path


def _content(path: Path) -> Any:
    """What an artifact says, without what differs between two runs of the same code.

    A manifest stands for the files that it names, which are compared themselves. The header of a safetensors
    file lists its metadata in any order.
    """
    passing = next((keys for end, keys in PASSING.items() if path.name.endswith(end)), ())
    if path.name == MANIFEST:
        return sorted(read_json(path))
    if path.suffix == ".safetensors":
        content = path.read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        return canonical_json(json.loads(content[8:end])), content[end:]
    if passing and path.suffix == ".jsonl":
        return [_without(row, passing) for row in read_jsonl(path)]
    return _without(read_json(path), passing) if passing else path.read_bytes()


def _without(record: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in keys}


def verdict(places: list[Place], found: Comparison, reached: set[str]) -> str:
    """SAME, CHANGED, or why neither can be said. places: the script's. reached: by all comparisons."""
    if found.failure:
        return f"its jobs fail on the inputs that they had: {found.failure}"
    if found.different:
        return CHANGED
    missed = [str(place) for place in places if str(place) not in reached]
    more = f" and {len(missed) - 1} more" if len(missed) > 1 else ""
    return f"the same files, but no job goes through changed code: {missed[0]}{more}" if missed else SAME


def first_error(text: str) -> str:
    """Of what was printed, the line that tells the error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["nothing was printed"]
    return next((line for line in lines if "error" in line.lower()), lines[-1])
