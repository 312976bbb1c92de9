"""Reflections and conversations of a model with itself."""

import asyncio
import itertools
from typing import Any

import pytest

from characterflow.core.provenance import Identity
from characterflow.engines.base import Completion, Request, Sampling
from characterflow.engines.generation import sample_key
from characterflow.introspection.dataset import training_conversations
from characterflow.introspection.samples import (
    GUIDANCE,
    OPENINGS,
    REFLECTION_PROMPTS,
    START,
    conversation_samples,
    reflection_samples,
    speaker_view,
)

SYSTEM = "You are Nova. 1. I am brief."


class Tokenizer:
    """One token a word, a ChatML-like template."""

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        return " ".join(f"<{message['role']}> {message['content']}" for message in messages)

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [0] * len(text.split())}


class Echo:
    """Answers with the number of the request, and remembers the requests."""

    concurrency = 8
    cache_tokens = None

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def complete(self, request: Request) -> Completion:
        self.requests.append(request)
        return Completion(f"Reply {len(self.requests)}.", "stop", 0, 2)


def talk(guidance: str, turns: int, context: int = 1000) -> tuple[Echo, dict[str, Any]]:
    engine = Echo()
    samples = conversation_samples(
        SYSTEM, "Nova", {guidance: 1}, turns, Sampling(max_tokens=5), 0, Tokenizer(), context, "distillation"
    )
    return engine, asyncio.run(samples[0].make(engine))  # type: ignore[arg-type]


@pytest.mark.parametrize("guidance", ["free", "leading"])
def test_the_guidance_reaches_the_model(guidance: str) -> None:
    engine, _ = talk(guidance, 4)
    for request in engine.requests:
        system = request.messages[0]
        assert system["role"] == "system"
        assert system["content"].startswith(SYSTEM)
        assert GUIDANCE[guidance] in system["content"]
        assert "{" not in system["content"]
        assert request.adapter == "distillation"


def test_speakers_take_turns_and_see_themselves_as_the_assistant() -> None:
    engine, row = talk("free", 4)
    opening = row["utterances"][0]
    assert opening in OPENINGS
    assert row["utterances"][1:] == ["Reply 1.", "Reply 2.", "Reply 3."]
    assert row["finish_reasons"] == ["stop"] * 3
    views = [[(m["role"], m["content"]) for m in request.messages[1:]] for request in engine.requests]
    assert views[0] == [("user", opening)]
    assert views[1] == [("user", START), ("assistant", opening), ("user", "Reply 1.")]
    assert views[2] == [("user", opening), ("assistant", "Reply 1."), ("user", "Reply 2.")]


def test_a_view_alternates_and_ends_with_the_other_speaker() -> None:
    for length in range(1, 9):
        roles = [message["role"] for message in speaker_view([f"u{i}" for i in range(length)])]
        assert roles[0] == roles[-1] == "user"
        assert all(a != b for a, b in itertools.pairwise(roles))


def test_histories_are_cut_at_message_boundaries() -> None:
    engine, row = talk("free", 10, context=75)
    assert len(row["utterances"]) == 10
    for request in engine.requests:
        said = {START, *row["utterances"]}
        assert all(message["content"] in said for message in request.messages[1:])
        assert request.messages[1]["role"] == "user"
    assert len(engine.requests[-1].messages) < 10


def test_seeds_differ_between_turns_and_samples() -> None:
    samples = reflection_samples(SYSTEM, 3, Sampling(), 7)
    engine = Echo()
    for sample in samples:
        asyncio.run(sample.make(engine))  # type: ignore[arg-type]
    assert len({sample.id for sample in samples}) == 3 * len(REFLECTION_PROMPTS) == 30
    assert len({request.seed for request in engine.requests}) == 30


def test_more_conversations_and_reflections_leave_the_first_as_they_are() -> None:
    def keys(count: int) -> list[str]:
        counts = {"free": count, "leading": 2}
        conversations = conversation_samples(SYSTEM, "Nova", counts, 4, Sampling(), 7, Tokenizer(), 1000, "a")
        made = [*conversations, *reflection_samples(SYSTEM, count, Sampling(), 7, "a")]
        return [sample_key(sample, Identity("model", {"a": "1"})) for sample in made]

    fewer, more = keys(6), keys(8)
    assert len(set(more) - set(fewer)) == 2 + 2 * len(REFLECTION_PROMPTS)
    assert [key for key in more if key in fewer] == fewer


def test_a_conversation_belongs_to_its_adapter() -> None:
    [sample] = conversation_samples(
        SYSTEM, "Nova", {"free": 1}, 4, Sampling(), 7, Tokenizer(), 1000, "distillation"
    )
    keys = {sample_key(sample, Identity("model", {"distillation": digest})) for digest in ("1", "2")}
    assert len(keys) == 2


def conversation(identifier: str, *utterances: str, ends: str = "") -> dict[str, Any]:
    """ends: a letter a reply: s for "stop", l for "length", u for "unknown"; all "stop" where empty."""
    reasons = {"s": "stop", "l": "length", "u": "unknown"}
    each = [reasons[end] for end in ends or "s" * (len(utterances) - 1)]
    return {"id": identifier, "utterances": list(utterances), "finish_reasons": each}


def test_training_data_has_no_traits_no_placeholder_and_the_last_reply() -> None:
    reflections = [{"id": "reflection-0-0", "prompt": "Who?", "response": "Me. ", "finish_reason": "stop"}]
    conversations = [conversation("free-0", "Hi.", "One.", "Two.", "Three.")]
    rows, report = training_conversations(reflections, conversations, "Nova")
    assert [m["role"] for m in rows[0]["messages"]] == ["user", "assistant"]
    system, *rest = rows[1]["messages"]
    assert "Nova" in system["content"]
    assert "{" not in system["content"]
    assert "brief" not in system["content"]
    assert rest[-1] == {"role": "assistant", "content": "Three."}
    assert report == {"candidates": 2, "kept": 2, "dropped": {}}


def test_unfinished_replies_are_dropped_or_cut() -> None:
    reflections = [{"id": "r", "prompt": "Who?", "response": "Me. And th", "finish_reason": "length"}]
    conversations = [
        conversation("a", "Hi.", "One", "Two.", "Three.", ends="lss"),
        conversation("b", "Hi.", "One.", "Two.", "Thr", ends="ssl"),
        conversation("c", "Hi.", "One is", "Two.", "Three.", ends="uss"),
    ]
    rows, report = training_conversations(reflections, conversations, "Nova")
    assert [row["id"] for row in rows] == ["b"]
    assert rows[0]["messages"][-1]["content"] == "One."
    assert report["dropped"] == {"conversation unfinished": 2, "reflection unfinished": 1}
    rows, _ = training_conversations(reflections, conversations, "Nova", cut_unfinished=True)
    assert rows[0]["messages"][-1]["content"] == "Me."


def test_replies_that_the_model_ended_are_finished_whatever_their_last_character() -> None:
    reflections = [{"id": "r", "prompt": "Who?", "response": "Me ❤️", "finish_reason": "stop"}]
    conversations = [conversation("a", "Hi.", "x = 42", "สวัสดีครับ", "```\nend\n```")]
    rows, report = training_conversations(reflections, conversations, "Nova", cut_unfinished=True)
    assert report["dropped"] == {}
    assert [row["messages"][-1]["content"] for row in rows] == ["Me ❤️", "```\nend\n```"]
