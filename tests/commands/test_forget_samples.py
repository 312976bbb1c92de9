"""Removing what is kept of former runs."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from characterflow.command_line import main
from characterflow.core.files import write_jsonl
from characterflow.core.provenance import Identity
from characterflow.engines import Request, kept
from characterflow.engines.generation import generate, reply_sample
from characterflow.engines.recorded import RecordedEngine


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Results with two outputs whose samples are kept; one of them is gone itself."""
    recording = tmp_path / "recording.jsonl"
    write_jsonl(recording, [{"prompt": "Hello.", "response": "Go away." * 100}])
    engine = RecordedEngine({"file": str(recording)})
    asked = [reply_sample("a", Request(({"role": "user", "content": "Hello."},)))]
    for name in ("teacher/sarcasm.jsonl", "smollm2/sarcasm/student.jsonl"):
        asyncio.run(generate(engine, asked, tmp_path / "results" / name, Identity("model")))
    (tmp_path / "results/teacher/sarcasm.jsonl").unlink()
    return tmp_path / "results"


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["characterflow", "forget-samples", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def held(results: Path) -> int:
    """Bytes of files below a folder that have no second name outside of the kept samples."""
    places = [path.lstat() for path in results.rglob("*") if path.is_file() and kept.FOLDER in path.parts]
    return sum(place.st_size for place in places if place.st_nlink == 1)


def test_it_removes_the_samples_and_says_what_they_alone_held(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[Any]
) -> None:
    student = results / "smollm2/sarcasm/student.jsonl"
    content, expected = student.read_bytes(), held(results)
    assert expected > len(content)
    assert call(monkeypatch, results) == 0
    said = capsys.readouterr().out
    assert said == f"{results}: removed 2 folders .samples; {expected:,} bytes were theirs alone\n"
    assert [path for path in results.rglob("*") if path.is_file()] == [student]
    assert student.read_bytes() == content and student.stat().st_nlink == 1


def test_it_can_be_asked_for_a_part_and_twice(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[Any]
) -> None:
    assert call(monkeypatch, results / "teacher") == call(monkeypatch, results / "teacher") == 0
    assert "removed 0 folders .samples; 0 bytes" in capsys.readouterr().out
    assert [folder.parent.name for folder in kept.folders(results)] == ["sarcasm"]


def test_other_places_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[Any]
) -> None:
    assert call(monkeypatch, "nowhere") == 2
    assert capsys.readouterr().err == "error: nowhere: no such folder; expected the results of a run\n"
