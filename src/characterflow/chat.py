"""Chat templates in one place: models differ in system role, default system prompt and reasoning.

A tokenizer here is anything with transformers' apply_chat_template and __call__.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from characterflow.engines.base import Message

PROBE = "characterflow-system-probe"


def supports_system(tokenizer: Any) -> bool:
    """Whether the chat template keeps a system message (Gemma's raises an error, others drop it)."""
    messages = [{"role": "system", "content": PROBE}, {"role": "user", "content": "x"}]
    try:
        return PROBE in tokenizer.apply_chat_template(messages, tokenize=False)
    except Exception:
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

    reply: end with the start of an assistant turn. prefill: text put behind that start.
    arguments: further variables of the template, such as enable_thinking.
    """
    if not supports_system(tokenizer):
        messages = fold_system(messages)
    text = tokenizer.apply_chat_template(
        list(messages), tokenize=False, add_generation_prompt=reply, **dict(arguments or {})
    )
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

    A system message stays, and what is kept after it starts with a user message: cuts fall between
    messages, never inside a template. The last message stays however long it is.
    """
    system = [message for message in messages[:1] if message["role"] == "system"]
    rest = list(messages[len(system) :])
    while len(rest) > 1 and len(encode(tokenizer, [*system, *rest], **options)) > limit:
        rest = rest[1:]
        while len(rest) > 1 and rest[0]["role"] != "user":
            rest = rest[1:]
    return [*system, *rest]
