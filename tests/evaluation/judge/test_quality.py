"""How good a judge is: scripted judges whose faults are known."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from characterflow.command_line import main
from characterflow.core.files import Row
from characterflow.evaluation.judge import quality as judge_quality
from characterflow.evaluation.judge.quality import COHERENCE, TRAITS, calibration, quality, samples
from tiny_project import CONFIGURATION, make_project

ITEMS = 12
MESSAGES = [
    {"id": f"m{number}", "prompt": "Hello?", "reply": "Hello.", "trait": "warm", "other": "cold"}
    for number in range(ITEMS)
]
COMPARISONS = [
    {
        "id": f"c{number}",
        "traits": "1. I am warm.",
        "prompt": "Hello?",
        "better": "Hello, dear.",
        "worse": "Hi.",
    }
    for number in range(ITEMS)
]


def verdicts(judge: Any, repeats: int = 0) -> list[Row]:
    """The rows of a judge that is a function of the row's fields."""
    made = samples(MESSAGES, COMPARISONS, repeats, seed=0)
    assert len({sample.id for sample in made}) == len(made)
    return [{**sample.key["fields"], "verdict": judge(sample.key["fields"])} for sample in made]


def test_a_perfect_judge() -> None:
    rows = verdicts(lambda row: row["right"])
    for kind in (TRAITS, COHERENCE):
        found = quality(kind, rows)
        assert found.accuracy and found.consistent and found.first
        assert (found.accuracy.value, found.consistent.value, found.first.value) == (1.0, 1.0, 0.5)
        assert found.accuracy.n == ITEMS and found.consistent.n == ITEMS
        assert found.no_verdict == (0, 2 * ITEMS)


def test_a_judge_that_names_what_stands_first() -> None:
    found = quality(TRAITS, verdicts(lambda row: row["first"]))
    assert found.accuracy and found.consistent and found.first
    assert (found.accuracy.value, found.consistent.value, found.first.value) == (0.5, 0.0, 1.0)


def test_answers_without_a_verdict_are_counted_and_not_scored() -> None:
    found = quality(TRAITS, verdicts(lambda row: row["right"] if row["order"] == "right first" else None))
    assert found.accuracy and found.accuracy.n == ITEMS and found.accuracy.value == 1.0
    assert found.consistent is None
    assert found.no_verdict == (ITEMS, 2 * ITEMS)
    assert quality(TRAITS, verdicts(lambda row: None)).accuracy is None


def test_both_orders_of_an_item_are_one_item() -> None:
    """A judge that gets half the items wrong in both orders knows 12 things, not 24."""
    found = quality(TRAITS, verdicts(lambda row: row["right"] if int(row["item"][1:]) < 6 else "neither"))
    assert found.accuracy and found.accuracy.value == 0.5
    assert found.accuracy.high - found.accuracy.low >= 0.5


def test_calibration_by_hand() -> None:
    def judge(row: Row) -> str:
        wrong = "cold" if row["right"] == "warm" else "warm"
        number = int(row["item"][1:])
        if number < 6:  # sure and right
            return row["right"]
        if number < 9:  # sure and wrong
            return wrong
        return row["right"] if row["repeat"] != 1 else wrong  # three of four right

    found = calibration(verdicts(judge, repeats=4))
    assert found
    assert [(sure, right.value, right.n) for sure, right in found.bins] == [
        (0.75, 1.0, 3),
        (1.0, pytest.approx(6 / 9), 9),
    ]
    squares = 3 / 12 * 0.25**2 + 9 / 12 * (1 - 6 / 9) ** 2
    gaps = np.array([[0.25, 0]] * 3 + [[0, 0]] * 6 + [[0, -1]] * 3)  # of the items, in the two bins
    noise = (gaps.var(axis=0, ddof=1) * 12 / [3 * 12, 9 * 12]).sum()
    assert found.error.value == pytest.approx(np.sqrt(squares - noise)) and found.error.n == 12
    assert found.error.low <= found.error.value <= found.error.high
    assert found.brier == pytest.approx((6 * 0 + 3 * 1 + 3 * 0.0625) / 12)
    assert calibration(verdicts(judge)) is None


def test_the_shipped_labels(root: Path) -> None:
    messages, comparisons = judge_quality.labelled(root / "resources/judge")
    assert len(messages) == 132 and len(comparisons) == 30
    for row in messages:
        assert row["trait"] != row["other"]
        assert row["trait"].lower() not in row["reply"].lower().split()
    ids = [row["id"] for row in messages]
    assert len(set(ids)) == len(ids)
    assert 0 < judge_quality.longer_is_better(comparisons) <= 1


def test_the_command_scores_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project(tmp_path / "project")
    monkeypatch.chdir(project)
    arguments = [
        "characterflow",
        "judge",
        "tiny",
        "--config",
        CONFIGURATION,
        "--samples",
        "2",
        "--limit",
        "3",
    ]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "snakemake --cores 1 results/models/tiny/manifest.json" in capsys.readouterr().err
    (project / "results/models").mkdir(parents=True)
    (project / "model").rename(project / "results/models/tiny")
    (project / "results/models/tiny/manifest.json").write_text("{}")
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr().out
    assert not ended.value.code
    assert "n 3" in printed and "0 of 6" in printed and "calibration error" in printed
