"""A judge: a model that answers a question with one of a few words, and what it is asked."""

from collections.abc import Sequence
from typing import Any

from characterflow.core.files import Row
from characterflow.engines.base import Engine, Request, Sampling
from characterflow.engines.generation import Sample

MAX_TOKENS = 2048  # a constrained verdict ends by itself; the rest is room for a judge that reasons first
END_OF_REASONING = "</think>"
AROUND = "\"'`*“”‘’ \t\r\n"

LABELS = ("A", "B")

TRAIT_QUESTION = """\
Here is a message from a user, and the reply that an assistant gave.

[message]
{message}
[end of message]

[reply]
{reply}
[end of reply]

One of two words was in the assistant's mind as it wrote, and shaped the manner of the reply. Judge the \
manner alone: neither whether the reply is right nor what it is about. Which word describes it better, \
"{first}" or "{second}"? Answer with that one word and nothing else."""

COMPARISON_QUESTION = """\
Here is a description of a character, in its own words.

[character]
{traits}
[end of character]

A user wrote a message, and two assistants replied. Both were meant to have this character.

[message]
{message}
[end of message]

[reply A]
{first}
[end of reply A]

[reply B]
{second}
[end of reply B]

Which reply is the more coherent and fitting embodiment of this character? The character should come \
through naturally and as a whole, in a reply that makes sense as an answer to the message; traits that \
are exaggerated, recited or at odds with each other count against a reply, and so does confusion. Neither \
the length of the replies nor their order matters. Answer with one letter and nothing else: A or B."""


def trait_question(message: str, reply: str, first: str, second: str) -> str:
    """Which of two trait words a reply shows; the choices are the two words."""
    return TRAIT_QUESTION.format(message=message, reply=reply, first=first, second=second)


def comparison_question(traits: str, message: str, first: str, second: str) -> str:
    """What the judge is asked. traits: the numbered list; the choices are LABELS."""
    return COMPARISON_QUESTION.format(traits=traits, message=message, first=first, second=second)


def parse_choice(text: str, choices: Sequence[str]) -> str | None:
    """The choice that a reply consists of, or None.

    Reasoning up to its last end mark, case, surrounding blanks, quotes and emphasis, and a final full stop
    do not count; anything more than the choice is no verdict.
    """
    answer = text.rpartition(END_OF_REASONING)[2].strip(AROUND).removesuffix(".").strip(AROUND).casefold()
    found = [choice for choice in choices if choice.casefold() == answer]
    return found[0] if len(found) == 1 else None


def verdict_sample(
    identifier: str,
    prompt: str,
    choices: tuple[str, ...],
    seed: int,
    *,
    temperature: float = 0.0,
    **fields: Any,
) -> Sample:
    """A question to the judge, answered by one of `choices`; greedy unless a temperature is given.

    The row: `fields`, verdict (one of the choices, or None), reply, finish_reason, prompt_tokens,
    completion_tokens. A reply that was cut off is no verdict.
    """
    request = Request(
        ({"role": "user", "content": prompt},),
        Sampling(temperature=temperature, top_p=1.0, max_tokens=MAX_TOKENS),
        seed,
        choices=choices,
    )

    async def make(engine: Engine) -> Row:
        completion = await engine.complete(request)
        cut = completion.finish_reason == "length"
        return {
            **fields,
            "verdict": None if cut else parse_choice(completion.text, choices),
            "reply": completion.text,
            "finish_reason": completion.finish_reason,
            "prompt_tokens": completion.prompt_tokens,
            "completion_tokens": completion.completion_tokens,
        }

    key = {"prompt": prompt, "choices": choices, "temperature": temperature, "seed": seed, "fields": fields}
    return Sample(identifier, key, make, None)


def unasked_sample(identifier: str, fields: Row) -> Sample:
    """A row like a verdict's where the judge need not be asked: without a verdict."""
    row = {
        **fields,
        "verdict": None,
        "reply": "",
        "finish_reason": "not_asked",
        "prompt_tokens": 0,
        "completion_tokens": 0,
    }

    async def make(_: Engine) -> Row:
        return row

    return Sample(identifier, row, make, None)
