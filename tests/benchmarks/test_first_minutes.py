"""What a newcomer waits for, on a repository whose targets do next to nothing."""

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

MAKEFILE = """
INSTALLER ?= none
environment:
	@echo "Installed in 3 s with $(INSTALLER) 1.2.3"
	@echo "caches: $$PIP_CACHE_DIR $$UV_CACHE_DIR; package: $$PYTHONPATH; torch: $(TORCH_INDEX)"
demo:
	@echo "demo for ever"
	@sleep 1
test:
	@echo "tested"; exit $(FAIL)
"""
X86 = """processor\t: 0
model name\t: AMD EPYC 9654 96-Core Processor
flags\t\t: fpu avx avx2 avx512f avx512_bf16

processor\t: 1
model name\t: AMD EPYC 9654 96-Core Processor
flags\t\t: fpu avx avx2 avx512f avx512_bf16
"""
OLD = "processor\t: 0\nmodel name\t: Intel(R) Core(TM) i5\nflags\t\t: fpu avx avx2\n"
NEW = "model name\t: Intel(R) Xeon(R): 8480\nflags\t\t: avx2 avx512f avx512_bf16 amx_bf16 amx_tile\n"
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd bf16\n"


@pytest.fixture
def module(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(root / "benchmarks")
    return importlib.import_module("first_minutes")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a Makefile."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "Makefile").write_text(MAKEFILE)
    for arguments in (["init"], ["add", "Makefile"], ["commit", "--message", "All"]):
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)
    return folder


def measured(root: Path, repository: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the script as a person would."""
    command = [sys.executable, "benchmarks/first_minutes.py", "--repository", str(repository), *options]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def table(text: str) -> dict[str, list[str]]:
    """The cells of each line, by its first one."""
    return {
        name: cells for name, *cells in (line.split(" | ") for line in text.splitlines() if " | " in line)
    }


@pytest.mark.parametrize(
    ("information", "model", "flags"),
    [
        (X86, "AMD EPYC 9654 96-Core Processor", "avx2, avx512f, avx512_bf16, no amx_bf16"),
        (OLD, "Intel(R) Core(TM) i5", "avx2, no avx512f, no avx512_bf16, no amx_bf16"),
        (NEW, "Intel(R) Xeon(R): 8480", "avx2, avx512f, avx512_bf16, amx_bf16"),
    ],
    ids=["EPYC", "i5", "Xeon"],
)
def test_the_processor_is_told(module: ModuleType, information: str, model: str, flags: str) -> None:
    assert module.processor(information) == (model, flags)


def test_a_processor_of_another_kind_has_none_of_them(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.platform, "machine", lambda: "aarch64")
    assert module.processor(ARM) == ("aarch64", "no avx2, no avx512f, no avx512_bf16, no amx_bf16")
    assert module.processor("") == ("aarch64", "unknown")


def test_every_step_is_timed(root: Path, repository: Path) -> None:
    done = measured(root, repository, "--torch-index", "https://torch.example")
    assert done.returncode == 0, done.stderr
    rows = table(done.stdout)
    assert list(rows) == ["step", "clone", "install", "demo", "tests", *list(rows)[5:]]
    assert all(
        re.fullmatch(r"\d+", cell) for step in ("clone", "install", "tests") for cell in rows[step][:2]
    )
    assert 1 <= int(rows["demo"][0]) < 30 and int(rows["demo"][1]) < 5
    assert rows["installed with"] == ["uv 1.2.3"]
    assert rows["processor"][0].endswith(" cores") and rows["instructions"]


def test_nothing_is_there_beforehand(
    root: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for name in ("PYTHONPATH", "UV_CACHE_DIR", "PIP_CACHE_DIR"):
        monkeypatch.setenv(name, "/mine")
    done = measured(root, repository, "--no-demo", "--no-tests", "--installer", "pip")
    said = re.search(r"^caches: (\S+) (\S+); package: ; torch: $", done.stdout, re.MULTILINE)
    assert said and all(Path(cache).is_relative_to(tmp_path) for cache in said.groups())
    assert table(done.stdout)["installed with"] == ["pip 1.2.3"]
    assert {"demo", "tests"}.isdisjoint(table(done.stdout))
    assert list(tmp_path.iterdir()) == [repository]


def test_what_was_timed_before_a_failure_is_told(
    root: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL", "3")
    done = measured(root, repository, "--no-demo")
    assert done.returncode == 1
    assert done.stderr == "error: make test INSTALLER=uv failed\n"
    assert "install" in table(done.stdout) and "tests" not in table(done.stdout)
