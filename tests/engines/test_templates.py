"""Chat templates of the usual styles: system messages, prefilled replies, BOS, and cut histories."""

from typing import Any

import pytest

from characterflow.core.errors import UserError
from characterflow.engines.base import Message
from characterflow.engines.templates import cut_history, encode, fold_system, render, supports_system
from tiny_models import TEMPLATES, tiny_tokenizer

OPENS_THINKING = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}<|assistant|>\n<think>"
DROPS_SYSTEM = (
    "{% for message in messages if message['role'] == 'user' %}{{ message['content'] }}{% endfor %}"
)


def said(*contents: str, system: str = "") -> list[Message]:
    """A conversation that the user begins, with the roles taking turns."""
    opening: list[Message] = [{"role": "system", "content": system}] if system else []
    roles = ("user", "assistant")
    return opening + [
        {"role": roles[index % 2], "content": content} for index, content in enumerate(contents)
    ]


PLAIN = {
    "chatml": "<|im_start|>system\nYou are Tiny.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\n",
    "llama3": "<s><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "gemma": "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n",
    "mistral": "<s>[INST] Hi [/INST]",
    "thinking": "[gMASK]<sop><|user|>\nHi<|assistant|>\n",
}
WITH_SYSTEM = {
    "chatml": "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\n",
    "llama3": "<s><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "gemma": "<s><start_of_turn>user\nBe kind.\n\nHi<end_of_turn>\n<start_of_turn>model\n",
    "mistral": "<s>[INST] Be kind.\n\nHi [/INST]",
    "thinking": "[gMASK]<sop><|system|>\nBe kind.<|user|>\nHi<|assistant|>\n",
}


@pytest.mark.parametrize("style", TEMPLATES)
def test_a_system_message_is_kept_or_folded(style: str) -> None:
    tokenizer = tiny_tokenizer(TEMPLATES[style])
    assert supports_system(tokenizer) == (style != "gemma")
    assert render(tokenizer, said("Hi")) == PLAIN[style]
    assert render(tokenizer, said("Hi", system="Be kind.")) == WITH_SYSTEM[style]


@pytest.mark.parametrize("style", TEMPLATES)
def test_a_prefill_begins_the_reply(style: str) -> None:
    tokenizer = tiny_tokenizer(TEMPLATES[style])
    prefill = "<think>\nI want to be"
    assert render(tokenizer, said("Hi"), prefill=prefill) == PLAIN[style] + prefill
    plain, prefilled = encode(tokenizer, said("Hi")), encode(tokenizer, said("Hi"), prefill=prefill)
    assert prefilled[: len(plain)] == plain
    assert prefilled[len(plain)] == tokenizer.convert_tokens_to_ids("<think>")
    assert tokenizer.decode(prefilled[len(plain) :]) == prefill


@pytest.mark.parametrize("style", TEMPLATES)
def test_bos_comes_from_the_template_alone(style: str) -> None:
    tokenizer = tiny_tokenizer(TEMPLATES[style])
    assert tokenizer("x")["input_ids"][0] == tokenizer.bos_token_id
    for messages in (said("Hi"), said("Hi", "Hello", "Well?", system="Be kind.")):
        count = encode(tokenizer, messages).count(tokenizer.bos_token_id)
        assert count == (1 if style in ("llama3", "gemma", "mistral") else 0)


@pytest.mark.parametrize("style", TEMPLATES)
def test_a_rendered_conversation_may_end_without_a_reply(style: str) -> None:
    tokenizer = tiny_tokenizer(TEMPLATES[style])
    ending = render(tokenizer, said("Hi", "Hello"), reply=False).rpartition("Hello")[2]
    assert ending.strip() in ("", "</s>", "<|im_end|>", "<|eot_id|>", "<end_of_turn>")


def test_the_variables_of_the_template_are_passed_on() -> None:
    tokenizer = tiny_tokenizer(TEMPLATES["thinking"])
    text = render(tokenizer, said("Hi"), arguments={"enable_thinking": False})
    assert text == PLAIN["thinking"] + "<think></think>\n"


@pytest.mark.parametrize("prefill", ["<think>\nI am", "<think>I am", "\n<think> I am", "I am"])
def test_reasoning_that_the_template_opens_is_not_opened_twice(prefill: str) -> None:
    text = render(tiny_tokenizer(OPENS_THINKING + "{{ '\\n' }}"), said("Hi"), prefill=prefill)
    assert text == "Hi\n<|assistant|>\n<think>\nI am"
    bare = render(tiny_tokenizer(OPENS_THINKING), said("Hi"), prefill=prefill)
    assert bare == "Hi\n<|assistant|>\n" + ("" if "<think>" in prefill else "<think>") + prefill.lstrip()


def test_a_template_that_drops_the_system_message_gets_it_folded() -> None:
    text = render(tiny_tokenizer(DROPS_SYSTEM), said("Hi", "Hello", "Well?", system="Be kind."))
    assert text == "Be kind.\n\nHiWell?"


def test_folding() -> None:
    assert fold_system([]) == []
    assert fold_system(said("Hi")) == said("Hi")
    assert fold_system(said("Hi", "Hello", system="Be kind.")) == said("Be kind.\n\nHi", "Hello")
    lone: list[Message] = [{"role": "system", "content": "Be kind."}]
    opened: list[Message] = [{"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Hi"}]
    assert fold_system(lone) == said("Be kind.")
    assert fold_system(lone + opened) == said("Be kind.") + opened


@pytest.mark.parametrize("style", TEMPLATES)
@pytest.mark.parametrize("system", ["", "Be kind."])
def test_a_history_is_cut_between_messages(style: str, system: str) -> None:
    tokenizer = tiny_tokenizer(TEMPLATES[style])
    contents = [f"{'question' if index % 2 == 0 else 'answer'} {index}" for index in range(9)]
    messages = said(*contents, system=system)
    opening = messages[: len(messages) - 9]
    whole = len(encode(tokenizer, messages))
    kept_lengths = set()
    for limit in range(whole + 1, 0, -7):
        kept = cut_history(tokenizer, messages, limit)
        turns = kept[len(opening) :]
        assert kept == opening + messages[len(messages) - len(turns) :]
        assert turns[0]["role"] == "user" and turns[-1] == messages[-1]
        assert len(encode(tokenizer, kept)) <= limit or len(turns) == 1
        if len(turns) < 9:
            longer = opening + messages[len(messages) - len(turns) - 2 :]
            assert len(encode(tokenizer, longer)) > limit
        kept_lengths.add(len(turns))
    assert kept_lengths == {1, 3, 5, 7, 9}


def test_a_cut_history_keeps_the_last_user_message_and_what_follows() -> None:
    tokenizer = tiny_tokenizer()
    messages = said("Hi", "Hello", "Well?", "Yes.", system="Be kind.")
    assert cut_history(tokenizer, messages, 1, reply=False) == [messages[0], *messages[3:]]
    assert cut_history(tokenizer, messages[:1], 1) == messages[:1]
    assert cut_history(tokenizer, [], 1000) == []


def test_a_conversation_opened_by_the_assistant_is_whole_or_begins_with_the_user() -> None:
    tokenizer = tiny_tokenizer()
    messages: list[Message] = [{"role": "assistant", "content": "Hello"}, *said("Hi", "Yes?", "So")]
    whole = len(encode(tokenizer, messages))
    assert cut_history(tokenizer, messages, whole) == messages
    assert cut_history(tokenizer, messages, whole - 1) == messages[1:]


def test_the_limit_counts_the_prefill() -> None:
    tokenizer = tiny_tokenizer()
    messages = said("Hi", "Hello", "Well?")
    limit = len(encode(tokenizer, messages))
    assert cut_history(tokenizer, messages, limit) == messages
    assert cut_history(tokenizer, messages, limit, prefill="I") == messages[2:]


@pytest.mark.parametrize(
    ("template", "messages", "expected"),
    [
        (None, said("Hi"), "chat_template is not set"),
        (TEMPLATES["gemma"], [*said("Hi"), *said("Hi")], "Roles must alternate user, assistant"),
        ("{% for", said("Hi"), "cannot be applied"),
    ],
)
def test_a_template_that_fails_ends_in_one_line(
    template: Any, messages: list[Message], expected: str
) -> None:
    tokenizer = tiny_tokenizer(template)
    tokenizer.name_or_path = "models/base"
    with pytest.raises(UserError, match=rf"^models/base: .*{expected}"):
        render(tokenizer, messages)
