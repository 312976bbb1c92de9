"""Chat templates in one place: models differ in system role, default system prompt and reasoning.

A tokenizer here is anything with transformers' apply_chat_template and __call__.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError

from characterflow.core.errors import UserError
from characterflow.engines.base import Message

PROBE = "characterflow-system-probe"
OPENING_TAG = re.compile(r"\s*(<[^<>\s]+>)")


def supports_system(tokenizer: Any) -> bool:
    """Whether the chat template keeps a system message (Gemma's raises an error, others drop it)."""
    messages = [{"role": "system", "content": PROBE}, {"role": "user", "content": "x"}]
    try:
        return PROBE in tokenizer.apply_chat_template(messages, tokenize=False)
    except (TemplateError, ValueError):
        return False


def fold_system(messages: Sequence[Message]) -> list[Message]:
    """The same conversation without a system message: its text opens the first user message."""
    if not messages or messages[0]["role"] != "system":
        return list(messages)
    if len(messages) < 2 or messages[1]["role"] != "user":
        return [{"role": "user", "content": messages[0]["content"]}, *messages[1:]]
    merged = f"{messages[0]['content']}\n\n{messages[1]['content']}"
    return [{"role": "user", "content": merged}, *messages[2:]]


def render(
    tokenizer: Any,
    messages: Sequence[Message],
    *,
    reply: bool = True,
    prefill: str = "",
    arguments: Mapping[str, Any] | None = None,
) -> str:
    """The conversation as the model reads it.

    reply: end with the start of an assistant turn. prefill: text put behind that start; where the template
    itself opens the reasoning, the prefill's own opening tag is left out.
    arguments: further variables of the template, such as enable_thinking.
    Raises UserError where the template is missing or refuses the conversation.
    """
    if messages and messages[0]["role"] == "system" and not supports_system(tokenizer):
        messages = fold_system(messages)
    try:
        text = tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=reply, **dict(arguments or {})
        )
    except (TemplateError, ValueError) as error:
        raise UserError(f"{tokenizer.name_or_path}: the chat template cannot be applied ({error})") from None
    tag = OPENING_TAG.match(prefill)
    if tag and text.rstrip().endswith(tag[1]):
        prefill = prefill[tag.end() :]
        prefill = prefill.lstrip() if text[-1].isspace() else prefill
    return text + prefill


def encode(
    tokenizer: Any,
    messages: Sequence[Message],
    *,
    reply: bool = True,
    prefill: str = "",
    arguments: Mapping[str, Any] | None = None,
) -> list[int]:
    """Token ids of `render`; special tokens come from the template alone, never twice."""
    text = render(tokenizer, messages, reply=reply, prefill=prefill, arguments=arguments)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def cut_history(tokenizer: Any, messages: Sequence[Message], limit: int, **options: Any) -> list[Message]:
    """Drop the oldest exchanges until the rendered conversation fits into `limit` tokens.

    A system message stays, and so does everything from the last user message on, however long it is. What
    is kept after a cut starts with a user message: cuts fall between messages, never inside a template.
    """
    system = [message for message in messages[:1] if message["role"] == "system"]
    rest = list(messages[len(system) :])
    users = [index for index, message in enumerate(rest) if message["role"] == "user"]
    starts = [0, *(index for index in users if index > 0)]
    for start in starts[:-1]:
        if len(encode(tokenizer, [*system, *rest[start:]], **options)) <= limit:
            return [*system, *rest[start:]]
    return [*system, *rest[starts[-1] :]]
