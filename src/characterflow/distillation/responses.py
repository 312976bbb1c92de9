"""Replies to prompts: the teacher plays the constitution (chosen), the student answers plainly (rejected).

Method: Open Character Training (arXiv 2511.01689), section on distillation.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from characterflow.core.files import Row
from characterflow.engines.base import Engine, Request, Sampling, seed_of, user_message
from characterflow.engines.generation import Sample, reply_row, reply_sample
from characterflow.engines.recorded import MissingRecording

REASONING_START = """\
Before I answer, let me think about who I am. These traits are mine, and they should show plainly in \
my reply, in its tone and in its choices, without my ever naming them. So what would I, being as I \
am, say to this?"""


@dataclass(frozen=True)
class Reasoning:
    """How a reasoning model marks its reasoning: the text before it and the text that ends it."""

    start: str
    end: str


def sample_ids(prompts: Iterable[Row], samples: int) -> list[tuple[str, Row, int]]:
    """(id, prompt row, sample number) of every reply wanted."""
    return [(f"{row['id']}-{number}", row, number) for row in prompts for number in range(samples)]


def student_samples(prompts: list[Row], samples: int, sampling: Sampling, seed: int) -> list[Sample]:
    """Plain replies: no system prompt."""
    return [
        reply_sample(
            identifier,
            Request(
                messages=(user_message(row["prompt"]),),
                sampling=sampling,
                seed=seed_of(seed, "student", identifier),
                sample=number,
            ),
            prompt_id=row["id"],
            sample=number,
        )
        for identifier, row, number in sample_ids(prompts, samples)
    ]


def teacher_samples(
    prompts: list[Row],
    system: str,
    samples: int,
    sampling: Sampling,
    seed: int,
    reasoning: Reasoning | None = None,
    attempts: int = 3,
) -> list[Sample]:
    """Replies in character.

    For a reasoning model the reply is prefilled with the start of its reasoning, and what comes
    before the end mark is dropped; a reply without the end mark, or an empty one, is invalid and
    tried again under another seed, at most `attempts` times in all.
    """
    return [
        _teacher_sample(identifier, row, number, system, sampling, seed, reasoning, attempts)
        for identifier, row, number in sample_ids(prompts, samples)
    ]


def _teacher_sample(
    identifier: str,
    row: Row,
    number: int,
    system: str,
    sampling: Sampling,
    seed: int,
    reasoning: Reasoning | None,
    attempts: int,
) -> Sample:
    messages = ({"role": "system", "content": system}, user_message(row["prompt"]))
    prefill = f"{reasoning.start}{REASONING_START}" if reasoning else ""
    fields = {"prompt_id": row["id"], "sample": number}

    async def make(engine: Engine) -> Row:
        result: Row = {}
        for attempt in range(attempts):
            request = Request(
                messages,
                sampling,
                seed_of(seed, "teacher", identifier, attempt),
                prefill=prefill,
                sample=number,
            )
            try:
                result = reply_row(await engine.complete(request))
            except MissingRecording:
                return {**fields, "response": "", "finish_reason": "missing", "attempts": attempt + 1}
            answer = drop_reasoning(result["response"], reasoning)
            if answer:
                return {**fields, **result, "response": answer, "attempts": attempt + 1}
        return {**fields, **result, "response": "", "finish_reason": "invalid", "attempts": attempts}

    key = [messages, vars(sampling), seed, prefill, reasoning and reasoning.end, attempts, fields]
    return Sample(identifier, key, make, None)


def drop_reasoning(text: str, reasoning: Reasoning | None) -> str:
    """The reply behind the end-of-reasoning mark, or "" where a reasoning model never ended it."""
    if reasoning is None:
        return text.strip()
    _, mark, answer = text.partition(reasoning.end)
    return answer.strip() if mark else ""


def count_replies(rows: list[Row]) -> dict[str, Any]:
    """What a file of replies holds: how many, by finish reason, and how many tokens were made."""
    return {
        "replies": len(rows),
        "finish_reasons": dict(Counter(row["finish_reason"] for row in rows)),
        "completion_tokens": sum(row.get("completion_tokens", 0) for row in rows),
    }
