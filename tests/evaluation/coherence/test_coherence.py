"""Coherence: what the judge is asked, how its verdicts are counted, and what the report says of them."""

import asyncio
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy.stats import binomtest

from characterflow.configuration.run import Configuration
from characterflow.core.errors import UserError
from characterflow.core.files import Row, read_jsonl, write_jsonl
from characterflow.engines.base import Completion, Request
from characterflow.evaluation.coherence import section as report
from characterflow.evaluation.coherence.figures import win_rates
from characterflow.evaluation.coherence.settings import verdicts_settings
from characterflow.evaluation.coherence.summary import outcomes, summary, with_q
from characterflow.evaluation.coherence.verdicts import coherence_samples, plain_answers
from characterflow.evaluation.figures import save
from characterflow.evaluation.intervals import share
from characterflow.planning import stages
from tiny_models import tiny_model

TRAITS = "1. I am brief."
PROMPTS = [{"id": f"p{number}", "prompt": f"Question {number}?"} for number in range(40)]


class Judge:
    """Reads the two replies out of the question and answers as `verdict` says."""

    concurrency = 8
    cache_tokens = None

    def __init__(self, verdict: Any) -> None:
        self.verdict = verdict
        self.requests: list[Request] = []

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        text = request.messages[-1]["content"]
        replies = [
            text.split(f"[reply {label}]\n")[1].split(f"\n[end of reply {label}]")[0] for label in "AB"
        ]
        return Completion(self.verdict(*replies), "stop", 5, 1)


def answers(**methods: Any) -> dict[str, dict[str, str]]:
    return {
        method: {row["id"]: make(int(row["id"][1:])) for row in PROMPTS} for method, make in methods.items()
    }


def judged(verdict: Any, given: dict[str, dict[str, str]], count: int = 20) -> tuple[Judge, list[Row]]:
    engine = Judge(verdict)
    rivals = [name for name in given if name != "persona"]
    samples = coherence_samples(PROMPTS, given, rivals, TRAITS, count=count, test_share=0.5, seed=0)

    async def all_rows() -> list[Row]:
        return [{"id": sample.id, **await sample.make(engine)} for sample in samples]  # type: ignore[arg-type]

    rows = asyncio.run(all_rows())
    assert len({row["id"] for row in rows}) == len(rows)
    return engine, rows


GIVEN = answers(
    persona=lambda i: "Brief.", prompted=lambda i: f"Long {i} words.", distilled=lambda i: "Also."
)


def test_each_pair_is_asked_in_both_orders_about_the_same_prompt() -> None:
    engine, rows = judged(lambda a, b: "A", GIVEN, count=3)
    assert len(engine.requests) == len(rows) == 2 * 2 * 3
    texts = {row["id"]: row["prompt"] for row in PROMPTS}
    for row, request in zip(rows, engine.requests, strict=True):
        text = request.messages[-1]["content"]
        own, other = GIVEN["persona"][row["prompt_id"]], GIVEN[row["rival"]][row["prompt_id"]]
        assert request.choices == ("A", "B")
        assert TRAITS in text and texts[row["prompt_id"]] in text
        place = [text.index(f"]\n{reply}\n[end") for reply in (own, other)]
        assert (place[0] < place[1]) == (row["order"] == "persona_first")
        assert (row["persona_characters"], row["rival_characters"]) == (len(own), len(other))


def test_prompts_are_those_of_the_classifiers_test_and_the_same_for_every_rival() -> None:
    _, few = judged(lambda a, b: "A", GIVEN, count=4)
    _, many = judged(lambda a, b: "A", GIVEN, count=100)
    by_rival = {rival: {row["prompt_id"] for row in few if row["rival"] == rival} for rival in GIVEN}
    assert len(by_rival["prompted"]) == 4
    assert by_rival["prompted"] == by_rival["distilled"] < {row["prompt_id"] for row in many}
    assert len({row["prompt_id"] for row in many}) == 20


def test_a_judge_that_reads_is_consistent_whatever_the_order() -> None:
    _, rows = judged(lambda a, b: "A" if len(a) < len(b) else "B", GIVEN)
    table = summary(rows).set_index("rival")
    prompted, distilled = table.loc["prompted"], table.loc["distilled"]
    assert (prompted["wins"], prompted["losses"], prompted["consistent"]) == (20, 0, 20)
    assert (distilled["wins"], distilled["losses"]) == (0, 20)
    assert prompted["win_rate"] == 1 and prompted["win_rate_low"] == pytest.approx(0.8389, abs=1e-4)
    assert prompted["win_rate_high"] == pytest.approx(1.0)
    assert prompted["inconsistent_share"] == 0
    assert prompted["first_share"] == 0.5
    assert prompted["longer_share"] == 0 and prompted["unequal"] == 20


def test_a_judge_that_sees_the_order_alone_has_no_consistent_verdict() -> None:
    _, rows = judged(lambda a, b: "A", GIVEN)
    row = summary(rows).iloc[0]
    assert (row["consistent"], row["inconsistent"]) == (0, 20)
    assert row["first_share"] == 1
    assert pd.isna(row["win_rate"]) and pd.isna(row["longer_share"])


def test_a_biased_noisy_judge_is_recovered_within_the_intervals() -> None:
    """It likes the persona 70% of the time, by the pair, and follows the position 20% of the time."""
    hits = {"win_rate": 0, "inconsistent_share": 0, "first_share": 0}
    for seed in range(40):
        draws = random.Random(seed)
        rows = []
        for number in range(200):
            likes, position = draws.random() < 0.7, draws.random() < 0.2
            for order in ("persona_first", "rival_first"):
                right = "A" if likes == (order == "persona_first") else "B"
                rows.append(
                    {
                        "prompt_id": str(number),
                        "rival": "prompted",
                        "order": order,
                        "verdict": "A" if position else right,
                        "persona_characters": 3,
                        "rival_characters": 3,
                    }
                )
        row = summary(rows).iloc[0]
        for name, truth in (("win_rate", 0.7), ("inconsistent_share", 0.2), ("first_share", 0.6)):
            hits[name] += row[f"{name}_low"] <= truth <= row[f"{name}_high"]
    assert all(count >= 34 for count in hits.values()), hits


def test_identical_answers_are_ties_and_nobody_is_asked() -> None:
    given = answers(persona=lambda i: "Same." if i % 2 else "Brief.", prompted=lambda i: "Same.")
    engine, rows = judged(lambda a, b: "A" if a == "Brief." else "B", given)
    ties = [row for row in rows if row["order"] == "identical"]
    assert all(row["verdict"] is None and row["finish_reason"] == "not_asked" for row in ties)
    assert len(engine.requests) == len(rows) - len(ties)
    row = summary(rows).iloc[0]
    assert row["ties"] == len(ties) > 0
    assert row["ties"] + row["consistent"] == row["prompts"] == 20
    assert row["win_rate"] == 1
    assert row["won_of_all"] == row["wins"] / 20 and row["lost_of_all"] == 0


def test_a_pair_that_lacks_a_verdict_is_counted_and_not_used() -> None:
    _, rows = judged(lambda a, b: "Neither" if a == "Brief." else "B", GIVEN)
    row = summary(rows).iloc[0]
    assert (row["unparsed"], row["consistent"], row["inconsistent"]) == (20, 0, 0)
    assert pd.isna(row["first_share"])
    assert set(outcomes(rows)["outcome"]) == {"unparsed"}


def test_only_plain_answers_are_compared_and_a_missing_one_is_named() -> None:
    rows = [
        {"prompt_id": "p1", "method": "persona", "instruction": "none", "response": " Hi. "},
        {"prompt_id": "p1", "method": "persona", "instruction": "drop-it", "response": "No."},
    ]
    assert plain_answers(rows) == {"persona": {"p1": "Hi."}}
    with pytest.raises(UserError, match=r"prompt p\d+: no plain answer by the method 'persona'"):
        coherence_samples(PROMPTS, plain_answers(rows), ["prompted"], "", count=3, test_share=0.5, seed=0)


def run_with(methods: list[str]) -> Configuration:
    return stages.load(
        {
            "models": ["smollm2"],
            "personas": ["sarcasm"],
            "evaluation": {"methods": methods, "classifier": {"model": "minilm"}},
        }
    )


def test_the_configuration_says_what_is_compared() -> None:
    settings = verdicts_settings(run_with(["distilled", "persona", "prompted"]))
    assert settings.rivals == ["prompted", "distilled"]
    assert settings.prompts == 250
    for methods in (["persona"], ["distilled", "prompted"]):
        with pytest.raises(UserError, match=r"^evaluation.methods: expected persona and at least one of"):
            verdicts_settings(run_with(methods))


COUNTS = {"prompts": 100, "ties": 0, "unparsed": 0, "first_share": 0.5, "unequal": 0, "longer_share": None}


def table_row(persona: str, rival: str, wins: int, consistent: int, inconsistent: int) -> Row:
    return {
        "model": "m",
        "persona": persona,
        "rival": rival,
        **COUNTS,
        "consistent": consistent,
        "inconsistent": inconsistent,
        **share("win_rate", wins, consistent),
        **share("won_of_all", wins, 100),
        **share("lost_of_all", consistent - wins, 100),
        "p": (p := float(binomtest(wins, consistent).pvalue) if consistent else None),
        "q": p,
        **share("inconsistent_share", inconsistent, consistent + inconsistent),
    }


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [
        table_row("dry", "prompted", 60, 80, 20),
        table_row("dry", "distilled", 20, 80, 20),
        table_row("wet", "prompted", 24, 45, 55),
        {**table_row("wet", "distilled", 0, 0, 97), "unparsed": 3},
    ]
    (tmp_path / "tables").mkdir()
    pd.DataFrame(rows).to_csv(tmp_path / "tables" / "coherence.csv", index=False)
    return tmp_path


def test_the_section_says_what_is_shown_and_what_is_not(table: Path) -> None:
    section = report.section(table, {"judge": {"model": "j"}})
    assert [finding.shown for finding in section.findings] == [True, True, False, False]
    assert section.findings[0].text.startswith(
        "More coherent than prompted (95% interval 65% to 83%, n = 80, q = 8.6e-06)"
    )
    assert "of all pairs it won 60% (50% to 69%) and lost 20% (13% to 29%)" in section.findings[0].text
    assert section.findings[1].text.startswith("Less coherent than distilled")
    assert "no verdict was consistent" in section.findings[3].text
    assert "97 were judged inconsistently, 3 had no verdict" in section.findings[3].text
    assert [bool(finding.value) for finding in section.findings] == [True, False, True, False]
    assert section.findings[0].value == "75% (65 to 83)"


def test_many_comparisons_make_a_difference_harder_to_show() -> None:
    """15 of 20 is p = 0.04: shown alone, and not among 99 comparisons."""
    rows = [table_row("dry", "prompted", 15, 20, 0), *[table_row("wet", "prompted", 10, 20, 0)] * 98]
    alone, among = (with_q(pd.DataFrame(rows[:count])).to_dict("records") for count in (1, 99))
    assert report.finding(alone[0], "prompted", 1).shown
    found = report.finding(among[0], "prompted", 99)
    assert not found.shown and found.text.startswith("No difference to prompted is shown")
    assert found.by_luck == pytest.approx(0.05 / 99)


def test_five_of_five_is_no_verdict() -> None:
    """Wilson's interval is above one half, and p = 0.06."""
    row = table_row("dry", "prompted", 5, 5, 0)
    assert row["win_rate_low"] > 0.5 and not report.finding(row, "prompted", 1).shown


def test_warnings_name_a_weak_judge_missing_verdicts_and_intervals_over_one_half(table: Path) -> None:
    weak, unparsed, undecided = report.section(table, {"judge": {"model": "j"}}).warnings
    assert "The judge j contradicted itself under swapped order on 77% of the pairs" in weak
    assert "n = 197" in weak
    assert "m wet against prompted; m wet against distilled." in weak and "dry" not in weak
    assert unparsed.startswith("3 of 400 pairs lack a verdict")
    assert undecided.endswith(": m wet against prompted; m wet against distilled.")


def test_a_sound_result_warns_of_nothing() -> None:
    assert report.warnings([table_row("dry", "prompted", 60, 80, 20)], "j") == []


def test_the_figure_shows_every_bar_with_its_n(table: Path) -> None:
    save(win_rates(pd.read_csv(table / "tables" / "coherence.csv")), table / "coherence.svg")
    svg = (table / "coherence.svg").read_text()
    for text in ("n=80", "n=45", "n=0", "dry", "wet", "prompted", "distilled"):
        assert text in svg


def test_the_scripts_go_from_answers_to_table_and_figure(tmp_path: Path, root: Path) -> None:
    from characterflow.core.files import write_manifest

    model = tiny_model(tmp_path / "judge", context=8192)
    write_manifest(model)
    write_jsonl(tmp_path / "prompts.jsonl", PROMPTS)
    rows = [
        {
            "id": f"{method}-{row['id']}",
            "prompt_id": row["id"],
            "method": method,
            "instruction": "none",
            "response": text,
        }
        for row in PROMPTS
        for method, text in (("persona", "Brief."), ("prompted", f"Long {row['id']}."))
    ]
    write_jsonl(tmp_path / "robustness.jsonl", rows)
    settings = {
        "engine": {"kind": "transformers", "model": str(model)},
        "rivals": ["prompted"],
        "prompts": 5,
        "test_share": 0.5,
        "seed": 0,
    }

    def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(root / "scripts" / name), *arguments]
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)

    verdicts = tmp_path / "verdicts.jsonl"
    done = script(
        "coherence_verdicts.py",
        *("--prompts", str(tmp_path / "prompts.jsonl")),
        *("--responses", str(tmp_path / "robustness.jsonl")),
        *("--constitution", "constitutions/sarcasm.yaml"),
        *("--output", str(verdicts), "--settings", json.dumps(settings)),
    )
    assert done.returncode == 0, done.stderr
    judged_rows = read_jsonl(verdicts)
    assert len(judged_rows) == 10
    assert {row["verdict"] for row in judged_rows} <= {"A", "B"}
    table = tmp_path / "coherence.csv"
    pairs = json.dumps({"pairs": [["m", "sarcasm"]]})
    done = script(
        "coherence_tables.py", "--verdicts", str(verdicts), "--output", str(table), "--settings", pairs
    )
    assert done.returncode == 0, done.stderr
    (row,) = pd.read_parquet(table.with_suffix(".parquet")).to_dict("records")
    assert row["consistent"] + row["inconsistent"] == row["prompts"] == 5
    done = script("coherence_figures.py", "--table", str(table), "--output", str(tmp_path / "coherence.svg"))
    assert done.returncode == 0, done.stderr
    assert "<svg" in (tmp_path / "coherence.svg").read_text()
    table.write_text("")
    verdicts.write_text('{"prompt_id": "p1"}\n')
    done = script(
        "coherence_tables.py", "--verdicts", str(verdicts), "--output", str(table), "--settings", pairs
    )
    assert done.returncode == 2
    assert "verdicts.jsonl:1: lacks the key 'rival'" in done.stderr
