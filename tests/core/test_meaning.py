"""The digest that makes Snakemake notice changed code."""

import shutil
from pathlib import Path

import pytest

from characterflow.core import meaning as module


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package and scripts that a test may edit."""
    root = Path(__file__).parents[2]
    shutil.copytree(root / "src" / "characterflow", tmp_path / "characterflow")
    shutil.copytree(root / "scripts", tmp_path / "scripts")
    monkeypatch.setattr(module, "ROOT", tmp_path / "characterflow")
    return tmp_path


def digests(project: Path) -> dict[str, str]:
    module._read.cache_clear()
    return {path.stem: module.code_digest(path) for path in sorted((project / "scripts").glob("*.py"))}


def append(project: Path, file: str, text: str) -> None:
    path = project / file
    path.write_text(path.read_text() + text)


def changed(project: Path, file: str, text: str) -> set[str]:
    before = digests(project)
    append(project, file, text)
    after = digests(project)
    return {name for name in before if before[name] != after[name]}


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
    path = project / "characterflow" / "adapters" / "arithmetic.py"
    path.write_text(path.read_text().replace('"""One adapter that stands for', '"""A single adapter that is'))
    assert "A single adapter" in path.read_text()
    before = digests(project)
    path.write_text(path.read_text().replace('"""A single adapter that is', '"""An adapter for'))
    assert digests(project) == before
    assert changed(project, "characterflow/core/job.py", "\nEXTRA = 1\n") == set()
    for old, new in (
        ("different ranks; use exact", "unequal ranks; use exact"),
        ("base_model_name_or_path is", "the base is"),
    ):
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        assert digests(project) == before
    script = project / "scripts" / "merge.py"
    script.write_text(script.read_text().replace(" merge, rank ", " merge of rank "))
    assert digests(project) == before
