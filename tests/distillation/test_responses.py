"""The teacher in character, the plain student, recorded responses."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from characterflow.core.errors import UserError
from characterflow.core.provenance import Identity
from characterflow.distillation.responses import (
    REASONING_START,
    Reasoning,
    count_replies,
    drop_reasoning,
    student_samples,
    teacher_samples,
)
from characterflow.engines import open_engine
from characterflow.engines.base import Completion, Request, Sampling
from characterflow.engines.generation import Sample, sample_key

PROMPTS = [{"id": "p", "prompt": "Say hello."}, {"id": "q", "prompt": "Say bye."}]
THINKING = Reasoning("<think>", "</think>")


class Script:
    """Answers from a list, in turn, and remembers the requests."""

    concurrency = 1
    cache_tokens = None

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.requests: list[Request] = []

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        return Completion(self.texts[len(self.requests) - 1], "stop", 1, 1)


def make(engine: Any, sample: Sample) -> dict[str, Any]:
    return asyncio.run(sample.make(engine))  # type: ignore[arg-type]


def test_the_student_answers_without_a_system_prompt() -> None:
    samples = student_samples(PROMPTS, 2, Sampling(), 0)
    assert [sample.id for sample in samples] == ["p-0", "p-1", "q-0", "q-1"]
    engine = Script(*"abcd")
    rows = [make(engine, sample) for sample in samples]
    assert [request.messages for request in engine.requests[:2]] == [
        ({"role": "user", "content": "Say hello."},)
    ] * 2
    assert len({request.seed for request in engine.requests}) == 4
    assert rows[1]["prompt_id"] == "p"
    assert rows[1]["sample"] == 1


def test_the_teacher_gets_traits_and_a_started_reasoning_which_is_dropped() -> None:
    sample = teacher_samples(PROMPTS, "TRAITS", 1, Sampling(), 0, THINKING)[0]
    engine = Script(" I would wave.</think>\nHail!")
    row = make(engine, sample)
    assert row["response"] == "Hail!"
    assert engine.requests[0].messages[0] == {"role": "system", "content": "TRAITS"}
    assert engine.requests[0].prefill == "<think>" + REASONING_START


def test_a_reply_without_the_end_of_its_reasoning_is_tried_again_under_another_seed() -> None:
    sample = teacher_samples(PROMPTS, "TRAITS", 1, Sampling(), 0, THINKING, attempts=3)[0]
    engine = Script("still thinking", "</think>  ", "</think>Hail!")
    row = make(engine, sample)
    assert (row["response"], row["attempts"]) == ("Hail!", 3)
    assert len({request.seed for request in engine.requests}) == 3


def test_what_a_teacher_s_reply_depends_on_is_in_its_key() -> None:
    usual = {"system": "TRAITS", "samples": 1, "sampling": Sampling(), "seed": 0, "reasoning": THINKING}
    changes = [
        {},
        {"system": "OTHERS"},
        {"sampling": Sampling(0.1)},
        {"seed": 1},
        {"reasoning": Reasoning("<thought>", "</think>")},
        {"reasoning": Reasoning("<think>", "</thought>")},
        {"reasoning": None},
        {"attempts": 5},
    ]
    made = [teacher_samples(PROMPTS[:1], **{**usual, **change})[0] for change in changes]
    assert len({sample_key(sample, Identity("model")) for sample in made}) == len(changes)


def test_attempts_are_bounded_and_the_failure_is_counted() -> None:
    sample = teacher_samples(PROMPTS, "TRAITS", 1, Sampling(), 0, THINKING, attempts=2)[0]
    row = make(Script("no end", "no end"), sample)
    assert (row["response"], row["finish_reason"], row["attempts"]) == ("", "invalid", 2)
    assert count_replies([row])["finish_reasons"] == {"invalid": 1}


def test_a_teacher_without_reasoning_has_no_prefill() -> None:
    engine = Script("Hail!")
    row = make(engine, teacher_samples(PROMPTS, "TRAITS", 1, Sampling(), 0)[0])
    assert row["response"] == "Hail!"
    assert engine.requests[0].prefill == ""


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [("  a ", None, "a"), ("x</think> a ", THINKING, "a"), ("a", THINKING, ""), ("x</think>", THINKING, "")],
)
def test_drop_reasoning(text: str, reasoning: Reasoning | None, answer: str) -> None:
    assert drop_reasoning(text, reasoning) == answer


async def recorded(path: Path, samples: list[Sample]) -> list[dict[str, Any]]:
    async with open_engine({"kind": "recorded", "file": str(path)}) as engine:
        return [await sample.make(engine) for sample in samples]


def test_recordings_answer_by_prompt_and_sample_and_a_missing_one_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "teacher.jsonl"
    rows = [{"prompt": "Say hello.", "response": f"Hail {number}!"} for number in range(2)]
    rows[1]["finish_reason"] = "length"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = asyncio.run(recorded(path, teacher_samples(PROMPTS, "TRAITS", 2, Sampling(), 0)))
    assert [row["response"] for row in made] == ["Hail 0!", "Hail 1!", "", ""]
    assert count_replies(made)["finish_reasons"] == {"unknown": 1, "length": 1, "missing": 2}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "no recorded responses"),
        ('{"prompt": "x"}\n', "teacher.jsonl:1: lacks the key 'response'"),
        ('{"prompt": "x", "response": " "}\n', "response is not a text with content"),
        ('{"prompt": 3, "response": "x"}\n', "prompt is not a text"),
        ('{"prompt": "x", "response": "y", "finish_reason": 0}\n', "row 1: finish_reason: expected a text"),
    ],
)
def test_faulty_recordings_are_named(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "teacher.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match=expected):
        asyncio.run(recorded(path, []))


def test_an_unknown_engine_is_named() -> None:
    async def enter() -> None:
        async with open_engine({"kind": "oracle"}):
            pass

    with pytest.raises(UserError, match="engine kind 'oracle': expected one of vllm"):
        asyncio.run(enter())
