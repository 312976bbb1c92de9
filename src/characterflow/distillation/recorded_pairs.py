"""Pairs of chosen and rejected replies that others made, as recorded replies of a teacher and a student.

The public schema has many dialects. chosen and rejected are

- conversations, as lists of {role, content}, with the prompt in them, or behind a prompt of their own;
- texts: the replies to `prompt`, or whole dialogues in the form "\\n\\nHuman: ...\\n\\nAssistant: ...".

What one prompt and two replies cannot say (several turns, a system message) is left out and counted.
"""

import re
from collections import Counter, defaultdict
from typing import Any

from characterflow.core.errors import UserError
from characterflow.core.files import Row
from characterflow.engines.base import Message
from characterflow.engines.endings import UNKNOWN
from characterflow.prompts.datasets import located_rows
from characterflow.prompts.rows import prompt_id, prompt_row

SIDES = CHOSEN, REJECTED = "chosen", "rejected"
SOURCE = "recorded"
DIALOGUE = re.compile(r"(?:\A|\n\n)(Human|Assistant): ?")
ROLES = {"Human": "user", "Assistant": "assistant"}


def load_pairs(entry: dict[str, Any], name: str, field: str = "prompt") -> tuple[list[Row], Counter[str]]:
    """Rows {prompt, chosen, rejected} of a data set, in its order, and what was left out, by reason.

    entry: a data set by path, or by hub and revision (characterflow.prompts.datasets). name: names it in
    messages. field: the column with the prompt, where chosen and rejected do not hold it. Raises UserError
    with the place of a row that has another schema, and where no pair is left.
    """
    rows, left_out = [], Counter[str]()
    for place, row in located_rows(entry, name):
        sides = [_exchange(row, side, field, f"{name}: {place}") for side in SIDES]
        prompts, replies = zip(*sides, strict=True)
        reason = _fault(prompts, replies)
        if reason:
            left_out[reason] += 1
        else:
            rows.append({"prompt": prompts[0], **dict(zip(SIDES, replies, strict=True))})
    if not rows:
        found = ", ".join(f"{count} {reason}" for reason, count in left_out.items()) or "no row"
        raise UserError(f"{name}: expected pairs of one prompt and two replies, found {found}")
    return rows, left_out


def _fault(prompts: tuple[Any, ...], replies: tuple[Any, ...]) -> str:
    """Why a row is no pair: a reason that `_exchange` gave in a prompt's place, or what is missing."""
    for prompt, reply in zip(prompts, replies, strict=True):
        if reply is None:
            return prompt
    if prompts[0] != prompts[1]:
        return "with different prompts"
    return "" if all((prompts[0], *replies)) else "with an empty text"


def _exchange(row: Row, side: str, field: str, place: str) -> tuple[str, str | None]:
    """Prompt and reply of one side; or the reason to leave the row out, and None."""
    if side not in row:
        raise UserError(f"{place}: no field {side!r}; expected chosen and rejected")
    messages = _messages(row[side], row.get(field), place, side, field)
    roles = [message["role"] for message in messages]
    if roles and roles[0] == "system" and not messages[0]["content"].strip():
        messages, roles = messages[1:], roles[1:]
    if "system" in roles:
        return "with a system message", None
    if roles != ["user", "assistant"]:
        return "of several turns" if len(roles) > 2 else "without a prompt or a reply", None
    return messages[0]["content"].strip(), messages[1]["content"].strip()


def _messages(value: Any, prompt: Any, place: str, side: str, field: str) -> list[Message]:
    """A side as a conversation that begins with the prompt."""
    if isinstance(value, list):
        conversation = _checked(value, place, side)
        before = _checked(prompt, place, field) if isinstance(prompt, list) else []
        if not before and isinstance(prompt, str) and [m["role"] for m in conversation] == ["assistant"]:
            before = [{"role": "user", "content": prompt}]
        return [*before, *conversation]
    if not isinstance(value, str):
        raise UserError(f"{place}: {side}: expected a text or a list of messages, found {str(value)[:60]!r}")
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}, {"role": "assistant", "content": value}]
    return _dialogue(value, place, side, field)


def _checked(messages: list[Any], place: str, side: str) -> list[Message]:
    for message in messages:
        texts = isinstance(message, dict) and all(
            isinstance(message.get(key), str) for key in ("role", "content")
        )
        if not texts:
            raise UserError(
                f"{place}: {side}: expected messages of role and content, found {str(message)[:60]!r}"
            )
    return messages


def _dialogue(text: str, place: str, side: str, field: str) -> list[Message]:
    before, *parts = DIALOGUE.split(text)
    if before or not parts:
        raise UserError(
            f"{place}: {side} is a text, and there is no {field!r}; expected a prompt or a dialogue of "
            '"Human: " and "Assistant: "'
        )
    return [{"role": ROLES[who], "content": said} for who, said in zip(parts[::2], parts[1::2], strict=True)]


def prompt_rows(pairs: list[Row]) -> list[Row]:
    """The prompts of the pairs, each once, as rows of a prompts file."""
    return [prompt_row(prompt, SOURCE) for prompt in dict.fromkeys(pair["prompt"] for pair in pairs)]


def reply_rows(pairs: list[Row], side: str) -> list[Row]:
    """One side of the pairs as rows of replies; several pairs of one prompt are its samples in order."""
    samples: dict[str, int] = defaultdict(int)
    rows = []
    for pair in pairs:
        identifier = prompt_id(pair["prompt"])
        number = samples[identifier]
        samples[identifier] += 1
        rows.append(
            {
                "id": f"{identifier}-{number}",
                "prompt_id": identifier,
                "sample": number,
                "response": pair[side],
                "finish_reason": UNKNOWN,
            }
        )
    return rows
