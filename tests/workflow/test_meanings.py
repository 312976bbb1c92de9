"""What `make meanings` finds: whether changed code makes the same artifacts, and what then is run again.

Most of it on a workflow of two scripts, which takes seconds; the proof on a finished run of the real one.
"""

import ast
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import comparison
import meanings
import wide_project
from changed_code import changed_places, mark, reached
from characterflow.core import meaning as module
from characterflow.core.errors import UserError
from characterflow.core.meaning import FILE, code_digest, meanings_text, read_meanings
from comparison import CHANGED, SAME, Base, changes, compare, differences, put_code, verdict
from tiny_project import CONFIGURATION, snakemake

TESTS = Path(__file__).parents[1]
TOY: dict[str, str] = {
    "Snakefile": """\
rule all:
    input: "results/second.txt"

rule first:
    output: "results/first.txt"
    shell: "python scripts/first.py {output}"

rule second:
    input: "results/first.txt"
    output: "results/second.txt"
    shell: "python scripts/second.py {input} {output}"
""",
    CONFIGURATION: "{}\n",
    "config/schemas/none": "",
    "rules/none": "",
    "scripts/first.py": """\
import sys
from pathlib import Path
from characterflow.stage.counting import count

Path(sys.argv[1]).write_text(f"{count(3)}\\n")
""",
    "scripts/second.py": """\
import sys
from pathlib import Path
from characterflow.stage.doubling import double

Path(sys.argv[2]).write_text(f"{double(Path(sys.argv[1]).read_text())}\\n")
""",
    "src/characterflow/__init__.py": "",
    "src/characterflow/stage/__init__.py": "",
    "src/characterflow/stage/counting.py": """\
def count(limit):
    if limit > 5:
        return limit - 1
    return limit
""",
    "src/characterflow/stage/doubling.py": "def double(text):\n    return text.strip() * 2\n",
    "tests/wide_project.py": f"""\
import json, shutil, sys
from pathlib import Path

sys.path.insert(0, {str(TESTS)!r})
from wide_project import JOBS, PROJECT, finish

folder = Path(sys.argv[1])
shutil.copytree(Path(__file__).parents[1], folder / PROJECT)
(folder / JOBS).write_text(json.dumps(finish(folder / PROJECT, [({CONFIGURATION!r}, "all")])))
""",
}
COUNTING, DOUBLING = "src/characterflow/stage/counting.py", "src/characterflow/stage/doubling.py"


def forget() -> None:
    """Read files again that a test has changed."""
    module._read.cache_clear()
    read_meanings.cache_clear()


def edit(root: Path, file: str, old: str, new: str) -> None:
    path = root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def git(root: Path, *arguments: str) -> None:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
    subprocess.run(command, cwd=root, check=True, capture_output=True)


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """The workflow of two scripts as a repository with a commit that lists its code, and that code's run."""
    toy = tmp_path_factory.mktemp("toy") / "repository"
    for file, text in TOY.items():
        write(toy / file, text)
    shutil.copytree(root / "src/characterflow/core", toy / "src/characterflow/core")
    (toy / ".gitignore").write_text(".snakemake/\n__pycache__/\n")
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, toy)
        assert meanings.main(["--anew"]) == 0
        git(toy, "init", "-q")
        git(toy, "add", ".")
        git(toy, "commit", "-q", "-m", "one")
        meanings.base_run(meanings.base_source("HEAD"))
    return toy


def work_in(patch: pytest.MonkeyPatch, toy: Path) -> None:
    patch.setattr(meanings, "ROOT", toy)
    patch.setattr(meanings, "CACHE", toy / ".snakemake/meanings")
    forget()


@pytest.fixture
def toy(committed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that repository to edit."""
    copy = Path(shutil.copytree(committed, tmp_path / "repository"))
    work_in(monkeypatch, copy)
    return copy


def listed(toy: Path) -> dict[str, tuple[str, int]]:
    """The name of each script's meaning, and how many digests have it."""
    forget()
    return {
        name: (known.name, len(known.digests)) for name, known in read_meanings(toy / meanings.LIST).items()
    }


def test_a_refactoring_keeps_the_name(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (toy / COUNTING).rename(toy / "src/characterflow/stage/numbers.py")
    edit(toy, "src/characterflow/stage/numbers.py", "def count(", "def number(")
    edit(toy, "scripts/first.py", "counting import count", "numbers import number")
    edit(toy, "scripts/first.py", "count(3)", "number(3)")
    assert meanings.main([]) == 0
    assert listed(toy) == {"first": ("first-1", 2), "second": ("second-1", 1)}
    assert not (toy / "CHANGELOG.md").exists()
    assert "running the project" not in capsys.readouterr().out
    assert meanings.main([]) == 0
    assert listed(toy) == {"first": ("first-1", 2), "second": ("second-1", 1)}


def test_other_artifacts_get_another_name_and_what_follows_them_keeps_its_own(toy: Path) -> None:
    edit(toy, COUNTING, "    return limit\n", "    return limit + 1\n")
    edit(toy, DOUBLING, "text.strip() * 2", "2 * text.strip()")
    assert meanings.main([]) == 0
    assert listed(toy) == {"first": ("first-2", 1), "second": ("second-1", 2)}
    changelog = (toy / "CHANGELOG.md").read_text()
    assert re.search(r"^- `first`: ", changelog, re.MULTILINE) and "second" not in changelog
    # Back to what it was: the old name, with the code of before.
    edit(toy, COUNTING, "    return limit + 1\n", "    return 0 + limit\n")
    forget()
    assert meanings.main([]) == 0
    assert listed(toy)["first"] == ("first-1", 2)


def test_a_name_is_not_given_twice(toy: Path) -> None:
    for old, new, name in (("3", "4", "first-2"), ("4", "5", "first-3")):
        edit(toy, "scripts/first.py", f"count({old})", f"count({new})")
        forget()
        assert meanings.main([]) == 0
        assert listed(toy)["first"] == (name, 1)


def test_code_that_no_job_goes_through_is_left_to_a_person(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(toy, COUNTING, "return limit - 1", "return limit - 2")
    assert meanings.main([]) == 2
    assert listed(toy)["first"] == ("first-1", 1)
    told = capsys.readouterr().err
    assert f"error: first: the same files, but no job goes through changed code: {COUNTING}:3 count" in told
    assert meanings.main(["--same", "first"]) == 0
    assert listed(toy)["first"] == ("first-1", 2)
    digest = code_digest(toy / "scripts/first.py")
    assert read_meanings(toy / meanings.LIST)["first"].digests[digest] == "vouched"


def test_a_person_can_say_that_something_changed(toy: Path) -> None:
    assert meanings.main(["--changed", "second"]) == 0
    assert listed(toy) == {"first": ("first-1", 1), "second": ("second-2", 1)}
    assert "`second`" in (toy / "CHANGELOG.md").read_text()


def test_jobs_that_fail_are_told(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(toy, COUNTING, "    return limit\n", "    return limit.there\n")
    assert meanings.main([]) == 2
    assert "error: first: its jobs fail on the inputs that they had" in capsys.readouterr().err


def test_a_new_script_gets_a_first_name_without_a_run(toy: Path) -> None:
    shutil.copy(toy / "scripts/first.py", toy / "scripts/third.py")
    assert meanings.main([]) == 0
    assert listed(toy)["third"] == ("third-1", 1)
    (toy / "scripts/third.py").unlink()
    assert meanings.main([]) == 0
    assert "third" not in listed(toy)


def test_a_script_without_a_job_is_left_to_a_person(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (toy / "scripts/third.py").write_text("X = 1\n")
    assert meanings.main([]) == 0
    git(toy, "add", ".")
    git(toy, "commit", "-q", "-m", "two")
    (toy / "scripts/third.py").write_text("X = 2\n")
    forget()
    assert meanings.main([]) == 2
    assert "error: third: the tiny project has no job of it" in capsys.readouterr().err


def test_what_is_compared_with_lists_all_its_code(toy: Path) -> None:
    edit(toy, COUNTING, "    return limit\n", "    return 0 + limit\n")
    git(toy, "commit", "-q", "-a", "-m", "two")
    with pytest.raises(
        UserError, match=r"HEAD: its scripts/meanings.txt does not list the code of first; exp"
    ):
        meanings.main([])
    assert meanings.main(["--since", "HEAD~1"]) == 0
    assert listed(toy)["first"] == ("first-1", 2)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--same", "first"], "first: expected a script whose code scripts/meanings.txt does not list"),
        (["--changed", "nothing"], "nothing: expected a script"),
    ],
)
def test_a_wrong_name_is_told(toy: Path, arguments: list[str], fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        meanings.main(arguments)


# What counts as the same.


def artifact(folder: Path, file: str, content: Any) -> None:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())


def tensors(path: Path, value: float, order: int) -> None:
    """A file with a tensor, its metadata written in either order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = dict([("one", "1"), ("two", "2")][::order])
    header = {"__metadata__": metadata, "a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + struct.pack("<d", value))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda folder: artifact(folder, "logs/a.log", b"2"), []),
        (lambda folder: artifact(folder, "benchmarks/a.tsv", b"2"), []),
        (lambda folder: artifact(folder, "d/training.json", {"counts": 1, "peak_memory_bytes": 6}), []),
        (lambda folder: artifact(folder, "d/training_log.jsonl", {"loss": 1, "seconds": 8}), []),
        (lambda folder: artifact(folder, "a.report.json", {"kept": 1, "engine": {"host": "b"}}), []),
        (lambda folder: artifact(folder, "a.report.json", {"kept": 2}), ["a.report.json"]),
        (lambda folder: artifact(folder, "d/manifest.json", {"w.safetensors": {"sha256": "b"}}), []),
        (lambda folder: tensors(folder / "d/w.safetensors", 1.0, -1), []),
        (lambda folder: tensors(folder / "d/w.safetensors", 2.0, 1), ["d/w.safetensors"]),
        (lambda folder: artifact(folder, "d/training.json", {"counts": 2}), ["d/training.json"]),
        (lambda folder: artifact(folder, "d/training_log.jsonl", {"loss": 2}), ["d/training_log.jsonl"]),
        (lambda folder: artifact(folder, "d/manifest.json", {"other": {}}), ["d/manifest.json"]),
        (lambda folder: artifact(folder, "rows.jsonl", {"seconds": 8}), ["rows.jsonl"]),
        (lambda folder: artifact(folder, "new.csv", b""), ["new.csv"]),
        (lambda folder: (folder / "rows.jsonl").unlink(), ["rows.jsonl"]),
    ],
)
def test_artifacts_are_compared_without_what_passes(
    tmp_path: Path, change: Callable[[Path], None], expected: list[str]
) -> None:
    for folder in (tmp_path / "before", tmp_path / "after"):
        artifact(folder, "logs/a.log", b"1")
        artifact(folder, "benchmarks/a.tsv", b"1")
        artifact(folder, "d/training.json", {"counts": 1, "peak_memory_bytes": 5, "configuration": "a"})
        artifact(folder, "d/training_log.jsonl", {"loss": 1, "seconds": 7})
        artifact(folder, "d/manifest.json", {"w.safetensors": {"sha256": "a"}})
        artifact(folder, "a.report.json", {"kept": 1, "engine": {"host": "a"}})
        artifact(folder, "rows.jsonl", {"seconds": 7})
        tensors(folder / "d/w.safetensors", 1.0, 1)
    change(tmp_path / "after")
    assert differences(tmp_path / "before", tmp_path / "after") == expected


# Which changed code was run.

OLD = '''\
LIMIT = 1


def go(value, other=2):
    """Go."""
    progress("going")
    value = 0 + value
    if value > LIMIT:
        text = f"{value} is too much"
        raise ValueError(text)
    try:
        found = value + 1
    except OSError:
        found = 0
    return found


class Thing:
    size = 3

    def use(self):
        return self.size


def choose(kind):
    if kind == "one":
        return 1
    raise ValueError(kind)
'''


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", []),
        ('"""Go."""', '"""Come."""', []),
        ("is too much", "is more than that", []),
        ("value + 1", "1 + value", ["12 go"]),
        ("found = 0", "found = 1", ["14 go"]),
        ("except OSError", "except ValueError", ["11 go"]),
        ("value > LIMIT", "value >= LIMIT", ["8 go"]),
        ("    value = 0 + value\n", "", ["4 go"]),
        ("other=2", "other=3", ["4", "4 go"]),
        ("def go", "def come", ["4"]),
        ("size = 3", "size = 4", ["19 Thing"]),
        ("self.size", "self.size + 0", ["22 Thing.use"]),
        ("LIMIT = 1\n", "from characterflow import more\n\nLIMIT = 1\n", []),
        ("return 1", "return 2", ["27 choose"]),
        ("class Thing", "def new():\n    return 7\n\n\nclass Thing", ["18", "18 new", "19 new"]),
    ],
)
def test_changed_code_is_found(tmp_path: Path, old: str, new: str, expected: list[str]) -> None:
    name = "src/characterflow/a.py"
    for folder, text in (("before", OLD), ("after", OLD.replace(old, new) if old else OLD)):
        write(tmp_path / folder / name, text)
    found = changed_places(tmp_path / "before", tmp_path / "after", [name])
    assert [str(place) for place in found] == [f"{name}:{place}" for place in expected]


def test_a_function_that_is_moved_and_renamed_has_not_changed(tmp_path: Path) -> None:
    write(tmp_path / "before/src/a.py", OLD)
    write(
        tmp_path / "after/src/b.py",
        OLD[OLD.index("def go") : OLD.index("class")].replace("def go", "def come"),
    )
    found = changed_places(tmp_path / "before", tmp_path / "after", ["src/b.py"])
    assert [str(place) for place in found] == ["src/b.py:1"]  # the definition, run when the module is loaded


STATEMENTS = """\
import contextlib

@contextlib.contextmanager
def opened(value):
    '''Open.'''
    try:
        yield value
    finally:
        value = None

class Thing:
    size = 3

def go(value):
    with opened(value) as inner:
        for part in [inner]:
            if part is None:
                print(f"{part!r}")
            elif part:
                break
        else:
            part = 3
        match part:
            case 7:
                part = 4
            case _:
                part = 5
    try:
        raise ValueError
    except ValueError:
        value = [x for x in range(3)]
    while True:
        break
    return lambda: 9

go(0) if go.__doc__ else go(1)
assert opened.__doc__ == "Open."
"""
MISSED = {"18 go", "22 go", "25 go"}


def test_places_are_noted_where_they_are_reached(tmp_path: Path) -> None:
    name = "src/characterflow/a.py"
    write(tmp_path / "before" / name, "")
    write(tmp_path / "after" / name, STATEMENTS)
    places = changed_places(tmp_path / "before", tmp_path / "after", [name])
    statements = sum(isinstance(node, ast.stmt) for node in ast.walk(ast.parse(STATEMENTS)))
    functions, imports_errors_and_docstrings = 2, 3
    assert len(places) == statements + functions - imports_errors_and_docstrings
    mark(tmp_path / "after", places)
    command = [sys.executable, "-c", f"import runpy; runpy.run_path({str(tmp_path / 'after' / name)!r})"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "after/src")}
    subprocess.run(command, env=environment, check=True)
    missed = {str(place) for place in places} - reached(tmp_path / "after")
    assert missed == {f"{name}:{place}" for place in MISSED}


# The changelog.


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "# Changelog\n\n## [Unreleased]\n\n### Reruns\n\n- `a`, `b`: *\n"),
        (
            "# Log\n\nAbout.\n\n## [1.0.0]\n\n- one\n",
            "# Log\n\nAbout.\n\n## [Unreleased]\n\n### Reruns\n\n- `a`, `b`: *\n\n## [1.0.0]\n\n- one\n",
        ),
        (
            "# Changelog\n\n## Unreleased\n\n### Added\n\n- x\n\n## [1.0.0]\n",
            "# Changelog\n\n## Unreleased\n\n### Added\n\n- x\n\n### Reruns\n\n- `a`, `b`: *\n\n## [1.0.0]\n",
        ),
        (
            "## [Unreleased]\n\n### Reruns\n\n- `a`: said.\n\n### Fixed\n\n- y\n",
            "## [Unreleased]\n\n### Reruns\n\n- `a`: said.\n- `b`: *\n\n### Fixed\n\n- y\n",
        ),
        (
            "## [Unreleased]\n\n### Reruns\n\n- `a`, `b`: said.\n",
            "## [Unreleased]\n\n### Reruns\n\n- `a`, `b`: said.\n",
        ),
    ],
)
def test_the_changelog_names_what_is_run_again(before: str, after: str) -> None:
    line = "what changed, and what that means for results."
    assert meanings.with_reruns(before, ["a", "b"]) == after.replace("*", line)


# The proof: results of one commit under the code of a later one.

PAIRS, EXCHANGES = "src/characterflow/distillation/pairs.py", "src/characterflow/distillation/exchanges.py"


@pytest.fixture
def later(tmp_path: Path, root: Path) -> Path:
    """A repository with the code of this one, to edit."""
    copy = tmp_path / "later"
    for name in comparison.CODE:
        source = root / name
        copy.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, copy / name) if source.is_dir() else shutil.copy(source, copy / name)
    return copy


def decide(base: Base, later: Path, folder: Path) -> dict[str, str]:
    """What `make meanings` does with scripts of unknown code: compare, and list."""
    forget()
    path = later / "scripts" / FILE
    known, verdicts = dict(read_meanings(path)), {}
    for script in module.unlisted(later):
        places = changes(base, later, [script])[script]
        found = compare(base, later, script, places, folder / script)
        verdicts[script] = verdict(places, found, found.reached)
        digest = code_digest(later / "scripts" / f"{script}.py")
        if verdicts[script] == SAME:
            known[script] = meanings.with_same(digest, "", known[script], known[script])
        else:
            known[script] = meanings.with_other(script, digest, "", known[script])
    path.write_text(meanings_text(known))
    return verdicts


def would_run(project: Path, *arguments: str) -> Counter[str]:
    """The jobs of a dry run, by their rules."""
    done = snakemake(project, "--dry-run", "all", *arguments)
    assert done.returncode == 0, done.stdout[-3000:]
    return Counter(re.findall(r"^(?:local)?rule (\w+):", done.stdout, re.MULTILINE))


@pytest.mark.pipeline
@pytest.mark.timeout(1200)
def test_results_of_one_commit_under_the_code_of_a_later_one(
    undisturbed: Path, later: Path, root: Path, tmp_path: Path
) -> None:
    project = Path(shutil.copytree(undisturbed, tmp_path / "project", symlinks=True))
    base = Base(root, undisturbed, wide_project.finish(project, [(CONFIGURATION, "all")]))
    assert would_run(project) == Counter()
    stage_and_what_follows = would_run(project, "--forcerun", "preference_pairs")
    assert {"preference_pairs", "distill", "merge", "report"} <= set(stage_and_what_follows)

    before, _, moved = (later / PAIRS).read_text().partition("def _conversations")
    (later / EXCHANGES).write_text(f"def exchanges{moved}")
    (later / PAIRS).write_text(before.replace("_conversations(", "exchanges("))
    edit(
        later,
        PAIRS,
        "from characterflow.engines.base",
        "from characterflow.distillation.exchanges import exchanges\nfrom characterflow.engines.base",
    )
    edit(later, EXCHANGES, "list[list[Message]]", "list")
    put_code(later, project)
    forget()
    assert would_run(project) == stage_and_what_follows  # nobody compared the code yet
    assert decide(base, later, tmp_path / "work") == {"preference_pairs": SAME}
    put_code(later, project)
    assert would_run(project) == Counter()

    edit(later, PAIRS, '"id": row["id"]', '"id": "pair-" + row["id"]')
    assert decide(base, later, tmp_path / "work") == {"preference_pairs": CHANGED}
    put_code(later, project)
    assert would_run(project) == stage_and_what_follows


@pytest.mark.pipeline
def test_every_script_has_a_job_in_the_wide_project(tmp_path: Path, root: Path) -> None:
    project = wide_project.make(tmp_path / "project")
    told = ""
    for configuration, target in wide_project.RUNS:
        done = snakemake(project, "--dry-run", "--printshellcmds", target, configuration=configuration)
        assert done.returncode == 0, done.stdout[-3000:]
        told += done.stdout
    scripts = {path.stem for path in (root / "scripts").glob("*.py")}
    assert scripts == set(wide_project.SCRIPT_OF.findall(told))


@pytest.mark.pipeline
def test_other_files_of_the_package_are_inputs_of_a_job(undisturbed: Path, root: Path) -> None:
    """Digests are of code alone: whatever else a module reads, a rule has to name."""
    package = root / "src/characterflow"
    others = {path for path in package.rglob("*.*") if path.suffix not in (".py", ".pyc")}
    others.discard(package / "constitutions/template.yaml")  # a command writes it
    told = snakemake(undisturbed, "--dry-run", "--forceall", "all", "release").stdout
    assert len(others) > 3
    assert [path.name for path in others if f"/{path.name}" not in told] == []
