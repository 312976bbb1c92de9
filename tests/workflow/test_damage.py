"""Disks that are full or read-only, and damaged files: one clear line each, and nothing finished is lost."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from characterflow.core.files import read_jsonl, write_jsonl, write_manifest
from characterflow.engines import kept
from tiny_models import tiny_adapter, tiny_model

PROMPTS, SAMPLES = 10, 3
ENGINE: dict[str, Any] = {"kind": "transformers", "context": 512, "dtype": "float32", "sequences": 4}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, an adapter, prompts, and the replies of an undisturbed job."""
    folder = tmp_path_factory.mktemp("damage")
    write_manifest(tiny_model(folder / "model"))
    write_manifest(tiny_adapter(folder / "adapter", folder / "model"))
    write_jsonl(folder / "prompts.jsonl", ({"id": f"p{i}", "prompt": f"Say {i}."} for i in range(PROMPTS)))
    assert student(folder, folder / "replies.jsonl")[0] == 0
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "work"))


def student(folder: Path, output: Path, **engine: Any) -> tuple[int, list[str]]:
    """Run the script; exit status, and the lines that a person sees."""
    settings = {
        "engine": {**ENGINE, "model": str(folder / "model"), **engine},
        "samples": SAMPLES,
        "sampling": {"max_tokens": 8},
        "seed": 0,
    }
    command = [sys.executable, "scripts/student.py", "--prompts", str(folder / "prompts.jsonl")]
    command += ["--output", str(output), "--settings", json.dumps(settings), "--log", str(folder / "log")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.splitlines()


def told(lines: list[str]) -> str:
    """The one line that tells the error."""
    errors = [line for line in lines if "error: " in line]
    assert len(errors) == 1, lines
    assert not any("Traceback" in line for line in lines)
    return errors[0]


@contextmanager
def disk(folder: Path, options: str) -> Iterator[Path]:
    """A small file system of its own."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"DISKS ARE NOT TESTED, mounting one takes root: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_loses_nothing_that_is_finished(folder: Path) -> None:
    with disk(folder / "small", "size=4k") as small:
        status, lines = student(folder, small / "replies.jsonl")
        assert status == 1
        assert "No space left on device" in told(lines) and "replies.jsonl" in told(lines)
        subprocess.run(["mount", "-o", "remount,size=1m", str(small)], check=True)
        status, lines = student(folder, small / "replies.jsonl")
        assert status == 0
        found = re.search(r"(\d+) of 30 replies found from an interrupted run", "\n".join(lines))
        assert found and int(found[1]) > 5
        assert (small / "replies.jsonl").read_bytes() == (folder / "replies.jsonl").read_bytes()
        assert {path.name for path in small.iterdir()} == {kept.FOLDER, "replies.jsonl"}


def test_a_read_only_disk_is_told(folder: Path) -> None:
    with disk(folder / "small", "size=1m,ro") as small:
        status, lines = student(folder, small / "replies.jsonl")
        assert status == 1
        assert "Read-only file system" in told(lines) and str(small) in told(lines)


@pytest.mark.parametrize("damage", [b"\x00\xff" * 200, b'{"identity": "another"}\n{"key": "x"'])
def test_a_damaged_part_file_is_begun_anew(folder: Path, damage: bytes) -> None:
    (folder / ".again.jsonl.part").write_bytes(damage)
    assert student(folder, folder / "again.jsonl")[0] == 0
    assert (folder / "again.jsonl").read_bytes() == (folder / "replies.jsonl").read_bytes()


@pytest.mark.parametrize("left", [0, 5000])
def test_a_truncated_model_is_named(folder: Path, left: int) -> None:
    os.truncate(folder / "model/model.safetensors", left)
    status, lines = student(folder, folder / "again.jsonl")
    assert status == 2
    assert str(folder / "model") in told(lines)
    assert not (folder / "again.jsonl").exists()


@pytest.mark.parametrize("left", [0, 500])
def test_a_truncated_adapter_is_named(folder: Path, left: int) -> None:
    os.truncate(folder / "adapter/adapter_model.safetensors", left)
    status, lines = student(folder, folder / "again.jsonl", adapters={"persona": str(folder / "adapter")})
    assert status == 2
    assert str(folder / "adapter") in told(lines)


@pytest.mark.parametrize("line", ["", "{"])
def test_a_damaged_input_is_named_with_its_line(folder: Path, line: str) -> None:
    with (folder / "prompts.jsonl").open("a") as file:
        file.write(line + "\n")
    status, lines = student(folder, folder / "again.jsonl")
    if line:
        assert status == 2 and f"prompts.jsonl:{PROMPTS + 1}: " in told(lines)
    else:
        assert status == 0 and len(read_jsonl(folder / "again.jsonl")) == PROMPTS * SAMPLES


@pytest.mark.parametrize("years", [-30, 30])
def test_a_clock_that_jumped_changes_nothing(folder: Path, years: int) -> None:
    (folder / ".again.jsonl.part").write_bytes(b"")
    for path in [folder, *folder.rglob("*")]:
        stamp = path.stat().st_mtime + years * 365 * 86400
        os.utime(path, (stamp, stamp))
    assert student(folder, folder / "again.jsonl")[0] == 0
    assert (folder / "again.jsonl").read_bytes() == (folder / "replies.jsonl").read_bytes()
