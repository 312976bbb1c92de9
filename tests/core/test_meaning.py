"""What makes Snakemake notice changed code: digests, names that stand for them, modules that are found."""

import ast
import shutil
import sys
from pathlib import Path

import pytest

from characterflow.core import meaning as module
from characterflow.core.errors import UserError
from characterflow.core.meaning import FILE, Meaning, code_files, meanings_text, read_meanings, unlisted
from characterflow.core.stages import modules

PACKAGE = Path("src/characterflow")


@pytest.fixture
def project(tmp_path: Path, root: Path) -> Path:
    """A copy of the package and scripts that a test may edit."""
    for name in ("src", "scripts"):
        shutil.copytree(root / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A script, a package with a module, and an empty file of meanings."""
    write(tmp_path, "scripts/one.py", "from characterflow.stage import work\n\nwork.go()\n")
    write(tmp_path, f"scripts/{FILE}", "")
    write(tmp_path, PACKAGE / "__init__.py", '"""A package."""\n')
    write(tmp_path, PACKAGE / "stage/__init__.py", '"""A stage."""\n')
    write(tmp_path, PACKAGE / "stage/work.py", "def go():\n    return 1\n")
    return tmp_path


def write(project: Path, file: str | Path, text: str) -> None:
    path = project / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def forget() -> None:
    """Read files again that a test has changed."""
    module._read.cache_clear()
    read_meanings.cache_clear()


def digest(project: Path, script: str = "one") -> str:
    forget()
    return module.code_digest(project / "scripts" / f"{script}.py")


def meaning(project: Path, script: str = "one") -> str:
    forget()
    return module.meaning(project / "scripts" / f"{script}.py")


def digests(project: Path) -> dict[str, str]:
    forget()
    return {path.stem: module.code_digest(path) for path in sorted((project / "scripts").glob("*.py"))}


def append(project: Path, file: str | Path, text: str) -> None:
    path = project / file
    path.write_text(path.read_text() + text)


def changed(project: Path, file: str, text: str) -> set[str]:
    before = digests(project)
    append(project, PACKAGE.parent / file if file.startswith("characterflow") else file, text)
    after = digests(project)
    return {name for name in before if before[name] != after[name]}


# Which code a script depends on.


def test_an_edit_in_a_module_reaches_the_scripts_that_use_it(project: Path) -> None:
    assert changed(project, "characterflow/adapters/files.py", "\nEXTRA = 1\n") >= {"merge", "introspect"}
    assert changed(project, "characterflow/distillation/pairs.py", "\nEXTRA = 1\n") == {"preference_pairs"}
    summaries = {"robustness_tables", "robustness_figures", "report", "release_persona"}
    assert changed(project, "characterflow/evaluation/robustness/summary.py", "\nEXTRA = 1\n") == summaries
    assert changed(project, "scripts/merge.py", "\nEXTRA = 1\n") == {"merge"}


def test_training_follows_its_modules(project: Path) -> None:
    assert changed(project, "characterflow/training/losses.py", "\nEXTRA = 1\n") >= {"distill"}


def test_comments_docstrings_and_messages_change_nothing(project: Path) -> None:
    assert changed(project, "characterflow/adapters/files.py", "\n# a comment\n\n\n") == set()
    path = project / PACKAGE / "adapters" / "arithmetic.py"
    before = digests(project)
    for old, new in (
        ('"""One adapter that stands for', '"""A single adapter that is'),
        ("different ranks; use exact", "unequal ranks; use exact"),
        ("base_model_name_or_path is", "the base is"),
    ):
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        assert digests(project) == before
    assert changed(project, "characterflow/core/job.py", "\nEXTRA = 1\n") == set()
    script = project / "scripts" / "merge.py"
    script.write_text(script.read_text().replace(" merge, rank ", " merge of rank "))
    assert digests(project) == before


def test_a_docstring_that_is_added_changes_nothing(small: Path) -> None:
    before = digest(small)
    write(small, PACKAGE / "stage/work.py", 'def go():\n    """Go."""\n    return 1\n')
    assert digest(small) == before
    write(small, PACKAGE / "stage/work.py", "def go():\n    return 2\n")
    assert digest(small) != before


def test_an_init_counts_where_it_holds_code(small: Path) -> None:
    before = digest(small)
    write(small, PACKAGE / "stage/__init__.py", '"""Another text."""\n# and a comment\n')
    assert digest(small) == before
    write(small, PACKAGE / "stage/__init__.py", "SETTING = 1\n")
    assert digest(small) != before


def test_files_of_one_name_are_told_apart(small: Path) -> None:
    write(small, "scripts/one.py", "from characterflow.a import work\nfrom characterflow.b import work\n")
    for name, text in (("a", "X = 1\n"), ("b", "X = 2\n")):
        write(small, PACKAGE / name / "work.py", text)
    before = digest(small)
    for name, text in (("a", "X = 2\n"), ("b", "X = 1\n")):
        write(small, PACKAGE / name / "work.py", text)
    assert digest(small) != before


def test_relative_imports_are_followed(small: Path) -> None:
    write(small, PACKAGE / "stage/work.py", "from . import helper\nfrom ..other import thing\n")
    write(small, PACKAGE / "stage/helper.py", "X = 1\n")
    write(small, PACKAGE / "other/thing.py", "X = 1\n")
    found = {path.name for path in code_files(small / "scripts/one.py")}
    assert found == {"one.py", "work.py", "helper.py", "thing.py"}


def test_a_digest_does_not_depend_on_the_place(small: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "project"
    shutil.copytree(small, elsewhere)
    assert digest(elsewhere) == digest(small)


# Each of these is another tree under Python 3.11, 3.12 or 3.13, or is written otherwise by ast.unparse.
CODE = """\
def go(width, *, name: str = "x") -> str:
    return f"{width:<{width}}" + f"{name['a']!r}" + f'{name["b"]}' + "é\\U0001fae8" + u"x"

class Empty:
    pass
"""
NORMAL = "74892fb76a044a4e"


def test_a_digest_does_not_depend_on_the_version_of_python() -> None:
    """The same under 3.11, 3.12.1 and 3.13.0, where it was tried; whatever runs this test must agree."""
    found = module.text_digest(module.canonical_json(module.parsed(ast.parse(CODE))))[:16]
    assert found == NORMAL, sys.version


# Modules that core.stages finds.


def section(small: Path, stage: str, text: str) -> None:
    write(small, PACKAGE / "evaluation" / stage / "__init__.py", "")
    write(small, PACKAGE / "evaluation" / stage / "section.py", text)


def test_a_script_depends_on_the_modules_that_are_found(small: Path) -> None:
    write(small, PACKAGE / "core/stages.py", "def modules(package, name):\n    return []\n")
    call = 'from characterflow.core.stages import modules\n\nmodules("characterflow.evaluation", "section")\n'
    write(small, PACKAGE / "stage/work.py", call)
    before = digest(small)
    section(small, "robustness", "X = 1\n")
    with_one = digest(small)
    write(small, PACKAGE / "evaluation/robustness/settings.py", "X = 1\n")
    write(small, PACKAGE / "evaluation/judge/__init__.py", "")
    assert before != with_one == digest(small)
    section(small, "length", "from characterflow.stage import used\n")
    write(small, PACKAGE / "stage/used.py", "X = 1\n")
    forget()
    files = {
        path.relative_to(small / PACKAGE).as_posix()
        for path in list(code_files(small / "scripts/one.py"))[1:]
    }
    sections = {f"evaluation/{name}/section.py" for name in ("robustness", "length")}
    assert files == {"core/stages.py", "stage/work.py", "stage/used.py"} | sections


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('modules("characterflow.evaluation", name)', 'work.py:2: expected modules("PACKAGE", "NAME")'),
        ('modules("characterflow.evaluation", name="section")', 'work.py:2: expected modules("PACKAGE"'),
        ("found = map(modules, names)", 'work.py: imports core.stages; expected a call of modules("PACK'),
    ],
)
def test_a_call_that_cannot_be_followed_is_a_fault(small: Path, line: str, fault: str) -> None:
    write(small, PACKAGE / "core/stages.py", "")
    write(small, PACKAGE / "stage/work.py", f"from characterflow.core.stages import modules\n{line}\n")
    with pytest.raises(UserError) as caught:
        digest(small)
    assert fault in str(caught.value)


def test_modules_are_found_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (
        ("late", ""),
        ("first", "POSITION = 1\n"),
        ("early", "POSITION = 0.5\n"),
        ("also", ""),
    ):
        write(tmp_path, f"found/{name}/__init__.py", "")
        write(tmp_path, f"found/{name}/section.py", text)
    write(tmp_path, "found/__init__.py", "")
    write(tmp_path, "found/without/__init__.py", "")
    write(tmp_path, "found/section.py", "raise RuntimeError\n")
    monkeypatch.syspath_prepend(tmp_path)
    names = [found.__name__.split(".")[1] for found in modules("found", "section")]
    assert names == ["early", "first", "also", "late"]


# What a digest stands for.


def test_code_stands_for_itself_until_it_is_listed(small: Path) -> None:
    found = digest(small)
    assert meaning(small) == found
    assert unlisted(small) == ["one"]
    write(small, f"scripts/{FILE}", f"# a comment\n\none one-2 0123456789abcdef\none one-2 {found} vouched\n")
    assert meaning(small) == "one-2"
    assert unlisted(small) == []
    append(small, "scripts/one.py", "\nEXTRA = 1\n")
    assert meaning(small) == digest(small) != found


def test_meanings_are_written_a_digest_a_line_and_read_again(tmp_path: Path) -> None:
    meanings = {
        "merge": Meaning("merge-1", {"0" * 16: ""}),
        "distill": Meaning("distill-3", {"f" * 16: "", "1" * 16: "vouched"}),
    }
    path = tmp_path / FILE
    path.write_text(meanings_text(meanings))
    assert read_meanings(path) == meanings
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert lines == [
        f"distill distill-3 {'f' * 16}",
        f"distill distill-3 {'1' * 16} vouched",
        f"merge merge-1 {'0' * 16}",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("one one-1\n", "meanings.txt:1: expected a script, its meaning and a digest, found 'one one-1'"),
        ("\n<<<<<<< HEAD\n", "meanings.txt:2: expected a script"),
        ("one one-1 0123456789abcdef maybe\n", "meanings.txt:1: expected a script"),
        (
            "one one-1 0123456789abcdef\none one-2 1123456789abcdef\n",
            "meanings.txt:2: one: expected the meaning one-1, found one-2",
        ),
    ],
)
def test_a_faulty_line_is_named(small: Path, text: str, fault: str) -> None:
    write(small, f"scripts/{FILE}", text)
    with pytest.raises(UserError) as caught:
        meaning(small)
    assert fault in str(caught.value)


def test_the_code_of_every_script_is_listed(root: Path) -> None:
    forget()
    missing = unlisted(root)
    assert not missing, f"run make meanings: scripts/{FILE} does not list the code of {', '.join(missing)}"
