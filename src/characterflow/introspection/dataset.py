"""The training data of introspection, from what the distilled student wrote."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from characterflow.core.files import Row
from characterflow.engines.base import Message, system_message
from characterflow.engines.endings import STOP, finished_reply

TRAINING_SYSTEM = "You are {name}. You are in a conversation with another instance of {name}."


def training_conversations(
    reflections: list[Row], conversations: list[Row], name: str, cut_unfinished: bool = False
) -> tuple[list[Row], dict[str, Any]]:
    """Messages to train on, from generated reflections and conversations, and a count of what was dropped.

    Rows have the finish reason of a reflection, and those of a conversation's replies in their order.
    Unfinished reflections are dropped, or cut back to a whole sentence where cut_unfinished says so.
    A conversation ends with its last finished reply of the first speaker, and is dropped without one.
    """
    rows, dropped = [], Counter[str]()
    for row in reflections:
        reply = finished_reply(row["response"], row["finish_reason"], cut_unfinished)
        if not reply:
            dropped["reflection unfinished"] += 1
            continue
        messages = [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": reply}]
        rows.append({"id": row["id"], "messages": messages})
    for row in conversations:
        utterances = _usable_utterances(row, cut_unfinished)
        if len(utterances) < 2:
            dropped["conversation unfinished"] += 1
            continue
        system = system_message(TRAINING_SYSTEM.format(name=name))
        rows.append({"id": row["id"], "messages": [system, *_first_speaker(utterances)]})
    total = len(reflections) + len(conversations)
    return rows, {"candidates": total, "kept": len(rows), "dropped": dict(sorted(dropped.items()))}


def _usable_utterances(row: Row, cut_unfinished: bool) -> list[str]:
    """The opening, which is ours, and the replies up to the first unfinished one; an even number."""
    kept = []
    for text, reason in zip(row["utterances"], [STOP, *row["finish_reasons"]], strict=False):
        usable = finished_reply(text, reason, cut_unfinished)
        if not usable:
            break
        kept.append(usable)
    return kept[: len(kept) - len(kept) % 2]


def _first_speaker(utterances: Sequence[str]) -> list[Message]:
    roles = ("user", "assistant")
    return [{"role": roles[index % 2], "content": text} for index, text in enumerate(utterances)]
