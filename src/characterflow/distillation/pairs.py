"""Preference pairs: the teacher's reply is chosen, the student's is rejected.

Filters as in Open Character Training (arXiv 2511.01689): both replies present, both finished (their engine
says so; a recorded reply by its text), neither over the token limit in the student's chat template. Every
dropped pair is counted under its reason.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from characterflow.core.files import Row
from characterflow.engines.base import Message
from characterflow.engines.endings import finished_reply
from characterflow.text.names import Renamed, rename

EXAMPLES = 5  # of a name's mentions, in the report


def pair_up(
    prompts: list[Row],
    teacher: list[Row],
    student: list[Row],
    count_tokens: Callable[[list[Message]], int],
    max_tokens: int,
    teacher_names: Iterable[str] = (),
    student_name: str = "",
    cut_unfinished: bool = False,
) -> tuple[list[Row], dict[str, Any]]:
    """Pairs of chosen and rejected conversations, and the count of what was dropped and why.

    prompts: rows with id and prompt. teacher, student: rows with prompt_id, sample, response and
    finish_reason, joined on prompt_id and sample; where the student has fewer samples than the
    teacher, they are used in turn. count_tokens: length of a conversation in the student's template.
    cut_unfinished: cut replies back to their last whole sentence instead of dropping them.
    teacher_names: where a teacher's reply calls itself by one of them, student_name takes its place; the
    report counts what was replaced and what was left, with examples.
    """
    texts = {row["id"]: row["prompt"] for row in prompts}
    rejected: dict[str, dict[int, Row]] = {}
    for row in student:
        rejected.setdefault(row["prompt_id"], {})[row["sample"]] = row
    names = tuple(teacher_names)
    pairs, dropped, renamings = [], Counter[str](), []
    for row in teacher:
        answers = rejected.get(row["prompt_id"], {})
        other = answers.get(row["sample"] % len(answers)) if answers else None
        ours, theirs = (_finished(reply, cut_unfinished) for reply in (row, other))
        if not ours or not theirs:
            dropped[_fault(row, "teacher") if not ours else _fault(other, "student")] += 1
            continue
        chosen = rename(ours, names, student_name)
        pair = _conversations(texts[row["prompt_id"]], chosen.text, theirs)
        if chosen.text == theirs:
            dropped["identical"] += 1
        elif max(map(count_tokens, pair)) > max_tokens:
            dropped["too long"] += 1
        else:
            identity = {"id": row["id"], "prompt_id": row["prompt_id"]}
            pairs.append({**identity, "chosen": pair[0], "rejected": pair[1]})
            renamings.append(chosen)
    report = {"candidates": len(teacher), "kept": len(pairs), "dropped": dict(sorted(dropped.items()))}
    return pairs, {**report, "teacher_name": _renamed(renamings)}


def _renamed(renamings: list[Renamed]) -> dict[str, Any]:
    """How often the teacher's name was replaced in the chosen replies, and how often left, with examples."""
    mentions = {
        "replaced": [mention for one in renamings for mention in one.replaced],
        "left": [mention for one in renamings for mention in one.left],
    }
    return {kind: {"count": len(found), "examples": found[:EXAMPLES]} for kind, found in mentions.items()}


def _finished(row: Row | None, cut_unfinished: bool) -> str:
    return finished_reply(row["response"], row["finish_reason"], cut_unfinished) if row else ""


def _fault(row: Row | None, who: str) -> str:
    return f"{who} unfinished" if row and row["response"].strip() else f"{who} missing"


def _conversations(prompt: str, *replies: str) -> list[list[Message]]:
    return [
        [{"role": "user", "content": prompt}, {"role": "assistant", "content": reply}] for reply in replies
    ]
