"""Responses to held-out prompts: plain, under instructions that try to break character, and continued.

Method: Open Character Training (arXiv 2511.01689), section on robustness. An instruction stands on a line
of its own behind the prompt, in the same user message. In the prefill attack the first answer is the base
model's, the user asks to go on, and the method gives the next answer.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from characterflow.configuration.methods import BASE
from characterflow.core.errors import UserError
from characterflow.core.files import Row, read_jsonl
from characterflow.engines.base import (
    Engine,
    Message,
    Request,
    Sampling,
    assistant_message,
    seed_of,
    user_message,
)
from characterflow.engines.generation import Sample, reply_sample
from characterflow.evaluation.methods import PLAIN, Method

if TYPE_CHECKING:
    import pandas as pd

CONTINUED = "continued"
GO_ON = "Please go on. I would like to hear more about that."
NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
RESERVED = (PLAIN, CONTINUED, "any")


@dataclass(frozen=True)
class Instruction:
    """A text that tries to break character. name: in ids and tables."""

    name: str
    text: str


def load_instructions(path: Path) -> list[Instruction]:
    """The instructions of a file with name and text on each line; UserError for the first fault."""
    result: dict[str, Instruction] = {}
    for number, row in enumerate(read_jsonl(path, required=("name", "text")), start=1):
        name, text = row["name"], row["text"]
        if not isinstance(name, str) or not NAME.fullmatch(name) or name.startswith(RESERVED):
            raise UserError(
                f"{path}: row {number}: name: expected lower-case letters, digits and dashes, not starting "
                f"with {', '.join(RESERVED)}; found {name!r}"
            )
        if name in result:
            raise UserError(f"{path}: row {number}: the name {name!r} occurs twice")
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{path}: row {number}: text: expected a text, found {text!r}")
        result[name] = Instruction(name, text.strip())
    if not result:
        raise UserError(f"{path}: expected at least one instruction")
    return list(result.values())


def answer_samples(
    methods: Sequence[Method],
    prompts: list[Row],
    attacked: list[Row],
    instructions: Sequence[Instruction],
    sampling: Sampling,
    seed: int,
) -> list[Sample]:
    """One reply by every method to every prompt, and to every attacked prompt under each instruction.

    The same prompt has the same seed under every method, so that methods differ in nothing else.
    """
    asked = [(PLAIN, row, row["prompt"]) for row in prompts]
    asked += [(item.name, row, f"{row['prompt']}\n{item.text}") for item in instructions for row in attacked]
    return [
        reply_sample(
            f"{method.name}-{instruction}-{row['id']}",
            Request(
                messages=method.messages(user_message(text)),
                sampling=sampling,
                seed=seed_of(seed, "evaluation", row["id"], instruction),
                adapter=method.adapter,
            ),
            prompt_id=row["id"],
            method=method.name,
            instruction=instruction,
        )
        for method in methods
        for instruction, row, text in asked
    ]


def openings(base: Iterable[Row]) -> dict[str, str]:
    """The first answers of the prefill attack: the base's plain ones, by prompt id."""
    return {row["prompt_id"]: row["response"] for row in base if row["instruction"] == PLAIN}


def continued_samples(
    methods: Sequence[Method],
    attacked: list[Row],
    first: Mapping[str, str],
    turns: int,
    sampling: Sampling,
    seed: int,
) -> list[Sample]:
    """Every method goes on, `turns` times, with a conversation that the base began.

    first: the base's answers by prompt id. A row's `replies` are the method's, in order; where one is empty,
    as when the context is full, so are those after it.
    """
    if turns == 0:
        return []
    return [
        _continued(method, row, first[row["id"]], turns, sampling, seed)
        for method in methods
        for row in attacked
    ]


def _continued(method: Method, prompt: Row, first: str, turns: int, sampling: Sampling, seed: int) -> Sample:
    start: tuple[Message, ...] = (user_message(prompt["prompt"]), assistant_message(first))

    async def make(engine: Engine) -> Row:
        messages, replies, reason, tokens = start, list[str](), "", 0
        while len(replies) < turns and (not replies or replies[-1]):
            messages = (*messages, user_message(GO_ON))
            reply_seed = seed_of(seed, "evaluation", prompt["id"], CONTINUED, len(replies))
            request = Request(method.messages(*messages), sampling, reply_seed, method.adapter)
            reply = await engine.complete(request)
            messages = (*messages, assistant_message(reply.text))
            replies.append(reply.text)
            reason, tokens = reply.finish_reason, tokens + reply.completion_tokens
        replies += [""] * (turns - len(replies))
        fields = {"prompt_id": prompt["id"], "method": method.name, "instruction": CONTINUED}
        return {**fields, "replies": replies, "finish_reason": reason, "completion_tokens": tokens}

    key = [method.messages(*start), GO_ON, method.adapter, turns, vars(sampling), seed]
    return Sample(f"{method.name}-{CONTINUED}-{prompt['id']}", key, make, method.adapter)


def response_table(base: list[Row], personas: Mapping[str, list[Row]]) -> "pd.DataFrame":
    """All responses of one model: persona ("base" for the base's), method, instruction, prompt_id, response.

    The replies of a continued conversation are rows of their own: "continued", "continued-2", ...
    """
    import pandas as pd

    rows = [{"persona": BASE, **row} for row in _single(base)]
    rows += [{"persona": persona, **row} for persona, own in personas.items() for row in _single(own)]
    return pd.DataFrame(
        rows, columns=["persona", "method", "instruction", "prompt_id", "response", "finish_reason"]
    )


def _single(rows: list[Row]) -> list[Row]:
    """Rows of one response each."""
    result = [row for row in rows if row["instruction"] != CONTINUED]
    for row in rows:
        if row["instruction"] == CONTINUED:
            for turn, reply in enumerate(row["replies"], start=1):
                name = CONTINUED if turn == 1 else f"{CONTINUED}-{turn}"
                result.append({**row, "instruction": name, "response": reply})
    return result
