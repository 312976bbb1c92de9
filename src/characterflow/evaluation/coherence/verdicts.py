"""Coherence: which of two methods' answers to the same prompt is the better embodiment of the traits.

Method: Open Character Training (arXiv 2511.01689), section on coherence: every pair is judged in both orders,
and only verdicts that agree count. Here the others are reported too.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from characterflow.configuration.methods import PERSONA
from characterflow.core.errors import UserError
from characterflow.core.files import Row
from characterflow.engines.base import seed_of
from characterflow.engines.generation import Sample
from characterflow.evaluation.judge.verdicts import (
    LABELS,
    comparison_question,
    unasked_sample,
    verdict_sample,
)
from characterflow.evaluation.methods import PLAIN
from characterflow.evaluation.splits import split_prompts

PERSONA_FIRST, RIVAL_FIRST, IDENTICAL = "persona_first", "rival_first", "identical"


def plain_answers(rows: Iterable[Row]) -> dict[str, dict[str, str]]:
    """method -> prompt id -> answer, of the rows without an instruction."""
    result: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["instruction"] == PLAIN:
            result.setdefault(row["method"], {})[row["prompt_id"]] = row["response"].strip()
    return result


def coherence_samples(
    prompts: Sequence[Row],
    answers: Mapping[str, Mapping[str, str]],
    rivals: Sequence[str],
    traits: str,
    *,
    count: int,
    test_share: float,
    seed: int,
) -> list[Sample]:
    """Two questions a rival and prompt, one an order, for the first `count` prompts of the classifier's test.

    Rows: prompt_id, rival, order ("persona_first", "rival_first"; "identical" where both answers are the same
    and nobody is asked), characters of each answer, and the verdict (verdict_sample).
    Raises UserError where an answer is missing.
    """
    texts = {row["id"]: row["prompt"] for row in prompts}
    split = split_prompts(texts, test_share, seed)
    chosen = [identifier for identifier, side in split.items() if side == "test"][:count]
    return [
        sample
        for rival in rivals
        for identifier in chosen
        for sample in _pair(
            f"{rival}-{identifier}",
            traits,
            texts[identifier],
            (_answer(answers, PERSONA, identifier), _answer(answers, rival, identifier)),
            seed,
            prompt_id=identifier,
            rival=rival,
        )
    ]


def _answer(answers: Mapping[str, Mapping[str, str]], method: str, prompt_id: str) -> str:
    try:
        return answers[method][prompt_id]
    except KeyError:
        raise UserError(f"prompt {prompt_id}: no plain answer by the method {method!r}") from None


def _pair(
    name: str, traits: str, message: str, replies: tuple[str, str], seed: int, **fields: Any
) -> list[Sample]:
    """The questions on the persona's reply and its rival's: none to the judge where they are the same."""
    fields |= dict(zip(("persona_characters", "rival_characters"), map(len, replies), strict=True))
    if replies[0] == replies[1]:
        return [unasked_sample(f"{name}-{IDENTICAL}", {**fields, "order": IDENTICAL})]
    return [
        verdict_sample(
            f"{name}-{order}",
            comparison_question(traits, message, *shown),
            LABELS,
            seed_of(seed, "coherence", name, order),
            **fields,
            order=order,
        )
        for order, shown in ((PERSONA_FIRST, replies), (RIVAL_FIRST, replies[::-1]))
    ]
