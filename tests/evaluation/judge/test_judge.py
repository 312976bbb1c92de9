"""The judge: its verdicts, and how good it is."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from characterflow.core.files import read_jsonl
from characterflow.core.provenance import Identity
from characterflow.engines.base import Completion, Request
from characterflow.engines.generation import sample_key
from characterflow.evaluation.judge.verdicts import parse_choice, trait_question, verdict_sample

WORDS = ("warm", "cold")


class Scripted:
    """Answers every request with one text and reason to finish."""

    concurrency = 4
    cache_tokens = None

    def __init__(self, text: str, finish_reason: str = "stop") -> None:
        self.completion = Completion(text, finish_reason, 9, 1)
        self.requests: list[Request] = []

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        return self.completion


@pytest.mark.parametrize(
    "text",
    [
        "warm",
        " Warm\n",
        '"warm"',
        "**warm**",
        "Warm.",
        "“warm.”",
        "<think>cold? No.</think>\n\nwarm",
        "*Warm*.",
    ],
)
def test_a_reply_that_is_a_choice_is_a_verdict(text: str) -> None:
    assert parse_choice(text, WORDS) == "warm"


@pytest.mark.parametrize(
    "text",
    ["", "warm or cold", "It is warm", "warmth", "war", "warm, not cold", "<think>warm", "neither", "warm!"],
)
def test_anything_else_is_none(text: str) -> None:
    assert parse_choice(text, WORDS) is None


def test_choices_that_differ_in_case_alone_are_no_verdict() -> None:
    assert parse_choice("a", ("A", "a")) is None


def test_a_verdict_is_asked_greedily_under_the_choices() -> None:
    engine = Scripted("Cold.")
    sample = verdict_sample("x-1", "Which?", WORDS, 5, first="warm", pair=3)
    row = asyncio.run(sample.make(engine))  # type: ignore[arg-type]
    assert row == {
        "first": "warm",
        "pair": 3,
        "verdict": "cold",
        "reply": "Cold.",
        "finish_reason": "stop",
        "prompt_tokens": 9,
        "completion_tokens": 1,
    }
    (request,) = engine.requests
    assert request.choices == WORDS
    assert request.seed == 5
    assert request.sampling.temperature == 0
    assert request.messages == ({"role": "user", "content": "Which?"},)


@pytest.mark.parametrize(
    ("text", "reason"), [("warm", "length"), ("", "too_long"), ("Well, warm", "invalid")]
)
def test_a_reply_that_is_cut_off_or_no_choice_has_no_verdict(text: str, reason: str) -> None:
    sample = verdict_sample("x", "Which?", WORDS, 0)
    row: dict[str, Any] = asyncio.run(sample.make(Scripted(text, reason)))  # type: ignore[arg-type]
    assert row["verdict"] is None
    assert (row["reply"], row["finish_reason"]) == (text, reason)


def test_a_finished_verdict_is_reused_under_the_same_question_alone() -> None:
    keys = {
        sample_key(verdict_sample("x", prompt, choices, seed, temperature=temperature), Identity("judge"))
        for prompt in ("a", "b")
        for choices in (WORDS, WORDS[::-1])
        for seed in (0, 1)
        for temperature in (0.0, 1.0)
    }
    assert len(keys) == 16


def test_the_trait_question_shows_both_texts_and_the_words_in_order() -> None:
    text = trait_question("Hi {you}", "Go away.", "warm", "cold")
    assert text.index("Hi {you}") < text.index("Go away.") < text.index('"warm"') < text.index('"cold"')


def test_labelled_messages_favour_no_word_and_never_name_their_trait(root: Path) -> None:
    rows = read_jsonl(
        root / "resources/judge/messages.jsonl", required=("id", "prompt", "reply", "trait", "other")
    )
    assert len(rows) >= 120
    assert len({row["id"] for row in rows}) == len({row["reply"] for row in rows}) == len(rows)
    assert Counter(row["trait"] for row in rows) == Counter(row["other"] for row in rows)
    for row in rows:
        assert row["trait"] != row["other"]
        assert row["trait"][:6] not in row["reply"].casefold(), row["id"]


def test_labelled_comparisons_have_two_answers_and_a_fault(root: Path) -> None:
    required = ("id", "traits", "prompt", "better", "worse", "fault")
    rows = read_jsonl(root / "resources/judge/comparisons.jsonl", required=required)
    assert len({row["id"] for row in rows}) == len(rows) == 30
    assert all(row["better"] != row["worse"] for row in rows)
    assert min(Counter(row["fault"] for row in rows).values()) >= 4
