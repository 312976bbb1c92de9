"""How far a model can be steered while its answers stay language."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from characterflow.core.errors import UserError
from characterflow.core.files import Row
from characterflow.engines.base import user_message
from characterflow.engines.transformers import TransformersEngine
from characterflow.evaluation.intervals import bootstrap_sums, columns
from characterflow.evaluation.steering.vectors import PLAIN, cache_of, read, reading

SEQUENCE = 3  # tokens of the sequences whose repetition is counted


def language(engine: TransformersEngine, prompt: str, row: Row) -> list[float]:
    """How far an answer is language to the base: sums over its tokens, for `strength_curve`.

    Returns [surprise in nats, tokens, sequences of three tokens that occurred before in it, sequences]. The
    end counts as a token where the model ended the answer.
    """
    options = {"arguments": engine.settings["template_arguments"]}
    item = reading(engine.tokenizer, [user_message(prompt)], row["response"], engine.context, **options)
    logits = read(engine.model, [item], 0, cache_of(engine.model, []), len(item.answer) + 1)
    chances = logits[0].float().log_softmax(-1).cpu()
    surprise = -float(chances[range(len(item.answer)), item.answer].sum())
    ended = row["finish_reason"] == "stop"
    if ended:
        surprise -= float(chances[-1, engine.stops].logsumexp(0))
    repeated, sequences = repetition(item.answer)
    return [surprise, len(item.answer) + ended, repeated, sequences]


def repetition(tokens: Sequence[int]) -> tuple[int, int]:
    """How many sequences of three tokens occurred before in a text, and how many there are."""
    sequences = list(zip(*(tokens[place:] for place in range(SEQUENCE)), strict=False))
    return len(sequences) - len(set(sequences)), len(sequences)


def strength_curve(sums: Mapping[float, Sequence[Sequence[float]]], seed: int) -> pd.DataFrame:
    """Perplexity and repetition of the answers by strength.

    sums: strength -> what `language` says of the answer to each prompt, prompts in the same order; strength 0
    must be there. growth: perplexity over that at strength 0. Intervals: bootstrap over the n prompts.
    """
    plain = np.asarray(sums[PLAIN])
    rows = []
    for strength in sorted(sums):
        both = np.stack([np.asarray(sums[strength]), plain], axis=1)
        perplexity, growth, repeated = bootstrap_sums(_figures, both, seed)
        rows.append(
            {
                "strength": strength,
                **columns("perplexity", perplexity),
                **columns("growth", growth),
                **columns("repetition", repeated),
                "n": len(plain),
            }
        )
    return pd.DataFrame(rows)


def _figures(totals: np.ndarray) -> np.ndarray:
    """Perplexity, its growth and repetition from totals of shape (..., 2 (own, plain), 4)."""
    surprise = totals[..., 0] / totals[..., 1].clip(1)
    repeated = totals[..., 0, 2] / totals[..., 0, 3].clip(1)
    own, plain = surprise[..., 0], surprise[..., 1]
    return np.stack([np.exp(own), np.exp(own - plain), repeated], axis=-1)


def strongest(curve: pd.DataFrame, growth: float, repetition: float) -> float:
    """The largest strength up to which, and at which, the answers are still language.

    They are where their perplexity has grown by that factor at most and their repetition by that much.
    Past the first strength where they are not, nothing is looked at: noise may repeat nothing, and blanks
    have a low perplexity. Raises UserError where the smallest strength is too large already.
    """
    allowed = float(curve.loc[curve["strength"] == PLAIN, "repetition"].iloc[0]) + repetition
    best = PLAIN
    for row in curve[curve["strength"] != PLAIN].sort_values("strength").to_dict("records"):
        if row["growth"] > growth or row["repetition"] > allowed:
            break
        best = float(row["strength"])
    if best == PLAIN:
        raise UserError(
            f"evaluation.steering.search.strengths: at {row['strength']}, the smallest, perplexity has grown "
            f"{row['growth']:.3g}-fold ({growth:g} is allowed) and repetition is {row['repetition']:.2f} "
            f"({allowed:.2f} is allowed); expected a smaller one"
        )
    return best
