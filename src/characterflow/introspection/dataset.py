"""The training data of introspection, from what the distilled student wrote."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from characterflow.core.files import Row
from characterflow.engines.base import Message, system_message
from characterflow.text.sentences import cut_to_sentence, is_finished

TRAINING_SYSTEM = "You are {name}. You are in a conversation with another instance of {name}."


def training_conversations(
    reflections: list[Row], conversations: list[Row], name: str, cut_unfinished: bool = False
) -> tuple[list[Row], dict[str, Any]]:
    """Messages to train on, from generated reflections and conversations, and a count of what was dropped.

    Unfinished reflections are dropped, or cut back to a whole sentence where cut_unfinished says so.
    A conversation ends with its last finished reply of the first speaker, and is dropped without one.
    """
    rows, dropped = [], Counter[str]()
    for row in reflections:
        reply = _usable(row["response"], cut_unfinished)
        if not reply:
            dropped["reflection unfinished"] += 1
            continue
        messages = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": reply}]
        rows.append({"id": row["id"], "messages": messages})
    for row in conversations:
        utterances = _usable_utterances(row["utterances"], cut_unfinished)
        if len(utterances) < 2:
            dropped["conversation unfinished"] += 1
            continue
        system = system_message(TRAINING_SYSTEM.format(name=name))
        rows.append({"id": row["id"], "messages": [system, *_first_speaker(utterances)]})
    total = len(reflections) + len(conversations)
    return rows, {"candidates": total, "kept": len(rows), "dropped": dict(sorted(dropped.items()))}


def _usable(text: str, cut_unfinished: bool) -> str:
    if cut_unfinished:
        return cut_to_sentence(text)
    return text.strip() if is_finished(text) else ""


def _usable_utterances(utterances: Sequence[str], cut_unfinished: bool) -> list[str]:
    kept = []
    for text in utterances:
        usable = _usable(text, cut_unfinished)
        if not usable:
            break
        kept.append(usable)
    return kept[: len(kept) - len(kept) % 2]


def _first_speaker(utterances: Sequence[str]) -> list[Message]:
    roles = ("user", "assistant")
    return [{"role": roles[index % 2], "content": text} for index, text in enumerate(utterances)]
